"""Converters: what a column's current becomes, what they see, and the range that suits it.

An ADC reads counts: the current less its leakage, over that of one step of a cell. It clips to
0..full_scale and rounds to 2**adc_bits - 1 steps.
"""

from dataclasses import dataclass, field

import numpy as np

from ...flow.errors import ConfigError, unknown

#: Bins of a histogram for a count: fine enough to choose a range by, and whole counts have one.
PER_COUNT = 16
METHODS = ("max", "percentile", "mse")


def lossless_bits(most: int) -> int:
    """Fewest bits that tell 0..most counts apart."""
    return max(1, int(most).bit_length())


def lossless_scale(most: int, adc_bits: int) -> float:
    """The full scale that takes in `most` counts, in steps of one count where the bits suffice."""
    return float(max(most, (1 << adc_bits) - 1))


def codes(counts: np.ndarray, adc_bits: int, full_scale: float) -> np.ndarray:
    """What converters answer: whole steps of full_scale / (2**adc_bits - 1), as float64."""
    steps = (1 << adc_bits) - 1
    found = counts * (steps / full_scale)
    np.rint(found, out=found)
    return np.clip(found, 0, steps, out=found)


def convert(counts: np.ndarray, adc_bits: int, full_scale: float) -> np.ndarray:
    """Counts as they leave a converter, in counts again."""
    return codes(counts, adc_bits, full_scale) * (full_scale / ((1 << adc_bits) - 1))


@dataclass
class Seen:
    """What the converters of a layer saw: conversions by bin, int64 [columns of a weight, bins].

    Bin k holds counts around k / PER_COUNT, the first also what is below. scales: what one count is
    worth on each of the columns. least, most: of all that was seen, in counts.
    """

    scales: tuple[int, ...]
    counts: np.ndarray = field(default=None)
    least: float = np.inf
    most: float = -np.inf

    def add(self, values: np.ndarray) -> None:
        """Values [..., outputs * columns of a weight], columns of a weight side by side."""
        if not values.size:
            return
        planes = len(self.scales)
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))
        bins = np.rint(np.maximum(values, 0) * PER_COUNT).astype(np.int64).reshape(-1, planes)
        width = int(bins.max()) + 1
        found = np.bincount((bins + width * np.arange(planes)).ravel(), minlength=planes * width
                            ).reshape(planes, width)
        if self.counts is None:
            self.counts = found
            return
        wide = max(width, self.counts.shape[1])
        self.counts, found = (np.pad(a, ((0, 0), (0, wide - a.shape[1])))
                              for a in (self.counts, found))
        self.counts += found

    @property
    def values(self) -> np.ndarray:
        """What each bin stands for, in counts."""
        return np.arange(self.counts.shape[1]) / PER_COUNT

    def histogram(self) -> list[int]:
        """Conversions by whole counts, rounded half up."""
        total = self.counts.sum(0)
        return np.bincount((np.arange(len(total)) + PER_COUNT // 2) // PER_COUNT,
                           weights=total).astype(np.int64).tolist()


def full_scale(seen: Seen, adc_bits: int, method: str = "mse", percentile: float = 99.9) -> float:
    """The full scale of a layer's converters for what they saw, in counts, more than 0.

    `max`: the largest; `percentile`: of what is not 0; `mse`: least squared error of the layer's
    currents, each column weighted by what its counts are worth. Steps finer than a count gain
    nothing where counts are whole, so mse also tries the range with steps of one.
    """
    if method not in METHODS:
        raise ConfigError("calibration: " + unknown("method", method, METHODS))
    if not 0 < percentile <= 100:
        raise ConfigError(f"percentile must be more than 0 and at most 100, not {percentile:g}")
    if seen.counts is None or seen.most <= 0:
        return 1.0
    if method == "max":
        return seen.most
    values, total = seen.values, seen.counts.sum(0).astype(np.float64)
    total[0] = 0
    if not total.any():
        return seen.most
    if method == "percentile":
        running = np.cumsum(total)
        return float(values[np.searchsorted(running, running[-1] * percentile / 100)])
    weights = np.square(np.array(seen.scales, np.float64)) @ seen.counts
    steps = (1 << adc_bits) - 1
    tried = np.unique([*(seen.most * np.arange(1, 65) / 64),
                       *(k * steps for k in range(1, int(seen.most / steps) + 2))])
    errors = [weights @ np.square(convert(values, adc_bits, scale) - values) for scale in tried]
    return float(tried[int(np.argmin(errors))])
