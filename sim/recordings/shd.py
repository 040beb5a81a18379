"""Recordings of the Spiking Heidelberg Digits: an HDF5 file of many, spikes of 700 channels each.

``spikes/times`` has the seconds and ``spikes/units`` the channels of each recording's spikes,
``labels`` its class. B. Cramer, Y. Stradmann, J. Schemmel and F. Zenke, "The Heidelberg spiking
data sets for the systematic evaluation of spiking neural networks", IEEE Transactions on Neural
Networks and Learning Systems 33, 2022.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...flow.errors import RunError, ToolError
from . import events
from .events import Events, Sensor, wrong

SUFFIX = ".h5"
#: Recordings of a file, and seconds of one, at most.
MOST, SECONDS = 1_000_000, 3600.0
_PARTS = ("spikes/times", "spikes/units", "labels")


def files(path: Path) -> list[Path]:
    return [path]


def labels(path: Path, classes: int) -> np.ndarray:
    """Classes of the recordings of a file, int64 [n]."""
    with _opened(path) as (_, _, found):
        known = np.asarray(found[:])
    off = (known < 0) | (known >= classes)
    if off.any():
        at = int(np.argmax(off))
        raise wrong(path, f"labels must be in 0..{classes - 1}, not {known[at]} of recording {at}")
    return known.astype(np.int64)


def read(path: Path, places: Sequence[int], sensor: Sensor, mend: bool) -> Iterator[Events]:
    """The recordings at `places` of a file."""
    with _opened(path) as (times, units, _):
        for place in places:
            t, x = np.asarray(times[place], np.float64), np.asarray(units[place])
            where = path.with_name(f"{path.name}[{place}]")
            if t.shape != x.shape or t.ndim != 1 or x.dtype.kind not in "iu":
                raise wrong(where, "must have an integer unit for every time, not "
                                   f"{x.dtype} {list(x.shape)} for {list(t.shape)}")
            if not (np.isfinite(t) & (np.abs(t) <= SECONDS)).all():
                raise wrong(where, f"times must be numbers up to {SECONDS:g} s, not "
                                   f"{t[np.argmin(np.abs(t) <= SECONDS)]:g}")
            nothing = np.zeros(len(t))
            found = events.columns(np.rint(1e6 * t), x, nothing, nothing)
            yield events.checked(found, sensor, mend, where)


@contextmanager
def _opened(path: Path):
    """Times, units and labels of a file, as many of each; RunError for any other file."""
    try:
        import h5py
    except ImportError as error:
        raise ToolError("h5py, which reads HDF5 files, is not installed; pip install "
                        "'spikeloom[events]' brings it") from error
    try:
        with h5py.File(path, "r") as file:
            found = [file[name] for name in _PARTS]
            counts = [part.shape for part in found]
            if len(set(counts)) != 1 or len(counts[0]) != 1 or not 1 <= counts[0][0] <= MOST:
                raise wrong(path, f"must have as many of {', '.join(_PARTS)}, in 1..{MOST:,}, not "
                                  + ", ".join(str(list(count)) for count in counts))
            if found[2].dtype.kind not in "iu":
                raise wrong(path, f"labels must be integers, not {found[2].dtype}")
            yield found
    except RunError:
        raise
    except FileNotFoundError as error:
        raise wrong(path, f"cannot be read ({error.strerror or 'no such file'})") from error
    except Exception as error:  # whatever a damaged file leads HDF5 into
        raise wrong(path, f"must be a whole HDF5 file with {', '.join(_PARTS)} "
                          f"({type(error).__name__})") from error
