"""Routing: whose measurement promises most, and when how many are measured."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from pymoo.indicators.hv import HV
from tiny_search import few, task

from spikeloom.flow.cost.predict import Prediction
from spikeloom.flow.cost.regress import Interval
from spikeloom.nas import datasets
from spikeloom.nas.evaluator import Candidate
from spikeloom.nas.prices import Prices
from spikeloom.nas.routing import ROUND, ROUNDS, TRIES, Routed, Routing
from spikeloom.nas.store import Evaluation


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setitem(datasets.LOADERS, "few", few)


class Told:
    """A predictor that says what the features say."""

    def predict(self, rows, device):
        value, low, high = (np.array([row[key] for row in rows]) for key in ("lc", "low", "high"))
        fixed = Interval(*(np.full(len(rows), mhz) for mhz in (20.0, 19.0, 21.0)))
        return Prediction({"lc": Interval(value, low, high), "ff": fixed, "fmax_mhz": fixed},
                          ("",) * len(rows))


def candidate(name: str, accuracy: float, lc: float, spread: float = 1.01) -> Candidate:
    """Predicted at `lc`, between lc / spread and lc * spread."""
    estimate = {"lc": 10.0, "lut4": 10.0, "ff": 5.0, "ebr": 2, "cycles": 100, "zeros": 0.0,
                "weight_memory": 9, "additions": 9, "latency_us": 8.0, "energy_nj": 1.0}
    row = Evaluation(
        genome=name, seed=1, settings="s", id=name, generation=1, position=0, accuracy=accuracy,
        epochs=1, stopped=None, seconds=1.0, estimate=estimate,
        features={"lc": lc, "low": lc / spread, "high": lc * spread})
    return Candidate(genome=name, id=name, generation=1, trainings=[row])


def done(name: str, accuracy: float, lc: float, meets_clock=True) -> Routed:
    measured = {"accuracy": accuracy, "lc": lc, "ebr": 2, "ff": 5.0, "fmax_mhz": 20.0}
    return Routed(
        id=name, network="", genome=name, generation=1, status="routed", reason="",
        accuracy=accuracy, structural={}, first={}, predicted={}, low={}, high={},
        measured=measured, fmax_mhz=20.0, meets_clock=meets_clock, seconds=1.0, design="")


def routing(*measured: Routed, changes=()) -> Routing:
    found = task("search.reference={ lc = 4000 }", *changes)
    made = Routing(found, None, None, Prices(found, Told()), ".")
    made.done = list(measured)
    return made


def chosen(made: Routing, rows, count: int, fill: bool = False) -> list[str]:
    return [row.id for row, _ in made.choose(rows, count, fill)]


def expected(front, accuracy: float, lc: float, spread: float) -> float:
    """Expected improvement by drawing from the interval, which holds 90 % of a log-normal."""
    def volume(points):
        return HV(ref_point=np.array([-0.1, 4000.0]))(np.array(points))

    rng = np.random.default_rng(0)
    draws = lc * np.exp(rng.normal(0, np.log(spread) / 1.645, 400))
    before = volume(front)
    return np.mean([volume([*front, (-accuracy, draw)]) - before if draw <= 5280 else 0.0
                    for draw in draws])


def test_the_largest_expected_improvement_is_measured_first():
    known = (done("a", 0.8, 1000), done("b", 0.9, 2000))
    front = [(-0.8, 1000), (-0.9, 2000)]
    rows = {
        "between": (0.85, 1500, 1.05),      # a point of the gap
        "better": (0.95, 2500, 1.02),       # most accurate of all
        "small": (0.5, 500, 1.05),          # smallest of all
        "unsure": (0.81, 1300, 1.6),        # the same gap, and may be much smaller or larger
        "worse": (0.79, 1200, 1.02),        # dominated, whatever comes out
        "too large": (0.99, 6000, 1.02),    # does not fit, whatever comes out
    }
    made = routing(*known)
    candidates = [candidate(name, *row) for name, row in rows.items()]
    gains = {name: expected(front, *row) for name, row in rows.items()}
    best = max(gains, key=gains.get)
    assert gains["worse"] == gains["too large"] == 0 and best == "small"
    order = chosen(made, candidates, 10)
    assert order[0] == best
    assert sorted(order) == ["better", "between", "small", "unsure"]
    # each as if those before it had come out as predicted
    for name, after in pairwise(order):
        front.append((-rows[name][0], rows[name][1]))
        left = {key: expected(front, *rows[key]) for key in rows if key not in
                order[:order.index(after)]}
        assert left[after] >= 0.8 * max(left.values())
    # where more are wanted, the dominated one comes last, and what cannot fit never
    assert chosen(made, candidates, 10, fill=True) == [*order, "worse"]
    assert chosen(made, candidates, 2, fill=True) == order[:2] == chosen(made, candidates, 2)


def test_a_wide_interval_can_make_a_dominated_candidate_worth_its_build():
    rows = [candidate("sure", 0.8, 1050, 1.001), candidate("unsure", 0.8, 1050, 1.5)]
    assert chosen(routing(done("a", 0.8, 1000)), rows, 2) == ["unsure"]


def test_of_equal_candidates_one_is_enough():
    rows = [candidate("one", 0.9, 900), candidate("two", 0.9, 900, 1.0001)]
    assert chosen(routing(), rows, 2)[:1] in (["one"], ["two"])
    same = [candidate("one", 0.9, 900, 1.0001), candidate("two", 0.9, 900 * 1.001, 1.0001)]
    assert chosen(routing(), same, 2) == ["one"]


def test_what_was_tried_or_is_under_way_is_not_chosen_again():
    rows = [candidate(name, 0.5 + 0.1 * k, 1000 + 500 * k) for k, name in enumerate("abc")]
    made = routing(done("a", 0.5, 1000))
    picked = made.choose(rows, 1)
    made.running = [(*picked[0], None)]
    assert made.tried == {"a", picked[0][0].id}
    assert {*chosen(made, rows, 3, fill=True)} == {"b", "c"} - {picked[0][0].id}


def test_what_misses_the_clock_or_a_bound_dominates_nothing():
    rows = [candidate("b", 0.8, 1000)]
    assert chosen(routing(done("a", 0.9, 900)), rows, 1) == []
    assert chosen(routing(done("a", 0.9, 900, meets_clock=False)), rows, 1) == ["b"]
    bound = ("search.constraints={ fmax_mhz = 30.0 }",)
    made = routing(done("a", 0.9, 900), changes=bound)
    assert chosen(made, rows, 1) == [], "predicted to be too slow itself"


@pytest.mark.parametrize("objectives", [
    ["lc"], ["accuracy", "lc", "zeros"], ["accuracy", "fmax_mhz"],
    ["accuracy", "lc", "latency_us", "ff"], ["ebr"]])
def test_any_number_of_objectives(objectives):
    made = routing(changes=("search.reference={}", f"search.objectives={objectives}"))
    rows = [candidate(name, 0.5 + 0.1 * k, 1000 + 500 * k) for k, name in enumerate("abcd")]
    found = chosen(made, rows, 3, fill=True)
    assert len(found) == len(set(found)) == 3
    assert set(found[:1]) <= set(chosen(made, rows, 3)) or not chosen(made, rows, 3)


def test_nothing_to_choose_from():
    assert chosen(routing(), [], 3) == chosen(routing(), [], 3, fill=True) == []
    assert chosen(routing(), [candidate("a", 0.9, 9000)], 3, fill=True) == []


@pytest.mark.parametrize("generations,rounds", [
    (1, []), (2, [1]), (3, [1, 2]), (5, [3, 4]), (8, [4, 6]), (25, [15, 20]), (100, [60, 80])])
def test_rounds_begin_after_three_and_four_fifths_of_the_generations(generations, rounds):
    made = routing(changes=(f"search.generations={generations}",))
    assert [n for n in range(1, generations + 1) if made.due(n)] == rounds


def test_two_thirds_of_the_builds_are_left_for_closing_the_front(monkeypatch):
    begun = []
    for routed in (0, 1, 2, 4, 7, 18, 24):
        made = routing(changes=(f"search.routed={routed}",))
        monkeypatch.setattr(made, "choose", lambda rows, count, fill=False: [count])
        monkeypatch.setattr(made, "_submit", lambda item, made=made: made.running.extend(
            (candidate(f"x{len(made.running)}", 0.5, 900), None, None) for _ in range(item[0])))
        for _ in ROUNDS:
            made.begin([])
        begun.append(len(made.running))
    assert begun == [0, 0, 0, 1, 2, 2 * ROUND, 2 * ROUND]


def test_tries_end():
    failed = [msgspec.structs.replace(done(f"x{n}", 0.5, 900), measured=None)
              for n in range(2 * TRIES)]
    for count, missing in ((0, 2), (4, 2), (5, 1), (6, 0)):
        assert routing(*failed[:count], changes=("search.routed=2",)).missing == missing
    made = routing(*failed[:3], done("good", 0.5, 900), changes=("search.routed=2",))
    assert made.missing == 1
