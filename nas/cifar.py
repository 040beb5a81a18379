"""CIFAR-10 from its binary files: 32 x 32 pixels of three colours, in named subsets.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The files are those of
cifar-10-binary.tar.gz (https://www.cs.toronto.edu/~kriz/cifar.html), unpacked into the folder of
data sets: records of one byte of label and 3,072 of pixels, the planes red, green and blue, each
row by row. Accuracies of different subsets are different figures, so a subset has a name.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from ..flow.errors import ConfigError

FOLDER = "cifar-10-batches-bin"
SOURCE = "cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html"
SHAPE, CLASSES = (3, 32, 32), 10
_PIXELS, _RECORDS = 3 * 32 * 32, 10_000
_TEST = "test_batch.bin"


@dataclass(frozen=True)
class Subset:
    """Images per class, drawn with `seed`: train and validation out of the training batches, test
    out of the first `tested` test images.
    """

    batches: tuple[int, ...]
    train: int
    validation: int
    test: int
    tested: int
    seed: int = 0


#: By the names of data sets. An excerpt of the test batch that has `tested` images, named as
#: `_excerpt` says, does as well.
SUBSETS = {
    "cifar10": Subset(batches=(1, 2, 3, 4, 5), train=4500, validation=500, test=1000,
                      tested=_RECORDS),
    "cifar10-batch1": Subset(batches=(1,), train=680, validation=250, test=80, tested=1000),
    "cifar10-small": Subset(batches=(1,), train=200, validation=50, test=80, tested=1000),
}


def folder() -> Path:
    """Where data sets lie: in `SPIKELOOM_DATASETS`, or in `datasets` of the data directory."""
    if own := os.environ.get("SPIKELOOM_DATASETS"):
        return Path(own)
    data = os.environ.get("SPIKELOOM_DATA") or platformdirs.user_data_path("spikeloom")
    return Path(data) / "datasets"


def read(path: Path, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [n, 3072] and labels int64 [n] of one file.

    Raises ConfigError with the file, and where it comes from, if it is missing or damaged.
    """
    advice = f"it comes from {SOURCE}; SPIKELOOM_DATASETS names the folder that {FOLDER}/ is in"
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    if len(data) % (_PIXELS + 1) or len(data) < at_least * (_PIXELS + 1):
        raise ConfigError(f"{path}: must be {at_least:,} or more records of {_PIXELS + 1} bytes, "
                          f"not {len(data):,} bytes; {advice}")
    records = data.reshape(-1, _PIXELS + 1)
    labels = records[:, 0].astype(np.int64)
    if len(labels) and labels.max() >= CLASSES:
        at = int(np.argmax(labels >= CLASSES))
        raise ConfigError(f"{path}: labels must be in 0..{CLASSES - 1}, not {labels[at]} in record "
                          f"{at}; {advice}")
    return records[:, 1:], labels


def load(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The pixels and labels of a subset, by split: train, validation and test."""
    subset, where = SUBSETS[name], folder() / FOLDER
    parts = [read(where / f"data_batch_{number}.bin", _RECORDS) for number in subset.batches]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    test = where / _TEST
    if subset.tested < _RECORDS and not test.exists() and _excerpt(test, subset).exists():
        test = _excerpt(test, subset)
    test_pixels, test_labels = (array[:subset.tested] for array in read(test, subset.tested))
    rng = np.random.default_rng(subset.seed)
    chosen = _balanced(labels, subset.train + subset.validation, rng, where)
    fit, held = chosen[:, :subset.train].ravel(), chosen[:, subset.train:].ravel()
    seen = _balanced(test_labels, subset.test, rng, test).ravel()
    orders = [rng.permutation(index) for index in (fit, held, seen)]
    return {"train": (pixels[orders[0]], labels[orders[0]]),
            "validation": (pixels[orders[1]], labels[orders[1]]),
            "test": (test_pixels[orders[2]], test_labels[orders[2]])}


def described(name: str) -> str:
    """What a subset is, for figures that name it."""
    subset = SUBSETS[name]
    return (f"{name}: {CLASSES * subset.train:,} train, {CLASSES * subset.validation:,} validation "
            f"and {CLASSES * subset.test:,} test images, as many of each class, drawn with seed "
            f"{subset.seed} from data batches {', '.join(map(str, subset.batches))} and the first "
            f"{subset.tested:,} test images")


def _excerpt(test: Path, subset: Subset) -> Path:
    return test.with_name(f"{test.stem}_first{subset.tested}.bin")


def _balanced(labels: np.ndarray, each: int, rng: np.random.Generator, where: Path) -> np.ndarray:
    """Indices [classes, each], in random order."""
    found = []
    for label in range(CLASSES):
        index = np.flatnonzero(labels == label)
        if len(index) < each:
            raise ConfigError(f"{where}: must have {each:,} images of class {label}, not "
                              f"{len(index):,}; it comes from {SOURCE}")
        found.append(rng.permutation(index)[:each])
    return np.stack(found)
