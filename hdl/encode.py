"""Encoders: the pixels of an image become spikes a timestep, or columns of a bitstream.

Both keep the image in a block memory, so a pixel is accepted in every clock outside an inference.
Their reset, which `core` drives, makes them wait for pixel 0 of a new image.
"""

from functools import reduce
from operator import xor

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from . import sng
from .spatial import columns_layout, spikes_layout

RATE_SEED = 0xACE1
RATE_BITS = 16
RATE_STEPS = 8
WORD = 16
#: Keep memories in EBR. No port reads a word in the clock in which it is written, so a build may
#: take such a read as undefined, and need no bypass for it.
BLOCK_RAM = {"ram_style": "block"}


def stream_code(m: Module, pixel, bits: int):
    """Code p = (p8 * 2**B + 127) // 255 of a pixel, combinational, B + 1 bits.

    With y = p8 * 2**B + 128, the quotient is (y + (y >> 8) + (y >> 16)) >> 8, which a test holds to
    the division for every pixel and every B up to 9.
    """
    y = Signal(bits + 9)
    total = Signal(bits + 10)
    m.d.comb += [
        y.eq(Cat(Const(0, bits), pixel) + 128),
        total.eq(y + (y >> 8) + (y >> 16)),
    ]
    return total[8:8 + bits + 1]


class PixelMemory(wiring.Component):
    """The image: pixels in index order from the reset on, as they are or as `stream` codes.

    bits: B of the stream codes to store, or None for the pixels themselves. A read takes one clock.
    """

    def __init__(self, n: int, bits: int | None = None) -> None:
        self.n, self.bits = n, bits
        self.depth = -(-n // WORD) * WORD
        width = 8 if bits is None else bits + 1
        super().__init__({
            "pixels": In(stream.Signature(8)), "accept": In(1),
            "written": Out(range(n + 1)), "address": In(range(self.depth)), "value": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=len(self.value), depth=self.depth, init=[],
                                            attrs=BLOCK_RAM)
        write = memory.write_port()
        read = memory.read_port()
        pixel, accepted = self.pixels.payload, Signal()
        m.d.comb += [
            self.pixels.ready.eq(self.accept & (self.written != self.n)),
            accepted.eq(self.pixels.valid & self.pixels.ready),
            write.addr.eq(self.written), write.en.eq(accepted),
            write.data.eq(pixel if self.bits is None else stream_code(m, pixel, self.bits)),
            read.addr.eq(self.address), read.en.eq(1), self.value.eq(read.data),
        ]
        with m.If(accepted):
            m.d.sync += self.written.eq(self.written + 1)
        return m


def transpose_cycles(n: int, bits: int) -> int:
    """Clocks in which `StreamEncoder` turns a whole image into columns, all pixels being there."""
    return -(-n // WORD) * (WORD * 2 ** bits + 3)


class StreamEncoder(wiring.Component):
    """`stream`: one column of all inputs' streams a clock, forwards (x) and backwards (y).

    thresholds: int [2**B], R_x in the rank order of the weights' generator. As soon as 16 pixels
    are there, their stream bits go to a column memory, word by word, one bit a clock; `start` waits
    for the last word. An inference then reads the columns once per timestep.
    """

    def __init__(self, n: int, bits: int, thresholds: np.ndarray, num_steps: int) -> None:
        self.n, self.bits, self.num_steps = n, bits, num_steps
        self.thresholds = [int(r) for r in thresholds]
        self.groups = -(-n // WORD)
        super().__init__({
            "pixels": In(stream.Signature(8)), "start": In(1),
            "o": Out(stream.Signature(columns_layout(n))),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.image = image = PixelMemory(self.n, self.bits)
        wiring.connect(m, wiring.flipped(self.pixels), image.pixels)
        group = Signal(range(self.groups + 1))
        columns_ready = Signal()
        m.d.comb += columns_ready.eq(group == self.groups)
        write = self._transpose(m, image, group)

        t, fetch = Signal(self.bits), Signal()
        upcoming = Signal(self.bits)
        m.d.comb += upcoming.eq(t + fetch)
        for index in range(self.groups):
            m.submodules[f"columns{index}"] = memory = Memory(
                shape=WORD, depth=1 << self.bits, init=[],
                attrs=BLOCK_RAM)
            port, x, y = memory.write_port(), memory.read_port(), memory.read_port()
            low, high = index * WORD, min(self.n, (index + 1) * WORD)
            m.d.comb += [
                port.addr.eq(write["address"]), port.data.eq(write["word"]),
                port.en.eq(write["strobe"] & (write["group"] == index)),
                x.addr.eq(upcoming), y.addr.eq(~upcoming), x.en.eq(1), y.en.eq(1),
                self.o.payload.x[low:high].eq(x.data[:high - low]),
                self.o.payload.y[low:high].eq(y.data[:high - low]),
            ]
        self._play(m, image, columns_ready, t, fetch)
        return m

    def _transpose(self, m: Module, image: PixelMemory, group) -> dict:
        """Walk t over the clocks and q over 16 pixels of a group; write a word after each q."""
        rom = Array([Const(r, self.bits) for r in self.thresholds])
        q, t = Signal(range(WORD)), Signal(self.bits)
        walking, available = Signal(), Signal()
        m.d.comb += image.address.eq(Cat(q, group))
        needed = Signal(range(self.groups * WORD + 1))
        m.d.comb += [
            needed.eq(Cat(Const(0, len(q)), group + 1)),
            available.eq((group != self.groups)
                         & ((image.written >= needed) | (image.written == self.n))),
        ]
        # The address goes out, a clock later the bit is shifted in, another clock later written.
        last = {"strobe": Signal(), "address": Signal(self.bits), "group": Signal(len(group))}
        word, compare = Signal(WORD), Signal(self.bits)
        taking, full = Signal(), Signal()
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
            m.d.sync += word.eq(Cat(word[1:], image.value > rom[compare]))
        return last | {"word": word}

    def _play(self, m: Module, image: PixelMemory, columns_ready, t, fetch) -> None:
        """Offer the columns of every timestep, the next one in each clock that takes one."""
        requested = Signal()
        remaining = Signal(range(self.num_steps), init=self.num_steps - 1)
        marks = self.o.payload
        with m.FSM() as fsm:
            m.d.comb += [self.busy.eq(~fsm.ongoing("idle")), image.accept.eq(fsm.ongoing("idle"))]
            with m.State("idle"):
                m.d.sync += [t.eq(0), marks.first.eq(1), marks.last.eq(self.num_steps == 1),
                             remaining.eq(self.num_steps - 1)]
                with m.If(requested & columns_ready):
                    m.d.sync += [requested.eq(0), self.o.valid.eq(1)]
                    m.next = "run"
            with m.State("run"):
                m.d.comb += fetch.eq(self.o.ready)
                with m.If(self.o.ready):
                    m.d.sync += t.eq(t + 1)
                    with m.If(t == (1 << self.bits) - 1):
                        m.d.sync += [marks.first.eq(0), marks.last.eq(remaining == 1),
                                     remaining.eq(remaining - 1)]
                        with m.If(remaining == 0):
                            m.d.sync += self.o.valid.eq(0)
                            m.next = "idle"
        with m.If(self.start):
            m.d.sync += requested.eq(1)


def leap(state):
    """The `rate` register after its eight steps, each bit the XOR of the bits that reach it."""
    bits = [frozenset([i]) for i in range(RATE_BITS)]
    for _ in range(RATE_STEPS):
        feedback = frozenset()
        for tap in sng.LFSR_TAPS[RATE_BITS]:
            feedback ^= bits[tap - 1]
        bits = [feedback, *bits[:-1]]
    return Cat(reduce(xor, (state[i] for i in sorted(chosen))) for chosen in bits)


class RateEncoder(wiring.Component):
    """`rate`: one spike per pixel and timestep, ``p8 > (state & 255)``.

    The 16-bit register starts at 0xACE1 with each inference and is stepped eight times per pixel,
    in index order. A timestep takes n + 1 clocks, and waits until its spikes are taken.
    """

    def __init__(self, n: int, num_steps: int) -> None:
        self.n, self.num_steps = n, num_steps
        super().__init__({
            "pixels": In(stream.Signature(8)), "start": In(1),
            "o": Out(stream.Signature(spikes_layout(n))),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.image = image = PixelMemory(self.n)
        wiring.connect(m, wiring.flipped(self.pixels), image.pixels)
        state = Signal(RATE_BITS, init=RATE_SEED)
        leaped = leap(state)
        index = Signal(range(self.n))
        upcoming = Signal(range(self.n))
        remaining = Signal(range(self.num_steps), init=self.num_steps - 1)
        spikes = self.o.payload.spikes
        m.d.comb += [image.address.eq(upcoming), upcoming.eq(index)]
        with m.FSM() as fsm:
            m.d.comb += [image.accept.eq(fsm.ongoing("idle")),
                         self.busy.eq(~fsm.ongoing("idle"))]
            with m.State("idle"):
                m.d.sync += [state.eq(RATE_SEED), index.eq(0), self.o.payload.first.eq(1),
                             self.o.payload.last.eq(self.num_steps == 1)]
                with m.If(self.start):
                    m.next = "scan"
            with m.State("scan"):
                wrapped = index == self.n - 1
                m.d.comb += upcoming.eq(Mux(wrapped, 0, index + 1))
                m.d.sync += [
                    spikes.eq(Cat(spikes[1:], image.value > state[:8])),
                    state.eq(leaped), index.eq(upcoming),
                ]
                with m.If(wrapped):
                    m.d.sync += self.o.valid.eq(1)
                    m.next = "offer"
            with m.State("offer"), m.If(self.o.ready):
                m.d.sync += [
                    self.o.valid.eq(0), self.o.payload.first.eq(0),
                    remaining.eq(remaining - 1), self.o.payload.last.eq(remaining == 1),
                ]
                m.next = "scan"
                with m.If(remaining == 0):
                    m.d.sync += remaining.eq(self.num_steps - 1)
                    m.next = "idle"
        return m


def rate_timestep_cycles(n: int) -> int:
    """Clocks of `RateEncoder` from one timestep's spikes being taken to the next being offered."""
    return n + 1


