"""Recordings of a DVS128 in AEDAT 3.1 files, as DVS128 Gesture has them: many gestures a file.

Lines that begin with #, from ``#!AER-DAT3.1`` to ``#!END-HEADER``, then packets, the lowest byte
first: a header of 28 bytes (type, source; event size, offset of the time in an event, overflows of
the time, capacity, number and valid number of events), then `capacity` events. A polarity event,
type 1, is 32 bits (from the lowest: valid, polarity, 15 of y, 15 of x) and 31 bits of microseconds,
above which are the overflows. NAME_labels.csv beside NAME.aedat has a line for each gesture: class,
from 1, first and last microsecond. A. Amir et al., "A low power, fully event-based gesture
recognition system", CVPR 2017.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from . import events
from .events import Events, Sensor, wrong

SUFFIX = ".aedat"
VERSION = b"#!AER-DAT3.1"
END = b"#!END-HEADER"
POLARITY = 1
_HEADER = struct.Struct("<hhiiiiii")
_SIZE = 8
#: Bytes of a recording, and lines of its labels, at most.
MOST, LINES = 1 << 31, 100_000


def files(path: Path) -> list[Path]:
    """A recording, and its labels where they are there."""
    beside = _beside(path)
    return [path, beside] if beside.exists() else [path]


def labels(path: Path, classes: int) -> np.ndarray | None:
    """Classes, from 0, of the gestures of a file, int64 [n]; None without a file of labels."""
    if not _beside(path).exists():
        return None
    return np.array([label for label, _, _ in _rows(_beside(path), classes)], np.int64)


def read(path: Path, places: Sequence[int], sensor: Sensor, mend: bool
         ) -> Iterator[Events]:
    """The gestures at `places` of the labels; without labels the whole recording."""
    found = events.checked(_polarities(path, mend), sensor, mend, path)
    if not _beside(path).exists():
        yield found
        return
    rows = _rows(_beside(path))
    for place in places:
        _, start, stop = rows[place]
        part = found.between(start, stop)
        if not len(part):
            raise wrong(path, f"must have events between {start:,} and {stop:,} us, gesture "
                              f"{place} of {_beside(path).name}, not none", "leave it out")
        yield part


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_labels.csv")


def _rows(path: Path, classes: int | None = None) -> list[tuple[int, int, int]]:
    """Class, first and last microsecond of each gesture."""
    lines = events.content(path, 1 << 24).decode("ascii", "replace").split("\n")
    out = []
    for number, line in enumerate(lines[:LINES], 1):
        words = [word.strip() for word in line.strip().split(",")]
        if words == [""] or (number == 1 and words[0] == "class"):
            continue
        if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 16
                                      for word in words):
            raise wrong(path, f"line {number} must be a class and two times, not {line[:40]!r}")
        label, start, stop = map(int, words)
        if label < 1 or (classes is not None and label > classes):
            raise wrong(path, f"line {number}: the class must be in 1..{classes}, not {label}")
        if start >= stop:
            raise wrong(path, f"line {number}: the gesture must begin before it ends, not at "
                              f"{start:,} and {stop:,} us")
        out.append((label - 1, start, stop))
    if not out:
        raise wrong(path, "must have gestures, not none")
    return out


def _polarities(path: Path, mend: bool) -> Events:
    """All valid polarity events of a file."""
    data = events.content(path, MOST)
    at, parts, seen = events.header(path, data, VERSION, END), [], 0
    while at < len(data):
        left = len(data) - at
        if left < _HEADER.size:
            if mend:
                break
            raise wrong(path, f"must end with a whole packet, not with {left} bytes of the header "
                              f"of one, after {seen:,} events", f"{events.MEND} takes these")
        kind, _, size, offset, overflow, capacity, number, _ = _HEADER.unpack_from(data, at)
        if size < 1 or capacity < 0 or not 0 <= number <= capacity or overflow < 0 or (
                kind == POLARITY and (size != _SIZE or offset != 4)):
            raise wrong(path, f"the packet at byte {at:,} must have events of {_SIZE} bytes with "
                              f"their time at 4, and no more than its capacity, not {number} of "
                              f"{capacity} of {size} bytes with their time at {offset}")
        at += _HEADER.size
        there = min(capacity, (len(data) - at) // size)
        if there < capacity and not mend:
            raise events.cut_short(path, seen + there, size, len(data) - at - there * size)
        if kind == POLARITY:
            words = np.frombuffer(data, "<u4", 2 * min(number, there), at).reshape(-1, 2)
            parts.append(np.column_stack([words[:, 0], words[:, 1]
                                          | np.int64(overflow) << 31])[words[:, 0] & 1 == 1])
            seen += len(parts[-1])
        at += size * capacity
    word, time = np.concatenate([np.empty((0, 2), np.int64), *parts]).T
    return events.columns(time, word >> 17 & 0x7FFF, word >> 2 & 0x7FFF, word >> 1 & 1)
