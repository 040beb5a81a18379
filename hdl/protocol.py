"""The protocol of the link: what a host and a device both know, as plain Python.

A frame is ``sync, head, length (16 bit), payload, crc (16 bit)``, all little-endian; the head is a
`Command` in a request and a `Status` in a reply. The checksum (`checksum.crc16`) covers head,
length and payload.

    INFO     payload: none              reply: `INFO_REPLY`
    INFER    payload: an image          reply: the first `TAG_BYTES` of INFO's, a score per class
                                        (24 bits, two's complement), the class; in a proof build, a
                                        CRC-32 per layer (`trace`)
    DIVISOR  payload: clocks per bit    reply: empty, at the old rate; then the rate changes
    STEPS    payload: timesteps         reply: empty; inferences have so many from then on
    SHIFT    payload: h                 reply: empty; bitstreams are L >> h long from then on
    STATS    payload: none              reply: `counters`, 32 bits each
    WEIGHTS  payload: none              reply: empty; its status is how the weights are
    FORGET   payload: none              reply: empty; then there are no weights, and LOAD begins
    LOAD     payload: a piece           reply: empty; pieces, the last one filled up, are an image
                                        (`flash_image`)

The numbers in payloads of DIVISOR, STEPS and SHIFT have 16 bits.

Bytes before a sync byte are skipped. A request that breaks off is dropped after a silence of
``2**silence_bits`` bit times. After an error the link waits for that silence too, so that no rest
of a bad request is read as another one, and then answers the status with an empty payload. A
request may be sent while the one before is answered only to a duplex build, and only one.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from .checksum import crc16

PROTOCOL = 3
#: Different, so that a line that echoes is not taken for a device.
SYNC_REQUEST, SYNC_REPLY = 0xA5, 0x5A
DESIGN_BYTES, SCORE_BYTES, WORD_BYTES, CHECKSUM_BYTES = 8, 3, 4, 2
#: Of a frame, beyond its payload.
FRAME_BYTES = 4 + CHECKSUM_BYTES
#: What each INFER repeats of `INFO_REPLY`: protocol and half the hash.
TAG_BYTES = 5
#: 8,192 bit times: 71 ms at 115,200 baud, longer than a host's gaps between USB packets.
SILENCE_BITS = 13
PIXEL_BITS = (1, 2, 4, 8)
#: Of a weights image, in a LOAD: as many as a page of a flash has.
PIECE_BYTES = 256
MAX_SHIFT = 15


class Command(IntEnum):
    """What a request asks for."""

    INFO = 1
    INFER = 2
    DIVISOR = 3
    STEPS = 4
    SHIFT = 5
    STATS = 6
    WEIGHTS = 7
    FORGET = 8
    LOAD = 9


class Status(IntEnum):
    """How a request ended.

    REFUSED: a pixel came too early, or a number is out of range. OVERRUN: bytes came before the
    request in front of them was served. Those after it say of INFER and WEIGHTS that there are no
    weights: LOADING: not yet; MISSING: where their image should be is something else; VERSION: it
    has another format; NETWORK: it is another network's; DAMAGED: its checksum is wrong.
    """

    OK = 0
    UNKNOWN = 1
    LENGTH = 2
    REFUSED = 3
    CHECKSUM = 4
    OVERRUN = 5
    LOADING = 6
    MISSING = 7
    VERSION = 8
    NETWORK = 9
    DAMAGED = 10


@dataclass(frozen=True, kw_only=True)
class Features:
    """What a build of the link offers beyond the cheapest; `INFO` tells.

    duplex: an image may arrive while the one before it is computed and answered. counters: STATS.
    steps: STEPS, fewer timesteps than the network was compiled with. max_shift: the largest h of
    SHIFT, 0 without. pixel_bits: of each pixel on the line (`packing`), 1, 2, 4 or 8. weights: what
    a network whose weights are not in the bitstream needs, WEIGHTS, FORGET and LOAD.
    """

    duplex: bool = False
    counters: bool = False
    steps: bool = False
    max_shift: int = 0
    pixel_bits: int = 8
    weights: bool = False

    def commands(self) -> list[Command]:
        """The requests that such a build serves."""
        offered = {Command.STEPS: self.steps, Command.SHIFT: self.max_shift > 0,
                   Command.STATS: self.counters,
                   **dict.fromkeys((Command.WEIGHTS, Command.FORGET, Command.LOAD), self.weights)}
        return [command for command in Command if offered.get(command, True)]


#: What is cheapest, and what is built where nothing else is asked for.
BASIC = Features()


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a device says about itself; design: 16 hexadecimal digits; image_bytes: of an INFER.

    proof: whether it answers a checksum per layer. Its divisor has divisor_bits.
    """

    design: str
    image_bytes: int
    n_classes: int
    num_steps: int
    proof: bool = False
    divisor_bits: int = 8
    features: Features = BASIC
    protocol: int = PROTOCOL


#: protocol, design hash, image bytes, classes - 1, timesteps, `_pack_flags`, max_shift and
#: divisor_bits (4 bits each). It is a ROM, and 16 bytes are one cell a bit.
INFO_REPLY = struct.Struct("<B8sHBHBB")


def pack_info(info: Info) -> bytes:
    """The payload of INFO's reply."""
    features = info.features
    flags = (features.duplex | features.counters << 1 | features.steps << 2 | info.proof << 3
             | PIXEL_BITS.index(features.pixel_bits) << 4 | features.weights << 6)
    return INFO_REPLY.pack(info.protocol, bytes.fromhex(info.design), info.image_bytes,
                           info.n_classes - 1, info.num_steps, flags,
                           features.max_shift | info.divisor_bits << 4)


def unpack_info(data: bytes) -> Info:
    """`pack_info` the other way; of another protocol only `protocol` means anything."""
    protocol, design, image_bytes, last_class, num_steps, flags, limits = INFO_REPLY.unpack(data)
    features = Features(duplex=bool(flags & 1), counters=bool(flags & 2), steps=bool(flags & 4),
                        max_shift=limits & 15, pixel_bits=PIXEL_BITS[flags >> 4 & 3],
                        weights=bool(flags & 64))
    return Info(protocol=protocol, design=design.hex(), image_bytes=image_bytes,
                n_classes=last_class + 1, num_steps=num_steps, proof=bool(flags & 8),
                divisor_bits=limits >> 4, features=features)


def frame(sync: int, head: int, payload: bytes = b"") -> bytes:
    """One frame, ready to send."""
    body = struct.pack("<BH", head, len(payload)) + payload
    return bytes([sync]) + body + crc16(body).to_bytes(CHECKSUM_BYTES, "little")


def infer_reply_bytes(n_classes: int, n_traces: int = 0) -> int:
    """Payload length of the reply to INFER."""
    return TAG_BYTES + SCORE_BYTES * n_classes + 1 + WORD_BYTES * n_traces


def number_limits(command: Command, info: Info) -> range:
    """The numbers that a device takes with DIVISOR, STEPS or SHIFT."""
    return {Command.DIVISOR: range(4, 1 << info.divisor_bits),
            Command.STEPS: range(1, info.num_steps + 1),
            Command.SHIFT: range(info.features.max_shift + 1)}[command]
