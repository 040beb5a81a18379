"""`stream`: pixels become stochastic streams, which meet the weights' streams clock by clock."""

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..memories import BLOCK_RAM
from ..ranks import between
from ..shared import rounds_layout
from ..spatial import columns_layout
from .memory import WORD, PixelMemory


def transpose_cycles(n: int, bits: int) -> int:
    """Clocks in which `StreamEncoder` turns a whole image into columns, all pixels being there."""
    return -(-n // WORD) * (WORD * 2 ** bits + 3)


class StreamEncoder(wiring.Component):
    """`stream`: one column of all inputs' streams a clock, forwards (x) and backwards (y).

    thresholds: int [2**B], R_x in the rank order of the weights' generator. As soon as 16 pixels
    are there, their stream bits go to a column memory, word by word, one bit a clock; `start` waits
    for the last word. An inference then reads the columns once per timestep, `steps` times. With
    `rounds` it reads them, forwards only, so many times at its start (`shared.rounds_layout`).

    max_shift: the largest `shift`, which is there only if it is not 0; the columns are then those
    of every 2**shift-th rank. It must stay from the first pixel to the end of the inference. ramps:
    whether the pixels' and the weights' generators are ramps, whose steps it makes longer.
    """

    def __init__(self, n: int, bits: int, thresholds: np.ndarray, num_steps: int,
                 rounds: int = 0, max_shift: int = 0, ramps: tuple[bool, bool] = (False, False)
                 ) -> None:
        assert not (rounds and max_shift)
        self.n, self.bits, self.num_steps = n, bits, num_steps
        self.rounds, self.max_shift, self.ramps = rounds, max_shift, ramps
        self.thresholds = [int(r) for r in thresholds]
        self.groups = -(-n // WORD)
        self.payload_bytes = self.image_bytes(n, num_steps)
        super().__init__({
            "pixels": In(stream.Signature(8)), "start": In(1),
            "steps": In(range(num_steps + 1), init=num_steps),
            "o": Out(stream.Signature(rounds_layout(n) if rounds else columns_layout(n))),
            "busy": Out(1), **({"shift": In(range(max_shift + 1))} if max_shift else {}),
        })

    @staticmethod
    def image_bytes(n: int, num_steps: int) -> int:
        """Bytes of one image on the link."""
        return n

    def elaborate(self, platform):
        m = Module()
        m.submodules.image = image = PixelMemory(self.n, self.bits)
        wiring.connect(m, wiring.flipped(self.pixels), image.pixels)
        group = Signal(range(self.groups + 1))
        columns_ready = Signal()
        m.d.comb += columns_ready.eq(group == self.groups)
        write = self._transpose(m, image, group)

        t = Signal(self.bits)
        fetch = Signal()
        upcoming = Signal(self.bits)
        m.d.comb += upcoming.eq(t + (fetch << self.shift if self.max_shift else fetch))
        for index in range(self.groups):
            m.submodules[f"columns{index}"] = memory = Memory(
                shape=WORD, depth=1 << self.bits, init=[],
                attrs=BLOCK_RAM)
            port = memory.write_port()
            x = memory.read_port()
            low, high = index * WORD, min(self.n, (index + 1) * WORD)
            m.d.comb += [
                port.addr.eq(write["address"]), port.data.eq(write["word"]),
                port.en.eq(write["strobe"] & (write["group"] == index)),
                x.addr.eq(upcoming), x.en.eq(1),
                self.o.payload.x[low:high].eq(x.data[:high - low]),
            ]
            if not self.rounds:
                y = memory.read_port()
                m.d.comb += [y.addr.eq(~self._last_of(upcoming)), y.en.eq(1),
                             self.o.payload.y[low:high].eq(y.data[:high - low])]
        self._play(m, image, columns_ready, t, fetch, upcoming)
        return m

    def _last_of(self, t):
        """The last of the ranks from t up to the next one that is walked."""
        return t | between(self.shift) if self.max_shift else t

    def _transpose(self, m: Module, image: PixelMemory, group) -> dict:
        """Walk t over the clocks and q over 16 pixels of a group; write a word after each q."""
        rom = Array([Const(r, self.bits) for r in self.thresholds])
        q = Signal(range(WORD))
        t = Signal(self.bits)
        walking = Signal()
        available = Signal()
        m.d.comb += image.address.eq(Cat(q, group))
        needed = Signal(range(self.groups * WORD + 1))
        m.d.comb += [
            needed.eq(Cat(Const(0, len(q)), group + 1)),
            available.eq((group != self.groups)
                         & ((image.written >= needed) | (image.written == self.n))),
        ]
        # The address goes out, a clock later the bit is shifted in, another clock later written.
        last = {"strobe": Signal(name="strobe"), "address": Signal(self.bits, name="address"),
                "group": Signal(len(group), name="last_group")}
        word = Signal(WORD)
        compare = Signal(self.bits)
        threshold = rom[compare]
        if self.max_shift:
            pixels, weights = self.ramps
            threshold = rom[compare >> self.shift] if weights else threshold
            threshold = threshold << self.shift if pixels else threshold
        taking = Signal()
        full = Signal()
        with m.If(walking):
            m.d.sync += q.eq(q + 1)
            with m.If(q == WORD - 1):
                m.d.sync += t.eq(t + 1)
                with m.If(t == (1 << self.bits) - 1):
                    m.d.sync += [walking.eq(0), group.eq(group + 1)]
        with m.Elif(available & ~taking & ~full & ~last["strobe"]):
            m.d.sync += walking.eq(1)
        m.d.sync += [
            taking.eq(walking), compare.eq(t), full.eq(walking & (q == WORD - 1)),
            last["strobe"].eq(full), last["address"].eq(compare),
        ]
        with m.If(walking):
            m.d.sync += last["group"].eq(group)
        with m.If(taking):
            m.d.sync += word.eq(Cat(word[1:], image.value > threshold))
        return last | {"word": word}

    def _play(self, m: Module, image: PixelMemory, columns_ready, t, fetch, upcoming) -> None:
        """Offer the columns of every timestep, the next one in each clock that takes one."""
        requested = Signal()
        remaining = Signal(range(self.num_steps))
        marks = self.o.payload
        with m.FSM() as fsm:
            m.d.comb += [self.busy.eq(~fsm.ongoing("idle")), image.accept.eq(fsm.ongoing("idle"))]
            with m.State("idle"):
                m.d.sync += [t.eq(0), marks.first.eq(1), marks.last.eq(self.steps == 1),
                             remaining.eq(self.steps - 1)]
                with m.If(requested & columns_ready):
                    m.d.sync += [requested.eq(0), self.o.valid.eq(1)]
                    m.next = "load" if self.rounds else "run"
                if self.rounds:
                    m.d.sync += marks.load.eq(1)
            final = self._last_of(t) == (1 << self.bits) - 1
            if self.rounds:
                played = Signal(range(self.rounds))
                with m.State("load"):
                    m.d.comb += fetch.eq(self.o.ready)
                    with m.If(self.o.ready):
                        m.d.sync += t.eq(t + 1)
                        with m.If(final):
                            m.d.sync += played.eq(played + 1)
                            with m.If(played == self.rounds - 1):
                                m.d.sync += [played.eq(0), marks.load.eq(0)]
                                m.next = "run"
            with m.State("run"):
                m.d.comb += fetch.eq(self.o.ready)
                with m.If(self.o.ready):
                    m.d.sync += t.eq(upcoming if self.max_shift else t + 1)
                    with m.If(1 if self.rounds else final):
                        m.d.sync += [marks.first.eq(0), marks.last.eq(remaining == 1),
                                     remaining.eq(remaining - 1)]
                        with m.If(remaining == 0):
                            m.d.sync += self.o.valid.eq(0)
                            m.next = "idle"
        with m.If(self.start):
            m.d.sync += requested.eq(1)
