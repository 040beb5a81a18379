"""A short training as a score: accuracy on images that it was not trained on.

The first `fit` images of what a score is given are trained on, and accuracy is of the next `held`.
Both are of the train split, so that the validation split stays for what is chosen by it.
"""

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from ...flow.errors import ConfigError
from ..cells.cell import Cell
from ..cells.macro import Macro
from ..cells.recipe import CellTraining
from ..cells.train import begin, evaluate, train
from ..datasets import Split
from . import bounded, settled, shaped


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """epochs, batch_size, learning_rate: of the training. fit: images that it sees. held: images
    that accuracy is of.
    """

    epochs: int = 2
    batch_size: int = 16
    learning_rate: float = 0.004
    fit: int = 512
    held: int = 256

    @property
    def needed(self) -> int:
        """Images that a score sees."""
        return self.fit + self.held

    def check(self) -> "Settings":
        """Raise ConfigError for the first setting that is out of range."""
        bounded(self, "short_training", (("fit", 1, 1_000_000), ("held", 1, 1_000_000)))
        self.training(0)
        return self

    def training(self, seed: int) -> CellTraining:
        return CellTraining(epochs=self.epochs, batch_size=self.batch_size, padding=0, flip=False,
                            learning_rate=self.learning_rate, seed=seed, device="cpu"
                            ).check("short_training")


class Score:
    """Raises ConfigError for settings, and for images of another shape or too few of them.

    labels: int64 [n] of the images. Weights stay in floating point. nan where training diverges.
    """

    WHAT = "accuracy on held-out training images after a short training"
    SETTINGS = Settings
    LABELS = True

    def __init__(self, macro: Macro, images: np.ndarray, labels: np.ndarray, *, seed: int = 0,
                 **settings) -> None:
        self.macro, self.seed = macro.check(), seed
        self.settings = settled(type(self), settings)
        count, cut = self.settings.needed, self.settings.fit
        images, labels = shaped(images, macro, count), np.array(labels[:count])
        if labels.shape != (count,):
            raise ConfigError(f"labels must be one for each of {count:,} images, not "
                              f"{list(labels.shape)}")
        self.fit = Split(images[:cut], labels[:cut])
        self.held = Split(images[cut:], labels[cut:])

    def score(self, cells: Sequence[Cell]) -> float:
        if not all(cell.connected for cell in cells):
            return math.nan
        network = begin(self.macro, cells, seed=self.seed)
        done = train(network, self.fit, None, self.settings.training(self.seed))
        return math.nan if done.diverged else evaluate(network, self.held).accuracy
