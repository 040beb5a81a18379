"""Datasets: pixels of 8 bits or events, and labels, in splits that never change.

A search and every tuning step see `train` and `validation`; `test` is for the final networks alone.
A dataset is one entry of `LOADERS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from ..flow import ir
from ..flow.errors import ConfigError, unknown
from . import cifar, temporal


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and their labels int64 [n], both read-only.

    inputs: uint8, images p8 [n, pixels], or events 0/1 [n, T, channels].
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        self.inputs.flags.writeable = False
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """One classification problem.

    shape: of an image, (rows, columns) or (channels, rows, columns), or of one timestep's events,
    (channels,). num_steps: how many timesteps of events a sample has; None for images, which are
    shown for as long as one likes.
    """

    name: str
    shape: tuple[int, ...]
    num_classes: int
    train: Split
    validation: Split
    test: Split
    num_steps: int | None = None

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that can take these inputs."""
        return ("rate", "stream") if self.num_steps is None else ("spikes",)

    def check(self, graph: ir.Graph) -> None:
        """Raise ConfigError if a network cannot take these inputs, with what it must be."""
        if graph.input.encoder not in self.encoders:
            raise ConfigError(f"encoder must be {' or '.join(self.encoders)} for the inputs of "
                              f"{self.name!r}, not {graph.input.encoder}")
        if self.num_steps not in (None, graph.num_steps):
            raise ConfigError(f"num_steps must be {self.num_steps} for the events of "
                              f"{self.name!r}, not {graph.num_steps}")

    @property
    def final(self) -> Split:
        """Train and validation together: what a final training may use."""
        return Split(np.concatenate([self.train.inputs, self.validation.inputs]),
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


def _temporal() -> Dataset:
    """Spike patterns that differ in their timing alone: see `nas.temporal`."""
    splits = {name: Split(*temporal.generate(count, seed))
              for name, (count, seed) in temporal.SPLITS.items()}
    return Dataset(name="temporal", shape=(temporal.CHANNELS,), num_classes=temporal.CLASSES,
                   num_steps=temporal.NUM_STEPS, **splits)


def _cifar(name: str) -> Dataset:
    """A named subset of CIFAR-10: see `nas.cifar`."""
    splits = {split: Split(pixels, labels) for split, (pixels, labels) in cifar.load(name).items()}
    return Dataset(name=name, shape=cifar.SHAPE, num_classes=cifar.CLASSES, **splits)


#: What makes each dataset, by the name that configurations use.
LOADERS: dict[str, Callable[[], Dataset]] = {
    "digits": _digits, "temporal": _temporal, **{name: partial(_cifar, name)
                                                 for name in cifar.SUBSETS}}


@lru_cache(maxsize=4)
def load(name: str) -> Dataset:
    """The dataset of that name; ConfigError for an unknown one."""
    if name not in LOADERS:
        raise ConfigError(unknown("dataset", name, LOADERS))
    return LOADERS[name]()
