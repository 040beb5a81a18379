"""Quantisation-aware fitness: weights are rounded first, and then scored as by `sahd`.

R. V. W. Putra and M. Shafique, "NeuroNAS", 2024. Their fixed format rounds all weights of these
networks to zero at 4 and 5 bits, and the ranking is lost; a power of two for each layer keeps it.
"""

import numpy as np
import torch
from torch import Tensor

from ..cells import quantiser
from ..cells.network import draw
from . import sahd


class Settings(sahd.Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """bits, rounding, scale: as in `nas.cells.quantiser`; all weights are rounded, those of stem
    and classifier too.
    """

    bits: int = 8
    rounding: str = "nearest"
    scale: str = "power_of_two"

    def check(self) -> "Settings":
        """Raise ConfigError for the first setting that is out of range."""
        super().check()
        quantiser.check(self.bits, self.rounding, self.scale, "qafe")
        return self


class Score(sahd.Score):
    """Raises ConfigError for settings, and for images of another shape or too few of them."""

    WHAT = "sahd of weights that are rounded to few bits (NeuroNAS)"
    SETTINGS = Settings

    def drawn(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """First weights, rounded; what is drawn for that depends on the layer alone, too."""
        drawn = np.random.default_rng([self.seed, *name.encode()]).integers(1 << 63)
        generator = torch.Generator().manual_seed(int(drawn))
        settings = self.settings
        return quantiser.quantise(draw(self.seed, name, shape), settings.bits,
                                  rounding=settings.rounding, scale=settings.scale,
                                  generator=generator)
