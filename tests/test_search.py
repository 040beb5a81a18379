"""The search as a whole: what it promises about repeating, resuming, refusing and reporting."""

import json
import sqlite3
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from spikeloom.flow import config, ir, tools
from spikeloom.flow.cli import main
from spikeloom.flow.errors import ConfigError
from spikeloom.nas import datasets, evaluate, finalists, pareto, strategies, workers
from spikeloom.nas.datasets import Dataset, Split
from spikeloom.nas.evaluate import COLUMNS, Task
from spikeloom.nas.space import Space
from spikeloom.nas.store import FILE, Store
from spikeloom.nas.strategies import nsga2
from spikeloom.sim import reference

EXPERIMENT = """
[data]
name = "few"
[space]
layers = [1, 2]
max_width = 16
weight_bits = [2, 3]
bitstream_lengths = [8, 16]
num_steps = [2]
leak_shifts = [0, 2]
[search]
population = 4
generations = 3
routed = 2
final_epochs = 2
[train]
epochs = 1
batch = 2
"""


def few() -> Dataset:
    """A handful of real digits."""
    full = datasets.load("digits")
    splits = {name: getattr(full, name) for name in ("train", "validation", "test")}
    cut = {name: Split(split.inputs[:100].copy(), split.labels[:100].copy())
           for name, split in splits.items()}
    return Dataset(name="few", shape=full.shape, num_classes=10, **cut)


def fake_build(over_full=(), slow=()):
    """Instead of place and route: counts that follow from the network alone."""
    def build(data, where, board, seed, out_dir):
        from spikeloom.flow import ir

        graph = ir.from_bytes(data, where)
        lc = sum(int(abs(d.weight).sum()) for d, _ in graph.layers)
        name = where.rsplit("/", 1)[-1]
        fits = name not in over_full
        report = {"design": graph.digest(), "lc": lc, "lut4": lc, "ff": 1, "carry": 2, "ebr": 0,
                  "spram": 0, "dsp": 0, "fmax_mhz": 9.0 if name in slow else 20.0,
                  "meets_clock": name not in slow, "tools": {"fake": "1"}, "bound": not fits}
        return {"status": "routed" if fits else "over-full", "seconds": 1.0, "report": report,
                "reason": None if fits else "too large by half"}
    return build


@contextmanager
def threads(jobs):
    with ThreadPoolExecutor(jobs) as executor:
        yield executor


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A tiny experiment, training for real, builds faked; `search(...)` runs the command."""
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    monkeypatch.setattr(workers, "build", fake_build())
    monkeypatch.setattr(workers, "workers", threads)
    monkeypatch.setattr(tools, "prepare", lambda *_args: [])
    (tmp_path / "e.toml").write_text(EXPERIMENT)

    def search(*args, run="run", experiment=True):
        file = [str(tmp_path / "e.toml")] if experiment else []
        return main(["search", *file, "--run", str(tmp_path / run), *args])

    return SimpleNamespace(search=search, path=tmp_path)


def outcome(folder) -> dict:
    """search.json without what differs from one run to the next: times, and who was restored."""
    found = json.loads((folder / "search.json").read_text())
    del found["seconds"]
    for key in ("trainings", "restored"):
        del found["counts"][key]
    return found


def task(text: str = EXPERIMENT, *changes: str) -> Task:
    made = config.experiment_from(tomllib.loads(text), "e.toml")
    plain = msgspec.to_builtins(made)
    for change in changes:
        section, _, rest = change.partition(".")
        plain[section] |= tomllib.loads(rest)
    return Task(config.experiment_from(plain, "e.toml"), "e.toml")


def test_a_search_leaves_a_whole_run_behind(world, capsys):
    assert world.search("--json") == 0
    printed = json.loads(capsys.readouterr().out)
    folder = world.path / "run"
    saved = json.loads((folder / "search.json").read_text())
    assert printed == {"run": str(folder), **saved}
    assert saved["counts"]["candidates"] == 12 and saved["counts"]["trainings"] == 24
    assert saved["counts"]["routed"] == len(saved["finalists"]) == 2
    chosen = ir.load_graph(folder / "graph.safetensors")
    assert chosen.stage == "integer"
    same = ir.load_graph(folder / "candidates" / saved["chosen"] / "graph.safetensors")
    assert same.digest() == chosen.digest()
    best = max(saved["finalists"], key=lambda f: (f["accuracy"], -f["measured"]["lc"]))
    assert saved["chosen"] == best["id"]
    # The accuracy stated is what the reference model computes on the very file and test images.
    test = few().test
    classes = reference.run(chosen, test.inputs).classes
    assert best["test_accuracy"] == (classes == test.labels).mean()
    assert best["measured"]["lc"] == sum(int(abs(d.weight).sum()) for d, _ in chosen.layers)
    with Store(folder / FILE) as store:
        rows = store.evaluations()
        assert len({(row.genome, row.settings) for row in rows}) == 12 + 2 and len(rows) == 24 + 2
        assert {s.lc for s in store.syntheses()} == {f["measured"]["lc"]
                                                     for f in saved["finalists"]}
        for synthesis in store.syntheses():
            assert synthesis.estimate["lc"] > 0 and synthesis.tools == {"fake": "1"}
    assert config.load_experiment(folder / "experiment.toml").search.population == 4


def test_networks_without_an_estimate_are_searched_and_measured_all_the_same(world, capsys):
    """Maps: what they store and add up is known before they are built, and cells are not."""
    options = {"space.network": "residual", "space.min_width": "4", "space.max_width": "6",
               "search.objectives": '["accuracy", "weight_memory"]', "search.generations": "2",
               "search.repeats": "1"}
    words = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
    assert world.search(*words) == 0
    text = capsys.readouterr().out
    saved = json.loads((world.path / "run" / "search.json").read_text())
    assert saved["counts"]["routed"] == 2 and saved["prediction_error"] is None
    for item in saved["finalists"]:
        assert "lc" not in item["estimate"] and item["measured"]["lc"] > 0
        assert item["measured"]["weight_memory"] == item["estimate"]["weight_memory"]
        assert item["network"].split()[1] == "residual"
    assert "~LCs" in text and "predicted against measured" not in text
    chosen = ir.load_graph(world.path / "run" / "graph.safetensors")
    assert chosen.node("sum3").src == ("conv3", "pool1") and chosen.stage == "integer"


def test_the_table_marks_front_and_estimates(world, capsys):
    assert world.search() == 0
    text = capsys.readouterr().out
    saved = outcome(world.path / "run")
    assert "~LCs" in text and "* Pareto front" in text
    assert "test accuracy was computed once" in text
    assert all(item["id"][:8] in text for item in saved["finalists"])
    assert "predicted against measured LCs" in text
    # Both measured fronts and counts agree with a second opinion.
    points = [(-f["accuracy"], f["measured"]["lc"]) for f in saved["finalists"]]
    assert len(saved["front"]) == len(pareto.front(np.array(points)))


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
        saved = store.count()
    assert f"{saved} trainings saved in {world.path / 'run' / FILE}; go on with: spikeloom " \
           f"search --run {world.path / 'run'} --resume" in text
    assert not (world.path / "run" / "search.json").exists()

    monkeypatch.setattr(workers, "train", real)
    assert world.search("--resume", experiment=False) == 0
    assert outcome(world.path / "run") == outcome(world.path / "whole")
    counts = json.loads((world.path / "run" / "search.json").read_text())["counts"]
    assert counts["trainings"] + counts["restored"] == 24 and counts["restored"] == min(saved, 24)


def test_killed_while_building_it_resumes_to_the_same_outcome(world, monkeypatch):
    assert world.search(run="whole") == 0
    monkeypatch.setattr(workers, "build", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
    assert world.search() == 130
    monkeypatch.setattr(workers, "build", fake_build())
    assert world.search("--resume", experiment=False) == 0
    assert outcome(world.path / "run") == outcome(world.path / "whole")


def test_the_number_of_jobs_does_not_change_the_outcome(world, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    monkeypatch.setattr(workers, "build", fake_build())
    monkeypatch.setattr(tools, "prepare", lambda *_args: [])
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
    assert world.search() == 0
    first = json.loads((world.path / "run" / "search.json").read_text())
    assert world.search("--resume", "--set", "search.population=5", experiment=False) == 2
    assert "was begun with search.population = 4, not 5" in capsys.readouterr().err
    assert world.search("--resume", "--set", "train.epochs=2", experiment=False) == 2
    assert "was begun with train.epochs = 1, not 2" in capsys.readouterr().err
    assert world.search("--resume", "--set", "search.generations=4", experiment=False) == 0
    longer = json.loads((world.path / "run" / "search.json").read_text())
    assert longer["counts"]["restored"] == first["counts"]["trainings"] == 24
    assert longer["counts"]["trainings"] == 8 and longer["counts"]["candidates"] == 16
    assert longer["hypervolume"][0] <= longer["hypervolume"][-1]


def test_another_finalist_can_be_chosen_afterwards(world, capsys):
    assert world.search() == 0
    first = outcome(world.path / "run")
    other = next(f for f in first["finalists"] if f["id"] != first["chosen"])
    assert world.search("--resume", "--choose", other["id"][:8], experiment=False) == 0
    assert outcome(world.path / "run")["chosen"] == other["id"]
    assert world.search("--resume", "--choose", "0123", experiment=False) == 2
    assert "search.choose must be a column" in capsys.readouterr().err


def test_what_does_not_fit_is_recorded_and_replaced_by_the_next(world, monkeypatch):
    assert world.search(run="whole") == 0
    whole = outcome(world.path / "whole")
    first = whole["finalists"][0]["id"]
    monkeypatch.setattr(workers, "build", fake_build(over_full=[first]))
    assert world.search() == 0
    found = outcome(world.path / "run")
    assert found["counts"] == whole["counts"] | {"built": 3, "routed": 2, "over_full": 1}
    assert found["finalists"][0]["reason"] == "too large by half"
    assert found["finalists"][0]["measured"] is None
    assert first not in found["front"] and found["chosen"] != first
    with Store(world.path / "run" / FILE) as store:
        assert sorted(s.status for s in store.syntheses()) == ["over-full", "routed", "routed"]
        # a bound is no measurement
        assert all((s.lc is None) == (s.status == "over-full") for s in store.syntheses())


def test_a_network_that_misses_the_clock_is_not_chosen(world, monkeypatch):
    assert world.search(run="whole") == 0
    best = outcome(world.path / "whole")["chosen"]
    monkeypatch.setattr(workers, "build", fake_build(slow=[best]))
    assert world.search() == 0
    assert outcome(world.path / "run")["chosen"] != best


def test_a_search_over_events_delays_and_neurons(world, capsys):
    text = EXPERIMENT.replace('"few"', '"temporal"').replace("num_steps = [2]", """
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
    best = next(f for f in found["finalists"] if f["id"] == found["chosen"])
    test = datasets.load("temporal").test
    classes = reference.run(chosen, test.inputs).classes
    assert best["test_accuracy"] == (classes == test.labels).mean()


def test_a_search_over_shares_of_zeros(world, capsys):
    assert world.search("--set", "space.sparsities=[0.0, 0.9]", "--set", "space.min_width=12",
                        "--set", "search.objectives=['accuracy', 'zeros']") == 0
    table = capsys.readouterr().out
    found = outcome(world.path / "run")
    shares = {item["id"]: item["estimate"]["zeros"] for item in found["finalists"]}
    for item in found["finalists"]:
        weights = [d.weight for d, _ in ir.load_graph(
            world.path / "run" / "candidates" / item["id"] / "graph.safetensors").layers]
        share = sum((w == 0).sum() for w in weights) / sum(w.size for w in weights)
        assert item["measured"]["zeros"] == shares[item["id"]] == share
        # neurons that lost every weight are dropped after training, and their zeros with them
        assert (share >= 0.8) == ("zeros=0.9" in item["network"])
        assert f"{share:.0%}" in table
    assert max(shares.values()) >= 0.8, "zeros are an objective, so the sparsest is a finalist"
    with Store(world.path / "run" / FILE) as store:
        rows = [row for row in store.evaluations() if "sparsity" in row.genome]
    assert len(rows) > 4 and all(row.estimate["zeros"] >= 0.89 for row in rows)


def test_bounds_take_zeros_for_granted_before_training(world):
    found = task(EXPERIMENT, "space.sparsities=[0.0, 0.9]", "space.weight_bits=[4]")
    vector = dict.fromkeys((*found.space.bounds, *found.space.choices), 0)
    vector |= {"layers": 1, "width0": 16}
    dense, sparse = (evaluate.price(found.space.graph(genome), found.board,
                                    found.sparsity(genome))
                     for genome in (found.space.genome(vector | {"sparsity": n}) for n in (0, 1)))
    assert sparse["lc"] < 0.8 * dense["lc"] and "zeros" not in sparse


def test_nothing_fits(world, monkeypatch, capsys):
    def never(data, where, board, seed, out_dir):
        return {"status": "failed", "reason": "no route", "seconds": 1.0, "report": None}

    monkeypatch.setattr(workers, "build", never)
    assert world.search() == 2
    text = capsys.readouterr().err
    assert "none of 6 finalists fits the board and meets its clock (no route)" in text
    found = outcome(world.path / "run")
    assert found["counts"]["failed"] == 6 and found["front"] == []
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


def test_training_and_choosing_never_see_the_test_split(world, monkeypatch, tmp_path):
    class Sealed(Dataset):
        @property
        def test(self):
            raise AssertionError("the test split was read")

    made = few()
    sealed = object.__new__(Sealed)
    for name in ("name", "shape", "num_classes", "train", "validation"):
        object.__setattr__(sealed, name, getattr(made, name))
    found = task()
    found.data = sealed
    with Store(tmp_path / FILE) as store, threads(1) as executor:
        rows, evaluator = evaluate.search(found, store, executor)
        routing = finalists.Routing(found, store, executor, tmp_path)
        assert evaluator.fit is made.train and evaluator.check is made.validation
        assert len(routing.evaluator.fit) == len(made.train) + len(made.validation)
        assert routing.evaluator.check is None
        assert routing.order(rows)[0] in rows


@pytest.mark.parametrize("change, words", [
    ("search.objectives=['acuracy', 'lc']", "search.objectives: unknown column 'acuracy'; did you "
                                            "mean 'accuracy'?"),
    ("search.constraints={ lcs = 3 }", "search.constraints: unknown column 'lcs'; did you mean"),
    ("search.strategy='nsga'", "search.strategy: unknown strategy 'nsga'; did you mean 'nsga2'?"),
    ("target.board='icebraker'", "e.toml: target.board: unknown board 'icebraker'; did you mean "
                                 "'icebreaker'?"),
    ("data.name='digit'", "e.toml: data.name: unknown dataset 'digit'; did you mean 'digits'?"),
    ("search.choose='acuracy'", "search.choose must be a column or the id of a finalist: unknown "
                                "column 'acuracy'; did you mean 'accuracy'?"),
    ("data.name='temporal'", "e.toml: space.encoders must be of ['spikes'] for the inputs of "
                             "'temporal', not ['rate', 'stream']"),
    ("space.encoders=['spikes']", "space.encoders must be of ['rate', 'stream'] for the inputs of "
                                  "'few', not ['spikes']"),
    ("train.epoch=3", "train.epoch: unknown key 'epoch'; did you mean 'epochs'?"),
    ("train.epochs=0", "train.epochs must be in 1..100000, not 0"),
    ("train.sparsity=0.99", "e.toml: train.sparsity must be in 0..0.95, not 0.99"),
    ("train.epochs='many'", "train.epochs must be an integer, not 'many'"),
])
def test_what_only_the_search_knows_is_refused_by_name(world, change, words):
    with pytest.raises(ConfigError) as error:
        task(EXPERIMENT, change)
    assert words in str(error.value)


def test_shares_of_zeros_are_the_trainings_or_the_spaces(world):
    assert task(EXPERIMENT, "train.sparsity=0.5").sparsity("{}") == 0.5
    with pytest.raises(ConfigError, match="sparsity must be 0 where"):
        task(EXPERIMENT, "train.sparsity=0.5", "space.sparsities=[0.7]")


def test_bounds_hold_for_everything_that_is_trained(world, tmp_path):
    found = task(EXPERIMENT, "search.constraints={ latency_us = 12.0, lc = 1500 }",
                 "search.max_utilization=0.9", "space.max_width=200")
    assert found.bounds["lc"] == 1500
    assert task(EXPERIMENT, "search.max_utilization=0.5").bounds["lc"] == 2640
    with Store(tmp_path / FILE) as store, threads(1) as executor:
        rows, _ = evaluate.search(found, store, executor)
    for row in rows:
        shapes = evaluate.price(found.space.graph(row.genome), found.board)
        assert shapes["lc"] <= 1500 and shapes["latency_us"] <= 12.0
    assert found.counts.refused > 0


def test_least_and_largest_bounds_point_their_own_way(world):
    found = task(EXPERIMENT, "search.constraints={ accuracy = 0.8 }")
    row = {"accuracy": 0.9, "lc": 100, "ebr": 0}
    assert found.feasible(row) and not found.feasible(row | {"accuracy": 0.7})
    assert not found.feasible(row | {"lc": 5281}) and not found.feasible(row | {"ebr": 31})
    assert found.F([row]).tolist() == [[-0.9, 100]]
    assert found.G([row | {"accuracy": 0.6}])[0].max() == pytest.approx(0.25)


def test_a_device_without_energy_figures_has_no_energy():
    target = config.Target(board="icestick")
    experiment = msgspec.structs.replace(config.Experiment(), target=target)
    columns = {"lc": 900, "ebr": 4, "cycles": 500}
    assert "energy_nj" not in evaluate.complete(columns, Task(experiment).board)
    for asked in ({"objectives": ("accuracy", "energy_nj")}, {"constraints": {"energy_nj": 9.0}},
                  {"choose": "energy_nj"}):
        search = msgspec.structs.replace(experiment.search, **asked)
        with pytest.raises(ConfigError, match="no energy figures of the HX1K are known"):
            Task(msgspec.structs.replace(experiment, search=search))


@pytest.mark.parametrize("objectives", [
    ("accuracy", "lc"), ("accuracy", "latency_us", "energy_nj"),
    ("accuracy", "lc", "energy_nj", "latency_us"), ("lc",),
])
def test_a_strategy_repeats_itself_and_improves(world, objectives):
    def once(seed: int):
        space = Space(config.Space(), (8, 8), 10)

        def excess(genome):
            size = sum(d.in_features * d.out_features for d, _ in space.graph(genome).layers)
            return max(0.0, size / 2500 - 1)

        def score(genome):
            graph = space.graph(genome)
            size = sum(d.in_features * d.out_features for d, _ in graph.layers)
            length = sum(d.bitstream_length for d, _ in graph.layers)
            return [-size + length, size, length * graph.num_steps, graph.num_steps]

        made = strategies.load("nsga2")(space, objectives=len(objectives), constraints=1,
                                        population=12, seed=seed, excess=excess)
        asked, scores = [], []
        for _ in range(5):
            genomes = made.ask()
            F = np.array([score(genome)[:len(objectives)] for genome in genomes], float)
            made.tell(F, np.full((len(F), 1), -1.0))
            asked += genomes
            scores.append(F)
        assert all(excess(genome) == 0 for genome in asked)
        assert len(set(asked)) == len(asked) == 60
        return asked, np.concatenate(scores), type(made.algorithm).__name__

    asked, F, kind = once(3)
    assert kind == ("NSGA3" if len(objectives) >= nsga2.MANY else "NSGA2")
    assert once(3)[0] == asked and once(4)[0] != asked
    assert F[-12:].mean(axis=0)[-1] < F[:12].mean(axis=0)[-1]


def test_a_space_smaller_than_the_search_is_searched_whole(world, tmp_path):
    found = task(EXPERIMENT, "space.layers=[1]", "space.leak_shifts=[0]",
                 "space.encoders=['rate']", "search.generations=9")
    assert found.space.size() == 4
    with Store(tmp_path / FILE) as store, threads(1) as executor:
        rows, _ = evaluate.search(found, store, executor)
    assert len({row.genome for row in rows}) == len(rows) == 4


def test_the_accuracy_of_a_candidate_is_the_mean_of_its_trainings(world, tmp_path):
    found = task(EXPERIMENT, "search.repeats=3", "search.generations=1")
    with Store(tmp_path / FILE) as store, threads(1) as executor:
        rows, evaluator = evaluate.search(found, store, executor)
        for row in rows:
            assert [item.seed for item in row.trainings] == [1, 2, 3] == evaluator.seeds
            each = [reference_accuracy(store.graph(item)) for item in row.trainings]
            assert [item.accuracy for item in row.trainings] == each
            assert row.columns["accuracy"] == pytest.approx(np.mean(each))
            assert row.columns["lc"] == pytest.approx(
                np.mean([item.estimate["lc"] for item in row.trainings]))


def reference_accuracy(graph) -> float:
    split = few().validation
    return (reference.run(graph, split.inputs).classes == split.labels).mean()


def test_every_column_has_a_title_and_a_direction():
    assert all(column.sense in (1, -1) and column.title for column in COLUMNS.values())
    assert COLUMNS["lc"].text(1234.0) == "1,234" and COLUMNS["lc"].text(None) == "-"


def test_a_search_with_the_real_tools(world, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    small = ["--set", "space.layers=[1]", "--set", "space.weight_bits=[2]", "--set",
             "search.routed=1", "--set", "search.generations=1", "--set",
             "space.bitstream_lengths=[8]"]
    assert world.search("--json", *small) == 0
    found = json.loads(capsys.readouterr().out)
    (item,) = found["finalists"]
    report = json.loads((world.path / "run" / "candidates" / item["id"] / "build" / "icebreaker"
                         / "report.json").read_text())
    assert item["status"] == "routed" and item["meets_clock"] and report["fits"]
    assert item["measured"]["lc"] == report["lc"] > 100
    assert (world.path / "run" / "candidates" / item["id"] / "build" / "icebreaker"
            / "top.bin").stat().st_size == report["bitstream_bytes"]
    assert abs(found["prediction_error"]["worst"]) < 0.15
    with Store(world.path / "run" / FILE) as store:
        (row,) = store.syntheses()
        assert (row.lc, row.fmax_mhz, row.tools) == (report["lc"], report["fmax_mhz"],
                                                     report["tools"])
        assert {r.id for r in store.evaluations()} >= {item["id"]}
        assert all(r.estimate["lc"] > 0 for r in store.evaluations())
