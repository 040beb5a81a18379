"""The link: requests and replies, framed and checksummed, between a byte stream and a core.

A frame is ``sync, head, length (16 bit, little-endian), payload, crc (16 bit, big-endian)``; the
head is a `Command` in a request and a `Status` in a reply. The checksum, CRC-16/CCITT-FALSE
(polynomial 0x1021, from 0xFFFF, not reflected; `crc16`), covers head, length and payload.

    INFO     payload: none              reply: `INFO_REPLY`
    INFER    payload: n_inputs pixels   reply: class, 4 bytes of design hash, scores (each 24 bits,
                                        little-endian two's complement)
    DIVISOR  payload: clocks per bit,   reply: none, at the old rate; then the rate changes
             16 bit little-endian

Bytes before a sync byte are skipped. A request that breaks off is dropped after a silence of
``2**silence_bits`` bit times. After any error the link waits for that silence too, so that no rest
of a bad request is read as another one, and then answers the error's status with no payload.
"""

import struct
from binascii import crc_hqx
from enum import IntEnum

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .uart import DIVISOR_BITS, MAX_DIVISOR, MIN_DIVISOR

PROTOCOL = 1
#: Different, so that a line that echoes is not taken for a device.
SYNC_REQUEST, SYNC_REPLY = 0xA5, 0x5A
#: Reply to INFO: protocol, design hash, n_inputs, n_classes, num_steps, bytes per score.
INFO_REPLY = struct.Struct("<B8sHHHB")
DESIGN_BYTES, TAG_BYTES, SCORE_BYTES = 8, 4, 3
SILENCE_BITS = 13


class Command(IntEnum):
    """What a request asks for."""

    INFO = 1
    INFER = 2
    DIVISOR = 3


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    UNKNOWN = 1
    LENGTH = 2
    CHECKSUM = 3
    RANGE = 4
    OVERRUN = 5


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE; ``crc16(b"123456789") == 0x29B1``."""
    return crc_hqx(data, 0xFFFF)


def frame(sync: int, head: int, payload: bytes = b"") -> bytes:
    """One frame, ready to send."""
    body = struct.pack("<BH", head, len(payload)) + payload
    return bytes([sync]) + body + struct.pack(">H", crc16(body))


def infer_reply_bytes(n_classes: int) -> int:
    """Payload length of the reply to INFER."""
    return 1 + TAG_BYTES + SCORE_BYTES * n_classes


def crc_step(crc, data):
    """`crc` after one byte, most significant bit first; both as Amaranth values.

    The byte-wise form for 0x1021: with x the top byte plus data, folded onto itself once, the
    shifted checksum takes x at bits 12, 5 and 0.
    """
    folded = crc[8:] ^ data
    x = Cat(folded[:4] ^ folded[4:], folded[4:])
    return Cat(Const(0, 8), crc[:8]) ^ Cat(Const(0, 12), x[:4]) ^ Cat(Const(0, 5), x) ^ x


class Link(wiring.Component):
    """Serves requests, one at a time: bytes in `i`, bytes out `o`, the rest mirrors a core's ports.

    design: 8 bytes that identify the network. divisor: the UART's at reset; the port is the present
    one, and `tick` strobes once per bit time, at every clock in which `o` is ready too. `error`
    strobes for a byte that came damaged. `busy` is high from a sync byte to the end of the reply. A
    pixel that comes while `pixels` is not ready is lost, and the request answered with OVERRUN;
    `pixels` does not hold it, against the usual rule of streams.
    """

    def __init__(self, n_inputs: int, n_classes: int, num_steps: int, design: bytes,
                 divisor: int = 104, silence_bits: int = SILENCE_BITS) -> None:
        assert 1 <= n_inputs < 1 << 16 and 1 <= n_classes <= 256 and len(design) == DESIGN_BYTES
        assert MIN_DIVISOR <= divisor <= MAX_DIVISOR
        self.n_inputs = n_inputs
        self.n_classes = n_classes
        self.silence_bits = silence_bits
        self.info = INFO_REPLY.pack(PROTOCOL, design, n_inputs, n_classes, num_steps, SCORE_BYTES)
        super().__init__({
            "i": In(stream.Signature(8, always_ready=True)),
            "error": In(1),
            "o": Out(stream.Signature(8)),
            "tick": In(1),
            "divisor": Out(DIVISOR_BITS, init=divisor),
            "busy": Out(1),
            "pixels": Out(stream.Signature(8)),
            "restart": Out(1),
            "start": Out(1),
            "done": In(1),
            "cls": In(8),
            "select": Out(8),
            "score": In(signed(24)),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        got, sent = self.i.valid, self.o.ready  # a byte has come; the one in `reply` goes
        byte = self.i.payload
        command, status = Signal(2), Signal(Status)
        is_infer, is_divisor = Signal(), Signal()
        index = Signal(range(max(self.n_inputs, self.n_classes, len(self.info))))
        part = Signal(2)  # byte of a header, a score or a checksum
        divisor = Signal(DIVISOR_BITS, reset_less=True)  # as received
        reply, replying = Signal(8), Signal()
        m.d.comb += [
            is_infer.eq(command == Command.INFER),
            is_divisor.eq(command == Command.DIVISOR),
            self.pixels.payload.eq(byte),
            self.select.eq(index),
            self.o.valid.eq(replying),
            self.o.payload.eq(reply),
        ]

        crc, covered, clear = Signal(16, init=0xFFFF), Signal(), Signal()
        with m.If(clear):
            m.d.sync += [crc.eq(0xFFFF), index.eq(0), part.eq(0)]
        with m.Elif(covered):
            m.d.sync += crc.eq(crc_step(crc, Mux(replying, reply, byte)))

        silence = Signal(self.silence_bits + 1)
        quiet = silence[-1]
        m.d.sync += silence.eq(silence + self.tick)
        with m.If(got | self.error | quiet):
            m.d.sync += silence.eq(0)

        request_bytes, reply_bytes = Signal(16), Signal(16)
        with m.Switch(command):
            for code, (asked, answered) in self._payload_bytes().items():
                with m.Case(code):
                    m.d.comb += request_bytes.eq(asked)
                    with m.If(status == Status.OK):
                        m.d.comb += reply_bytes.eq(answered)

        def fail(code: Status) -> None:
            m.d.sync += status.eq(code)
            m.next = "silence"

        def unless_broken() -> None:
            with m.If(self.error):
                fail(Status.CHECKSUM)
            with m.Elif(quiet):
                m.next = "hunt"

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("hunt"))
            with m.State("hunt"):
                m.d.comb += clear.eq(1)
                m.d.sync += status.eq(Status.OK)
                with m.If(got & (byte == SYNC_REQUEST)):
                    m.next = "command"

            with m.State("command"):
                unless_broken()
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += command.eq(byte)
                    m.next = "length"
                    with m.If((byte == 0) | (byte > max(Command))):
                        fail(Status.UNKNOWN)

            with m.State("length"):
                unless_broken()
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += part[0].eq(~part[0])
                    with m.If(part[0]):
                        m.d.comb += self.restart.eq(is_infer)
                        m.next = "payload"
                        with m.If(command == Command.INFO):
                            m.next = "checksum"
                    with m.If(byte != request_bytes.word_select(part[0], 8)):
                        fail(Status.LENGTH)

            with m.State("payload"):
                unless_broken()
                m.d.comb += self.pixels.valid.eq(got & is_infer)
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += index.eq(index + 1)
                    with m.If(is_infer):
                        with m.If(index == self.n_inputs - 1):
                            m.next = "checksum"
                        with m.If(~self.pixels.ready):
                            fail(Status.OVERRUN)
                    with m.Elif(~index[0]):
                        m.d.sync += divisor[:8].eq(byte)
                    with m.Else():
                        m.d.sync += divisor[8:].eq(byte)
                        m.next = "checksum"
                        with m.If(Cat(divisor[:8], byte)[2:] == 0):
                            fail(Status.RANGE)
                        with m.If(byte[DIVISOR_BITS - 8:] != 0):
                            fail(Status.RANGE)

            with m.State("checksum"):
                unless_broken()
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += part[0].eq(~part[0])
                    with m.If(part[0]):
                        m.d.comb += self.start.eq(is_infer & (byte == crc[8:]))
                        m.next = "serve"
                    with m.If(byte != crc[8:]):
                        fail(Status.CHECKSUM)

            with m.State("silence"):
                m.d.comb += clear.eq(1)
                with m.If(quiet):
                    m.next = "header"

            with m.State("serve"):
                m.d.comb += clear.eq(1)
                with m.If(~is_infer | self.done):
                    m.next = "header"

            with m.State("header"):
                fields = Array([SYNC_REPLY, status, reply_bytes[:8], reply_bytes[8:]])
                m.d.comb += [replying.eq(1), reply.eq(fields[part])]
                with m.If(sent):
                    m.d.comb += covered.eq(part != 0)
                    m.d.sync += part.eq(part + 1)
                    with m.If(part == 3):
                        m.next = "trailer"
                        with m.If((status == Status.OK) & ~is_divisor):
                            m.next = "constants"

            with m.State("constants"):
                m.d.comb += [replying.eq(1), reply.eq(Array(self.info)[index[:4]])]
                with m.If(is_infer & (index == 0)):
                    m.d.comb += reply.eq(self.cls)
                with m.If(sent):
                    m.d.comb += covered.eq(1)
                    m.d.sync += index.eq(index + 1)
                    with m.If(is_infer & (index == TAG_BYTES)):
                        m.d.sync += index.eq(0)
                        m.next = "scores"
                    with m.Elif(index == len(self.info) - 1):
                        m.next = "trailer"

            with m.State("scores"):
                m.d.comb += [replying.eq(1), reply.eq(self.score.word_select(part, 8))]
                with m.If(sent):
                    m.d.comb += covered.eq(1)
                    m.d.sync += part.eq(part + 1)
                    with m.If(part == SCORE_BYTES - 1):
                        m.d.sync += [part.eq(0), index.eq(index + 1)]
                        with m.If(index == self.n_classes - 1):
                            m.next = "trailer"

            with m.State("trailer"):
                m.d.comb += [replying.eq(1), reply.eq(crc[8:])]
                with m.If(sent):
                    m.d.comb += covered.eq(1)
                    m.d.sync += part[0].eq(~part[0])
                    with m.If(part[0]):
                        m.next = "finish"

            with m.State("finish"):  # until the stop bit of the last byte is out
                with m.If(sent):
                    with m.If(is_divisor & (status == Status.OK)):
                        m.d.sync += self.divisor.eq(divisor)
                    m.next = "hunt"
        return m

    def _payload_bytes(self) -> dict[Command, tuple[int, int]]:
        """Payload lengths of each command's request and reply."""
        return {
            Command.INFO: (0, len(self.info)),
            Command.INFER: (self.n_inputs, infer_reply_bytes(self.n_classes)),
            Command.DIVISOR: (2, 0),
        }
