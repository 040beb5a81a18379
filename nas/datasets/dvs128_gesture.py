"""DVS128 Gesture from its trials: eleven gestures of hands and arms before a DVS128.

A. Amir et al., "A low power, fully event-based gesture recognition system", CVPR 2017. A trial is
an .aedat file with a list of its gestures beside. trials_to_train.txt and trials_to_test.txt, which
has other people's, are the official split; validation is of the last training trials, whole ones,
mostly of people that train does not have either. Each trial has the eleven gestures, one of them
twice.
"""

import sys
from pathlib import Path, PurePosixPath

import numpy as np

from ...flow.events import EventData
from ...sim.recordings import aedat3
from . import recorded
from .dataset import Dataset
from .images import Origin
from .recorded import Recording

ORIGIN = Origin("DvsGesture", "DvsGesture.tar.gz of https://research.ibm.com/interactive/dvsgesture"
                )
READER, SENSOR, CLASSES = "aedat3", (2, 128, 128), 11
SHAPE, DOWNSAMPLE = SENSOR, 8
#: Trials of the lists, those of the first that are held out, and gestures of a trial.
TRAINING, TEST, HELD, GESTURES = 98, 24, 18, 12
SETS = {"dvs128-gesture": None}
#: Bytes of a list, at most.
_MOST = 1 << 20


def files(name: str = "dvs128-gesture") -> list[Path]:
    """The lists of trials."""
    return [ORIGIN.path / "trials_to_train.txt", ORIGIN.path / "trials_to_test.txt"]


def sizes(name: str) -> tuple[int, int, int]:
    return GESTURES * (TRAINING - HELD), GESTURES * HELD, GESTURES * TEST


def about(name: str) -> str:
    return f"validation being the last {HELD} of {TRAINING} training trials"


def load(name: str, events: EventData | None = None) -> Dataset:
    """Frames of all gestures."""
    return recorded.dataset(name, events, sys.modules[__name__])


def splits(name: str) -> dict[str, list[Recording]]:
    """The recordings of each split, in the order of the trials."""
    fit, test = (_trials(path, count) for path, count in zip(files(), (TRAINING, TEST)))
    cut = TRAINING - HELD
    return {split: [item for path in trials for item in _gestures(path)] for split, trials in
            (("train", fit[:cut]), ("validation", fit[cut:]), ("test", test))}


def _trials(path: Path, count: int) -> list[Path]:
    """The files that a list names."""
    names = ORIGIN.read(path, _MOST).decode("ascii", "replace").split()
    if len(names) != count or len(set(names)) != count:
        raise ORIGIN.wrong(path, f"must name {count} different trials, not {len(set(names))} in "
                                 f"{len(names)} lines")
    for name in names:
        if not name.endswith(aedat3.SUFFIX) or PurePosixPath(name).name != name:
            raise ORIGIN.wrong(path, f"trials must be names of {aedat3.SUFFIX} files, not "
                                     f"{name[:40]!r}")
    return [path.parent / name for name in names]


def _gestures(path: Path) -> list[Recording]:
    labels: np.ndarray | None = aedat3.labels(path, CLASSES)
    if labels is None:
        raise ORIGIN.wrong(path.with_name(f"{path.stem}_labels.csv"), "cannot be read (No such "
                           "file or directory)")
    return [Recording(path, place, int(label)) for place, label in enumerate(labels)]
