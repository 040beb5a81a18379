"""Section [train] of networks of cells; what it says needs no torch."""

import math

from msgspec import Struct

from ...flow.errors import ConfigError, unknown

OPTIMISERS = ("adamw", "sgd")
DEVICES = ("auto", "cpu", "cuda")


class CellTraining(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe: cross entropy on the mean over timesteps.

    optimiser: `adamw`, or `sgd` with `momentum`. cosine: the rate falls along half a cosine, else
    it stays. weight_decay: of weights, not of what batch norms learn. label_smoothing: share of the
    target that is spread over all classes. padding, flip: a random crop out of the image with that
    many pixels of zeros around it, and a mirrored image every other time, as SNASNet trains;
    padding None is an eighth of the image, 4 pixels of 32. patience: epochs without a better
    accuracy on the check split, after which training stops; 0 never stops it. images: how many of
    the fit split, its first ones; 0 for all. seed: of the order, the augmentation and the dropout.
    device: `auto` is CUDA where there is any. threads: of torch, on a CPU.
    """

    epochs: int = 60
    batch_size: int = 64
    optimiser: str = "adamw"
    learning_rate: float = 0.005
    momentum: float = 0.9
    cosine: bool = True
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    padding: int | None = None
    flip: bool = True
    patience: int = 0
    images: int = 0
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def check(self, where: str = "train") -> "CellTraining":
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
        for key, high in (("momentum", 0.999), ("weight_decay", 1.0), ("label_smoothing", 0.9)):
            value = getattr(self, key)
            if not 0 <= value <= high:
                raise ConfigError(f"{where}.{key} must be in 0..{high}, not {value}")
        for key, known in (("optimiser", OPTIMISERS), ("device", DEVICES)):
            if getattr(self, key) not in known:
                raise ConfigError(f"{where}: " + unknown(key, getattr(self, key), known))
        return self

    def rate(self, share: float) -> float:
        """The learning rate when this share of the training is over."""
        return self.learning_rate * (0.5 + 0.5 * math.cos(math.pi * share) if self.cosine else 1.0)
