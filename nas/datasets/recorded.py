"""What data sets of recordings share: their files become frames once, which are kept on disk.

A module of recordings (`datasets`) has, beside what all have, `READER` and `SENSOR`
(`sim.recordings`), `DOWNSAMPLE`, how far its frames are down-sampled where nobody says, and
`splits(name)`, the recordings of each split; `load(name, events)` takes a section [data].
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track
from safetensors.numpy import load, save

from ...flow.cache import Cache, key, root
from ...flow.errors import ConfigError, RunError
from ...flow.events import EventData, Recorded
from ...flow.run import RECORDED
from ...sim.recordings import READERS
from ...sim.recordings.frames import frames, shape
from .dataset import Dataset, Split
from .images import Origin

#: Recordings that are kept together; what a kill costs at most.
PART = 500
#: Bytes of all frames of a data set, at most.
MOST = 1 << 33


@dataclass(frozen=True)
class Recording:
    """A recording: the place in its file, and its class."""

    path: Path
    place: int
    label: int


def dataset(name: str, events: EventData | None, home: ModuleType) -> Dataset:
    """A data set of frames, as `events` says, by default as the data set itself.

    Its name says how frames were made, since accuracies with others are other figures. Raises
    ConfigError for settings and for files that are not there, RunError for what is wrong in one.
    """
    events = events or EventData(name=name)
    if not events.downsample:
        events = replace(events, downsample=home.DOWNSAMPLE)
    recorded = Recorded(RECORDED, home.READER, home.SENSOR, home.CLASSES, events)
    size = events.num_steps * int(np.prod(shape(events, home.SENSOR)))
    total = sum(home.sizes(name)) * size
    if total > MOST:
        raise ConfigError(f"data: frames of {name} must take at most {MOST >> 30} GiB, not "
                          f"{total / (1 << 30):.1f}; raise data.downsample, lower data.num_steps, "
                          "merge polarities, or take a smaller subset")
    parts = {split: Split(made(recordings, recorded, home.ORIGIN.path),
                          np.array([item.label for item in recordings], np.int64))
             for split, recordings in home.splits(name).items()}
    return Dataset(name=f"{name}[{events.text()}]", shape=shape(events, home.SENSOR),
                   num_classes=home.CLASSES, num_steps=events.num_steps, recorded=recorded, **parts)


def made(recordings: Sequence[Recording], recorded: Recorded, folder: Path) -> np.ndarray:
    """Frames of recordings, uint8 [n, T, channels], from the cache where it has them.

    The key of a part is of all settings and of its files: their names in `folder`, sizes and times
    of change.
    """
    cache, data = Cache(root() / "frames"), recorded.data
    plain = msgspec.to_builtins(replace(recorded, data=replace(data, name="")))
    channels = int(np.prod(shape(data, recorded.sensor)))
    out = np.empty((len(recordings), data.num_steps, channels), np.uint8)
    stamps: dict[Path, list] = {}
    console = Console(stderr=True, highlight=False)
    starts = range(0, len(recordings), PART)
    for start in track(starts, f"recordings of {data.name}, {PART} each", console=console,
                       transient=True, disable=not (sys.stderr.isatty() and len(starts) > 1)):
        part = recordings[start:start + PART]
        for path in {item.path for item in part} - stamps.keys():
            stamps[path] = list(_stamps(path, recorded, folder))
        name = key(plain, [[stamps[item.path], item.place] for item in part])
        kept = cache.get(name)
        found = None if kept is None else load(kept["frames.safetensors"])["frames"]
        if found is None:
            found = _framed(part, recorded)
            cache.put(name, {"frames.safetensors": save({"frames": _packed(found, data)})})
        else:
            found = _unpacked(found, data, channels)
        out[start:start + PART] = found
    return out


def _stamps(path: Path, recorded: Recorded, folder: Path) -> Iterator[list]:
    for file in READERS[recorded.reader].files(path):
        try:
            stat = file.stat()
        except OSError as error:
            raise RunError(f"{file}: cannot be read ({error.strerror}); unpack it again from where "
                           "it is from") from error
        yield [file.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns]


def _framed(part: Sequence[Recording], recorded: Recorded) -> np.ndarray:
    """Frames of recordings, each file read once."""
    found: list = [None] * len(part)
    for path in dict.fromkeys(item.path for item in part):
        mine = [k for k, item in enumerate(part) if item.path == path]
        read = READERS[recorded.reader].read(path, [part[k].place for k in mine], recorded.sensor,
                                             recorded.data.faults == "mend")
        for k, events in zip(mine, read, strict=True):
            found[k] = frames(events, recorded.data, recorded.sensor)
    return np.stack(found)


def _packed(found: np.ndarray, data: EventData) -> np.ndarray:
    """Frames as they are kept: of `binary` ones eight to a byte."""
    return np.packbits(found, axis=2) if data.values == "binary" else found


def _unpacked(kept: np.ndarray, data: EventData, channels: int) -> np.ndarray:
    return np.unpackbits(kept, axis=2, count=channels) if data.values == "binary" else kept


def of_classes(folder: Path, classes: Sequence[str], suffix: str, origin: Origin
               ) -> list[Recording]:
    """The recordings of a folder that has one for each class: of each, in the order of names.

    Names are ordered by their length first, so that _10 is behind _9. Raises ConfigError where a
    folder is missing.
    """
    found = []
    for label, name in enumerate(classes):
        try:
            paths = [path for path in (folder / name).iterdir() if path.suffix == suffix]
        except OSError as error:
            raise origin.unreadable(folder / name, error) from error
        found += [Recording(path, 0, label)
                  for path in sorted(paths, key=lambda path: (len(path.name), path.name))]
    return found
