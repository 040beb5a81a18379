"""Recordings of events in the files of their data sets, a format a module here, with

* `SUFFIX`, how names of its files end;
* `labels(path, classes)`, the classes of a file's recordings, int64 [n], or None where a file is
  one recording and does not say of what;
* `read(path, places, sensor, mend)`, the events of the recordings at these places, one after the
  other, checked (`events.checked`);
* `files(path)`, all that these depend on.

Whatever is wrong with a file is a RunError with its name, the event, and what to do.
"""

from pathlib import Path
from types import ModuleType

import numpy as np

from ...flow.errors import ConfigError
from ...flow.events import Recorded
from . import aedat2, aedat3, atis, shd
from .frames import frames

#: Formats by name.
READERS: dict[str, ModuleType] = {"aedat2": aedat2, "aedat3": aedat3, "atis": atis, "shd": shd}
#: How names of recordings end.
SUFFIXES = frozenset(reader.SUFFIX for reader in READERS.values())


def read_frames(path: Path, recorded: Recorded, count: int | None = None
                ) -> tuple[np.ndarray, np.ndarray | None]:
    """Frames uint8 [n, T, channels] of the recordings of one file, as a run's, and their labels.

    count: of the first recordings alone. Raises ConfigError for a file of another format's name,
    RunError for what is wrong inside.
    """
    reader, data = READERS[recorded.reader], recorded.data
    if path.suffix.lower() != reader.SUFFIX:
        raise ConfigError(f"{path}: recordings for a network of {data.name!r} must be "
                          f"{reader.SUFFIX} files, not {path.suffix}")
    known = reader.labels(path, recorded.classes)
    known = known if known is None or count is None else known[:count]
    places = range(1 if known is None else len(known))
    found = reader.read(path, places, recorded.sensor, data.faults == "mend")
    return np.stack([frames(events, data, recorded.sensor) for events in found]), known
