"""Searches on crossbars: priced fronts, chips beside an FPGA, going on, and no crossbars at all."""

import json
import sqlite3
import subprocess
import sys
import tomllib

import pytest
from tiny_search import BIAS, few, outcome

from spikeloom.flow import ir
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.plan import load_plan
from spikeloom.flow.cli import main
from spikeloom.flow.passes.simplify import simplify
from spikeloom.nas import cim, workers
from spikeloom.nas.columns import CIM
from spikeloom.nas.store import FILE, Store
from spikeloom.sim import reference

OPTIONS = {"space.encoders": '["rate"]', "space.bitstream_lengths": "[8]",
           "search.objectives": '["cim_accuracy", "cim_uj", "cim_mm2"]', "search.routed": "0",
           "search.repeats": "1", "search.choose": "cim_accuracy", "cim.sizes": "[32, 64]",
           "cim.adc_bits": "[3, 5]", "cim.encodings": '["differential", "offset"]',
           "cim.share_tiles": "true", "cim.images": "50", "cim.draws": "2"}


def options(**changes) -> list[str]:
    return [word for key, value in (OPTIONS | changes).items()
            for word in ("--set", f"{key}={value}")]


@pytest.fixture
def unbuilt(world, monkeypatch):
    """A world in which nothing may be built."""
    def never(*args):
        raise AssertionError("something was built")

    monkeypatch.setattr(workers, "build", never)
    return world


def settings(world) -> cim.Cim:
    written = tomllib.loads((world.path / "run" / "experiment.toml").read_text())["cim"]
    return cim.Cim(**{key: tuple(value) if isinstance(value, list) else value
                      for key, value in written.items()})


def test_a_priced_search_needs_no_fpga_and_says_so(unbuilt, capsys):
    assert unbuilt.search(*options()) == 0
    text = capsys.readouterr().out
    folder, found = unbuilt.path / "run", outcome(unbuilt.path / "run")
    assert found["front_basis"] == "priced" and found["counts"]["built"] == 0
    assert found["routed"] == found["open"] == [] and found["counts"]["candidates"] == 12
    assert "Priced, nothing is placed and routed" in text and "Measured" not in text
    assert "~CIM [mm2]" in text and "~CIM [uJ]" in text and "~CIM accuracy" not in text
    assert "all priced and none measured" in text
    assert "CIM mm2, ms and uJ are estimates: mode physical of 'spikeloom map'" in text
    assert ("the mean of 2 chips drawn from seed 0 on at most 50 images of a split (variation, "
            "ir drop, adc)") in text
    front = {item["id"]: item for item in found["estimated_front"]}
    assert set(found["front"]) == set(front) and found["chosen"] in found["front"]
    best = max(item["cim_accuracy"] for item in front.values())
    assert front[found["chosen"]]["cim_accuracy"] == best
    assert found["marks"][-1]["expected"] > found["marks"][-1]["hypervolume"] == 0.0
    chosen = ir.load_graph(folder / "graph.safetensors")
    test = few().test
    right = reference.run(chosen, test.inputs).classes == test.labels
    assert found["final"]["test_accuracy"] == right.mean()
    own = Array(**tomllib.loads((folder / "cim" / "array.toml").read_text()))
    assert cim.costs(cim.of_graph(chosen), own) == {
        name: found["final"]["priced"][name] for name in CIM if name != "cim_accuracy"}
    assert f"{own.rows}x{own.rows} cell=1 ADC={own.adc_bits}" in found["final"]["network"]
    assert found["final"]["cim_test_accuracy"] == cim.accuracy(
        chosen, own, settings(unbuilt), few().final, test)


def test_what_the_store_holds_is_what_the_trained_networks_cost(unbuilt):
    assert unbuilt.search(*options()) == 0
    asked, data = settings(unbuilt), few()
    with Store(unbuilt.path / "run" / FILE) as store:
        rows = [row for row in store.evaluations() if row.accuracy is not None]
        assert len(rows) == 12
        for row in rows[::4]:
            array = asked.array(json.loads(row.genome)["array"])
            graph = simplify(store.graph(row))
            wanted = cim.columns(graph, array, asked, data.train, data.validation)
            assert {name: row.estimate[name] for name in CIM} == wanted


def test_the_commands_find_the_array_of_the_search(unbuilt, capsys):
    assert unbuilt.search(*options()) == 0
    run = ["--run", str(unbuilt.path / "run"), "--json"]
    own = Array(**tomllib.loads((unbuilt.path / "run" / "cim" / "array.toml").read_text()))
    capsys.readouterr()

    def shown(*argv):
        assert main([*argv, *run]) == 0
        return json.loads(capsys.readouterr().out)

    assert load_plan(shown("map")["files"]["plan"]).array == own
    assert Array(**shown("sim", "--level", "crossbar", "--count", "5")["array"]) == own
    assert Array(**shown("report", "--targets")["array"]) == own
    assert load_plan(shown("map", "--set", "mux=4")["files"]["plan"]).array.mux == 4


@pytest.mark.parametrize("after", [1, 4])
def test_killed_while_training_it_resumes_to_the_same_front(unbuilt, monkeypatch, after):
    assert unbuilt.search(*options(), run="whole") == 0
    real, calls = workers.train, []

    def dies(*args, **kwargs):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(workers, "train", dies)
    assert unbuilt.search(*options()) == 130
    monkeypatch.setattr(workers, "train", real)
    assert unbuilt.search("--resume", experiment=False) == 0
    assert outcome(unbuilt.path / "run") == outcome(unbuilt.path / "whole")


def test_features_of_another_version_leave_what_chips_came_to(unbuilt):
    assert unbuilt.search(*options()) == 0
    whole = outcome(unbuilt.path / "run")
    db = sqlite3.connect(unbuilt.path / "run" / FILE)
    with db:
        db.execute("UPDATE evaluation SET features = NULL")
    db.close()
    assert unbuilt.search("--resume", experiment=False) == 0
    assert outcome(unbuilt.path / "run") == whole


def test_what_was_asked_of_chips_may_not_change(unbuilt, capsys):
    assert unbuilt.search(*options()) == 0
    for change, words in (("cim.sizes=[64]", "cim.sizes = (32, 64), not (64,)"),
                          ("search.routed=2", "search.routed = 0, not 2"),
                          ("cim.variation=0.2", "cim.variation = 0.1, not 0.2")):
        assert unbuilt.search("--resume", "--set", change, experiment=False) == 2
        assert f"was begun with {words}" in capsys.readouterr().err
    plain = ["--set", "space.encoders=['rate']"]
    assert unbuilt.search("--fresh", *plain, "--set", "search.generations=1", "--set",
                          "search.routed=0") == 2
    assert unbuilt.search("--resume", "--set", "cim.draws=1", experiment=False) == 2
    assert "was begun with cim.sizes = not set, not (64,)" in capsys.readouterr().err


def test_another_candidate_can_be_chosen_afterwards(unbuilt, capsys):
    assert unbuilt.search(*options()) == 0
    first = outcome(unbuilt.path / "run")
    other = next(name for name in first["front"] if name != first["chosen"])
    assert unbuilt.search("--resume", "--choose", other[:8], experiment=False) == 0
    assert outcome(unbuilt.path / "run")["chosen"] == other
    assert unbuilt.search("--resume", "--choose", "0123", experiment=False) == 2
    assert "search.choose must be a column" in capsys.readouterr().err


def test_constraints_that_nothing_keeps(unbuilt, capsys):
    tight = {"search.constraints": "{ cim_accuracy = 0.999 }"}
    assert unbuilt.search(*options(**tight)) == 2
    assert "none of 12 candidates keeps the constraints (CIM accuracy 0." in capsys.readouterr().err
    none = {"search.constraints": "{ cim_mm2 = 0.001 }"}
    assert unbuilt.search("--fresh", *options(**none)) == 2
    assert "no network of the space meets the bounds" in capsys.readouterr().err


def test_chips_beside_an_fpga(world, capsys):
    both = {"search.objectives": '["accuracy", "lc", "cim_uj"]', "search.routed": "2",
            "search.repeats": "2", "cim.adc_bits": "[4]"}
    assert world.search(*options(**both)) == 0
    text, found = capsys.readouterr().out, outcome(world.path / "run")
    assert "front_basis" not in found and found["counts"]["routed"] == 2
    for item in found["routed"]:
        assert item["measured"]["lc"] == pytest.approx(BIAS * item["structural"]["lc"], abs=1)
        for name in set(CIM) - {"cim_accuracy"}:
            assert item["measured"][name] == item["structural"][name] > 0
        with Store(world.path / "run" / FILE) as store:
            drawn = [row.estimate["cim_accuracy"] for row in store.evaluations()
                     if row.id == item["id"] and row.accuracy is not None]
        assert len(drawn) == 2 and item["measured"]["cim_accuracy"] == sum(drawn) / 2
    assert 0 <= found["final"]["cim_test_accuracy"] <= 1
    assert "Measured on iCEBreaker" in text and "are estimates: mode physical" in text


def test_without_crossbars_nothing_of_them_is_there(world):
    assert world.search("--set", "search.generations=1") == 0
    folder = world.path / "run"
    assert "cim" not in tomllib.loads((folder / "experiment.toml").read_text())
    text = (folder / "search.json").read_text()
    assert "cim_" not in text and "front_basis" not in text and not (folder / "cim").exists()
    db = sqlite3.connect(folder / FILE)
    assert not [row for row in db.execute("SELECT genome, estimate FROM evaluation")
                if "array" in row[0] or "cim" in row[1]]
    db.close()


def test_without_crossbars_nothing_is_mapped_priced_or_simulated():
    script = """
import sys, numpy
from spikeloom.flow import config
from spikeloom.nas import datasets, outcome, workers
from spikeloom.nas.commands import search
from spikeloom.nas.task import Task
from spikeloom.nas.train import TrainSettings
task = Task(config.load_experiment(None, ("space.layers=[1]", "space.max_width=8")))
genome = task.space.genome(task.space.sample(numpy.random.default_rng(0)))
task.excess(genome)
some = datasets.Split(task.data.train.inputs[:8], task.data.train.labels[:8])
(found,) = workers.evaluate_batch([task.space.graph(genome)], some, some, TrainSettings(epochs=1),
                                  [1], [0.0], task.board.name)
assert "lc" in found.columns and not [name for name in found.columns if name.startswith("cim")]
print([name for name in sys.modules if name.startswith((
    "spikeloom.flow.cim.mapper", "spikeloom.flow.cim.plan", "spikeloom.flow.cim.cost",
    "spikeloom.sim.crossbar", "spikeloom.nas.cim", "spikeloom.nas.priced"))])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
