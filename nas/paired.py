"""Paired comparisons over seeds: medians with their intervals, and tests of pairs.

Values of a seed belong together; less is better, and infinity is a search that found nothing.
F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1(6), 1945; S. Holm,
"A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6(2), 1979.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .ranking import LEVEL

#: Resamples of an interval.
RESAMPLES = 10_000
#: A pair differs where its probability, as Holm corrects it, is at most this.
ALPHA = 0.05


@dataclass(frozen=True)
class Pair:
    """Two arms by their numbers, over all seeds. wins, ties, losses: of the first one.

    difference: the median of the first less the second; nan where neither found anything.
    p: two-sided, of the signed ranks; corrected: for all pairs.
    """

    one: int
    other: int
    wins: int
    ties: int
    losses: int
    difference: float
    p: float
    corrected: float

    @property
    def differs(self) -> bool:
        return self.corrected <= ALPHA


def quantile(values: Sequence[float], share: float) -> float:
    """Linear between values, which may be infinite."""
    found = sorted(values)
    place = share * (len(found) - 1)
    low, high = found[math.floor(place)], found[math.ceil(place)]
    if low == high or place == math.floor(place):
        return low
    return low + (place - math.floor(place)) * (high - low)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the median by the percentiles of a bootstrap; nan of a single value.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    if len(values) < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    medians = np.median(np.asarray(values, float)[drawn], axis=1)
    return quantile(medians, (1 - LEVEL) / 2), quantile(medians, (1 + LEVEL) / 2)


def differences(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    """Seed by seed, to twelve digits, which ties survive; 0 where neither found anything."""
    return np.array([0.0 if a == b else float(f"{a - b:.12g}")
                     for a, b in zip(one, other, strict=True)])


def wilcoxon(found: np.ndarray) -> float:
    """The two-sided probability of differences as far from 0 as these; 1 where all are 0.

    Zeros are left out. Exact up to 50 differences, up to 13 where some are as large as others.
    """
    from scipy import stats

    found = np.asarray(found, float)
    found = found[found != 0]
    return float(stats.wilcoxon(found).pvalue) if len(found) else 1.0


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities of several tests, so corrected that the chance of any false one is kept."""
    count, least = len(probabilities), 0.0
    out = [1.0] * count
    for rank, place in enumerate(sorted(range(count), key=probabilities.__getitem__)):
        least = max(least, min(1.0, (count - rank) * probabilities[place]))
        out[place] = least
    return out


def pairs(arms: Sequence[Sequence[float]]) -> list[Pair]:
    """Every pair of arms, each of which has a value from each seed."""
    places = list(combinations(range(len(arms)), 2))
    found = [differences(arms[one], arms[other]) for one, other in places]
    raw = [wilcoxon(item) for item in found]
    return [Pair(one, other, int((item < 0).sum()), int((item == 0).sum()), int((item > 0).sum()),
                 median(item), p, corrected)
            for (one, other), item, p, corrected in zip(places, found, raw, holm(raw))]


def seeds_needed(arms: int) -> int:
    """The fewest seeds from which any pair of so many arms can differ at all.

    Where one arm is better from each of k seeds, the probability is 2 / 2**k, and Holm takes the
    least of all by the number of pairs.
    """
    count = arms * (arms - 1) // 2
    return max(1, math.ceil(1 + math.log2(count / ALPHA))) if count else 1
