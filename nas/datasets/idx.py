"""IDX files, plain or compressed with gzip: arrays of unsigned bytes.

Two bytes of zero, one of the type (8: unsigned byte), one of the number of dimensions, each
dimension in four bytes, the highest first, then the values, the last dimension fastest
(http://yann.lecun.com/exdb/mnist/).
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from .images import Origin

UBYTE = 8


def find(path: Path) -> Path:
    """The file itself if it is there, else its compressed form."""
    return path if path.exists() else path.with_name(path.name + ".gz")


def read(path: Path, shape: tuple[int, ...], origin: Origin) -> np.ndarray:
    """A file's values, uint8 of this shape; ConfigError where it is anything else.

    Never reads more than a byte beyond what the shape asks for, however far a file would expand.
    """
    begin = 4 + 4 * len(shape)
    size = begin + math.prod(shape)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            data = file.read(size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise origin.wrong(path, f"must be a whole gzip file ({error})") from error
    except OSError as error:
        raise origin.unreadable(path, error) from error
    magic = bytes((0, 0, UBYTE, len(shape)))
    if data[:4] != magic:
        raise origin.wrong(path, f"must begin with the magic number 0x{magic.hex()}, not "
                                 f"0x{data[:4].hex()}")
    found = tuple(np.frombuffer(data[4:begin].ljust(begin - 4, b"\0"), ">u4").tolist())
    if found != shape:
        raise origin.wrong(path, f"must have {_by(shape)} values, not {_by(found)}")
    if len(data) != size:
        raise origin.wrong(path, f"must have {size:,} bytes, not "
                                 + ("more" if len(data) > size else f"{len(data):,}"))
    return np.frombuffer(data, np.uint8, offset=begin).reshape(shape)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{extent:,}" for extent in shape)
