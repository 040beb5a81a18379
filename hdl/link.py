"""The link: requests and replies, framed and checksummed, between a byte stream and a core.

A frame is ``sync, head, length (16 bit, little-endian), payload, crc (16 bit, big-endian)``; the
head is a `Command` in a request and a `Status` in a reply. The checksum, CRC-16/CCITT-FALSE
(polynomial 0x1021, from 0xFFFF, not reflected; `crc16`), covers head, length and payload.

    INFO     payload: none              reply: `INFO_REPLY`
    INFER    payload: n_inputs pixels   reply: the first `TAG_BYTES` of INFO's, a score per class
                                        (24 bits, little-endian two's complement), the class; in a
                                        proof build, a CRC-32 per layer (little-endian, `trace`)
    DIVISOR  payload: clocks per bit,   reply: empty, at the old rate; then the rate changes
             16 bit little-endian

Bytes before a sync byte are skipped. A request that breaks off is dropped after a silence of
``2**silence_bits`` bit times. After an error the link waits for that silence too, so that no rest
of a bad request is read as another one, and then answers the status with an empty payload.
"""

import struct
from binascii import crc_hqx
from enum import IntEnum

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .uart import DIVISOR_BITS, MAX_DIVISOR, MIN_DIVISOR

PROTOCOL = 2
#: Different, so that a line that echoes is not taken for a device.
SYNC_REQUEST, SYNC_REPLY = 0xA5, 0x5A
#: Reply to INFO: protocol, design hash, n_inputs, n_classes, num_steps, traced layers.
INFO_REPLY = struct.Struct("<B8sHHHB")
DESIGN_BYTES, SCORE_BYTES, CRC_BYTES = 8, 3, 4
MAX_TRACES = 63
#: What each INFER repeats of `INFO_REPLY`: protocol and half the hash.
TAG_BYTES = 5
#: 8,192 bit times: 71 ms at 115,200 baud, longer than a host's gaps between USB packets.
SILENCE_BITS = 13


class Command(IntEnum):
    """What a request asks for."""

    INFO = 1
    INFER = 2
    DIVISOR = 3


class Status(IntEnum):
    """How a request ended; REFUSED: a pixel came too early, or the divisor is out of range."""

    OK = 0
    UNKNOWN = 1
    LENGTH = 2
    REFUSED = 3
    CHECKSUM = 4


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE; ``crc16(b"123456789") == 0x29B1``."""
    return crc_hqx(data, 0xFFFF)


def frame(sync: int, head: int, payload: bytes = b"") -> bytes:
    """One frame, ready to send."""
    body = struct.pack("<BH", head, len(payload)) + payload
    return bytes([sync]) + body + struct.pack(">H", crc16(body))


def infer_reply_bytes(n_classes: int, n_traces: int = 0) -> int:
    """Payload length of the reply to INFER."""
    return TAG_BYTES + SCORE_BYTES * n_classes + 1 + CRC_BYTES * n_traces


def crc_step(crc, folded):
    """`crc` after one byte, most significant bit first; `folded` is the byte XOR ``crc[8:]``.

    The byte-wise form for 0x1021: with x the folded byte, its low half XORed with its high half,
    the checksum moves up by a byte and takes x at bits 12, 5 and 0.
    """
    x = Cat(folded[:4] ^ folded[4:], folded[4:])
    return Cat(Const(0, 8), crc[:8]) ^ Cat(Const(0, 12), x[:4]) ^ Cat(Const(0, 5), x) ^ x


class Phase(IntEnum):
    """What part of a reply is being sent."""

    HEADER = 0
    CONSTANTS = 1
    RESULT = 2
    TRAILER = 3
    TRACE = 4


class Link(wiring.Component):
    """Serves requests, one at a time: bytes in `i`, bytes out `o`, the rest mirrors a core's ports.

    design: 8 bytes that identify the network. divisor: the UART's at reset; the port is the present
    one. n_traces: the layers whose checksums an inference answers, 0 but in a proof build. `tick`
    strobes once per bit time. `busy` is high from a sync byte to the end of the reply.
    `i` has no back-pressure, so `pixels` offers each pixel for one clock, against the usual rule of
    streams; one that is not taken is lost, and the request answered with REFUSED.
    """

    def __init__(self, n_inputs: int, n_classes: int, num_steps: int, design: bytes,
                 divisor: int = 104, silence_bits: int = SILENCE_BITS, n_traces: int = 0) -> None:
        assert 0 <= n_traces <= MAX_TRACES
        assert 1 <= n_inputs < 1 << 16 and 1 <= n_classes <= 256 and len(design) == DESIGN_BYTES
        assert MIN_DIVISOR <= divisor <= MAX_DIVISOR
        self.n_inputs = n_inputs
        self.n_classes = n_classes
        self.n_traces = n_traces
        self.silence_bits = silence_bits
        self.info = INFO_REPLY.pack(PROTOCOL, design, n_inputs, n_classes, num_steps, n_traces)
        super().__init__({
            "i": In(stream.Signature(8, always_ready=True)),
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
            "trace": In(8),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        command = Signal(2, reset_less=True)
        status = Signal(3, reset_less=True)
        phase = Signal(3 if self.n_traces else 2, reset_less=True)
        index = Signal(range(max(self.n_inputs, self.n_classes, len(self.info),
                                 CRC_BYTES * self.n_traces)), reset_less=True)
        part = Signal(2, reset_less=True)  # byte of a header, a length, a score or a checksum
        pending = Signal(DIVISOR_BITS, reset_less=True)
        crc = Signal(16, reset_less=True)
        clear = Signal()
        covered = Signal()
        replying = Signal()
        byte, reply = self.i.payload, self.o.payload
        got = self.i.valid
        sent = Signal()
        asked, answered = self._payload_bytes(m, command)
        is_infer, is_divisor = command == Command.INFER, command == Command.DIVISOR
        m.d.comb += [
            self.pixels.payload.eq(byte),
            self.select.eq(index),
            self.o.valid.eq(replying),
            sent.eq(replying & self.o.ready),
        ]
        folded = Signal(8)
        m.d.comb += folded.eq(crc[8:] ^ Mux(replying, reply, byte))
        with m.If(clear):
            m.d.sync += [crc.eq(0xFFFF), index.eq(0), part.eq(0), phase.eq(Phase.HEADER)]
        with m.Elif(covered):
            m.d.sync += crc.eq(crc_step(crc, folded))

        silence = Signal(self.silence_bits + 1, reset_less=True)
        quiet = silence[-1]
        m.d.sync += silence.eq(silence + self.tick)
        with m.If(got | quiet):
            m.d.sync += silence.eq(0)

        def fail(code: Status) -> None:
            m.d.sync += status.eq(code)
            m.next = "serve"

        def give_up() -> None:
            with m.If(quiet):
                m.next = "hunt"

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("hunt"))
            with m.State("hunt"):
                m.d.comb += clear.eq(1)
                with m.If(got & (byte == SYNC_REQUEST)):
                    m.d.sync += status.eq(Status.OK)
                    m.next = "command"

            with m.State("command"):
                give_up()
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += command.eq(byte)
                    m.next = "length"
                    with m.If((byte[:2] == 0) | (byte[2:] != 0)):  # not 1..3
                        fail(Status.UNKNOWN)

            with m.State("length"):
                give_up()
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += part[0].eq(~part[0])
                    with m.If(part[0]):
                        m.d.comb += self.restart.eq(is_infer)
                        m.next = "payload"
                        with m.If(command == Command.INFO):
                            m.next = "checksum"
                    with m.If(byte != asked.word_select(part[0], 8)):
                        fail(Status.LENGTH)

            with m.State("payload"):
                give_up()
                m.d.comb += self.pixels.valid.eq(got & is_infer)
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += index.eq(index + 1)
                    with m.If(is_infer):
                        with m.If(index == self.n_inputs - 1):
                            m.next = "checksum"
                        with m.If(~self.pixels.ready):
                            fail(Status.REFUSED)
                    with m.Elif(~index[0]):
                        m.d.sync += pending[:8].eq(byte)
                    with m.Else():
                        m.d.sync += pending[8:].eq(byte)
                        m.next = "checksum"
                        with m.If((Cat(pending[2:8], byte) == 0) | (byte[DIVISOR_BITS - 8:] != 0)):
                            fail(Status.REFUSED)

            with m.State("checksum"):
                give_up()
                with m.If(got):
                    m.d.comb += covered.eq(1)
                    m.d.sync += part[0].eq(~part[0])
                    with m.If(part[0]):
                        m.d.comb += self.start.eq(is_infer & (folded == 0))
                        m.next = "serve"
                    with m.If(folded != 0):
                        fail(Status.CHECKSUM)

            with m.State("serve"):
                m.d.comb += clear.eq(1)
                with m.If(Mux(status == Status.OK, ~is_infer | self.done, quiet)):
                    m.next = "reply"

            with m.State("reply"):
                m.d.comb += replying.eq(1)
                with m.If(sent):
                    m.d.comb += covered.eq((phase != Phase.HEADER) | (part != 0))
                    with m.If((phase == Phase.TRAILER) & part[0]):
                        m.next = "finish"

            with m.State("finish"), m.If(self.o.ready):  # the stop bit of the last byte is out
                with m.If(is_divisor & (status == Status.OK)):
                    m.d.sync += self.divisor.eq(pending)
                m.next = "hunt"

        length = Mux(status == Status.OK, answered, 0)
        header = Array([SYNC_REPLY, status, length[:8], length[8:]])[part]
        constant = Array(self.info)[index[:4]]
        result = Cat(self.score, self.cls).word_select(part, 8)
        replies = {Phase.HEADER: header, Phase.CONSTANTS: constant, Phase.RESULT: result,
                   Phase.TRAILER: crc[8:], Phase.TRACE: self.trace}
        m.d.comb += reply.eq(Array(replies[k] for k in range(5 if self.n_traces else 4))[phase])
        with m.If(sent), m.Switch(phase):
            with m.Case(Phase.HEADER):
                m.d.sync += part.eq(part + 1)
                with m.If(part == 3):
                    m.d.sync += phase.eq(Phase.CONSTANTS)
                    with m.If((status != Status.OK) | is_divisor):
                        m.d.sync += phase.eq(Phase.TRAILER)
            with m.Case(Phase.CONSTANTS):
                m.d.sync += index.eq(index + 1)
                with m.If(is_infer & (index == TAG_BYTES - 1)):
                    m.d.sync += [index.eq(0), phase.eq(Phase.RESULT)]
                with m.Elif(index == len(self.info) - 1):
                    m.d.sync += phase.eq(Phase.TRAILER)
            with m.Case(Phase.RESULT):
                m.d.sync += part.eq(part + 1)
                with m.If(part == SCORE_BYTES):
                    m.d.sync += phase.eq(Phase.TRACE if self.n_traces else Phase.TRAILER)
                    if self.n_traces:
                        m.d.sync += index.eq(0)
                with m.Elif((part == SCORE_BYTES - 1) & (index != self.n_classes - 1)):
                    m.d.sync += [part.eq(0), index.eq(index + 1)]
            with m.Case(Phase.TRAILER):
                m.d.sync += part.eq(part + 1)
            if self.n_traces:
                with m.Case(Phase.TRACE):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == CRC_BYTES * self.n_traces - 1):
                        m.d.sync += phase.eq(Phase.TRAILER)
        return m

    def _payload_bytes(self, m: Module, command: Signal) -> tuple[Signal, Signal]:
        """Payload lengths of a command's request and of its reply, 16 bits each."""
        asked = Signal(16)
        answered = Signal(16)
        with m.Switch(command):
            with m.Case(Command.INFER):
                m.d.comb += asked.eq(self.n_inputs)
                m.d.comb += answered.eq(infer_reply_bytes(self.n_classes, self.n_traces))
            with m.Case(Command.DIVISOR):
                m.d.comb += asked.eq(2)
            with m.Default():
                m.d.comb += answered.eq(len(self.info))
        return asked, answered
