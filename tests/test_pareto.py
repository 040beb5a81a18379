"""Fronts, spreads and hypervolumes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.indicators.hv import HV

from spikeloom.nas import pareto

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20).map(
    lambda rows: np.array(rows, float).reshape(-1, 2))


def dominates(a, b) -> bool:
    return bool(np.all(a <= b) and np.any(a < b))


@given(points)
def test_the_front_is_what_nothing_dominates_each_point_once(F):
    kept = pareto.front(F)
    assert {tuple(F[i]) for i in kept} == {
        tuple(a) for a in F if not any(dominates(b, a) for b in F)}
    assert len({tuple(F[i]) for i in kept}) == len(kept)


@given(points)
def test_a_spread_is_an_order_of_all_points_front_by_front(F):
    order = pareto.spread(F)
    assert sorted(order) == list(range(len(F)))
    rank = {index: n for n, front in enumerate(pareto.fronts(F)) for index in front}
    assert [rank[index] for index in order] == sorted(rank[index] for index in order)


def test_a_spread_takes_the_extremes_and_then_the_farthest():
    F = np.array([[0, 10], [1, 9], [2, 8], [5, 5], [9, 1], [10, 0], [10, 10]], float)
    assert pareto.spread(F)[:3] == [0, 5, 3]
    assert pareto.spread(F)[-1] == 6


def test_equal_points_come_after_the_different_ones_of_their_front():
    F = np.array([[0, 1], [0, 1], [1, 0], [2, 2]], float)
    assert pareto.spread(F) == [0, 2, 1, 3]


def test_empty():
    F = np.empty((0, 2))
    assert pareto.front(F) == pareto.spread(F) == pareto.fronts(F) == []
    assert pareto.hypervolume(F, (1, 1)) == 0.0


def test_hypervolume_is_the_area_below_the_reference():
    F = np.array([[0, 2], [1, 1], [2, 0], [2, 2]], float)
    assert pareto.hypervolume(F, (3, 3)) == pytest.approx(3 + 2 + 1)
    assert pareto.hypervolume(F[:1], (0, 3)) == 0.0


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_hypervolumes_are_pymoos(objectives):
    """With two objectives it is a staircase of our own."""
    rng = np.random.default_rng(objectives)
    reference = np.full(objectives, 8.0)
    for count in (1, 2, 5, 30):
        for _ in range(10):
            F = rng.integers(0, 10, (count, objectives)).astype(float)
            inside = F[(F < reference).all(1)]
            wanted = float(HV(ref_point=reference)(inside)) if len(inside) else 0.0
            assert pareto.hypervolume(F, reference) == pytest.approx(wanted)


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_a_gain_is_the_difference_of_two_hypervolumes(objectives):
    rng = np.random.default_rng(objectives)
    reference = np.full(objectives, 8.0)
    gains = []
    for count in (0, 1, 4, 12):
        for _ in range(20):
            known = list(rng.integers(0, 10, (count, objectives)).astype(float))
            point = rng.integers(0, 10, objectives).astype(float)
            more = pareto.hypervolume(np.array([*known, point]), reference)
            before = pareto.hypervolume(np.array(known), reference)
            gains.append(pareto.gain(known, point, reference))
            assert gains[-1] == pytest.approx(more - before, abs=1e-9)
    assert min(gains) == 0 < max(gains)
