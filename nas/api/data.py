"""The data that a search from Python trains on: a data set, a name of one, or arrays."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from ...flow.errors import ConfigError
from .. import datasets
from ..datasets import Dataset, Split
from .space import SearchSpace

#: What a space takes without data, by its inputs.
DEFAULTS = {64: "digits", 784: "mnist"}
#: Fewest samples of a class of arrays: of five, three are trained on.
FEWEST = 5


@dataclass(frozen=True, eq=False)
class Subset(Dataset):
    """The first images of a data set, in an order drawn from a fixed seed, for a search; the final
    training is on all of them.
    """

    whole: Dataset | None = None

    @property
    def final(self) -> Split:
        """Train and validation of the whole data set."""
        return self.whole.final


def dataset(space: SearchSpace, data) -> Dataset:
    """What `data` of `nas` means for a space, checked; None is the space's own.

    Arrays are (x, y): x uint8 (0..255) or floats in 0..1, of any shape [n, ...]; y the classes,
    integers [n]. Test is 20 % of them, validation 20 % of the rest, both stratified and drawn with
    random_state 0. Raises ConfigError.
    """
    if data is None:
        if space.n_inputs not in DEFAULTS:
            raise ConfigError(
                f"data must be given for {space.n_inputs} inputs: a Dataset, the name of one, or "
                "arrays (x, y); only spaces of " + " or ".join(f"{n} inputs ({name})" for n, name
                                                              in DEFAULTS.items()) + " have their "
                "own")
        data = DEFAULTS[space.n_inputs]
    if isinstance(data, str):
        data = datasets.load(data)
    elif isinstance(data, Dataset):
        data = replace(data, name=f"{data.name}-{_digest(data)}")
    elif isinstance(data, tuple | list) and len(data) == 2:
        data = _cut(*data, space.n_outputs)
    else:
        raise ConfigError("data must be a Dataset, the name of one, or arrays (x, y), not "
                          f"{type(data).__name__}")
    if data.num_steps is not None:
        raise ConfigError(f"data must be images, not the events of {data.name!r}")
    if int(np.prod(data.shape)) != space.n_inputs:
        raise ConfigError(f"data must have n_inputs = {space.n_inputs} pixels a sample, not "
                          f"{int(np.prod(data.shape))} ({data.name})")
    if data.num_classes != space.n_outputs:
        raise ConfigError(f"data must have n_outputs = {space.n_outputs} classes, not "
                          f"{data.num_classes} ({data.name})")
    return data


def nothing(space: SearchSpace, name: str) -> Dataset:
    """A data set without images, for what an `accuracy_fn` scores."""
    empty = {part: Split(np.zeros((0, space.n_inputs), np.uint8), np.zeros(0, np.int64))
             for part in ("train", "validation", "test")}
    return Dataset(name=name, shape=(space.n_inputs,), num_classes=space.n_outputs, **empty)


def subset(data: Dataset, train: int, validation: int) -> Dataset:
    """The data set, or that many of its training and validation images."""
    if train >= len(data.train) and validation >= len(data.validation):
        return data
    parts = {"train": _some(data.train, train), "validation": _some(data.validation, validation)}
    return Subset(name=f"{data.name}[{len(parts['train'])}+{len(parts['validation'])}]",
                  shape=data.shape, num_classes=data.num_classes, test=data.test, whole=data,
                  **parts)


def _some(split: Split, count: int) -> Split:
    if count >= len(split):
        return split
    places = np.sort(np.random.default_rng(0).permutation(len(split))[:count])
    return Split(split.inputs[places], split.labels[places])


def _digest(data: Dataset) -> str:
    """Of all splits, so that results of other images are not taken for those of these."""
    found = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        found.update(np.ascontiguousarray(split.inputs).tobytes())
        found.update(np.ascontiguousarray(split.labels).tobytes())
    return found.hexdigest()[:12]


def _cut(x, y, classes: int) -> Dataset:
    """Arrays as a data set."""
    from sklearn.model_selection import train_test_split

    x, y = np.asarray(x), np.asarray(y)
    if x.ndim < 2 or not len(x) or y.shape != x.shape[:1]:
        raise ConfigError("data must be x [n, ...] and y [n], not of shapes "
                          f"{list(x.shape)} and {list(y.shape)}")
    pixels, y = p8(x).reshape(len(x), -1), _labels(y, classes)
    counts = np.bincount(y, minlength=classes)
    if counts.min() < FEWEST:
        raise ConfigError(f"data must have at least {FEWEST} samples of each class, not "
                          f"{counts.min()} of class {counts.argmin()}")

    def cut(x, y):
        return train_test_split(x, y, test_size=max(classes, round(0.2 * len(y))), stratify=y,
                                random_state=0)

    rest, test, rest_y, test_y = cut(pixels, y)
    train, validation, train_y, validation_y = cut(rest, rest_y)
    made = Dataset(name="arrays", shape=(pixels.shape[1],), num_classes=classes,
                   train=Split(train, train_y), validation=Split(validation, validation_y),
                   test=Split(test, test_y))
    return replace(made, name=f"arrays-{_digest(made)}")


def _labels(y: np.ndarray, classes: int) -> np.ndarray:
    """Classes int64 [n]."""
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= classes:
        raise ConfigError(f"data must have y of integers in 0..{classes - 1}, not {y.dtype} of "
                          f"{y.min()}..{y.max()}")
    return y.astype(np.int64)


def p8(x: np.ndarray) -> np.ndarray:
    """Pixels as the device takes them, uint8: of floats in 0..1 the nearest of 255ths."""
    if x.dtype == np.uint8:
        return x.copy()
    if x.dtype.kind != "f" or not np.isfinite(x).all() or x.min() < 0 or x.max() > 1:
        raise ConfigError("data must have x of uint8, or of floats in 0..1, not "
                          f"{x.dtype} of {x.min()}..{x.max()}")
    return np.rint(255 * x).astype(np.uint8)
