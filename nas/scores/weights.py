"""How many weights the convolutions have: the most trivial score, to compare others with."""

import math
from collections.abc import Sequence

import numpy as np

from ..cells.cell import Cell
from ..cells.macro import Macro
from . import NoSettings, settled


class Score:
    """A closed form: no images, no seed."""

    WHAT = "number of weights of the convolutions"
    SETTINGS = NoSettings

    def __init__(self, macro: Macro, images: np.ndarray, *, seed: int = 0, **settings) -> None:
        self.macro = macro.check()
        settled(type(self), settings)

    def score(self, cells: Sequence[Cell]) -> float:
        cells = self.macro.all_of(cells)
        if not all(cell.connected for cell in cells):
            return math.nan
        return float(self.macro.weights(cells))
