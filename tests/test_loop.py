"""The loop: what is measured when, what is learned from it, and who is told."""

import io
from collections import Counter
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from rich.console import Console
from tiny_search import BIAS, Reversed, fake_build, few, searched, task, threads

from spikeloom.flow.cost.predict import shipped
from spikeloom.nas import datasets, evaluator, pareto, workers
from spikeloom.nas.built import still_open
from spikeloom.nas.columns import price, priced
from spikeloom.nas.commands.progress import View
from spikeloom.nas.datasets import Dataset
from spikeloom.nas.loop import Search
from spikeloom.nas.outcome import outcome
from spikeloom.nas.store import FILE, Store
from spikeloom.sim import reference


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    monkeypatch.setattr(workers, "build", fake_build())


def learned(found, folder, executor=None, **options) -> Search:
    return searched(found, folder, executor, predictor=shipped(), **options)


def plain(search: Search) -> dict:
    """What a search came to, without what differs between runs of it."""
    made = outcome(search, None, {})
    for key in ("trainings", "restored"):
        del made["counts"][key]
    made["marks"] = [{**mark, "seconds": 0} for mark in made["marks"]]
    return made


def test_builds_begin_together_beside_the_training_and_any_order_of_their_ends_will_do(tmp_path):
    """A round of two is submitted before training goes on, and ends the wrong way round."""
    seen: list[str] = []
    late = Reversed()
    asked = task("search.routed=6")
    one = learned(asked, tmp_path / "one", late, on_routed=lambda item: seen.append(item.id))
    two = learned(task("search.routed=6"), tmp_path / "two")
    assert plain(one) == plain(two)
    log = [line.split() for line in late.log]
    kinds = [words[0] for words in log]
    trained = [k for k, kind in enumerate(kinds) if kind == "train"]
    begun = [k for k, kind in enumerate(kinds) if kind == "begin"]
    assert begun[1] == begun[0] + 1 and trained[0] < begun[0]
    assert any(begun[1] < k for k in trained), "training goes on beside them"
    assert kinds[begun[1] + 1] == "train", "and does not wait for them"
    ended = [words[1] for words in log if words[0] == "end"]
    first = ended[:2]
    assert seen[:2] == first[::-1] == [item.id for item in one.routing.done[:2]]
    assert Counter(ended) == Counter(seen) and len(seen) == 6


def test_measurements_are_admitted_when_the_next_round_begins(tmp_path):
    """Of 6 generations after the third and the fourth one, if builds are left; and at the end."""
    seen = []

    def look(search, generation):
        seen.append((generation, len(search.routing.running), len(search.routing.done)))

    learned(task("search.generations=6", "search.routed=12"), tmp_path, on_generation=look)
    # generation, under way, known: three begin, then one; two thirds are left for the end
    assert seen == [(1, 0, 0), (2, 0, 0), (3, 3, 0), (4, 1, 3), (5, 1, 3), (6, 1, 3), (6, 0, 8),
                    (6, 0, 12)]


def test_a_search_by_structure_routes_nothing_before_its_end(tmp_path):
    late = Reversed()
    found = searched(task("search.cost_model='structure'"), tmp_path, late)
    kinds = [line.split()[0] for line in late.log]
    assert "train" not in kinds[kinds.index("begin"):]
    for item in found.routing.done:
        assert item.predicted["lc"] == item.structural["lc"] and item.low == {}
    assert len(found.routing.done) == 4
    assert plain(found)["prediction_error"]["predicted"] == \
        plain(found)["prediction_error"]["structural"]


def test_what_is_measured_teaches_the_prices_of_the_others(tmp_path):
    found = learned(task("search.generations=5", "search.routed=10"), tmp_path)
    tried = {item.id for item in found.routing.done}
    others = [row for row in found.rows if row.id not in tried]
    wanted = np.array([BIAS * row.first.estimate["lc"] for row in others])
    before, after = (np.array([item["lc"] for item in made]) for made in (
        [priced.columns for priced in found.routing.first.predicted(others)],
        found.prices.columns(others)))
    assert np.abs(after / wanted - 1).mean() < 0.5 * np.abs(before / wanted - 1).mean()
    own = {item.id: item for item in found.routing.done}
    for row, item in zip(found.rows, found.prices.of(found.rows), strict=True):
        assert item.measured == (row.id in own)
        if item.measured:
            assert item.columns["lc"] == own[row.id].measured["lc"] == item.columns["lc"]
            assert item.columns["latency_us"] == row.counted["latency_us"]
        else:
            assert item.low["lc"] < item.columns["lc"] < item.high["lc"]
            assert item.columns["energy_nj"] != row.counted["energy_nj"]


def test_the_strategy_is_told_what_was_measured(tmp_path, monkeypatch):
    revised, told = [], []
    found = task("search.generations=4")

    class Watched(found.strategy):
        def revise(self, known):
            revised.append({genome: F.copy() for genome, (F, _) in known.items()})
            super().revise(known)

        def tell(self, F, G):
            told.append(F.copy())
            super().tell(F, G)

    found.strategy = Watched
    search = learned(found, tmp_path)
    first = search.routing.done[0]
    assert first.generation <= 2
    of_first = [known[first.genome].tolist() for known in revised[1:]]
    assert of_first[0] == pytest.approx([-first.accuracy, first.predicted["lc"]])
    assert of_first[1] == [-first.accuracy, first.measured["lc"]] == of_first[-1]
    assert [len(known) for known in revised] == [4, 8, 12, 16]
    # and what it was told as new is what it was revised to
    assert told[2] == pytest.approx(np.array(list(revised[2].values())[-4:]))


@pytest.mark.parametrize("objectives", [["lc"], ["accuracy", "fmax_mhz"],
                                        ["accuracy", "latency_us", "energy_nj"],
                                        ["accuracy", "lc", "ff", "cycles"]])
def test_the_measured_hypervolume_never_falls(tmp_path, objectives):
    found = learned(task("search.generations=5", f"search.objectives={objectives}",
                         "search.routed=6", "search.repeats=1"), tmp_path)
    volumes = [mark.hypervolume for mark in found.marks]
    counts = [mark.routed for mark in found.marks]
    assert volumes == sorted(volumes) and counts == sorted(counts) and counts[-1] > 0
    assert volumes[0] == 0.0 <= volumes[-1] <= 1.0
    assert all(0 <= mark.expected <= 1 for mark in found.marks)
    assert [mark.evaluations for mark in found.marks] == [4, 8, 12, 16, 20, 20]


def test_open_are_the_candidates_that_may_be_on_the_front(tmp_path):
    found = learned(task("search.generations=5", "search.routed=2"), tmp_path)
    task_, done = found.task, found.routing.done
    measured = task_.F(item.measured for item in done)
    named = still_open(found)
    columns = found.prices.columns(found.rows)
    for row, point in zip(found.rows, task_.F(columns), strict=True):
        dominated = any((other <= point).all() for other in measured) or any(
            (other <= point).all() and (other < point).any() for other in task_.F(columns))
        if row in named:
            assert not dominated and row.id not in found.routing.tried
    assert named and plain(found)["open"] == [row.id for row in named]
    more = learned(task("search.generations=5", "search.routed=20"), tmp_path / "more")
    assert not still_open(more) or len(more.routing.done) == 20


@pytest.mark.parametrize("status", ["failed", "timed-out", "unroutable", "over-full"])
def test_a_build_that_fails_in_the_loop_is_no_measurement(tmp_path, monkeypatch, status):
    whole = learned(task(), tmp_path / "whole")
    bad = whole.routing.done[0].id
    monkeypatch.setattr(workers, "build", fake_build({bad: status}))
    found = learned(task(), tmp_path / "run")
    first = found.routing.done[0]
    assert (first.id, first.status, first.measured, first.usable) == (bad, status, None, False)
    assert sum(item.measured is not None for item in found.routing.done) == 4
    (row,) = [row for row in found.rows if row.id == bad]
    (item,) = found.prices.of([row])
    assert not item.measured
    taught = len(found.prices.predictor.measurements) - len(shipped().measurements)
    if status in ("failed", "timed-out"):
        assert taught == 4 and item.low["lc"] < item.columns["lc"]
    else:
        # its cells are known, and that they do not fit
        assert taught == 5 and item.low == {}
        more = 2 if status == "over-full" else 1
        assert item.columns["lc"] == pytest.approx(more * BIAS * row.first.estimate["lc"], abs=1)
    assert bad not in plain(found)["front"]


def test_training_and_choosing_never_see_the_test_split(tmp_path):
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
    search = learned(found, tmp_path)
    assert search.evaluator.fit is made.train and search.evaluator.check is made.validation
    assert len(search.routing.done) == 4 and plain(search)["front"]
    with Store(tmp_path / FILE) as store, threads(1) as executor:
        last = evaluator.Evaluator(found, store, executor, held_out=False)
    assert len(last.fit) == len(made.train) + len(made.validation) and last.check is None


def test_bounds_hold_for_everything_that_is_trained(tmp_path):
    found = task("search.constraints={ latency_us = 12.0, lc = 1500 }",
                 "search.max_utilization=0.9", "space.max_width=200")
    assert found.bounds["lc"] == 1500
    search = learned(found, tmp_path)
    for row in search.rows:
        shapes = price(found.space.graph(row.genome), found.board)
        assert shapes["lc"] <= 1500 and shapes["latency_us"] <= 12.0
    assert found.counts.refused > 0


@pytest.mark.parametrize("strategy", ["nsga2", "random"])
def test_a_space_smaller_than_the_search_is_searched_whole(tmp_path, strategy):
    found = task("space.layers=[1]", "space.leak_shifts=[0]", "space.encoders=['rate']",
                 "search.generations=9", f"search.strategy='{strategy}'", "search.population=3")
    assert found.space.size() == 4
    search = learned(found, tmp_path)
    assert len({row.genome for row in search.rows}) == len(search.rows) == 4
    assert [mark.generation for mark in search.marks] == [1, 2, 2]
    assert len(search.routing.done) == 4


def test_the_accuracy_of_a_candidate_is_the_mean_of_its_trainings(tmp_path):
    found = task("search.repeats=3", "search.generations=1")
    search = learned(found, tmp_path)
    with Store(tmp_path / FILE) as store:
        for row in search.rows:
            assert [item.seed for item in row.trainings] == [1, 2, 3] == search.evaluator.seeds
            each = [right(store.graph(item)) for item in row.trainings]
            assert [item.accuracy for item in row.trainings] == each
            assert row.counted["accuracy"] == pytest.approx(np.mean(each))
            assert row.counted["lc"] == row.first.estimate["lc"]


def right(graph) -> float:
    split = few().validation
    return (reference.run(graph, split.inputs).classes == split.labels).mean()


def test_random_search_is_measured_as_any_other(tmp_path):
    found = learned(task("search.strategy='random'"), tmp_path / "a")
    again = learned(task("search.strategy='random'"), tmp_path / "b")
    assert plain(found) == plain(again) and len(found.rows) == 12
    assert len(found.routing.done) == 4 and plain(found)["front"]


@pytest.mark.parametrize("features", [None, {"version": 0.0}])
def test_features_of_an_older_version_are_computed_again(tmp_path, features):
    """As after the migration of an old store; nothing is trained a second time."""
    whole = learned(task(), tmp_path)
    text = None if features is None else msgspec.json.encode(features).decode()
    with Store(tmp_path / FILE) as store:
        store.db.execute("UPDATE evaluation SET features = ?, estimate = '{\"lc\": 1}'", (text,))
        store.db.execute("DELETE FROM build")
    again = learned(task(), tmp_path)
    assert plain(again) == plain(whole)
    assert (again.evaluator.trained, again.evaluator.restored) == (0, 24)
    with Store(tmp_path / FILE) as store:
        row = again.rows[0]
        graph = evaluator.simplify(store.graph(row.first))
    columns, counts = priced(graph, again.task.board)
    inputs = again.task.data.validation.inputs
    spikes = sum(item.sum() for item in reference.run(graph, inputs, trace=True).spikes)
    columns["spikes"] = spikes / len(inputs)
    columns["mean_cycles"] = columns["cycles"]  # which no spike changes in this space
    assert (row.first.estimate, row.first.features) == (columns, counts)


@pytest.mark.parametrize("change", ['search.objectives=["accuracy", "spikes"]',
                                    "search.constraints={spikes = 20}"])
def test_spikes_can_be_an_objective_or_a_bound_of_chains(tmp_path, change):
    found = learned(task(change, "search.routed=2"), tmp_path)
    made = plain(found)
    for item in found.routing.done:
        row = next(row for row in found.rows if row.id == item.id)
        assert item.measured["spikes"] == row.counted["spikes"] == pytest.approx(
            sum(one.estimate["spikes"] for one in row.trainings) / len(row.trainings))
    values = [item["spikes"] for item in made["estimated_front"]]
    assert values and min(values) == min(row.counted["spikes"] for row in found.rows) if (
        "objectives" in change) else all(value <= 20 for value in values)


def test_the_front_of_the_outcome_is_that_of_all_that_was_measured(tmp_path):
    found = learned(task("search.generations=5", "search.routed=8"), tmp_path)
    made = plain(found)
    usable = [item for item in found.routing.done if item.usable]
    kept = pareto.front(found.task.F(item.measured for item in usable))
    assert {usable[k].id for k in kept} == set(made["front"])
    measured = {item["id"]: item["measured"] for item in made["routed"]}
    for item in made["estimated_front"]:
        if item["id"] in measured:
            assert item["lc"] == measured[item["id"]]["lc"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_the_front_so_far(tmp_path, terminal):
    text, notes = io.StringIO(), []
    console = Console(file=text, force_terminal=terminal, width=120)
    found = task()
    with View(found, SimpleNamespace(progress=console, note=notes.append)) as view:
        search = learned(found, tmp_path, on_batch=view.batch, on_routed=view.routed,
                         on_generation=view.generation)
        view.finishing()
    builds = [line for line in notes if " LCs (predicted " in line]
    assert len(builds) == 4 and all(item.id in line for item, line in zip(
        search.routing.done, builds, strict=True))
    if terminal:
        console.print(view.table)
        shown = text.getvalue()
        priced = search.prices.of(search.rows)
        best = pareto.front(found.F(item.columns for item in priced))
        assert view.table.row_count == len(best)
        for row, item in [(search.rows[k], priced[k]) for k in best]:
            mark = "" if item.measured else "~"
            assert row.id in shown and f"{mark}{item.columns['lc']:,.0f}" in shown
    else:
        marks = [f"hypervolume {mark.hypervolume:.4f} measured, {mark.expected:.4f} expected"
                 for mark in search.marks]
        told = [line for line in notes if "hypervolume" in line]
        assert all(mark in line for mark, line in zip(marks, told, strict=True))


def test_the_benchmark_reads_the_outcome(tmp_path):
    from spikeloom.nas.figures import search as figures

    made = {**plain(learned(task(), tmp_path)), "wall": 12.0}
    bench = type("Bench", (), {"search": lambda self: (None, made)})()
    found = figures.search(bench)
    assert found["search.evaluations"][0] == 12 and found["search.routed"][0] == 4
    assert found["search.front"][0] == len(made["front"])
    assert "by the search: structural 0." in found["search.routed"][1]
