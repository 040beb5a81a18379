"""CIFAR10-DVS from its folders of recordings: images of CIFAR-10 that move before a DVS128.

H. Li, H. Liu, X. Ji, G. Li and L. Shi, "CIFAR10-DVS: an event-stream dataset for object
classification", Frontiers in Neuroscience 11, 2017. Files are the original ones, AEDAT 2.0, of 128
x 128 pixels, a folder for each class. There is no official split: all three are drawn.
"""

import sys
from pathlib import Path

import numpy as np

from ...flow.events import EventData
from . import recorded
from .dataset import Dataset
from .images import SPLITS, Origin, Subset, balanced
from .recorded import Recording

ORIGIN = Origin("cifar10-dvs", "airplane.zip to truck.zip of CIFAR10-DVS, "
                "https://doi.org/10.6084/m9.figshare.4724671")
READER, SENSOR, CLASSES = "aedat2", (2, 128, 128), 10
SHAPE, DOWNSAMPLE = SENSOR, 8
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
#: Recordings of a class.
EACH = 1000

#: By the names of data sets: recordings of a class.
SETS = {"cifar10-dvs": Subset(train=800, validation=100, test=100),
        "cifar10-dvs-small": Subset(train=80, validation=20, test=40)}


def files(name: str = "cifar10-dvs") -> list[Path]:
    """The folders of the classes."""
    return [ORIGIN.path / item for item in NAMES]


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    return CLASSES * subset.train, CLASSES * subset.validation, CLASSES * subset.test


def about(name: str) -> str:
    return f"as many of each class, drawn with seed {SETS[name].seed}; none of them is official"


def load(name: str, events: EventData | None = None) -> Dataset:
    """Frames of a subset."""
    return recorded.dataset(name, events, sys.modules[__name__])


def splits(name: str) -> dict[str, list[Recording]]:
    """The recordings of each split; of a smaller subset, some of the same split of the whole."""
    found = recorded.of_classes(ORIGIN.path, NAMES, ".aedat", ORIGIN)
    labels, whole = np.array([item.label for item in found]), SETS["cifar10-dvs"]
    chosen = balanced(labels, EACH, CLASSES, np.random.default_rng(whole.seed), ORIGIN, ORIGIN.path)
    out, at = {}, 0
    for split in SPLITS:
        mine = chosen[:, at:at + getattr(SETS[name], split)]
        at += getattr(whole, split)
        order = np.random.default_rng(whole.seed).permutation(mine.ravel())
        out[split] = [found[k] for k in order]
    return out
