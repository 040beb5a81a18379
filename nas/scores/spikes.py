"""Spikes per image of a network at its first weights: how lively it is before training.

Each LIF that is computed counts once, however many edges read it. Y. Kim et al. (ECCV 2022) search
for networks whose spikes differ; that they fire at all is the simplest condition of it.
"""

import math
from collections.abc import Sequence

from msgspec import Struct
from torch import Tensor, float64, no_grad

from ..cells.cell import Cell
from ..cells.network import CellNetwork
from . import bounded, sahd


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """batch_size: images that are normalised together. batches: how many of them."""

    batch_size: int = 64
    batches: int = 1

    def check(self) -> "Settings":
        """Raise ConfigError for the first setting that is out of range."""
        bounded(self, "spikes", (("batch_size", 2, 4096), ("batches", 1, 1000)))
        return self


class Score(sahd.Score):
    """Raises ConfigError for settings, and for images of another shape or too few of them."""

    WHAT = "spikes per image before training"
    SETTINGS = Settings

    def scores(self, cells: Sequence[Cell]) -> list[float]:
        """Spikes per image in each batch."""
        if not all(cell.connected for cell in cells):
            return [math.nan] * len(self.batches)
        network = CellNetwork(self.macro, cells, seed=self.seed, first=self.first).train()
        return [_count(network, batch) / len(batch) for batch in self.batches]


def _count(network: CellNetwork, batch: Tensor) -> float:
    counts = []
    network.watch(lambda name, t, spikes: counts.append(spikes.sum(dtype=float64).item()))
    with no_grad():
        network(batch)
    network.watch(None)
    return sum(counts)
