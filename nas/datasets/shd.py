"""The Spiking Heidelberg Digits from their HDF5 files: spoken digits in two languages, as spikes of
700 channels of a model of the cochlea.

B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, "The Heidelberg spiking data sets for the
systematic evaluation of spiking neural networks", IEEE Transactions on Neural Networks and Learning
Systems 33, 2022. Two of the twelve speakers are in the test file alone; validation is drawn from
the training file, from all of its speakers.
"""

import sys
from pathlib import Path

from ...flow.events import EventData
from ...sim.recordings import shd
from . import images, recorded
from .dataset import Dataset
from .images import Origin, Subset
from .recorded import Recording

ORIGIN = Origin("shd", "shd_train.h5.zip and shd_test.h5.zip of https://compneuro.net/")
READER, SENSOR, CLASSES = "shd", (1, 1, 700), 20
SHAPE, DOWNSAMPLE = (700,), 10
#: Recordings of the files.
TRAINING, TEST = 8156, 2264

#: By the names of data sets; train takes what the balanced validation leaves.
SETS = {"shd": Subset(train=None, validation=40, test=None)}


def files(name: str = "shd") -> list[Path]:
    return [ORIGIN.path / "shd_train.h5", ORIGIN.path / "shd_test.h5"]


def sizes(name: str) -> tuple[int, int, int]:
    held = CLASSES * SETS[name].validation
    return TRAINING - held, held, TEST


def about(name: str) -> str:
    subset = SETS[name]
    return (f"validation having {subset.validation:,} of each class of the training file, drawn "
            f"with seed {subset.seed}, and train the others")


def load(name: str, events: EventData | None = None) -> Dataset:
    """Frames of all recordings."""
    return recorded.dataset(name, events, sys.modules[__name__])


def splits(name: str) -> dict[str, list[Recording]]:
    """The recordings of each split."""
    paths = files()
    labels = []
    for path, count in zip(paths, (TRAINING, TEST)):
        ORIGIN.read(path, 1)
        labels.append(shd.labels(path, CLASSES))
        if len(labels[-1]) != count:
            raise ORIGIN.wrong(path, f"must have {count:,} recordings, not {len(labels[-1]):,}")
    chosen = images.drawn(SETS[name], *labels, CLASSES, ORIGIN, tuple(paths))
    return {split: [Recording(paths[split == "test"], int(k), int(labels[split == "test"][k]))
                    for k in sorted(index)] for split, index in chosen.items()}
