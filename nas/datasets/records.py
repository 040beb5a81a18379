"""Files of records of one size: bytes of labels, then the pixels of an image (CIFAR)."""

from pathlib import Path

import numpy as np

from .images import Origin

#: Records that are read of a file, at most.
MOST = 100_000


def read(path: Path, at_least: int, labels: int, pixels: int, classes: int, origin: Origin
         ) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [n, pixels], and labels int64 [n], the last of a record's label bytes.

    Raises ConfigError with the file, and where it comes from, if it is missing or damaged.
    """
    size = labels + pixels
    data = np.frombuffer(origin.read(path, MOST * size + 1), np.uint8)
    if len(data) % size or len(data) < at_least * size:
        raise origin.wrong(path, f"must be {at_least:,} or more records of {size} bytes, not "
                                 f"{len(data):,} bytes")
    records = data.reshape(-1, size)
    found = records[:, labels - 1].astype(np.int64)
    if len(found) and found.max() >= classes:
        at = int(np.argmax(found >= classes))
        raise origin.wrong(path, f"labels must be in 0..{classes - 1}, not {found[at]} in record "
                                 f"{at}")
    return records[:, labels:], found
