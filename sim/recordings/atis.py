"""Recordings of an ATIS as N-MNIST has them: 40 bits an event.

A byte x, a byte y, a bit of polarity, 1 for brighter, and 23 bits of microseconds, the highest
first. An event of y = 240 is none: it adds 2**13 microseconds to all times that follow. G. Orchard,
A. Jayawant, G. K. Cohen and N. Thakor, "Converting static image datasets to spiking neuromorphic
datasets using saccades", Frontiers in Neuroscience 9, 2015.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from . import events
from .events import Events, Sensor

SUFFIX = ".bin"
_SIZE, _OVERFLOW, _MORE = 5, 240, 1 << 13
#: Bytes of a recording, at most.
MOST = 1 << 28


def files(path: Path) -> list[Path]:
    return [path]


def labels(path: Path, classes: int) -> None:
    """None: a file is one recording, and does not say of what."""


def read(path: Path, places: Sequence[int], sensor: Sensor, mend: bool
         ) -> Iterator[Events]:
    """The one recording of a file."""
    raw = np.frombuffer(events.content(path, MOST), np.uint8)
    whole, left = divmod(len(raw), _SIZE)
    if left and not mend:
        raise events.cut_short(path, whole, _SIZE, left)
    x, y, high, middle, low = raw[:_SIZE * whole].reshape(-1, _SIZE).T.astype(np.int64)
    over = y == _OVERFLOW
    t = ((high & 127) << 16 | middle << 8 | low) + _MORE * np.cumsum(over)
    yield events.checked(Events(t, x, y, high >> 7).some(~over), sensor, mend, path)
