"""Studies of networks of cells: what is varied, what is kept, and what they end in."""

import csv
import json

import msgspec
import pytest
import tiny_cells

from spikeloom.flow import cli, config
from spikeloom.flow.run import Run
from spikeloom.nas import ranking
from spikeloom.nas.cells import trials
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.space import genome_of
from spikeloom.nas.ranking import Network
from spikeloom.nas.space import identity
from spikeloom.nas.store import FILE, Evaluation, Store

TINY = ("--channels", "2", "--hidden", "4", "--voters", "1", "--num-steps", "1", "--jobs", "1")
SHORT = ("--epochs", "1", "--train-images", "16")


@pytest.fixture(autouse=True)
def maps(monkeypatch):
    tiny_cells.install(monkeypatch)


@pytest.fixture
def study(tmp_path, capsys):
    """Run a study in a run directory; its JSON."""
    def run(name, *argv, sizes=TINY):
        assert cli.main(["study", name, "--run", str(tmp_path / "run"), "--json", *sizes,
                         *argv]) == 0
        return json.loads(capsys.readouterr().out)
    return run


def never(*args, **settings):
    raise AssertionError("it is known already")


def operations(study, *argv):
    return study("operations", "--data", "maps", "--score", "depth", "--evaluations", "8",
                 "--seeds", "2", *argv)


def test_each_operation_is_left_out_in_turn(study, tmp_path):
    found = operations(study, "--replace")
    sets = {row["set"]: row for row in found["sets"]}
    assert list(sets) == ["all", *(f"without {name}" for name in (
        "zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3")),
        "conv5x5 for conv3x3", "conv7x7 for conv3x3"]
    assert found["measured"] == 8 * 2
    for number, name in enumerate(("zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3")):
        for cells in found["best"]["maps"][f"without {name}"]:
            used = {edge.operation for text in cells for edge in parse(text).live}
            assert name not in used, number
    assert any("5" in text for cells in found["best"]["maps"]["conv5x5 for conv3x3"]
               for text in cells)
    for name, row in sets.items():
        assert (row["change"] is None) == (name == "all")
        assert row["evaluations"] == 8 and row["weights"] > 0
        if name != "all":
            assert row["change"] == pytest.approx(row["score"] - sets["all"]["score"])
    (row,) = found["agreement"]
    assert (row["between"], row["and"], row["operations"]) == ("maps", "SpikeNAS (published)", 5)
    assert -1 <= row["low"] <= row["tau"] <= row["high"] <= 1
    assert found["order"]["maps, by score"].count(">") == 4
    folder = tmp_path / "run/study/operations"
    assert {path.name for path in folder.iterdir()} == {
        "points.json", "operations.svg", "operations.pdf", "operations.png", *(
            f"{name}.{kind}" for name in ("operations", "agreement", "published")
            for kind in ("csv", "tex"))}
    rows = list(csv.DictReader((folder / "operations.csv").read_text().splitlines()))
    assert [row["set"] for row in rows] == list(sets)
    assert r"\begin{tabular}" in (folder / "operations.tex").read_text()
    assert "paper" in {row["published by"] for row in found["published"]}


def test_data_sets_are_compared_and_only_what_is_new_is_measured(study, monkeypatch):
    first = operations(study)
    found = operations(study, "--data", "maps,digits", "--seeds", "1", "--channels", "2")
    assert first["measured"] == 6 * 2 and found["measured"] == 6
    assert [(row["between"], row["and"]) for row in found["agreement"]] == [
        ("maps", "digits"), ("maps", "SpikeNAS (published)"), ("digits", "SpikeNAS (published)")]
    assert all(row["low"] is None for row in found["agreement"]), "of one seed"
    # depth sees no images
    assert found["agreement"][0]["tau"] == pytest.approx(1)
    monkeypatch.setattr(trials, "searched", never)
    assert operations(study)["sets"] == first["sets"]


def test_a_study_of_operations_goes_on_where_it_was_cut_short(study, tmp_path, monkeypatch,
                                                              capsys):
    real, calls = trials.searched, []

    def searched(key):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(key)
        return real(key)

    monkeypatch.setattr(trials, "searched", searched)
    assert cli.main(["study", "operations", "--run", str(tmp_path / "run"), "--data", "maps",
                     "--score", "depth", "--evaluations", "8", "--seeds", "2", *TINY]) == 130
    assert "finished points are in" in capsys.readouterr().err
    monkeypatch.setattr(trials, "searched", real)
    assert operations(study)["measured"] == 12 - 3


def test_the_best_are_trained_where_that_is_asked_for(study, monkeypatch):
    monkeypatch.setattr(trials, "trained", lambda key: {
        "accuracy": sum(text.count("3") for text in key["cells"]) / 100, "spikes": 1.0})
    found = operations(study, "--train", "--score", "weights", *SHORT)
    rows = {row["set"]: row for row in found["sets"]}
    assert rows["without conv3x3"]["accuracy"] == 0.0
    assert rows["without conv3x3"]["accuracy change"] == -rows["all"]["accuracy"] < 0
    assert [row["by"] for row in found["agreement"]] == ["score", "accuracy"]
    assert found["order"]["maps, by accuracy"].startswith("conv3x3")


def test_cell_by_cell_over_the_operations_of_each_set(study):
    found = operations(study, "--operations", "zeroize,skip,conv3x3", "--strategy", "spikenas")
    rows = {row["set"]: row for row in found["sets"]}
    assert rows["without zeroize"]["evaluations"] > 2 * 35, "it ends by itself"
    assert "without skip" in rows and rows["without conv3x3"]["weights"] < rows["all"]["weights"]


def test_limits_of_weights_are_kept_or_said_to_be_too_narrow(study):
    low, high = trials.bounds(Macro(channels=2, image_size=8), ("skip", "conv3x3"))
    assert (low, high) == (2 * 27 + 72, 126 + 6 * (36 + 144))
    found = study("budget", "--data", "maps", "--score", "weights", "--evaluations", "8",
                  "--seeds", "2", "--operations", "skip,conv3x3", "--limits", "500,100",
                  "--strategies", "random,spikenas")
    assert found["limits"] == [100.0, 500.0]
    rows = {(row["strategy"], row["limit"]): row for row in found["searches"]}
    assert len(rows) == 6
    for name in ("random", "spikenas"):
        free, none, some = rows[name, None], rows[name, 100.0], rows[name, 500.0]
        assert free["limit met"] is None and free["refused"] == 0
        assert some["limit met"] and some["most weights"] <= 500 and some["refused"] > 0
        assert some["score"] == some["weights"] <= free["score"]
        assert none["score"] is None and not none["limit met"] and none["evaluations"] == 0
    assert rows["spikenas", None]["weights"] == high
    assert len(found["best"]) == 12


def test_limits_fit_the_macro_network(study, monkeypatch):
    monkeypatch.setattr(trials, "trained", lambda key: {"accuracy": 0.5, "spikes": 1.0})
    found = study("budget", "--data", "maps", "--score", "depth", "--evaluations", "8", "--seeds",
                  "1", "--strategies", "random", "--train", *SHORT)
    low, high = trials.bounds(Macro(channels=2, image_size=8), ("skip", "conv3x3"))
    assert len(found["limits"]) == 3 and all(low < limit < high for limit in found["limits"])
    assert {row["accuracy"] for row in found["searches"]} == {0.5}


def test_bits_after_training_and_in_the_loop(study, tmp_path, monkeypatch):
    argv = ("--data", "maps", "--cells", "3|11|131", "--seeds", "1", "--networks", "4",
            "--rank-channels", "4", *SHORT)
    monkeypatch.setattr(trials, "BATCH", {"batch_size": 8, "batches": 1})
    found = study("precision", "--bits", "16,4", *argv)
    # float, two roundings and two trainings of each format; scores in float, and rounded
    assert found["measured"] == 1 + 2 * 2 + 2 * 2 + 1 + 2 * 2
    assert [(row["weights"], row["format"], row["bits"]) for row in found["accuracy"]] == [
        ("float", "float", None), *((what, form, bits)
                                    for what in ("rounded after training", "quantiser in the loop")
                                    for form in ("power of two", "fixed Q1.(n-1)")
                                    for bits in (4, 16))]
    assert all(0 <= row["accuracy"] <= 1 for row in found["accuracy"])
    zeros = {(row["format"], row["bits"]): row["weights at 0"] for row in found["ranks"]}
    assert zeros["fixed Q1.(n-1)", 4] > zeros["power of two", 4] > zeros["power of two", 16]
    assert len(list((tmp_path / "run/study/precision/float").iterdir())) == 1
    monkeypatch.setattr(trials, "trained", never)
    again = study("precision", "--bits", "4,16", *argv)
    assert again["measured"] == 0 and again["accuracy"] == found["accuracy"]
    only = study("precision", "--bits", "4", "--formats", "fixed", *argv[:-6], "--networks", "0",
                 *SHORT)
    assert only["measured"] == 0 and "ranks" not in only and len(only["accuracy"]) == 3


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """A file of networks whose accuracy is how many weights they have."""
    macro = Macro(channels=2, image_size=8, num_steps=1, hidden=4, voters=1, dropout=0.0)
    monkeypatch.setattr(ranking, "MACRO", macro)
    monkeypatch.setattr(ranking, "SUBSET", "maps")
    cells = [str(cell) for cell in ranking.cells("full")[:12]]
    path = tmp_path / "scores.json"
    ranking.save([Network("full" if number < 6 else "others", text, 0,
                          macro.weights([parse(text)]) / 1e4, 1.0, (0.1, 0.2), 1.0)
                  for number, text in enumerate(cells)], path)
    return path


def test_scores_are_ranked_against_accuracy(study, networks):
    sizes = ("--jobs", "1", "--batch-size", "8", "--scores", "weights,sahd,depth")
    found = study("scores", "--networks", str(networks), sizes=sizes)
    assert found["measured"] == 1 + 2 + 1, "a closed form has no seeds"
    rows = {(row["score"], row["networks of"]): row for row in found["scores"]}
    for group in ("5 operations", "others"):
        row = rows["weights", group]
        assert (row["tau"], row["high"], row["networks"]) == pytest.approx((1, 1, 6))
        assert row["sd over seeds"] is None
        assert -1 <= rows["depth", group]["low"] <= rows["depth", group]["tau"]
    assert study("scores", "--networks", str(networks), sizes=sizes)["measured"] == 0


def test_the_networks_of_a_search_that_trained_are_ranked_too(study, tmp_path):
    task = tiny_cells.task('search.objectives = ["accuracy", "weights"]\n',
                           'search.choose = "accuracy"')
    run = Run.create(tmp_path / "run")
    run.experiment.write_text(config.to_toml(task.experiment))
    with Store(run.path / FILE) as store:
        for cell in ranking.cells("full")[:6]:
            genome = genome_of([cell])
            for seed in (0, 1):
                row = Evaluation(genome=genome, seed=seed, settings="x", id=identity(genome),
                                 generation=1, position=0,
                                 accuracy=task.macro.weights([cell]) / 1e5 + seed / 1e3, epochs=1,
                                 stopped=None, seconds=0.1, estimate={}, features=None)
                store.add([(row, None)])
    sizes = ("--jobs", "1", "--scores", "weights")
    found = study("scores", "--networks", "run", sizes=sizes)
    (row,) = found["scores"]
    assert (row["networks of"], row["networks"]) == ("run", 6)
    assert row["tau"] == pytest.approx(1)


@pytest.mark.parametrize("argv,words", [
    (["operations", "--operations", "skip"], "--operations must be 2 or more"),
    (["operations", "--operations", "skip,conv3"], "did you mean 'conv3x3'"),
    (["operations", "--operations", "skip,skip"], "--operations must be different operations"),
    (["operations", "--operations", "skip,conv1x1", "--replace"], "must have conv3x3"),
    (["operations", "--strategy", "randon"], "did you mean 'random'"),
    (["operations", "--evaluations", "0"], "--evaluations must be in 1..1,000,000"),
    (["operations", "--seeds", "0"], "--seeds must be in 1..100"),
    (["operations", "--jobs", "0"], "--workers must be at least 1"),
    (["operations", "--data", "maps,map"], "did you mean 'maps'"),
    (["operations", "--score", "sadh"], "did you mean 'sahd'"),
    (["operations", "--set", "batch=3"], "unknown setting 'batch'"),
    (["operations", "--image-size", "3"], "image_size must be in 4..1024"),
    (["budget", "--limits", "1e4,ten"], "--limits must be different numbers"),
    (["budget", "--limits", "0"], "--limits must be different numbers"),
    (["budget", "--data", "temporal"], "not the events of 'temporal'"),
    (["precision", "--bits", "3"], "--bits must be different numbers in 4..16"),
    (["precision", "--formats", "float"], "--formats must be different ones"),
    (["precision", "--networks", "2"], "--networks must be 0 or in 3.."),
    (["precision", "--cells", "3|1"], "cell"), (["precision", "--epochs", "0"], "study.epochs"),
    (["precision", "--rank-image-size", "5"], "--rank-image-size"),
])
def test_bad_options(argv, words, tmp_path, capsys):
    study, *rest = argv
    data = [] if "--data" in rest else ["--data", "maps"]
    assert cli.main(["study", study, "--run", str(tmp_path / "run"), *data, *rest]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run" / "study").exists()


@pytest.mark.parametrize("networks,words", [
    ("nothing.json", "holds no trained networks"), ("run", "is not a run directory")])
def test_networks_that_are_not_there(networks, words, tmp_path, capsys):
    assert cli.main(["study", "scores", "--run", str(tmp_path / "none"), "--networks",
                     networks]) == 2
    assert words in capsys.readouterr().err


def test_a_search_and_a_training_follow_from_their_keys_alone(monkeypatch):
    args = cli_args("operations", "--data", "maps", "--score", "depth", *TINY, *SHORT)
    bed = trials.trials(args, "maps")
    key = json.loads(json.dumps(bed.search("random", ("skip", "conv3x3"), 8, 1)))
    assert {k: v for k, v in trials.searched(key).items() if k != "seconds"} == {
        k: v for k, v in trials.searched(key).items() if k != "seconds"}
    other = bed.search("random", ("skip", "conv3x3"), 8, 1, limit=500.0)
    assert other != key and trials.searched(other)["weights"] <= 500
    training = json.loads(json.dumps(bed.train(["3|11|131"], 0)))
    first = trials.trained(training)
    assert trials.trained(training) == first and 0 <= first["accuracy"] <= 1
    assert msgspec.convert(training["macro"], Macro) == bed.macro and bed.macro.dropout == 0


def cli_args(name, *argv):
    """The arguments of a study as its command has them."""
    import argparse

    from spikeloom.nas import studies

    parser = argparse.ArgumentParser()
    studies.load(name).configure(parser)
    return parser.parse_args(argv)
