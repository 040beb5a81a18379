"""N-MNIST from its folders of recordings: the digits of MNIST as a moving sensor of 34 x 34 sees
them, 0.3 s each.

G. Orchard, A. Jayawant, G. K. Cohen and N. Thakor, "Converting static image datasets to spiking
neuromorphic datasets using saccades", Frontiers in Neuroscience 9, 2015. Train and Test have a
folder for each digit, with files named by the number of the image, from 1. Validation is of the
last 10,000 training images, as `mnist`'s.
"""

import sys
from pathlib import Path

import numpy as np

from ...flow.events import EventData
from . import recorded
from .dataset import Dataset
from .images import SPLITS, Origin, Subset, balanced
from .recorded import Recording

ORIGIN = Origin("nmnist", "Train.zip and Test.zip of "
                "https://www.garrickorchard.com/datasets/n-mnist")
READER, SENSOR, CLASSES = "atis", (2, 34, 34), 10
SHAPE, DOWNSAMPLE = SENSOR, 2
#: Recordings of the folders, and how many of the first one are held out.
TRAINING, TEST, HELD = 60_000, 10_000, 10_000

#: By the names of data sets; None takes every recording, in the order of the images.
SETS: dict[str, Subset | None] = {
    "nmnist": None, "nmnist-small": Subset(train=200, validation=50, test=100)}


def files(name: str = "nmnist") -> list[Path]:
    """The folders of both splits."""
    return [ORIGIN.path / "Train", ORIGIN.path / "Test"]


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    if subset is None:
        return TRAINING - HELD, HELD, TEST
    return CLASSES * subset.train, CLASSES * subset.validation, CLASSES * subset.test


def about(name: str) -> str:
    subset, held = SETS[name], f"the last {HELD:,} training images"
    if subset is None:
        return f"validation being {held}"
    return (f"as many of each class, drawn with seed {subset.seed}, validation from {held}, train "
            "from the others")


def load(name: str, events: EventData | None = None) -> Dataset:
    """Frames of a subset."""
    return recorded.dataset(name, events, sys.modules[__name__])


def splits(name: str) -> dict[str, list[Recording]]:
    """The recordings of each split."""
    fit, test = (_listed(path, count) for path, count in zip(files(), (TRAINING, TEST)))
    parts = {"train": fit[:TRAINING - HELD], "validation": fit[TRAINING - HELD:], "test": test}
    if subset := SETS[name]:
        rng = np.random.default_rng(subset.seed)
        for split, where in zip(SPLITS, (files()[0], *files())):
            labels = np.array([item.label for item in parts[split]])
            chosen = rng.permutation(balanced(labels, getattr(subset, split), CLASSES, rng, ORIGIN,
                                              where).ravel())
            parts[split] = [parts[split][k] for k in chosen]
    return parts


def _listed(folder: Path, count: int) -> list[Recording]:
    """The recordings of a split, in the order of their numbers."""
    found = recorded.of_classes(folder, [str(digit) for digit in range(CLASSES)], ".bin", ORIGIN)
    if len(found) != count:
        raise ORIGIN.wrong(folder, f"must have {count:,} recordings, not {len(found):,}")
    return sorted(found, key=lambda item: (item.path.name, item.label))
