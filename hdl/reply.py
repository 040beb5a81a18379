"""Replies: requests served one by one, and answered in frames."""

from enum import IntEnum

from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .checksum import BITS
from .protocol import (
    SCORE_BYTES,
    SYNC_REPLY,
    TAG_BYTES,
    WORD_BYTES,
    Command,
    Info,
    Status,
    infer_reply_bytes,
    pack_info,
)
from .request import request_layout


class Phase(IntEnum):
    """What part of a reply is being sent."""

    HEADER = 0
    CONSTANTS = 1
    RESULT = 2
    TRAILER = 3
    WORDS = 4


class Replies(wiring.Component):
    """Takes requests in `i`, has the core compute, sends bytes out `o`.

    `checksum` is that of the data bits of what `o` gave since `clear`, as they went to the line.
    n_traces and n_counters: words that a core answers for an inference and for STATS, byte `select`
    of which are `word` and `counter`. `select` stands for a clock before what it selects goes out,
    so `score`, `word` and `counter` may be read from a memory. divisor: after the reset; `divisor`,
    `steps` and `shift` change when the reply to the request that sets them is out; `forget` strobes
    when that to FORGET is.
    """

    def __init__(self, info: Info, divisor: int, value_bits: int, n_traces: int,
                 n_counters: int) -> None:
        self.info, self.n_traces, self.n_counters = info, n_traces, n_counters
        self.words = max(n_traces, n_counters)
        super().__init__({
            "i": In(stream.Signature(request_layout(info, value_bits))),
            "o": Out(stream.Signature(8)), "checksum": In(BITS), "clear": Out(1),
            "divisor": Out(info.divisor_bits, init=divisor),
            "steps": Out(range(info.num_steps + 1), init=info.num_steps), "shift": Out(4),
            "start": Out(1), "done": In(1), "cls": In(8),
            "select": Out(8), "score": In(signed(8 * SCORE_BYTES)), "word": In(8), "counter": In(8),
            "idle": Out(1), **({"forget": Out(1)} if info.features.weights else {}),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        request = self._request(m)
        good = request.status == Status.OK
        sending, last = Signal(), Signal()
        with m.FSM() as fsm:
            m.d.comb += [self.idle.eq(fsm.ongoing("idle")), sending.eq(fsm.ongoing("send"))]
            with m.State("idle"), m.If(self.i.valid):
                m.d.comb += self.start.eq((self.i.payload.command == Command.INFER)
                                          & (self.i.payload.status == Status.OK))
                m.next = "serve"
            with m.State("serve"):
                infer = good & (request.command == Command.INFER)
                with m.If(~infer | self.done):
                    m.next = "send"
            with m.State("send"), m.If(last):
                m.next = "finish"
            with m.State("finish"), m.If(self.o.ready):  # the stop bit of the last byte is out
                with m.If(good):
                    self._set(m, request)
                m.next = "idle"
        taken = self.idle if self.info.features.duplex else fsm.ongoing("finish") & self.o.ready
        m.d.comb += self.i.ready.eq(taken)
        self._send(m, request, good, sending, last)
        return m

    def _request(self, m: Module):
        """The request that is being served: a copy if the next one may arrive meanwhile."""
        if not self.info.features.duplex:
            return self.i.payload
        request = Signal.like(self.i.payload, reset_less=True)
        with m.If(self.idle):
            m.d.sync += request.eq(self.i.payload)
        return request

    def _set(self, m: Module, request) -> None:
        """Let a request that carries a number take effect."""
        targets = {Command.DIVISOR: self.divisor, Command.STEPS: self.steps,
                   Command.SHIFT: self.shift}
        with m.Switch(request.command):
            for command, target in targets.items():
                if command in self.info.features.commands():
                    with m.Case(command):
                        m.d.sync += target.eq(request.value)
            if self.info.features.weights:
                with m.Case(Command.FORGET):
                    m.d.comb += self.forget.eq(1)

    def _send(self, m: Module, request, good, sending, last) -> None:
        """The bytes of a reply, one after the other while `sending`; `last` strobes with the last.
        """
        info = self.info
        constants = pack_info(info)
        phase = Signal(3 if self.words else 2, reset_less=True)
        index = Signal(range(max(info.n_classes, len(constants), WORD_BYTES * self.words)),
                       reset_less=True)
        part = Signal(2, reset_less=True)  # byte of a header, a score or a checksum
        sent = Signal()
        header = Array([SYNC_REPLY, request.status, *self._length(m, request, good)])[part]
        result = Cat(self.score, self.cls).word_select(part, 8)
        word = Mux(request.command == Command.INFER, self.word, self.counter)
        m.d.comb += [
            sent.eq(self.o.valid & self.o.ready), self.select.eq(index),
            self.clear.eq((phase == Phase.HEADER) & ~part[1]),
            self.o.payload.eq(Array([header, Array(constants)[index[:4]], result,
                                     self.checksum[:8], word][:4 + bool(self.words)])[phase]),
        ]
        m.d.sync += self.o.valid.eq(sending & ~sent)  # a clock after `index`
        infer = request.command == Command.INFER
        with m.If(self.idle):
            m.d.sync += [phase.eq(Phase.HEADER), part.eq(0), index.eq(0)]
        with m.If(sent), m.Switch(phase):
            with m.Case(Phase.HEADER):
                m.d.sync += part.eq(part + 1)
                with m.If(part == 3):
                    m.d.sync += phase.eq(Phase.TRAILER)
                    with m.If(good & (infer | (request.command == Command.INFO))):
                        m.d.sync += phase.eq(Phase.CONSTANTS)
                    if self.n_counters:
                        with m.If(good & (request.command == Command.STATS)):
                            m.d.sync += phase.eq(Phase.WORDS)
            with m.Case(Phase.CONSTANTS):
                m.d.sync += index.eq(index + 1)
                with m.If(infer & (index == TAG_BYTES - 1)):
                    m.d.sync += [index.eq(0), phase.eq(Phase.RESULT)]
                with m.Elif(index == len(constants) - 1):
                    m.d.sync += phase.eq(Phase.TRAILER)
            with m.Case(Phase.RESULT):
                m.d.sync += part.eq(part + 1)
                with m.If(part == SCORE_BYTES):
                    m.d.sync += [index.eq(0),
                                 phase.eq(Phase.WORDS if self.n_traces else Phase.TRAILER)]
                with m.Elif((part == SCORE_BYTES - 1) & (index != info.n_classes - 1)):
                    m.d.sync += [part.eq(0), index.eq(index + 1)]
            with m.Case(Phase.TRAILER):
                m.d.sync += part.eq(part + 1)
                m.d.comb += last.eq(part[0])
            if self.words:
                with m.Case(Phase.WORDS):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == Mux(infer, WORD_BYTES * self.n_traces - 1,
                                           WORD_BYTES * self.n_counters - 1)):
                        m.d.sync += phase.eq(Phase.TRAILER)

    def _length(self, m: Module, request, good) -> tuple:
        """The payload length of a reply, its low and its high byte."""
        length = Signal(16)
        lengths = {Command.INFO: len(pack_info(self.info)),
                   Command.INFER: infer_reply_bytes(self.info.n_classes, self.n_traces),
                   Command.STATS: WORD_BYTES * self.n_counters}
        with m.If(good), m.Switch(request.command):
            for command, count in lengths.items():
                if command in self.info.features.commands():
                    with m.Case(command):
                        m.d.comb += length.eq(count)
        return length[:8], length[8:]
