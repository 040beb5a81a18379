"""How networks of blocks and super-networks are trained; what it says needs no torch."""

import math

from msgspec import Struct

from ...flow.errors import ConfigError, unknown
from ..cells.recipe import DEVICES


class BlockTraining(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe of AutoSNN: Adam, mean squared error between firing rates and one-hot labels.

    lambda_reg: times the firing rate of the whole network, spikes over outputs and timesteps, is
    added to the loss. (What the paper's `lambda_reg` multiplies it calls spikes; the released code
    has no such term. A rate in 0..1 makes the same number mean the same for every size.)
    cosine: the rate falls along half a cosine, else it stays, as in the paper. padding, flip: a
    random crop out of the image with that many pixels of zeros around it, and a mirrored image
    every other time; padding None is an eighth of the image, 4 pixels of 32. patience: epochs
    without a better accuracy on the check split, after which training stops; 0 never stops it.
    images: how many of the fit split, its first ones; 0 for all. seed: of the order, the
    augmentation and the paths. device: `auto` is CUDA where there is any. threads: of torch, on a
    CPU. The paper trains for 600 epochs.
    """

    epochs: int = 60
    batch_size: int = 96
    learning_rate: float = 0.001
    cosine: bool = False
    lambda_reg: float = 0.0
    padding: int | None = None
    flip: bool = True
    patience: int = 0
    images: int = 0
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def check(self, where: str = "train") -> "BlockTraining":
        """Raise ConfigError for the first setting that is out of range."""
        for key, low, high in (("epochs", 1, 100_000), ("batch_size", 1, 65536),
                               ("padding", 0, 512), ("patience", 0, 100_000),
                               ("images", 0, 1 << 31), ("seed", 0, (1 << 32) - 1),
                               ("threads", 1, 256)):
            value = getattr(self, key)
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{where}.{key} must be in {low}..{high}, not {value}")
        if not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"{where}.learning_rate must be a finite number above 0, not "
                              f"{self.learning_rate}")
        if not 0 <= self.lambda_reg < math.inf:
            raise ConfigError(f"{where}.lambda_reg must be a finite number at least 0, as it adds "
                              f"spikes to the loss, not {self.lambda_reg}")
        if self.device not in DEVICES:
            raise ConfigError(f"{where}: " + unknown("device", self.device, DEVICES))
        return self

    def rate(self, share: float) -> float:
        """The learning rate when this share of the training is over."""
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * share) if self.cosine else 1.0)
