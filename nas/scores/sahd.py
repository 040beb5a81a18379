"""Sparsity-aware Hamming distance of a network at its first weights: SNASNet's score.

Y. Kim et al., "Neural architecture search for spiking neural networks", ECCV 2022. The network
normalises by the batch, as in training, and has no gradient; each batch starts from membranes at
rest, and the score is the mean over batches. Every LIF counts that the paper's network has, the
classifier's too: one that fires for three edges here counts three times.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor

from ...flow.errors import ConfigError, unknown
from ..cells.cell import Cell
from ..cells.macro import Macro
from ..cells.network import CellNetwork, draw
from ..hamming import VARIANTS, Kernel
from . import bounded, settled, shaped

#: Weights that are kept for the next candidate, at most: 256 MiB.
_KEPT = 1 << 26


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """batch_size: images of a kernel; the paper has 256. batches: how many, whose scores are
    averaged. variant: B, or A of an older version (`nas.hamming`).
    """

    batch_size: int = 64
    batches: int = 2
    variant: str = "B"

    def check(self) -> "Settings":
        """Raise ConfigError for the first setting that is out of range."""
        bounded(self, "sahd", (("batch_size", 2, 4096), ("batches", 1, 1000)))
        if self.variant not in VARIANTS:
            raise ConfigError("sahd: " + unknown("variant", self.variant, VARIANTS))
        return self


class Score:
    """Raises ConfigError for settings, and for images of another shape or too few of them."""

    WHAT = "log|det| of how differently neurons fire for different images (SNASNet)"
    SETTINGS = Settings

    def __init__(self, macro: Macro, images: np.ndarray, *, seed: int = 0, **settings) -> None:
        self.macro, self.seed = macro.check(), seed
        self.settings = settled(type(self), settings)
        count = self.settings.batches * self.settings.batch_size
        chosen = torch.from_numpy(shaped(images, macro, count).astype(np.float32) / 255)
        self.batches = chosen.split(self.settings.batch_size)
        self._first: dict[str, Tensor] = {}
        self._kept = 0

    def score(self, cells: Sequence[Cell]) -> float:
        """The mean over batches; nan where a kernel is singular."""
        return float(np.mean(self.scores(cells)))

    def scores(self, cells: Sequence[Cell]) -> list[float]:
        """Of each batch."""
        if not all(cell.connected for cell in cells):
            return [math.nan] * len(self.batches)
        network = CellNetwork(self.macro, cells, seed=self.seed, first=self.first)
        return [self.kernel(network, batch).log_det() for batch in self.batches]

    def kernel(self, network: CellNetwork, batch: Tensor) -> Kernel:
        """The kernel of a batch of images float [B, C, H, W]."""
        kernel = Kernel(self.settings.variant)
        network.watch(lambda name, t, spikes: kernel.add(spikes, network.lifs[name]))
        with torch.no_grad():
            network.train()(batch)
        network.watch(None)
        return kernel

    def first(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """First weights, the same for all candidates; kept, as far as there is room."""
        found = self._first.get(name)
        if found is None:
            found = self.drawn(name, shape)
            if self._kept + found.numel() <= _KEPT:
                self._first[name] = found
                self._kept += found.numel()
        return found

    def drawn(self, name: str, shape: tuple[int, ...]) -> Tensor:
        return draw(self.seed, name, shape)
