"""Events of one recording, and what is wrong with some recordings."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...flow.errors import RunError

#: Polarities, rows and columns of a sensor.
Sensor = tuple[int, int, int]

MEND = "data.faults = 'mend'"
AGAIN = "unpack it again from where it is from"


@dataclass(frozen=True, eq=False)
class Events:
    """Events in the order of their file.

    t: microseconds; x, y: columns and rows from the sensor's top left; p: 1 where it became
    brighter, 0 where darker. All int64 [n].
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def __len__(self) -> int:
        return len(self.t)

    def some(self, which: np.ndarray | slice) -> "Events":
        """Those events of an index, a mask or a slice."""
        return Events(self.t[which], self.x[which], self.y[which], self.p[which])

    def between(self, start: int, stop: int) -> "Events":
        """Those with start <= t < stop."""
        return self.some((self.t >= start) & (self.t < stop))


def columns(t, x, y, p) -> Events:
    """Events of any integers."""
    return Events(*(np.asarray(values).astype(np.int64) for values in (t, x, y, p)))


def wrong(path: Path, words: str, cure: str = "") -> RunError:
    """The error for a file of recordings: the rule it breaks, and what to do, `cure` first."""
    return RunError(f"{path}: {words}; {f'{cure}, or ' if cure else ''}{AGAIN}")


def cut_short(path: Path, event: int, size: int, left: int) -> RunError:
    """The error for a file that ends within an event of `size` bytes."""
    return wrong(path, f"event {event:,} must have {size} bytes, not {left}: the file ends within "
                       "it", f"{MEND} takes the events before it")


def checked(events: Events, sensor: Sensor, mend: bool, path: Path) -> Events:
    """The events of a recording, in order and on the sensor (polarities, rows, columns).

    mend: sort them by time, as many as have the same in the order of the file, and leave out what
    is not on the sensor. Raises RunError with the file and the event, or for no events at all.
    """
    _, rows, columns = sensor
    off = (events.x < 0) | (events.x >= columns) | (events.y < 0) | (events.y >= rows)
    if off.any():
        if not mend:
            at = int(np.argmax(off))
            raise wrong(path, f"event {at:,} must be on the sensor of {columns} x {rows}, not at "
                              f"x = {events.x[at]}, y = {events.y[at]}",
                        f"{MEND} leaves such events out")
        events = events.some(~off)
    back = np.diff(events.t) < 0
    if back.any():
        if not mend:
            at = int(np.argmax(back)) + 1
            raise wrong(path, f"event {at:,} must not be before event {at - 1:,}, at "
                              f"{events.t[at]:,} us after {events.t[at - 1]:,} us",
                        f"{MEND} sorts events by time")
        events = events.some(np.argsort(events.t, kind="stable"))
    if not len(events):
        raise wrong(path, "must have events, not none", "leave it out")
    return events


def content(path: Path, most: int) -> bytes:
    """A file's bytes; RunError if there is none, or it has more than `most`."""
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise wrong(path, f"cannot be read ({error.strerror or error})") from error
    if len(data) > most:
        raise wrong(path, f"must have at most {most:,} bytes, not more")
    return data


def header(path: Path, data: bytes, version: bytes, end: bytes | None = None) -> int:
    """Where the events of an AEDAT file begin: after its lines of #, and `end`, the last of them.

    Raises RunError for a file that does not begin with `version`.
    """
    if not data:
        raise wrong(path, "must have events, not no bytes at all", "leave it out")
    if not data.startswith(version):
        raise wrong(path, f"must begin with {version.decode()}, not "
                          f"{data[:len(version)].decode('ascii', 'replace')!r}", "convert it")
    at = 0
    while data[at:at + 1] == b"#":
        line, at = at, data.find(b"\n", at) + 1
        if not at:
            raise wrong(path, "must have events behind its header, not end within it")
        if end is not None and data.startswith(end, line):
            return at
    if end is not None:
        raise wrong(path, f"must have a header that ends with {end.decode()}, not without")
    return at
