"""Prices: what candidates cost by the best that is known of each.

A candidate that was placed and routed has measured columns; another one is predicted, with an
interval, by a predictor that learns from every measurement of the search. Measurements are admitted
in candidate order at fixed points of the search, so prices do not depend on which build ends first.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from ..flow.cost.measured import Measurement
from ..flow.cost.predict import Predictor
from .columns import complete
from .evaluator import Candidate
from .problem import Problem

#: Quantiles of a prediction that stand for its distribution, and a normal variable's; one in ten
#: measurements is outside the interval, which spans these standard deviations to either side.
_NODES = np.array([-1.2816, -0.5244, 0.0, 0.5244, 1.2816])
_HALF = 1.6449

#: Columns that a measurement has, and a clock where it was routed.
_CELLS = ("lc", "lut4", "ff", "ebr", "spram")


class Priced(Struct, frozen=True):
    """Columns of a candidate; `measured` says whether its cells are."""

    columns: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    measured: bool


class Prices:
    """Columns of candidates; without a predictor those that are counted by structure."""

    def __init__(self, task: Problem, predictor: Predictor | None) -> None:
        self.task, self.predictor = task, predictor
        self.measured: dict[str, Measurement] = {}

    def admit(self, rows: Mapping[str, Measurement]) -> None:
        """Take measurements by candidate, and learn from them."""
        self.measured |= rows
        if self.predictor is not None and rows:
            self.predictor = self.predictor.extended(rows.values())

    def of(self, rows: Sequence[Candidate]) -> list[Priced]:
        """Each candidate as it is known now; of one that could not be routed, cells are counted."""
        found = self.predicted(rows)
        for k, row in enumerate(rows):
            item = self.measured.get(row.id)
            if item is None or not item.counted:
                continue
            if item.status == "routed":
                found[k] = Priced(self.measured_columns(row, item), {}, {}, True)
            else:
                cells = _counts(item, _CELLS)
                found[k] = Priced(complete({**found[k].columns, **cells}, self.task.board), {}, {},
                                  False)
        return found

    def columns(self, rows: Sequence[Candidate]) -> list[dict[str, float]]:
        """The columns of `of`."""
        return [item.columns for item in self.of(rows)]

    def predicted(self, rows: Sequence[Candidate]) -> list[Priced]:
        """Each candidate as if it had not been measured."""
        if self.predictor is None or not rows:
            return [Priced(row.counted, {}, {}, False) for row in rows]
        found = self.predictor.predict([row.first.features for row in rows],
                                       self.task.board.device)
        out = []
        for k, row in enumerate(rows):
            values, low, high = {}, {}, {}
            for target in ("lc", "ff", "fmax_mhz"):
                interval = found[target]
                values[target] = float(interval.value[k])
                low[target], high[target] = float(interval.low[k]), float(interval.high[k])
            columns = complete({**row.counted, **values}, self.task.board)
            out.append(Priced(columns, low, high, False))
        return out

    def nodes(self, item: Priced) -> list[dict[str, float]]:
        """Columns at equally likely outcomes of a measurement."""
        if not item.low:
            return [item.columns]
        spread = np.log(item.high["lc"] / item.low["lc"]) / (2 * _HALF)
        return [complete({**item.columns, "lc": item.columns["lc"] * float(np.exp(spread * z))},
                         self.task.board) for z in _NODES]

    def measured_columns(self, row: Candidate, item: Measurement) -> dict[str, float]:
        """The columns of a candidate whose first training was placed and routed."""
        return complete({**row.counted, **_counts(item, (*_CELLS, "fmax_mhz"))}, self.task.board)


def _counts(item: Measurement, names: Sequence[str]) -> dict[str, float]:
    return {name: float(getattr(item, name)) for name in names}
