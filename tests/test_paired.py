"""Paired comparisons: tests against plain enumeration, corrections by hand, what found nothing."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.nas import paired

INF = math.inf


def enumerated(differences) -> float:
    """Of all signs of these differences, the share whose rank sum is as far from its mean."""
    found = [value for value in differences if value]
    if not found:
        return 1.0
    size = [abs(value) for value in found]
    ranks = [sum(other < one for other in size) + (size.count(one) + 1) / 2 for one in size]
    middle = sum(ranks) / 2
    seen = abs(sum(rank for rank, value in zip(ranks, found) if value > 0) - middle)
    far = [abs(sum(rank for rank, sign in zip(ranks, signs) if sign) - middle) >= seen - 1e-9
           for signs in product((False, True), repeat=len(found))]
    return sum(far) / len(far)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=7))
@settings(max_examples=60, deadline=None)
def test_the_test_is_exact_with_ties_and_zeros(found):
    assert paired.wilcoxon(np.array(found)) == pytest.approx(enumerated(found))


def test_probabilities_by_hand():
    """Five of five one way: 2 / 2**5; Wilcoxon's table has 2 * 5 / 2**8 for rank sum 4 of 8."""
    assert paired.wilcoxon([1, 2, 3, 4, 5]) == pytest.approx(1 / 16)
    assert paired.wilcoxon([-3, 1, 4, 5, 6, 7, 8, -2]) == pytest.approx(
        enumerated([-3, 1, 4, 5, 6, 7, 8, -2]))
    assert paired.wilcoxon([0, 0]) == 1
    assert paired.wilcoxon([INF, INF, 1]) == pytest.approx(1 / 4), "infinity is far from 0"


def test_holm_by_hand():
    """0.01, 0.02, 0.03, 0.04 become 4 * 0.01, 3 * 0.02, 2 * 0.03 and no less than that."""
    assert paired.holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert paired.holm([0.5, 0.9]) == [1.0, 1.0] and paired.holm([]) == []


def test_seeds_that_can_show_anything():
    """With the fewest the least probability of all pairs is significant, with one less not."""
    for arms in range(2, 7):
        count, pairs = paired.seeds_needed(arms), arms * (arms - 1) / 2
        assert pairs * 2 / 2 ** count <= paired.ALPHA < pairs * 2 / 2 ** (count - 1)
    assert paired.seeds_needed(1) == 1
    worse = [float(k) for k in range(6)]
    (pair,) = paired.pairs([worse, [value + 1 + value / 8 for value in worse]])
    assert pair.differs and (pair.wins, pair.ties, pair.losses) == (6, 0, 0)
    (pair,) = paired.pairs([worse[:5], [value + 1 + value / 8 for value in worse[:5]]])
    assert not pair.differs and pair.p == pytest.approx(1 / 16)


def test_nothing_found_is_worse_than_anything_and_the_same_as_nothing():
    (pair,) = paired.pairs([[INF, INF, 1.0], [INF, 2.0, 3.0]])
    assert (pair.wins, pair.ties, pair.losses) == (1, 1, 1) and pair.difference == 0
    assert paired.median([INF, INF, 1.0]) == INF and paired.median([INF, 2.0, 1.0]) == 2
    assert paired.median([1.0, 2.0, INF, INF]) == INF
    assert paired.interval([1.0, 2.0, INF]) == (1.0, INF)


def test_ties_survive_the_last_bit():
    found = paired.differences([0.93, 0.92], [0.92, 0.91])
    assert found[0] == found[1] == 0.01


def test_an_interval_is_of_the_median():
    values = np.random.default_rng(1).normal(size=101).tolist()
    low, high = paired.interval(values)
    middle = sorted(values)
    assert low < paired.median(values) < high
    assert middle[38] <= low <= middle[44], "order statistics 40 and 60 of 101 hold 95 %"
    assert middle[56] <= high <= middle[62]
    assert paired.interval(values) == (low, high)
    assert all(math.isnan(end) for end in paired.interval([1.0]))
    assert paired.quantile([1.0, 2.0, 4.0], 0.75) == 3.0
