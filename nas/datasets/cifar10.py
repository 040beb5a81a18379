"""CIFAR-10 from its binary files: 32 x 32 pixels of three colours, in named subsets.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Records of one byte of
label and 3,072 of pixels, the planes red, green and blue, each row by row.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import images, records
from .dataset import Dataset
from .images import Origin

ORIGIN = Origin("cifar-10-batches-bin",
                "cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html")
SHAPE, CLASSES = (3, 32, 32), 10
_PIXELS, _RECORDS = 3 * 32 * 32, 10_000


@dataclass(frozen=True, kw_only=True)
class Subset(images.Subset):
    """As `images.Subset`: out of these training batches, and of the first `tested` test images."""

    batches: tuple[int, ...]
    tested: int


#: By the names of data sets. An excerpt of the test batch that has `tested` images, named as
#: `_test` says, does as well.
SETS = {
    "cifar10": Subset(batches=(1, 2, 3, 4, 5), train=4500, validation=500, test=1000,
                      tested=_RECORDS),
    "cifar10-batch1": Subset(batches=(1,), train=680, validation=250, test=80, tested=1000),
    "cifar10-small": Subset(batches=(1,), train=200, validation=50, test=80, tested=1000),
}


def files(name: str) -> list[Path]:
    """The training batches of a subset, then the test batch."""
    batches = [ORIGIN.path / f"data_batch_{number}.bin" for number in SETS[name].batches]
    return [*batches, _test(SETS[name])]


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    return CLASSES * subset.train, CLASSES * subset.validation, CLASSES * subset.test


def about(name: str) -> str:
    subset = SETS[name]
    return (f"as many of each class, drawn with seed {subset.seed} from data batches "
            f"{', '.join(map(str, subset.batches))} and the first {subset.tested:,} test images")


def load(name: str) -> Dataset:
    """The images of a subset."""
    subset, (*batches, test) = SETS[name], files(name)
    parts = [_read(batch, _RECORDS) for batch in batches]
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*parts))
    tested, test_labels = (array[:subset.tested] for array in _read(test, subset.tested))
    chosen = images.drawn(subset, labels, test_labels, CLASSES, ORIGIN, (ORIGIN.path, test))
    return images.dataset(name, SHAPE, CLASSES, {
        split: (tested[index], test_labels[index]) if split == "test" else
        (pixels[index], labels[index]) for split, index in chosen.items()})


def _read(path: Path, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    return records.read(path, at_least, 1, _PIXELS, CLASSES, ORIGIN)


def _test(subset: Subset) -> Path:
    """The test batch, or the excerpt of it that is there instead."""
    whole = ORIGIN.path / "test_batch.bin"
    excerpt = whole.with_name(f"{whole.stem}_first{subset.tested}.bin")
    spare = subset.tested < _RECORDS and not whole.exists() and excerpt.exists()
    return excerpt if spare else whole
