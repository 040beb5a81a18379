"""The image of a network's weights, as it lies in a board's flash and as the link carries it.

Little-endian: a header, the 16-bit words in the order of their addresses, and the CRC-32 of zlib
over all of that. Host and gateware know it from here.
"""

import struct
import zlib
from enum import IntEnum

import numpy as np

from .protocol import DESIGN_BYTES, Status
from .spram import DEPTH, MOST

MAGIC, VERSION = b"SLW", 1
#: `MAGIC`, `VERSION`, the design hash of the network, and how many words follow.
HEADER = struct.Struct(f"<3sB{DESIGN_BYTES}sI")
CHECK_BYTES = 4
MAX_WORDS = DEPTH * MOST


class Part(IntEnum):
    """What part of an image a byte belongs to."""

    HEADER = 0
    WORDS = 1
    CHECK = 2


def header(design: bytes, words: int) -> bytes:
    """The only header that a design with so many words takes."""
    assert len(design) == DESIGN_BYTES and 1 <= words <= MAX_WORDS
    return HEADER.pack(MAGIC, VERSION, design, words)


def header_status(index: int) -> Status:
    """What a header is answered with that differs first in byte `index`."""
    for end, status in ((len(MAGIC), Status.MISSING), (len(MAGIC) + 1, Status.VERSION),
                        (len(MAGIC) + 1 + DESIGN_BYTES, Status.NETWORK)):
        if index < end:
            return status
    return Status.DAMAGED


def image_bytes(words: int) -> int:
    """Bytes of an image of so many words."""
    return HEADER.size + 2 * words + CHECK_BYTES


def pack(words: np.ndarray, design: bytes) -> bytes:
    """The image of 16-bit words in the order of their addresses; design: 8 bytes."""
    words = np.asarray(words)
    assert words.ndim == 1 and words.min() >= 0 and words.max() <= 0xFFFF
    body = header(design, len(words)) + words.astype("<u2").tobytes()
    return body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little")


def verify(data: bytes, design: bytes, words: int) -> Status:
    """How a design that needs so many words answers an image; what follows it is not looked at.

    OK, or the first thing that is wrong: MISSING, VERSION, NETWORK or DAMAGED, which is one that
    was cut short, too.
    """
    wanted = header(design, words)
    for index, byte in enumerate(wanted):
        if data[index:index + 1] != bytes([byte]):
            return header_status(index)
    end = image_bytes(words)
    body, check = data[:end - CHECK_BYTES], data[end - CHECK_BYTES:end]
    good = check == zlib.crc32(body).to_bytes(CHECK_BYTES, "little")
    return Status.OK if good else Status.DAMAGED


def unpack(data: bytes) -> np.ndarray:
    """The words of an image that was verified: uint16."""
    words = HEADER.unpack_from(data)[-1]
    return np.frombuffer(data, "<u2", words, HEADER.size).astype(np.uint16)
