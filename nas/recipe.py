"""What every recipe of an epoch-by-epoch training says (`nas.training`); it needs no torch."""

import math
from collections.abc import Iterator
from typing import Self

from msgspec import Struct

from ..flow.errors import ConfigError, unknown

DEVICES = ("auto", "cpu", "cuda")


class Recipe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """cosine: the rate falls along half a cosine, else it stays. padding, flip: a random crop out
    of the image with that many pixels of zeros around it, and a mirrored image every other time, as
    SNASNet trains; padding None is an eighth of the image, 4 pixels of 32. patience: epochs without
    a better accuracy on the check split, after which training stops; 0 never stops it. images: how
    many of the fit split, its first ones; 0 for all. seed: of all that is drawn. device: `auto` is
    CUDA where there is any. threads: of torch, on a CPU.
    """

    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 0.005
    cosine: bool = True
    padding: int | None = None
    flip: bool = True
    patience: int = 0
    images: int = 0
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def check(self, where: str = "train") -> Self:
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
        for words in self.wrong():
            raise ConfigError(f"{where}{words}")
        if self.device not in DEVICES:
            raise ConfigError(f"{where}: " + unknown("device", self.device, DEVICES))
        return self

    def wrong(self) -> Iterator[str]:
        """What is wrong with settings of its own, in the words that follow the section's name."""
        return iter(())

    def rate(self, share: float) -> float:
        """The learning rate when this share of the training is over."""
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * share) if self.cosine else 1.0)
