"""Images as a device takes them, and what it answers."""

import struct
from dataclasses import dataclass

import numpy as np

from ..flow.errors import ConfigError
from ..hdl import protocol
from ..hdl.pixels import pack_pixels
from ..hdl.protocol import Info


@dataclass(frozen=True)
class Result:
    """One inference; scores: one integer per class; design: the first 8 digits of the hash.

    crcs: of a proof build, a checksum per layer (`hdl.trace.trace_crc`).
    """

    cls: int
    scores: tuple[int, ...]
    design: str
    crcs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stats:
    """What a device has counted: clocks of the last inference, its spikes per layer, and errors.

    failed: requests and bytes that it could not take since its reset, at most 255.
    """

    cycles: int
    failed: int
    spikes: tuple[int, ...]


def image_payload(info: Info, p8: np.ndarray) -> bytes:
    """The payload of an image for a device; ConfigError if it is none."""
    pixels = np.asarray(p8).reshape(-1)
    bits = info.features.pixel_bits
    if pixels.dtype.kind not in "iu":
        raise ConfigError(f"an image must have integer pixels, not {pixels.dtype}")
    if -(-pixels.size * bits // 8) != info.image_bytes:
        fits = info.image_bytes * 8 // bits
        raise ConfigError(f"an image must have {fits} pixels for this design, not "
                          f"{pixels.size}")
    if pixels.min() < 0 or pixels.max() > 255:
        raise ConfigError("pixels must be in 0..255, not "
                          f"{pixels.min()}..{pixels.max()}")
    step = 255 // ((1 << bits) - 1)
    odd = pixels[pixels % step != 0]
    if odd.size:
        raise ConfigError(f"pixels must be multiples of {step} for this device, which takes "
                          f"{bits} bits each, not {odd[0]}; round them first")
    return pack_pixels(pixels // step, bits)


def unpack_result(info: Info, data: bytes) -> Result:
    """What the payload of a reply to INFER says."""
    end = protocol.infer_reply_bytes(info.n_classes) - 1
    scores = tuple(int.from_bytes(data[k:k + protocol.SCORE_BYTES], "little", signed=True)
                   for k in range(protocol.TAG_BYTES, end, protocol.SCORE_BYTES))
    words = (len(data) - end - 1) // protocol.WORD_BYTES
    return Result(data[end], scores, data[1:protocol.TAG_BYTES].hex(),
                  struct.unpack(f"<{words}I", data[end + 1:]))


def unpack_stats(data: bytes) -> Stats:
    """What the payload of a reply to STATS says."""
    cycles, failed, *spikes = struct.unpack(f"<{len(data) // protocol.WORD_BYTES}I", data)
    return Stats(cycles, failed, tuple(spikes))
