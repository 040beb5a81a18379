"""`spikeloom search`: what it promises about repeating, resuming, refusing and reporting."""

import json
import re
import sqlite3

import numpy as np
import pytest
import tiny_search
from tiny_search import BIAS, cells, fake_build, few, outcome

from spikeloom.flow import config, ir
from spikeloom.nas import datasets, pareto, routing, workers
from spikeloom.nas.store import FILE, Store
from spikeloom.nas.train import zeros
from spikeloom.sim import reference


def saved(world, run="run") -> dict:
    return json.loads((world.path / run / "search.json").read_text())


def point(item) -> tuple[float, float]:
    return -item["measured"]["accuracy"], item["measured"]["lc"]


def test_a_search_leaves_a_whole_run_behind(world, capsys):
    assert world.search("--json") == 0
    printed = json.loads(capsys.readouterr().out)
    folder, found = world.path / "run", saved(world)
    assert printed == {"run": str(folder), **found} and found["format"] == 2
    counts = found["counts"]
    assert counts["candidates"] == 12 and counts["trainings"] == 24
    assert counts["routed"] == counts["built"] == len(found["routed"]) == 4
    chosen = ir.load_graph(folder / "graph.safetensors")
    assert chosen.stage == "integer"
    place = folder / "candidates" / found["chosen"]
    assert ir.load_graph(place / "final" / "graph.safetensors").digest() == chosen.digest()
    best = max(found["routed"], key=lambda item: (item["accuracy"], -item["measured"]["lc"]))
    assert found["chosen"] == found["final"]["id"] == best["id"]
    # The accuracy stated is what the reference model computes on the very file and test images.
    test = few().test
    classes = reference.run(chosen, test.inputs).classes
    assert found["final"]["test_accuracy"] == (classes == test.labels).mean()
    assert found["final"]["measured"]["lc"] == cells(chosen)
    # A measured candidate is the network of its first training, cells and accuracy of one piece.
    with Store(folder / FILE) as store:
        rows = store.evaluations()
        assert len({(row.genome, row.settings) for row in rows}) == 12 + 1 and len(rows) == 24 + 1
        assert [row.status for row in store.builds()] == ["routed"] * 4
        for item in found["routed"]:
            trained = [row for row in rows if row.genome == item["genome"] and
                       row.accuracy is not None]
            assert item["accuracy"] == np.mean([row.accuracy for row in trained])
            built = ir.load_graph(folder / "candidates" / item["id"] / "graph.safetensors")
            assert item["measured"]["lc"] == cells(built)
            (build,) = [row for row in store.builds() if row.genome == item["genome"]]
            assert (build.training, build.measurement.design) == (1, item["design"])
            assert build.measurement.lc == item["measured"]["lc"]
    assert config.load_experiment(folder / "experiment.toml").search.population == 4


def test_the_front_is_of_measured_candidates_and_says_what_was_predicted(world):
    assert world.search() == 0
    found = saved(world)
    points = np.array([point(item) for item in found["routed"]])
    assert set(found["front"]) == {found["routed"][i]["id"] for i in pareto.front(points)}
    first, *others = found["routed"]
    # the package does not know of the cells that this board adds; the search learns of them
    assert first["predicted"] == pytest.approx(first["first"])
    assert others
    for item in others:
        assert item["first"]["lc"] < item["predicted"]["lc"] < item["measured"]["lc"] * 1.05
    for item in found["routed"]:
        assert item["structural"]["lc"] * BIAS == pytest.approx(item["measured"]["lc"], abs=1)
        assert item["low"]["lc"] < item["predicted"]["lc"] < item["high"]["lc"]
    error = found["prediction_error"]
    assert set(error) == {"structural", "first", "predicted"}
    assert error["structural"]["mean"] == pytest.approx(1 / BIAS - 1, abs=0.01)
    assert 0 <= error["predicted"]["inside"] <= 1 and "inside" not in error["first"]
    tried = {item["id"] for item in found["routed"]}
    assert not tried & set(found["open"])
    assert found["reference"] == {"accuracy": 0.1, "lc": 5280}
    share = pareto.hypervolume(points, (-0.1, 5280)) / ((1 - 0.1) * 5280)
    assert found["marks"][-1]["hypervolume"] == pytest.approx(share)


def test_accuracy_decides_by_more_trainings_than_the_searches(world, capsys):
    assert world.search("--set", "search.confirm=2") == 0
    found, text = saved(world), capsys.readouterr().out
    several = found["final"]["confirmed"]
    assert set(several) == {item["id"] for item in found["routed"]}
    assert all(len(accuracies) == 4 for accuracies in several.values())  # the search trained two
    for item in found["routed"]:
        assert np.mean(several[item["id"]][:2]) == item["accuracy"]
    best = max(found["routed"], key=lambda item: (np.mean(several[item["id"]]),
                                                  -item["measured"]["lc"]))
    assert found["chosen"] == best["id"]
    assert "chosen by accuracy, the mean of 4 trainings of each" in text
    mean, sd = np.mean(several[best["id"]]), np.std(several[best["id"]], ddof=1)
    assert f"{mean:.2%} ({100 * sd:.1f})" in text
    with Store(world.path / "run" / FILE) as store:
        count = store.count()
    assert world.search("--resume", experiment=False) == 0  # and they are not trained again
    with Store(world.path / "run" / FILE) as store:
        assert store.count() == count
    assert saved(world)["chosen"] == best["id"]


def test_the_tables_mark_the_front_and_what_was_predicted(world, capsys):
    assert world.search() == 0
    text = capsys.readouterr().out
    found = saved(world)
    assert "* Pareto front, > chosen" in text and "predicted against measured" in text
    assert "test accuracy was computed once" in text
    assert all(item["id"][:8] in text for item in found["routed"])
    marked = [line.split()[:2] for line in text.splitlines() if line.strip()[:1] in ("*", ">")]
    assert {word for mark, word in marked if "*" in mark} == {name[:8] for name in found["front"]}
    assert {word for mark, word in marked if ">" in mark} == {found["chosen"][:8]}
    assert f"{found['final']['test_accuracy']:.2%}" in text
    for item in found["routed"]:  # nothing is cut off, however narrow the terminal
        error = item["predicted"]["lc"] / item["measured"]["lc"] - 1
        assert re.search(rf"{item['id'][:8]} .* {item['predicted']['lc']:,.0f} {error:+6.1%} .*"
                         rf"{item['low']['lc']:,.0f}..{item['high']['lc']:,.0f}", text)


def test_the_same_seed_gives_the_same_outcome_and_another_another(world):
    assert world.search(run="a") == world.search(run="b") == world.search("--seed", "2",
                                                                          run="c") == 0
    a, b, c = (outcome(world.path / name) for name in "abc")
    assert a == b
    assert a["estimated_front"] != c["estimated_front"]


@pytest.mark.parametrize("after", [0, 1, 5, 11])
def test_killed_while_training_it_resumes_to_the_same_outcome(world, monkeypatch, capsys, after):
    assert world.search(run="whole") == 0
    real, calls = workers.train, []

    def dies(*args, **kwargs):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(workers, "train", dies)
    assert world.search() == 130
    text = capsys.readouterr().err
    with Store(world.path / "run" / FILE) as store:
        count = store.count()
    assert f"{count} trainings saved in {world.path / 'run' / FILE}; go on with: spikeloom " \
           f"search --run {world.path / 'run'} --resume" in text
    assert not (world.path / "run" / "search.json").exists()

    monkeypatch.setattr(workers, "train", real)
    assert world.search("--resume", experiment=False) == 0
    assert outcome(world.path / "run") == outcome(world.path / "whole")
    counts = saved(world)["counts"]
    assert counts["trainings"] + counts["restored"] == 24 and counts["restored"] == min(count, 24)


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_killed_between_builds_it_resumes_to_the_same_outcome(world, monkeypatch, after):
    """Of a round of two (`after` 1), while the front is closed (2, 3), or before any."""
    assert world.search(run="whole") == 0
    real, calls = Store.add_build, []

    def dies(store, row):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(row.genome)
        real(store, row)

    monkeypatch.setattr(Store, "add_build", dies)
    assert world.search() == 130
    with Store(world.path / "run" / FILE) as store:
        assert [row.genome for row in store.builds()] == calls and len(calls) == after
    monkeypatch.setattr(Store, "add_build", lambda store, row: (calls.append(row.genome),
                                                                real(store, row)))
    assert world.search("--resume", experiment=False) == 0
    assert outcome(world.path / "run") == outcome(world.path / "whole")
    assert len(set(calls)) == len(calls) == 4, "no build is paid for twice"


def test_the_number_of_jobs_does_not_change_the_outcome(tmp_path, monkeypatch):
    world = tiny_search.tiny_world(tmp_path, monkeypatch, threaded=False)
    for jobs in ("1", "2"):
        assert world.search("--jobs", jobs, run=jobs) == 0
    assert outcome(world.path / "1") == outcome(world.path / "2")


def test_a_search_is_not_begun_over_another(world, capsys):
    assert world.search() == 0
    before = (world.path / "run" / FILE).read_bytes()
    assert world.search() == 2
    assert "holds a search already; go on with it (--resume)" in capsys.readouterr().err
    assert (world.path / "run" / FILE).read_bytes() == before
    assert world.search("--fresh", "--seed", "2") == 0
    assert (world.path / "run" / f"{FILE}.1").read_bytes() == before


def test_resuming_what_is_not_there(world, capsys):
    assert world.search("--resume", experiment=False) == 2
    assert "is not a run directory" in capsys.readouterr().err
    assert world.search("--resume", "--fresh") == 2
    assert "exclude each other" in capsys.readouterr().err


def test_a_finished_search_may_be_lengthened_but_not_changed(world, capsys):
    structure = ("--set", "search.cost_model='structure'")
    assert world.search(*structure) == 0
    first = saved(world)
    assert world.search("--resume", "--set", "search.population=5", experiment=False) == 2
    assert "was begun with search.population = 4, not 5" in capsys.readouterr().err
    assert world.search("--resume", "--set", "search.cost_model='predicted'", experiment=False) == 2
    assert "was begun with search.cost_model = structure" in capsys.readouterr().err
    assert world.search("--resume", "--set", "train.epochs=2", experiment=False) == 2
    assert "was begun with train.epochs = 1, not 2" in capsys.readouterr().err
    assert world.search("--resume", "--set", "search.generations=4", experiment=False) == 0
    longer = saved(world)
    assert longer["counts"]["restored"] == first["counts"]["trainings"] == 24
    assert longer["counts"]["trainings"] == 8 and longer["counts"]["candidates"] == 16
    assert [mark["expected"] for mark in longer["marks"][:3]] == [
        mark["expected"] for mark in first["marks"][:3]]


def test_lengthened_it_ends_as_if_it_had_been_as_long_from_the_start(world):
    longer = ("--set", "search.generations=5")
    assert world.search(*longer, run="whole") == world.search() == 0
    assert world.search("--resume", *longer, experiment=False) == 0
    assert outcome(world.path / "run") == outcome(world.path / "whole")


def test_a_search_of_the_first_version_is_resumed(world):
    assert world.search() == 0
    whole = outcome(world.path / "run")
    db = sqlite3.connect(world.path / "run" / FILE)
    db.executescript("DROP TABLE build; ALTER TABLE evaluation DROP COLUMN features; "
                     "CREATE TABLE synthesis (design TEXT); PRAGMA user_version = 1;")
    db.close()
    text = (world.path / "run" / "experiment.toml").read_text()
    kept = [line for line in text.splitlines()
            if not line.startswith(("cost_model", "reference", "pnr_seeds"))]
    (world.path / "run" / "experiment.toml").write_text("\n".join(kept))
    assert world.search("--resume", "--set", "search.pnr_seeds=1", experiment=False) == 0
    assert outcome(world.path / "run") == whole
    assert saved(world)["counts"]["trainings"] == 0


def test_more_builds_keep_what_was_trained(world, monkeypatch):
    monkeypatch.setattr(routing, "ROUND", 1)
    assert world.search("--set", "search.routed=6") == 0
    first = saved(world)
    assert world.search("--resume", "--set", "search.routed=8", experiment=False) == 0
    found = saved(world)
    assert found["counts"]["trainings"] == 0 and found["counts"]["restored"] == 24
    assert [item["id"] for item in found["routed"]][:2] == [
        item["id"] for item in first["routed"]][:2]
    assert found["counts"]["routed"] == 8


def test_another_candidate_can_be_chosen_afterwards(world, capsys):
    assert world.search() == 0
    first = outcome(world.path / "run")
    other = next(item for item in first["routed"] if item["id"] != first["chosen"])
    assert world.search("--resume", "--choose", other["id"][:8], experiment=False) == 0
    assert outcome(world.path / "run")["chosen"] == other["id"]
    assert world.search("--resume", "--choose", "0123", experiment=False) == 2
    assert "search.choose must be a column" in capsys.readouterr().err


@pytest.mark.parametrize("status", ["over-full", "unroutable", "failed", "timed-out"])
def test_what_cannot_be_routed_is_recorded_and_replaced_by_the_next(world, monkeypatch, status):
    assert world.search(run="whole") == 0
    whole = outcome(world.path / "whole")
    first = whole["routed"][0]["id"]
    monkeypatch.setattr(workers, "build", fake_build({first: status}))
    assert world.search() == 0
    found = outcome(world.path / "run")
    key = status.replace("-", "_")
    assert found["counts"]["built"] == 5 and found["counts"]["routed"] == 4
    assert {name: found["counts"][name] for name in ("over_full", "unroutable", "failed",
                                                     "timed_out")} == {
        name: int(name == key) for name in ("over_full", "unroutable", "failed", "timed_out")}
    item = found["routed"][0]
    assert (item["id"], item["status"]) == (first, status) and item["measured"] is None
    assert item["reason"] == f"{status}, as the test wants"
    assert first not in found["front"] and found["chosen"] != first
    with Store(world.path / "run" / FILE) as store:
        assert sorted(row.status for row in store.builds()) == sorted(["routed"] * 4 + [status])


def test_a_network_that_misses_the_clock_is_not_chosen(world, monkeypatch, capsys):
    assert world.search(run="whole") == 0
    best = outcome(world.path / "whole")["chosen"]
    capsys.readouterr()
    monkeypatch.setattr(workers, "build", fake_build(mhz={best: 9.0}))
    assert world.search() == 0
    assert " slow " in capsys.readouterr().out
    found = outcome(world.path / "run")
    assert found["chosen"] != best and best not in found["front"]
    assert best in {item["id"] for item in found["routed"] if not item["meets_clock"]}


def test_what_does_not_fit_in_the_end_gives_way_to_the_next_best(world, monkeypatch, capsys):
    assert world.search(run="whole") == 0
    whole = outcome(world.path / "whole")
    first, second, *_ = sorted(whole["routed"], key=lambda item: (
        -item["accuracy"], item["measured"]["lc"], item["id"]))
    assert whole["chosen"] == first["id"]
    monkeypatch.setattr(workers, "build", fake_build(final={first["id"]: "unroutable"}))
    assert world.search() == 0
    found = outcome(world.path / "run")
    assert found["chosen"] == found["final"]["id"] == second["id"]
    assert found["routed"] == whole["routed"] and found["front"] == whole["front"]
    monkeypatch.setattr(workers, "build", fake_build(
        final={item["id"]: "over-full" for item in whole["routed"]}))
    assert world.search("--resume", experiment=False) == 2
    assert f"after its final training: {first['id']}: over-full, as" in capsys.readouterr().err
    assert saved(world)["final"] is None and saved(world)["chosen"] is None


def test_the_final_network_keeps_the_fastest_of_its_seeds(world):
    assert world.search("--set", "search.pnr_seeds=3", "--set", "target.seed=4") == 0
    final = saved(world)["final"]
    assert final["seeds"] == {"4": 20.04, "5": 20.05, "6": 20.06}
    assert final["fmax_mhz"] == final["measured"]["fmax_mhz"] == 20.06


def test_constraints_hold_for_what_is_measured(world, capsys):
    assert world.search(run="whole") == 0
    sizes = sorted(item["measured"]["lc"] for item in outcome(world.path / "whole")["routed"])
    bound = int(sizes[1]) + 1
    code = world.search("--set", f"search.constraints={{ lc = {bound} }}")
    found = outcome(world.path / "run")
    kept = [item for item in found["routed"] if item["measured"]["lc"] <= bound]
    assert set(found["front"]) <= {item["id"] for item in kept}
    if code == 0:
        assert found["final"]["measured"]["lc"] <= bound
    else:
        assert f"bound {bound:,}" in capsys.readouterr().err


def test_a_search_over_events_delays_and_neurons(world, capsys):
    text = tiny_search.EXPERIMENT.replace('"few"', '"temporal"').replace("num_steps = [2]", """
num_steps = [48]
encoders = ["spikes"]
readouts = ["membrane", "spike_count"]
neurons = ["lif", "fixed", "homeostatic", "izhikevich"]
refractory = [0, 1]
delays = [0, 4, 8]
delay_seeds = [0, 1]
""").replace("population = 4", "population = 8")
    (world.path / "e.toml").write_text(text)
    assert world.search("--set", "search.generations=2") == 0
    folder = world.path / "run"
    found = outcome(folder)
    with Store(folder / FILE) as store:
        genomes = [json.loads(row[0]) for row in store.db.execute(
            "SELECT genome FROM evaluation")]
    assert len({item.get("neuron", "lif") for item in genomes}) > 2
    assert any("delay" in layer for item in genomes for layer in item["layers"])
    chosen = ir.load_graph(folder / "graph.safetensors")
    test = datasets.load("temporal").test
    classes = reference.run(chosen, test.inputs).classes
    assert found["final"]["test_accuracy"] == (classes == test.labels).mean()


def test_a_search_over_maps(world, capsys):
    options = {"space.network": "residual", "space.min_width": "4", "space.max_width": "6",
               "search.objectives": '["accuracy", "weight_memory"]', "search.generations": "2",
               "search.repeats": "1", "search.routed": "2"}
    words = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    assert world.search(*words) == 0
    found = saved(world)
    assert found["counts"]["routed"] == 2
    for item in found["routed"]:
        assert item["measured"]["lc"] == pytest.approx(BIAS * item["structural"]["lc"], abs=1)
        assert item["measured"]["weight_memory"] == item["structural"]["weight_memory"]
        assert item["network"].split()[1] == "residual"
    assert "weight bits" in capsys.readouterr().out
    chosen = ir.load_graph(world.path / "run" / "graph.safetensors")
    assert chosen.node("sum3").src == ("conv3", "pool1") and chosen.stage == "integer"


def test_a_search_over_shares_of_zeros(world, capsys):
    assert world.search("--set", "space.sparsities=[0.0, 0.9]", "--set", "space.min_width=12",
                        "--set", "search.objectives=['accuracy', 'zeros']") == 0
    table = capsys.readouterr().out
    found = outcome(world.path / "run")
    for item in found["routed"]:
        weights = [d.weight for d, _ in ir.load_graph(
            world.path / "run" / "candidates" / item["id"] / "graph.safetensors").layers]
        share = sum((w == 0).sum() for w in weights) / sum(w.size for w in weights)
        assert item["measured"]["zeros"] == item["structural"]["zeros"] == share
        # neurons that lost every weight are dropped after training, and their zeros with them
        assert (share >= 0.8) == ("zeros=0.9" in item["network"])
        assert f"{share:.0%}" in table
    sparsest = max(item["measured"]["zeros"] for item in found["routed"])
    assert sparsest >= 0.8, "zeros are an objective, so a sparse one is measured"
    with Store(world.path / "run" / FILE) as store:
        rows = [row for row in store.evaluations() if "sparsity" in row.genome]
        assert len(rows) > 4 and all(zeros(store.graph(row)) >= 0.89 for row in rows)


def test_nothing_fits(world, monkeypatch, capsys):
    def never(data, where, board, seed, out_dir, predicted_low=None):
        return workers.Built("failed", "no route", 1.0, None)

    monkeypatch.setattr(workers, "build", never)
    assert world.search() == 2
    text = capsys.readouterr().err
    found = outcome(world.path / "run")
    tried = found["counts"]["failed"]
    assert 4 < tried <= 12 and found["front"] == [] and found["final"] is None
    assert (f"none of {tried} candidates fits the board, meets its clock and keeps the constraints "
            "(no route)") in text
    assert found["marks"][-1]["hypervolume"] == 0.0
    assert not (world.path / "run" / "graph.safetensors").exists()


def test_a_damaged_store_is_one_line_and_stays(world, capsys):
    assert world.search() == 0
    path = world.path / "run" / FILE
    path.write_bytes(b"\0" * 5000)
    assert world.search("--resume", experiment=False) == 2
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert "is damaged (file is not a database); use another --run, or --fresh" in text
    assert path.read_bytes() == b"\0" * 5000
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(path).execute("SELECT * FROM evaluation")


def test_a_search_with_the_real_tools(world, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    small = ["--set", "space.layers=[1]", "--set", "space.weight_bits=[2]", "--set",
             "search.routed=1", "--set", "search.generations=1", "--set",
             "space.bitstream_lengths=[8]"]
    assert world.search("--json", *small) == 0
    found = json.loads(capsys.readouterr().out)
    (item,) = found["routed"]
    for place, measured in (("build/icebreaker", item["measured"]),
                            ("final/build/icebreaker-1", found["final"]["measured"])):
        folder = world.path / "run" / "candidates" / item["id"] / place
        report = json.loads((folder / "report.json").read_text())
        assert report["fits"] and measured["lc"] == report["lc"] > 100
        assert measured["fmax_mhz"] == report["fmax_mhz"]
        assert (folder / "top.bin").stat().st_size == report["bitstream_bytes"]
    assert item["status"] == "routed" and item["meets_clock"]
    assert item["measured"]["ebr"] == item["structural"]["ebr"]
    assert abs(found["prediction_error"]["structural"]["worst"]) < 0.15
    assert abs(found["prediction_error"]["predicted"]["worst"]) < 0.15
    with Store(world.path / "run" / FILE) as store:
        (row,) = store.builds()
        assert row.measurement.lc == item["measured"]["lc"]
        assert row.measurement.tools == report["tools"]
        assert {r.id for r in store.evaluations()} >= {item["id"]}
