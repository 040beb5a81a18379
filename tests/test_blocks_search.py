"""`spikeloom search` on blocks: the super-network once, strategies, resuming, and both endings."""

import json

import numpy as np
import pytest
import tiny_blocks
from tiny_blocks import GATEWARE
from tiny_search import outcome, threads

from spikeloom.flow.cli import main
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.nas import datasets, workers
from spikeloom.nas.blocks import final, oneshot
from spikeloom.nas.blocks.checkpoints import load_network, load_super
from spikeloom.nas.blocks.fitness import fitness
from spikeloom.nas.store import FILE, Store
from spikeloom.sim import reference

EXACT = (GATEWARE, "train.epochs=12", "train.learning_rate=0.06", "train.gain=1.0",
         "train.batch_size=16")


@pytest.fixture
def search(tmp_path, monkeypatch):
    """`search(*changes, run=...)` on the tiny experiment."""
    tiny_blocks.install(monkeypatch)
    monkeypatch.setattr(workers, "workers", threads)
    path = tiny_blocks.written(tmp_path)

    def run(*changes, run="run", args=(), experiment=True):
        sets = [word for change in changes for word in ("--set", change)]
        return main(["search", *([path] if experiment else []), "--run", str(tmp_path / run),
                     *args, *sets])

    run.path = tmp_path
    return run


@pytest.fixture
def quick(search, monkeypatch):
    """As `search`, but the chosen network is not trained."""
    from msgspec import defstruct

    monkeypatch.setattr(final, "finish", lambda task, folder, rows: (
        defstruct("Chosen", [("id", str)])(rows[0].id), None))
    monkeypatch.setattr(final, "keep", lambda task, chosen, made, opened: ["kept"])
    return search


def saved(search, run="run") -> dict:
    return json.loads((search.path / run / "search.json").read_text())


def test_a_search_trains_its_super_network_once_and_its_winner_from_scratch(search, capsys):
    assert search() == 0
    found, text = saved(search), capsys.readouterr()
    opened = Run.open(search.path / "run")
    assert text.err.count("super-network: epoch") == 2
    assert found["counts"]["candidates"] == found["counts"]["trainings"] <= 9
    assert found["space_size"] == 9 and found["network"] == "blocks"
    best = found["best"]["columns"]
    assert best["score"] == pytest.approx(fitness(
        best["accuracy"], best["spikes"], found["supernet"]["average_spikes"]))
    assert best["score"] == max(row["score"] for row in found["estimated_front"])
    result = found["final"]["result"]
    assert {"format": 1, **result} == json.loads((opened.path / "blocks.json").read_text())
    assert result["test"]["subset"] == "few, test" and result["test"]["images"] == 100
    assert "looked at once" in text.out and "Judged with the weights" in text.out
    network = load_network(opened.path)
    p8, labels = opened.samples()
    right = float((reference.run(opened.graph(), p8).classes == labels).mean())
    assert right == result["test"]["after"]
    assert network.macro.text(network.names) == result["blocks"]
    assert main(["show", "graph", "--run", str(opened.path)]) == 0


def test_a_table_of_a_search_answers_another_without_a_super_network(quick, capsys):
    assert quick("search.generations=9") == 0
    run, table = quick.path / "run", quick.path / "table.jsonl"
    assert main(["table", "export", str(table), str(run)]) == 0
    assert quick(run="again", args=("--table", str(table))) == 0
    assert not (quick.path / "again" / oneshot.FOLDER).exists()
    assert saved(quick, "again")["estimated_front"] == saved(quick)["estimated_front"]
    capsys.readouterr()
    assert quick("blocks.channels=4", run="other", args=("--table", str(table))) == 2
    assert "is of another problem, settings.macro.channels is 3 there and 4 here" in (
        capsys.readouterr().err)
    study = ["study", "compare", str(quick.path / "blocks.toml"), "--strategies", "autosnn,random",
             "--seeds", "2", "--evaluations", "4", "--run", str(quick.path / "study")]
    assert main(study) == 2
    assert "blocks.supernet must name the run of a search" in capsys.readouterr().err
    assert main([*study, "--set", f"blocks.supernet={run}"]) == 0


def test_what_candidates_have_is_what_the_super_network_says(quick):
    assert quick("blocks.calibrate=40") == 0
    task = tiny_blocks.task("blocks.calibrate=40")
    supernet, average = load_super(quick.path / "run" / oneshot.FOLDER, task.macro,
                                   task.blocks.offered)
    assert average == saved(quick)["supernet"]["average_spikes"]
    few = datasets.load("few")
    calibration = final.Split(few.train.inputs[:40], few.train.labels[:40])
    with Store(quick.path / "run" / FILE) as store:
        rows = store.evaluations()
    assert {tuple(sorted(row.estimate)) for row in rows} == {("accuracy", "spikes")}
    for row in rows:
        alone = supernet.evaluate(json.loads(row.genome)["blocks"], few.validation,
                                  calibration=calibration)
        assert row.accuracy == alone.accuracy
        assert row.estimate["spikes"] == pytest.approx(alone.spikes_per_image)


def test_killed_it_resumes_to_the_same_outcome(quick, monkeypatch):
    assert quick(run="whole") == 0
    real, calls = oneshot.evaluate, []

    def dies(*args):
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(oneshot, "evaluate", dies)
    assert quick() == 130
    with Store(quick.path / "run" / FILE) as store:
        count = store.count()
    assert 4 <= count <= 5
    monkeypatch.setattr(oneshot, "evaluate", real)
    assert quick(args=["--resume"], experiment=False) == 0
    assert saved(quick)["counts"]["restored"] == count
    assert outcome(quick.path / "run") == outcome(quick.path / "whole")


def test_killed_in_the_super_network_s_training_it_goes_on_there(quick, monkeypatch, capsys):
    from spikeloom.nas.commands.progress import View

    assert quick(run="whole") == 0
    capsys.readouterr()

    def dies(self, text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(View, "note", dies)
        assert quick() == 130
    text = capsys.readouterr().err
    assert "go on with: spikeloom search" in text and "--resume" in text
    assert quick(args=["--resume"], experiment=False) == 0
    text = capsys.readouterr().err
    assert "epoch 1 of 2" not in text and "epoch 2 of 2" in text
    assert outcome(quick.path / "run") == outcome(quick.path / "whole")


@pytest.mark.parametrize("strategy", ["random", "nsga2", "regularised_evolution", "autosnn"])
def test_every_strategy_keeps_the_limits(quick, strategy):
    weights = [tiny_blocks.task().free(genome)[0]["weights"]
               for genome in tiny_blocks.task().space.every()]
    bound = sorted(weights)[4]
    assert quick(f"search.strategy='{strategy}'", "search.options={}", "search.population=20",
                 f"search.constraints={{ weights = {bound} }}", "search.generations=1") == 0
    found = saved(quick)
    assert found["best"]["limits"]["weights"]["holds"]
    assert found["counts"]["candidates"] == found["counts"]["distinct"] == sum(
        value <= bound for value in weights)


def test_a_super_network_of_another_run_is_taken(quick, capsys):
    assert quick() == 0
    capsys.readouterr()
    taken = f"blocks.supernet='{quick.path / 'run'}'"
    assert quick(taken, "blocks.spike_lambda=-1.0", run="other") == 0
    assert "super-network: epoch" not in capsys.readouterr().err
    one, other = saved(quick), saved(quick, "other")
    assert one["supernet"]["average_spikes"] == other["supernet"]["average_spikes"]
    assert other["supernet"]["epochs"] == 0


@pytest.mark.parametrize("change, words", [
    ("blocks.channels=4", "is a super-network of another space, with macro.channels = 3, not 4"),
    ("blocks.offered=['skip', 'srb_k3']", "is a super-network of another space, of the blocks "
                                          "skip, scb_k3, srb_k3, not skip, srb_k3")])
def test_a_super_network_of_another_space_is_refused(quick, capsys, change, words):
    assert quick() == 0
    assert quick(f"blocks.supernet='{quick.path / 'run'}'", change, run="other") == 2
    assert words in capsys.readouterr().err


def test_a_super_network_that_is_not_there_is_named(quick, capsys):
    assert quick(f"blocks.supernet='{quick.path / 'none'}'") == 2
    assert "supernet/super-network.json" in capsys.readouterr().err


def test_begun_afresh_the_super_network_is_set_aside(quick, capsys):
    assert quick() == 0
    assert quick("blocks.channels=4") == 2, "holds a search already"
    assert quick("blocks.channels=4", args=["--fresh"]) == 0
    assert (quick.path / "run" / f"{oneshot.FOLDER}.1").is_dir()
    assert "the old folder is kept as" in capsys.readouterr().err


def test_a_resumed_search_may_have_another_training_of_its_winner(search, capsys):
    assert search(*EXACT, "train.epochs=1", "train.gain=30.0") == 2
    text = capsys.readouterr().err
    assert "[train] may be changed with --resume" in text
    assert search(*EXACT[1:], args=["--resume"], experiment=False) == 0
    assert saved(search)["counts"]["trainings"] == 0
    assert search("blocks.channels=4", args=["--resume"], experiment=False) == 2
    assert "was begun with blocks.channels = 3, not 4" in capsys.readouterr().err


def test_what_outgrows_a_bound_with_its_weights_gives_way(search, monkeypatch, capsys):
    """The first network that is trained is said to have more block memories than there are."""
    from spikeloom.nas.blocks.task import BlockTask

    real, trained = BlockTask.device_columns, []

    def grown(self, made):
        found = real(self, made)
        if made.stage == "shape":
            return found
        trained.append(made.digest())
        return {**found, "ebr": 31.0 if len(trained) < 2 else found["ebr"]}

    monkeypatch.setattr(BlockTask, "device_columns", grown)
    assert search(*EXACT) == 0
    found = saved(search)
    assert len(trained) == 2 and found["final"]["id"] == found["chosen"] != found["best"]["id"]
    assert found["final"]["result"]["device"]["ebr"] <= 30
    capsys.readouterr()
    monkeypatch.setattr(BlockTask, "device_columns", lambda self, made: (
        real(self, made) | ({"ebr": 31.0} if made.stage != "shape" else {})))
    assert search(*EXACT, run="none") == 2
    assert "no network keeps the bounds any more with the weights of its training: " in \
        capsys.readouterr().err


def test_with_gateware_the_run_holds_integers_that_can_be_built(search, capsys):
    assert search(*EXACT, "search.constraints={ lc = 5000 }") == 0
    found, opened = saved(search), Run.open(search.path / "run")
    graph = opened.graph()
    assert graph.stage == "integer" and compile_graph(graph).stage == "scheduled"
    limits = found["best"]["limits"]
    assert limits["lc"]["holds"] and limits["ebr"] == {
        "value": found["best"]["columns"]["ebr"], "bound": 30, "holds": True}
    p8, labels = opened.samples()
    result = found["final"]["result"]
    assert float((reference.run(graph, p8).classes == labels).mean()) == result["test"]["after"]
    assert result["spikes_per_image"] == pytest.approx(final.graph_spikes(graph, p8))
    assert result["trained_on"] == "few, train and validation (200 images)"
    few = datasets.load("few")
    assert np.array_equal(p8, few.test.inputs)
    assert "spikeloom synth --run" in capsys.readouterr().out
