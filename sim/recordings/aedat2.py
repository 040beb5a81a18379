"""Recordings of a DVS128 in AEDAT 2.0 files, as CIFAR10-DVS has them.

Lines that begin with #, the first of them ``#!AER-DAT2.0``, then events of 64 bits, the highest
first: an address and microseconds. Of an address bits 1 to 7 and 8 to 14 are the pixel, counted
from the sensor's far corner so that images stand upright, bit 0 is 0 for brighter, and bit 15 marks
what is no event of a pixel. H. Li, H. Liu, X. Ji, G. Li and L. Shi, "CIFAR10-DVS: an event-stream
dataset for object classification", Frontiers in Neuroscience 11, 2017; jAER's DVS128.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from . import events
from .events import Events, Sensor

SUFFIX = ".aedat"
VERSION = b"#!AER-DAT2.0"
_SIZE, _SIDE, _SPECIAL = 8, 128, 1 << 15
#: Bytes of a recording, at most.
MOST = 1 << 30


def files(path: Path) -> list[Path]:
    return [path]


def labels(path: Path, classes: int) -> None:
    """None: a file is one recording, and does not say of what."""


def read(path: Path, places: Sequence[int], sensor: Sensor, mend: bool
         ) -> Iterator[Events]:
    """The one recording of a file."""
    data = events.content(path, MOST)
    begin = events.header(path, data, VERSION)
    body = len(data) - begin
    if (left := body % _SIZE) and not mend:
        raise events.cut_short(path, body // _SIZE, _SIZE, left)
    address, time = np.frombuffer(data, ">u4", 2 * (body // _SIZE), begin).reshape(-1, 2).T
    # more bits than a pixel has are a column beyond the sensor
    x = np.where(address >> 16, _SIDE + (address >> 16), _SIDE - 1 - (address >> 8 & 127))
    found = events.columns(time.astype(np.int32), x, _SIDE - 1 - (address >> 1 & 127),
                           1 - (address & 1))
    yield events.checked(found.some((address & _SPECIAL) == 0), sensor, mend, path)
