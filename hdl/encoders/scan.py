"""What `rate` and `spikes` share: scan a memory once per timestep, then offer the spikes."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..spatial import spikes_layout
from ..words import WORD, words_layout
from .memory import PixelMemory


class ScanEncoder(wiring.Component):
    """Shifts the spikes of a timestep in, `bits_per_clock` a clock, and waits until they are taken.

    A subclass says whether every timestep scans the whole image again (`rewind`), and with
    `shift_in` what enters in a clock. The first timestep is
    offered after `scan_cycles` clocks, each further one `scan_cycles` + 1 after the one before was
    taken. There are `steps` of them, 1..num_steps. With `words`, `o` brings the words of a timestep
    (`hdl.words`), each one offered `WORD` / `bits_per_clock` clocks after scanning it begins, and
    that when the one before was taken.
    """

    rewind = True
    bits_per_clock = 1

    def __init__(self, n: int, num_steps: int, *, words: bool = False) -> None:
        self.n, self.num_steps, self.words = n, num_steps, words
        self.payload_bytes = self.image_bytes(n, num_steps)
        super().__init__({
            "pixels": In(stream.Signature(8)), "start": In(1),
            "steps": In(range(num_steps + 1), init=num_steps),
            "o": Out(stream.Signature(words_layout() if words else spikes_layout(n))),
            "busy": Out(1),
        })

    @classmethod
    def scan_cycles(cls, n: int) -> int:
        """Clocks that one timestep of n inputs takes to scan."""
        return -(-n // cls.bits_per_clock)

    @classmethod
    def image_bytes(cls, n: int, num_steps: int) -> int:
        """Bytes of one image on the link."""
        return cls.scan_cycles(n) * (1 if cls.rewind else num_steps)

    def shift_in(self, m: Module, value, scanning, idle):
        """The bits, lowest input first, that the byte `value` gives in a clock of the scan."""
        raise NotImplementedError

    def elaborate(self, platform):
        m = Module()
        size, clocks = self.payload_bytes, self.scan_cycles(self.n)
        m.submodules.image = image = PixelMemory(size)
        wiring.connect(m, wiring.flipped(self.pixels), image.pixels)
        index = Signal(range(size))
        upcoming = Signal(range(size))
        # clocks of this timestep's scan; the image's bytes, if each timestep scans all of them
        count = index if self.rewind else Signal(range(clocks))
        remaining = Signal(range(self.num_steps))
        line = Signal(WORD if self.words else clocks * self.bits_per_clock)
        idle = Signal()
        scanning = Signal()
        bits = self.shift_in(m, image.value, scanning, idle)
        if self.words and self.bits_per_clock == WORD and self.n % WORD:
            bits = bits & Mux(count == clocks - 1, (1 << self.n % WORD) - 1, (1 << WORD) - 1)
        m.d.comb += [image.address.eq(upcoming), upcoming.eq(index),
                     self.o.payload.word.eq(line) if self.words
                     else self.o.payload.spikes.eq(line)]
        ended, step = self._word(m, scanning, count) if self.words else (Const(1), None)
        with m.FSM() as fsm:
            m.d.comb += [
                idle.eq(fsm.ongoing("idle")), scanning.eq(fsm.ongoing("scan")),
                image.accept.eq(idle), self.busy.eq(~idle),
            ]
            with m.State("idle"):
                m.d.sync += [count.eq(0), index.eq(0), remaining.eq(self.steps - 1),
                             self.o.payload.first.eq(1), self.o.payload.last.eq(self.steps == 1)]
                with m.If(self.start):
                    m.next = "scan"
            with m.State("scan"):
                m.d.comb += upcoming.eq(Mux(index == size - 1, 0, index + 1))
                m.d.sync += [
                    line.eq((bits << len(line) - self.bits_per_clock)
                            | (line >> self.bits_per_clock)),
                    count.eq(Mux(count == clocks - 1, 0, count + 1)), index.eq(upcoming),
                ]
                if step is None:
                    with m.If(count == clocks - 1):
                        m.d.sync += self.o.valid.eq(1)
                        m.next = "offer"
                else:
                    with m.If(step == WORD // self.bits_per_clock - 1):
                        m.d.sync += self.o.valid.eq(1)
                        m.next = "offer"
                    with m.Elif(count == clocks - 1):
                        m.next = "fill"
            if step is not None:
                with m.State("fill"):
                    m.d.sync += [line.eq(line >> self.bits_per_clock), step.eq(step + 1)]
                    with m.If(step == WORD // self.bits_per_clock - 1):
                        m.d.sync += self.o.valid.eq(1)
                        m.next = "offer"
            with m.State("offer"), m.If(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
                m.next = "scan"
                with m.If(ended):
                    m.d.sync += [self.o.payload.first.eq(0), remaining.eq(remaining - 1),
                                 self.o.payload.last.eq(remaining == 1)]
                    with m.If(remaining == 0):
                        m.next = "idle"
        return m

    def _word(self, m: Module, scanning, count) -> tuple:
        """Whether the word is the last one of its timestep, and the clock of a word's scan."""
        ended, step = Signal(), Signal(range(max(2, WORD // self.bits_per_clock)))
        with m.If(scanning):
            m.d.sync += [step.eq(step + 1), ended.eq(count == self.scan_cycles(self.n) - 1)]
        if self.bits_per_clock == WORD:
            m.d.sync += step.eq(0)
        return ended, step
