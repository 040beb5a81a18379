"""Predict: what the tools will make of a design, learned from what they made of others.

The package brings measured designs (`data/characterised.jsonl`, and how they were made beside it);
a search adds its own as they come. EBRs are counted exactly and need no prediction.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import RunError
from .features import VERSION
from .measured import Measurement
from .regress import Interval, Kernel, Regressor
from .store import read_lines

DATA = Path(__file__).with_name("data")
CHARACTERISED = DATA / "characterised.jsonl"
KERNELS = DATA / "kernels.json"
HELD_OUT = DATA / "held_out.json"

#: What is predicted, in this order.
TARGETS = ("lc", "ff", "fmax_mhz", "seconds")
#: Features whose logarithm counts.
_LOGARITHMIC = {"lc", "lut4", "ff", "carry", "inputs", "classes", "neurons", "synapses", "fan_in",
                "num_steps", "magnitude", "lanes", "counted", "first_chain", "chain", "uncut"}
#: Families of devices: cells and wires of one are alike. LP devices are not measured.
_FAMILY = {"UP5K": 1.0, "HX8K": 0.0, "HX1K": 0.0}
#: Seconds per structural cell, a rough mean that the process corrects.
_SECONDS = 0.02
#: The usual period in ns of either family, and of a popcount without a register within: what it
#: takes at least, and for each cell of its carry chains. From designs that were measured before the
#: characterisation: most have 25 to 30 MHz on a UP5K and 60 to 80 MHz on an HX8K, one with chains
#: of 237 cells 15.4 and 39.0 MHz.
_NS, _PERIOD = 1000.0, {1.0: (36.0, 28.0, 0.157), 0.0: (14.0, 10.0, 0.066)}
#: A feature is outside what was seen if it is so far beyond it, as a share of the seen range.
MARGIN = 0.1


@dataclass(frozen=True)
class Prediction:
    """Predictions of n designs by target, and for each design why it is unlike all that is known.
    """

    targets: Mapping[str, Interval]
    outside: tuple[str, ...]

    def __getitem__(self, target: str) -> Interval:
        return self.targets[target]


class Predictor:
    """Fitted to measurements; the same measurements in the same order give the same predictions.

    Of a design that was measured with several seeds the mean counts.
    """

    def __init__(self, measurements: Iterable[Measurement],
                 kernels: Mapping[str, Kernel] | None = None) -> None:
        """kernels: by target, to go on with; None fits them, which takes seconds."""
        self.measurements = [item for item in measurements if usable(item)]
        seeds: dict[tuple, list[Measurement]] = {}
        for item in self.measurements:
            seeds.setdefault((item.design, item.device, item.clock_mhz), []).append(item)
        designs = list(seeds.values())
        first = [items[0] for items in designs]
        networks = np.unique([item.network for item in first], return_inverse=True)[1]
        _check(networks)
        rows = [item.features for item in first]
        self.names = sorted({name for row in rows for name in row} - {"version"})
        table = self._table(rows)
        families = np.array([_FAMILY[item.device] for item in first])
        self.lowest, self.highest = table.min(0), table.max(0)
        self.regressors: dict[str, Regressor] = {}
        for target in TARGETS:
            y = np.array([_mean(items, target) for items in designs])
            known = np.isfinite(y)
            _check(networks[known])
            inputs = [part[known] for part in self._inputs(target, table, families)]
            self.regressors[target] = Regressor((kernels or {}).get(target)).fit(
                *inputs, y[known], networks[known])

    @property
    def kernels(self) -> dict[str, Kernel]:
        """What a later fit to more measurements can go on with."""
        return {target: regressor.kernel for target, regressor in self.regressors.items()}

    def extended(self, measurements: Iterable[Measurement]) -> "Predictor":
        """One that also knows these."""
        return Predictor([*self.measurements, *measurements], self.kernels)

    def _table(self, rows: Sequence[Mapping[str, float]]) -> np.ndarray:
        return np.array([[row.get(name, 0.0) for name in self.names] for row in rows], float)

    def _inputs(self, target: str, table: np.ndarray, families: np.ndarray
                ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Base, shares and features of a `Regressor`, of rows of `_table`."""
        column = {name: table[:, k] for k, name in enumerate(self.names)}
        kind = "ff_" if target == "ff" else "part_"
        base = column["ff" if target == "ff" else "lc"]
        shares = np.column_stack([column[name] / base for name in self.names
                                  if name.startswith(kind)])
        features = np.column_stack(
            [np.log1p(value) if name in _LOGARITHMIC else value
             for name, value in column.items() if not name.startswith(("part_", "ff_"))]
            + [shares, families])
        if target == "seconds":
            base = _SECONDS * base
        elif target == "fmax_mhz":
            usual, chained, each = (np.where(families > 0, _PERIOD[1.0][k], _PERIOD[0.0][k])
                                    for k in range(3))
            base = _NS / np.maximum(usual, chained + each * column["uncut"])
        if target not in ("lc", "ff"):
            shares = np.column_stack([families, 1 - families])
        return base, shares, features

    def predict(self, rows: Sequence[Mapping[str, float]], device: str) -> Prediction:
        """Predictions of designs with these features (`features.describe`) on a device."""
        table = self._table(rows)
        families = np.full(len(rows), _FAMILY.get(device, 0.0))
        found = {target: regressor.predict(*self._inputs(target, table, families))
                 for target, regressor in self.regressors.items()}
        return Prediction(found, tuple(self._outside(rows, table, device)))

    def _outside(self, rows, table: np.ndarray, device: str) -> Iterable[str]:
        """For each design what of it was never seen, in words; empty if all of it was."""
        span = np.where(self.highest > self.lowest, self.highest - self.lowest, 1.0)
        below = (table < self.lowest - MARGIN * span) | (table > self.highest + MARGIN * span)
        strange = "" if device in _FAMILY else f"no design was measured on a {device}"
        known = set(self.names) | {"version"}
        for row, flags in zip(rows, below):
            words = [strange] if strange else []
            words += [f"{self.names[k]} {row.get(self.names[k], 0.0):g} is not in "
                      f"{self.lowest[k]:g}..{self.highest[k]:g}" for k in np.flatnonzero(flags)]
            words += [f"{name} was never seen" for name in sorted(set(row) - known) if row[name]]
            yield "; ".join(words)


def _check(networks: np.ndarray) -> None:
    if len(np.unique(networks)) < 2:
        raise RunError("a cost model must be fitted to routed designs of two networks or more; "
                       "'spikeloom bench characterise' measures some")


def usable(item: Measurement) -> bool:
    """Whether a measurement tells of the plain design of a network, and what it came to."""
    return (item.counted and not item.variant and item.device in _FAMILY
            and item.features.get("version") == VERSION)


def measured(item: Measurement, target: str) -> float | None:
    """What a measurement says of a target; None if nothing."""
    if target == "seconds":
        found = [item.seconds.get(tool) for tool in ("yosys", "nextpnr")]
        return sum(found) if None not in found and item.status == "routed" else None
    return getattr(item, target)


def _mean(items: Sequence[Measurement], target: str) -> float:
    """The mean over the seeds of a design, nan where nothing was measured."""
    values = [value for item in items if (value := measured(item, target)) is not None]
    return sum(values) / len(values) if values else np.nan


@lru_cache(maxsize=1)
def characterised() -> tuple[Measurement, ...]:
    """The measurements that come with the package."""
    with CHARACTERISED.open("rb") as file:
        return tuple(item for item in read_lines(file, CHARACTERISED.name)
                     if isinstance(item, Measurement))


@lru_cache(maxsize=1)
def held_out() -> frozenset[str]:
    """Networks of `characterised` that no kernel was fitted to: what errors are measured on."""
    return frozenset(json.loads(HELD_OUT.read_text()))


@lru_cache(maxsize=1)
def kernels() -> dict[str, Kernel]:
    """The kernels that were fitted to `characterised`, but for what is `held_out`."""
    return {target: Kernel(**item) for target, item in json.loads(KERNELS.read_text()).items()}


@lru_cache(maxsize=1)
def shipped() -> Predictor:
    """The predictor of a fresh installation, fitted to all that comes with the package."""
    return Predictor(characterised(), kernels())
