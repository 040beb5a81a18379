"""Networks of blocks against chance: what is trained, what the file holds, and what it says."""

import json
import statistics

import pytest
import tiny_blocks
from msgspec import structs
from tiny_search import threads

from spikeloom.flow.cli import main
from spikeloom.flow.errors import RunError
from spikeloom.nas import workers
from spikeloom.nas.blocks import alone
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.recipe import BlockTraining
from spikeloom.nas.problem import problem


def test_the_networks_at_random_are_different_and_of_the_space():
    found = alone.drawn()
    assert len(set(found)) == 20 and found == alone.drawn()
    assert all(alone.MACRO.text(alone.MACRO.parse(text)) == text for text in found)


@pytest.fixture
def tiny(monkeypatch):
    """A search and trainings of a second; networks are trained in this process."""
    tiny_blocks.install(monkeypatch)
    monkeypatch.setattr(workers, "workers", threads)
    monkeypatch.setattr(alone, "SUBSET", "few")
    macro = Macro(in_channels=1, image_size=8, channels=3, stages=(1, 1), num_steps=2, voters=2)
    monkeypatch.setattr(alone, "MACRO", macro)
    monkeypatch.setattr(alone, "TRAINING", BlockTraining(epochs=6, batch_size=16, device="cpu",
                                                         learning_rate=0.01))
    monkeypatch.setattr(alone, "RANDOM", 3)
    monkeypatch.setattr(alone, "SEEDS", (0, 1))
    monkeypatch.setattr(alone, "EXPERIMENT", {
        "data": {"name": "few"}, "space": {"network": "blocks"},
        "search": {"population": 4, "generations": 2,
                   "options": {"mutants": 2, "crossovers": 2, "top": 2}},
        "blocks": {"channels": 3, "stages": [1, 1], "num_steps": 2, "voters": 2,
                   "super": {"epochs": 2, "batch_size": 16, "device": "cpu"}}})
    return macro


def test_what_ships_is_searched_in_the_space_that_it_is_trained_in(monkeypatch, tiny):
    monkeypatch.undo()
    assert {key: alone.EXPERIMENT["blocks"][key] for key in ("channels", "image_size", "num_steps")
            } == {"channels": 4, "image_size": 16, "num_steps": alone.MACRO.num_steps}
    assert alone.MACRO == Macro(channels=4, image_size=16, num_steps=alone.MACRO.num_steps)


def test_the_command_searches_and_trains_what_its_folder_lacks(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "made" / "autosnn.json"
    assert main(["bench", "autosnn", "--jobs", "1", "--out", str(out)]) == 0
    text = capsys.readouterr()
    assert "super-network: epoch 2 of 2" in text.err and "winner" in text.out
    held = alone.load(out)
    assert held == alone.Held(**{key: getattr(held, key) for key in held.__struct_fields__})
    assert [item.seed for item in held.winner] == [0, 1]
    assert {item.blocks for item in held.winner} == {held.searched.winner.blocks}
    assert [item.blocks for item in held.random] == alone.drawn() == [
        item.blocks for item in held.searched.random]
    assert all(item.seed == 0 for item in held.random)
    assert 4 < held.searched.evaluations <= 8 and held.searched.seconds > 0
    # again: nothing is trained, and the seconds stand
    out.unlink()
    monkeypatch.setattr(alone, "trained", None)
    monkeypatch.setattr(alone, "searched", None)
    assert main(["bench", "autosnn", "--jobs", "1", "--out", str(out)]) == 0
    assert alone.load(out) == held
    assert "super-network: epoch" not in capsys.readouterr().err


def test_its_networks_are_those_that_the_search_names(tiny):
    task = problem(alone.config.experiment_from(alone.EXPERIMENT, "e"), "e")
    assert task.macro == tiny, "what is searched is what is trained alone"
    found = alone.trained({"blocks": alone.drawn()[0], "seed": 1})
    again = alone.trained({"blocks": alone.drawn()[0], "seed": 1})
    assert {**found, "seconds": 0} == {**again, "seconds": 0}
    assert 0 < found["test"] < 1 and found["spikes"] > 0


def networks(*tests: float) -> tuple[alone.Alone, ...]:
    return tuple(alone.Alone("skip", k, 0.5, test, 100.0, 1.0) for k, test in enumerate(tests))


def test_the_gain_is_from_the_median_and_one_standard_deviation():
    judged = alone.Judged("skip", 0.5, 100.0)
    held = alone.Held("c", alone.settings(), alone.Searched(judged, 0.5, 100.0, 9, 1.0, 2.0, ()),
                      networks(0.5, 0.54), networks(0.3, 0.4, 0.44, 0.5))
    gain, median, spread = alone.gain(held)
    assert median == pytest.approx(0.42)
    assert spread == pytest.approx(statistics.stdev([0.3, 0.4, 0.44, 0.5]))
    assert gain == pytest.approx(0.52 - median - spread)


def test_files_of_others_are_refused(tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text("{}")
    with pytest.raises(RunError, match="holds no networks of blocks"):
        alone.load(path)
    judged = alone.Judged("skip", 0.5, 100.0)
    held = alone.Held("c", {**alone.settings(), "subset": "svhn"},
                      alone.Searched(judged, 0.5, 100.0, 9, 1.0, 2.0, (judged,)),
                      networks(0.5), networks(0.4))
    alone.save(held, path)
    assert json.loads(path.read_text())["random"][0]["test"] == 0.4
    with pytest.raises(RunError, match=r"its networks were trained with subset = svhn"):
        alone.load(path)
    alone.save(structs.replace(held, settings=alone.settings()), path)
    assert alone.load(path).searched.random == (judged,)
    assert main(["bench", "autosnn", "--out", str(tmp_path)]) == 2
    assert "--out must be a file, not the directory" in capsys.readouterr().err
