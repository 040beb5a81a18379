"""How networks of blocks and super-networks are trained; what it says needs no torch."""

import math
from collections.abc import Iterator

from ..recipe import Recipe


class BlockTraining(Recipe, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe of AutoSNN: Adam, mean squared error between firing rates and one-hot labels.

    lambda_reg: times the firing rate of the whole network, spikes over outputs and timesteps, is
    added to the loss. (What the paper's `lambda_reg` multiplies it calls spikes; the released code
    has no such term. A rate in 0..1 makes the same number mean the same for every size.) cosine is
    off, as in the paper, which trains for 600 epochs. seed is also of the paths. The rest is that
    of every `Recipe`.
    """

    batch_size: int = 96
    learning_rate: float = 0.001
    cosine: bool = False
    lambda_reg: float = 0.0

    def wrong(self) -> Iterator[str]:
        if not 0 <= self.lambda_reg < math.inf:
            yield (".lambda_reg must be a finite number at least 0, as it adds spikes to the loss, "
                   f"not {self.lambda_reg}")
