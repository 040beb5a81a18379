"""Datasets: pixels of 8 bits and labels, in splits that never change.

A search and every tuning step see `train` and `validation`; `test` is for the final networks alone.
A dataset is one entry of `LOADERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..flow.errors import ConfigError, unknown


@dataclass(frozen=True, eq=False)
class Split:
    """Images p8 uint8 [n, pixels] and their labels int64 [n], both read-only."""

    p8: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        self.p8.flags.writeable = False
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """One classification problem; shape is that of an image, (rows, columns)."""

    name: str
    shape: tuple[int, ...]
    num_classes: int
    train: Split
    validation: Split
    test: Split

    @property
    def final(self) -> Split:
        """Train and validation together: what a final training may use."""
        return Split(np.concatenate([self.train.p8, self.validation.p8]),
                     np.concatenate([self.train.labels, self.validation.labels]))


def _digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels x in 0..16: p8 = (255 * x + 8) // 16.

    Test is 20 %, validation 20 % of the rest, both stratified and drawn with random_state 0.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    p8 = ((255 * images.astype(np.int64) + 8) // 16).astype(np.uint8)
    labels = labels.astype(np.int64)

    def cut(p8, labels):
        return train_test_split(p8, labels, test_size=0.2, stratify=labels, random_state=0)

    rest_p8, test_p8, rest_labels, test_labels = cut(p8, labels)
    train_p8, validation_p8, train_labels, validation_labels = cut(rest_p8, rest_labels)
    return Dataset(name="digits", shape=(8, 8), num_classes=10,
                   train=Split(train_p8, train_labels),
                   validation=Split(validation_p8, validation_labels),
                   test=Split(test_p8, test_labels))


#: What makes each dataset, by the name that configurations use.
LOADERS: dict[str, Callable[[], Dataset]] = {"digits": _digits}


@lru_cache(maxsize=4)
def load(name: str) -> Dataset:
    """The dataset of that name; ConfigError for an unknown one."""
    if name not in LOADERS:
        raise ConfigError(unknown("dataset", name, LOADERS))
    return LOADERS[name]()
