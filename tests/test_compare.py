"""Strategies compared: what is equal, what is paired, what is kept, and what is refused."""

import csv
import json
import math
import statistics

import pytest
import tiny_cells

from spikeloom.flow import cli
from spikeloom.nas import anytime, datasets, tabular
from spikeloom.nas.anytime import HYPERVOLUME, Measure, Step, Trace
from spikeloom.nas.cells.trials import Here
from spikeloom.nas.comparison import Comparison
from spikeloom.nas.loop import Search
from spikeloom.nas.store import FILE, Store

NAMES = ("random", "regularised_evolution", "spikenas")
SHORT = ("--seeds", "3", "--evaluations", "20")


@pytest.fixture(autouse=True)
def maps(monkeypatch):
    tiny_cells.install(monkeypatch)


@pytest.fixture
def compare(tmp_path, capsys):
    """Run the study on the tiny cells; its JSON, or what it says where it fails."""
    experiment = tiny_cells.written(tmp_path)

    def run(*argv, run="run", code=0):
        assert cli.main(["study", "compare", experiment, "--run", str(tmp_path / run), "--json",
                         *argv]) == code
        captured = capsys.readouterr()
        return captured.err if code else json.loads(captured.out)
    return run


def best(name, seed, evaluations, folder, *changes) -> float:
    """The best score of the first evaluations of a search by itself."""
    task = tiny_cells.task(f"search.strategy={name!r}", f"search.seed={seed}",
                           "search.generations=20", *changes)
    folder.mkdir(parents=True)
    with Store(folder / FILE) as store:
        rows = Search(task, store, Here(), folder).run().rows[:evaluations]
    return max(row.counted["score"] for row in rows if row.counted["score"] is not None)


def without_time(found: dict) -> dict:
    """What does not depend on how fast this machine is."""
    return {"compare": [{key: value for key, value in row.items()
                         if key not in ("seconds", "own ms")}
                        for row in found["compare"] if row["at equal"] == "evaluations"],
            "pairs": [row for row in found["pairs"] if row["at equal"] == "evaluations"],
            "searches": [(row["strategy"], row["seed"], row["at equal evaluations"],
                          row["network"]) for row in found["searches"]]}


def test_the_best_at_equal_evaluations_is_that_of_each_search_by_itself(compare, tmp_path):
    found = compare("--strategies", ",".join(NAMES), *SHORT, "--option",
                    "regularised_evolution.alive=8", "--option", "regularised_evolution.sample=3")
    values = {}
    for name in NAMES:
        options = ["search.options={alive = 8, sample = 3}"] if "evolution" in name else []
        for seed in range(3):
            values[name, seed] = best(name, seed, 20, tmp_path / f"{name}{seed}", *options)
    assert {(row["strategy"], row["seed"]): row["at equal evaluations"]
            for row in found["searches"]} == values
    for row in found["compare"]:
        if row["at equal"] == "evaluations":
            own = [values[row["strategy"], seed] for seed in range(3)]
            assert row["median"] == statistics.median(own)
            assert min(own) <= row["low"] <= row["median"] <= row["high"] <= max(own)
            assert row["evaluations"] == row["distinct"] == 20 and row["ended"] is None
    pair = found["pairs"][1]
    ends = [values["random", seed] - values["spikenas", seed] for seed in range(3)]
    assert (pair["strategy"], pair["and"]) == ("random", "spikenas")
    assert pair["better"] == sum(end > 0 for end in ends), "more is better here"
    assert pair["difference"] == pytest.approx(statistics.median(ends))
    assert "3 seeds can show no difference at 0.05, whatever was found; 3 strategies need 7" in (
        found["notes"])
    rows = [row for row in found["curves"] if row["over"] == "evaluations"]
    assert {row["at"] for row in rows} == set(map(float, range(1, 21)))
    for name in NAMES:
        curve = [row["median"] for row in rows if row["strategy"] == name and row["median"]]
        assert curve == sorted(curve)
    folder = tmp_path / "run/study/compare"
    assert {path.name for path in folder.iterdir()} == {
        "points.json", "tables", "table.jsonl", "compare.svg", "compare.pdf", "compare.png",
        *(f"{name}.{kind}" for name in ("compare", "pairs", "curves", "searches")
          for kind in ("csv", "tex"))}
    kept = list(csv.DictReader((folder / "pairs.csv").read_text().splitlines()))
    assert len(kept) == 2 * 3 and kept[0]["corrected p"]


def test_what_was_evaluated_answers_the_same_comparison_without_noise(compare, tmp_path):
    """Recorded seconds are the clock: twice the same, and no later than where they add up."""
    argv = ("--strategies", "random,spikenas,nsga2", *SHORT)
    live = compare(*argv)
    table = str(tmp_path / "run/study/compare/table.jsonl")
    one, two = (compare(*argv, "--table", table, run=name) for name in ("one", "two"))
    assert without_time(one) == without_time(live)
    strip = {"files", "notes"}

    def still(found):
        return {key: [{name: item for name, item in row.items() if name != "own ms"}
                      for row in value] if key == "compare" else value
                for key, value in found.items() if key not in strip}

    assert still(one) == still(two)
    held, _ = tabular.load(table)
    assert one["searches"][0]["evaluations"] == 24, "whole generations of eight"
    asked = {(row["strategy"], row["seed"]): row["seconds"] for row in one["searches"]}
    for seed in range(3):
        whole = sum(item.seconds for each in held.rows.values() for item in each
                    if item.seed == seed)
        assert max(asked[name, seed] for name in ("random", "spikenas", "nsga2")) < whole
        assert whole < sum(asked[name, seed] for name in ("random", "spikenas", "nsga2")) + 1e-4
    assert any("0 times a search asked for another one" in note for note in one["notes"])
    other = compare("--strategies", "random", "--seeds", "7,9", "--evaluations", "4", "--table",
                    table, run="three")
    assert all(row["ended"] == "by itself" or row["evaluations"] >= 4
               for row in other["searches"])
    assert "is of another problem, settings.asked.score is" in compare(
        "--table", table, "--set", "cells.score=depth", code=2)


def test_a_comparison_goes_on_where_it_was_cut_short(compare, monkeypatch, tmp_path):
    real, calls = anytime.searched, []

    def searched(key, **places):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(key)
        return real(key, **places)

    argv = ("--strategies", "random,spikenas", "--seeds", "2", "--evaluations", "8")
    monkeypatch.setattr(anytime, "searched", searched)
    assert "finished points are in" in compare(*argv, code=130)
    monkeypatch.setattr(anytime, "searched", real)
    assert compare(*argv)["measured"] == 2
    assert compare("--strategies", "random,spikenas", "--seeds", "1,0,5", "--evaluations", "8")[
        "measured"] == 2, "of seed 5 alone"


def test_what_ends_by_itself_is_marked_and_keeps_what_it_has(compare):
    """Two operations make few networks in one place; spikenas looks at each once."""
    found = compare("--strategies", "random,spikenas", "--seeds", "2", "--evaluations", "90",
                    "--set", "cells.operations=[\"skip\", \"conv3x3\"]", "--set",
                    "cells.shared=true")
    rows = {(row["at equal"], row["strategy"]): row for row in found["compare"]}
    assert rows["evaluations", "spikenas"]["ended"] == "by itself"
    assert rows["evaluations", "spikenas"]["evaluations"] < 90
    last = [row for row in found["curves"] if row["strategy"] == "spikenas"
            and row["over"] == "evaluations"][-1]
    assert last["at"] == 90 and last["median"] == rows["evaluations", "spikenas"]["median"]


def test_a_budget_of_seconds_is_used_up(compare):
    found = compare("--strategies", "random", "--seeds", "2", "--evaluations", "8", "--budget",
                    "0.05")
    assert found["seconds"] == 0.05
    for row in found["searches"]:
        assert row["seconds"] >= 0.05 and row["evaluations"] > 8
    rows = {row["at equal"]: row for row in found["compare"]}
    assert rows["evaluations"]["evaluations"] == 8
    assert rows["seconds"]["evaluations"] > 8 and rows["seconds"]["seconds"] <= 0.05
    assert "differ" not in " ".join(found["notes"]), "one strategy has no pairs"


def steps(*points):
    return [Step(at, "n", {"score": score, "weights": weights}) for at, score, weights in points]


def test_equal_seconds_by_hand():
    """One is slow and better in the end; at the seconds of the fast one it is not."""
    task = tiny_cells.task()
    slow = Trace([1.0, 2.0, 3.0, 4.0], steps((1, 1.0, 5), (4, 9.0, 5)))
    fast = Trace([0.5, 1.0, 1.5, 2.5], steps((2, 4.0, 5)), again=[3])
    traces = {("slow", 0): slow, ("fast", 0): fast}
    found = Comparison(Measure(task, "score", [slow, fast]), traces, ["slow", "fast"], [0], 4, None)
    assert found.seconds == 2.5, "the least that four evaluations took"
    rows = {row[:2]: row for row in found.sheets()[0].rows}
    assert rows["evaluations", "slow"][2] == 9.0 and rows["seconds", "slow"][2] == 1.0
    assert rows["seconds", "fast"][2] == rows["evaluations", "fast"][2] == 4.0
    assert rows["seconds", "slow"][6:9] == (2, 2, 2.0)
    assert rows["seconds", "fast"][6:9] == (4, 3, 2.5), "one of four was there before"
    assert [row[3:5] for row in found.sheets()[0].rows] == [(None, None)] * 4, "of one seed"
    assert fast.within(0.4) == 0
    assert Measure(task, "score", []).value(fast, 1) == math.inf


def test_hypervolumes_have_one_reference():
    task = tiny_cells.task("search.objectives=['accuracy', 'weights']",
                           "search.reference={accuracy = 0.5, weights = 10}",
                           "search.choose='accuracy'")
    trace = Trace([1.0, 2.0, 3.0], [
        Step(1, "a", {"accuracy": 0.6, "weights": 5}),
        Step(2, "b", {"accuracy": 0.75, "weights": 8}),
        Step(3, "c", {"accuracy": 0.4, "weights": 1})])
    found = Measure(task, HYPERVOLUME, [trace])
    box = 0.5 * 10
    assert found.natural(found.value(trace, 0)) == 0
    assert found.natural(found.value(trace, 1)) == pytest.approx(0.1 * 5 / box)
    assert found.natural(found.value(trace, 2)) == pytest.approx((0.1 * 5 + 0.15 * 2) / box)
    assert found.value(trace, 3) == found.value(trace, 2), "guessing is worth nothing"
    assert found.network(trace, 3) == "b"


def test_only_what_improves_on_all_before_it_is_a_step(tmp_path):
    key = {"experiment": {
        "data": {"name": "maps"}, "space": {"network": "cells"},
        "search": {"strategy": "random", "population": 8, "seed": 2,
                   "objectives": ["score", "weights"], "constraints": {"weights": 3000.0}},
        "cells": {"channels": 4, "hidden": 8, "voters": 1, "score": "fake", "images": 4,
                  "operations": ["zeroize", "skip", "conv3x3", "avgpool3x3"]}},
        "evaluations": 30, "seconds": None}
    found = anytime.searched(key, folder=tmp_path)
    assert len(found["seconds"]) == 32 and found["seconds"] == sorted(found["seconds"])
    held, _ = tabular.load(anytime.part(tmp_path, key))
    assert held.evaluations == 32
    assert 0 < held.seconds <= found["seconds"][-1] + 1e-3, "process time, without the strategy's"
    points = [(-step["columns"]["score"], step["columns"]["weights"]) for step in found["steps"]]
    for place, point in enumerate(points):
        assert point[1] <= 3000
        assert not any(a <= point[0] and b <= point[1] for a, b in points[:place])
    assert max(row.columns["score"] for each in held.rows.values() for row in each
               if row.columns["score"] is not None) >= -min(points)[0]


BAD = {
    "which has 1 twice": ("--seeds", "1,2,1"),
    "--seeds must be a number in 1..100": ("--seeds", "0"),
    "not '101'": ("--seeds", "101"),
    "not 'a,b'": ("--seeds", "a,b"),
    "not '-1,3'": ("--seeds=-1,3",),
    "--evaluations must be in 1..100,000, not 0": ("--evaluations", "0"),
    "--budget must be seconds above 0, not -1": ("--budget", "-1"),
    "not nan": ("--budget", "nan"),
    "--workers must be at least 1": ("--jobs", "0"),
    "--strategies must be different strategies": ("--strategies", "random,random"),
    "unknown strategy 'rendom'; did you mean 'random'": ("--strategies", "rendom"),
    "--strategies must be at most 6": ("--strategies", "a,b,c,d,e,f,g"),
    "unknown measure 'lc' (known: hypervolume, score)": ("--by", "lc"),
    "--option must be STRATEGY.KEY=VALUE": ("--option", "alive=2"),
    "--option: unknown strategy 'ran'; did you mean 'random'": ("--option", "ran.alive=2"),
    "search.options must be {} for this strategy": ("--option", "random.alive=2"),
    "search.options.alive must be in 2..100000, not 1": (
        "--option", "regularised_evolution.alive=1"),
    "cannot be read": ("--table", "none.jsonl"),
}


@pytest.mark.parametrize("why", BAD)
def test_bad_input_is_refused_before_anything_is_searched(why, compare, tmp_path):
    assert why in compare(*BAD[why], code=2)
    assert not (tmp_path / "run/study/compare/points.json").exists()


def test_chains_are_trained_and_nothing_is_built(tmp_path, monkeypatch, capsys):
    from tiny_search import EXPERIMENT, few

    from spikeloom.nas import workers

    monkeypatch.setitem(datasets.LOADERS, "few", few)
    monkeypatch.setattr(workers, "build", None)
    (tmp_path / "e.toml").write_text(EXPERIMENT.replace("repeats = 2", "repeats = 1"))
    assert cli.main(["study", "compare", str(tmp_path / "e.toml"), "--run", str(tmp_path / "run"),
                     "--strategies", "random,nsga2", "--seeds", "1", "--evaluations", "4", "--json"
                     ]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by"] == HYPERVOLUME and found["measured"] == 2
    assert {row["evaluations"] for row in found["searches"]} == {4}
    held, _ = tabular.load(tmp_path / "run/study/compare/table.jsonl")
    assert "accuracy" in held.columns and "lc" in held.columns
