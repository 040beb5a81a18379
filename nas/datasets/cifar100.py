"""CIFAR-100 from its binary files: 32 x 32 pixels of three colours, 100 fine classes.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. Records of the coarse
label, which is not used, the fine one, and 3,072 bytes of pixels as in CIFAR-10.
"""

from pathlib import Path

from . import images, records
from .dataset import Dataset
from .images import Origin, Subset

ORIGIN = Origin("cifar-100-binary",
                "cifar-100-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html")
SHAPE, CLASSES = (3, 32, 32), 100
#: Images of the files.
TRAINING, TEST = 50_000, 10_000

#: By the names of data sets.
SETS = {"cifar100": Subset(train=450, validation=50, test=100),
        "cifar100-small": Subset(train=20, validation=5, test=10)}


def files(name: str = "cifar100") -> list[Path]:
    return [ORIGIN.path / "train.bin", ORIGIN.path / "test.bin"]


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    return CLASSES * subset.train, CLASSES * subset.validation, CLASSES * subset.test


def about(name: str) -> str:
    return f"as many of each of the fine classes, drawn with seed {SETS[name].seed}"


def load(name: str) -> Dataset:
    """The images of a subset."""
    paths = tuple(files())
    (pixels, labels), (tested, test_labels) = (
        records.read(path, count, 2, 3 * 32 * 32, CLASSES, ORIGIN)
        for path, count in zip(paths, (TRAINING, TEST)))
    chosen = images.drawn(SETS[name], labels, test_labels, CLASSES, ORIGIN, paths)
    return images.dataset(name, SHAPE, CLASSES, {
        split: (tested[index], test_labels[index]) if split == "test" else
        (pixels[index], labels[index]) for split, index in chosen.items()})
