"""How many weights the convolutions have: the most trivial score, to compare others with."""

from collections.abc import Sequence

from ..cells.cell import Cell
from . import ClosedForm


class Score(ClosedForm):
    """All places together."""

    WHAT = "number of weights of the convolutions"

    def of(self, cells: Sequence[Cell]) -> float:
        return float(self.macro.weights(cells))
