"""Spikes of a timestep as words: what the `folded` lowering reads, eight axons at a time."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .memories import BLOCK_RAM
from .spatial import spikes_layout

#: Axons in a word.
WORD = 8


def words_layout() -> data.StructLayout:
    """A word, axon 0 in the lowest bit; `first`, `last` mark an inference's timesteps."""
    return data.StructLayout({"word": WORD, "first": 1, "last": 1})


def words(n: int) -> int:
    """Words that hold n axons; the bits above n are zero."""
    return -(-n // WORD)


class VectorToWords(wiring.Component):
    """Offers the words of each timestep in order, and takes its spikes with the last one.

    order: the axon of each bit, word by word, -1 for none; by default as they come.
    """

    def __init__(self, n: int, order: Sequence[int] | None = None) -> None:
        self.order = list(range(n)) if order is None else [int(axon) for axon in order]
        self.order += [-1] * (-len(self.order) % WORD)
        super().__init__({"i": In(stream.Signature(spikes_layout(n))),
                          "o": Out(stream.Signature(words_layout()))})

    def elaborate(self, platform) -> Module:
        m = Module()
        count = len(self.order) // WORD
        index = Signal(range(count))
        final = index == count - 1
        spikes = self.i.payload.spikes
        bits = Cat(Const(0, 1) if axon < 0 else spikes[axon] for axon in self.order)
        m.d.comb += [
            self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready & final),
            self.o.payload.word.eq(bits.word_select(index, WORD)),
            self.o.payload.first.eq(self.i.payload.first),
            self.o.payload.last.eq(self.i.payload.last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(index + 1)
            with m.If(final):
                m.d.sync += index.eq(0)
        return m


class WordScanner(wiring.Component):
    """Names the ones of a word, the lowest first, one a clock.

    `any` says that `index` is one; it is gone in the next clock. `spent`: a new word may be taken,
    with `take`, in this clock, which shows the last one of the word or none.
    """

    word: In(WORD)
    take: In(1)
    any: Out(1)
    index: Out(range(WORD))
    spent: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = Signal(WORD)
        low, high = bits[:4], bits[4:]
        in_low = Signal()
        nibble = Signal(4)
        rest = Signal(WORD)
        m.d.comb += [
            in_low.eq(low.any()), nibble.eq(high),
            self.any.eq(bits.any()),
            self.index.eq((~in_low << 2) | (~(nibble[0] | nibble[1]) << 1)
                          | (~nibble[0] & (nibble[1] | ~nibble[2]))),
            self.spent.eq(~rest.any()),
        ]
        with m.If(in_low):
            m.d.comb += nibble.eq(low)
        for k in range(4):
            m.d.comb += [rest[k].eq(low[k] & low[:k].any()) if k else rest[k].eq(0),
                         rest[4 + k].eq(high[k] & (high[:k].any() | in_low)) if k
                         else rest[4].eq(high[0] & in_low)]
        m.d.sync += bits.eq(rest)
        with m.If(self.take):
            m.d.sync += bits.eq(self.word)
        return m


class InputWords(wiring.Component):
    """Two timesteps of words: `i` fills the one while the other is read.

    `arrived` says that one is there to be read, with its `first` and `last`, until `done`. `fetch`
    reads the word of `address`, and `word` is it from the clock after on.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__({
            "i": In(stream.Signature(words_layout())), "arrived": Out(1), "first": Out(1),
            "last": Out(1), "done": In(1), "address": In(range(max(2, count))), "fetch": In(1),
            "word": Out(WORD),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        low = (self.count - 1).bit_length()
        m.submodules.memory = memory = Memory(shape=WORD, depth=2 << low, init=[],
                                              attrs=BLOCK_RAM)
        read, write = memory.read_port(), memory.write_port()
        index, filling, reading = Signal(range(self.count)), Signal(), Signal()
        full, first, last = Signal(2), Signal(2), Signal(2)
        taken, item = Signal(), self.i.payload
        m.d.comb += [
            self.i.ready.eq(~full.bit_select(filling, 1)),
            taken.eq(self.i.valid & self.i.ready),
            write.addr.eq(Cat(index, filling)), write.data.eq(item.word), write.en.eq(taken),
            read.addr.eq(Cat(self.address[:low], reading)), read.en.eq(self.fetch),
            self.word.eq(read.data), self.arrived.eq(full.bit_select(reading, 1)),
            self.first.eq(first.bit_select(reading, 1)), self.last.eq(last.bit_select(reading, 1)),
        ]
        with m.If(self.done):
            m.d.sync += [reading.eq(~reading), full.bit_select(reading, 1).eq(0)]
        with m.If(taken):
            m.d.sync += index.eq(index + 1)
            with m.If(index == self.count - 1):
                m.d.sync += [index.eq(0), filling.eq(~filling),
                             full.bit_select(filling, 1).eq(1),
                             first.bit_select(filling, 1).eq(item.first),
                             last.bit_select(filling, 1).eq(item.last)]
        return m


class SpikeWords(wiring.Component):
    """The words of a run's inner maps, in order: those of a position, then of the next.

    `spike` brings one neuron's, where `valid`; `limit` is the number of a position's last neuron,
    which ends its word. Its spikes are then the uppermost bits, as `place` says. `append` brings a
    whole word instead. `rewind` starts again with the first map. `fetch` reads the word of
    `address`, and `word` is it from the clock after on.
    """

    def __init__(self, counts: Sequence[int], most: int) -> None:
        self.depth = sum(counts)
        super().__init__({
            "valid": In(1), "spike": In(1), "limit": In(range(max(2, most))), "rewind": In(1),
            "append": In(1), "appended": In(WORD), "address": In(range(max(2, self.depth))),
            "fetch": In(1), "word": Out(WORD),
        })

    @staticmethod
    def place(channel: int, channels: int) -> int:
        """Number of the bit, counted through all words of a position, that holds a channel."""
        return channel + max(0, (channel // WORD + 1) * WORD - channels)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=WORD, depth=self.depth, init=[],
                                              attrs=BLOCK_RAM)
        read, write = memory.read_port(), memory.write_port()
        bits, to = Signal(WORD - 1), Signal(range(max(2, self.depth)))
        channel = Signal.like(self.limit)
        word = Cat(bits, self.spike)
        final = channel == self.limit
        full = final | (channel[:3] == WORD - 1) if len(channel) >= 3 else final
        m.d.comb += [
            read.addr.eq(self.address), read.en.eq(self.fetch), self.word.eq(read.data),
            write.addr.eq(to), write.data.eq(Mux(self.append, self.appended, word)),
            write.en.eq((self.valid & full) | self.append),
        ]
        with m.If(self.valid):
            m.d.sync += [bits.eq(Mux(full, 0, word[1:])),
                         channel.eq(Mux(final, 0, channel + 1))]
        with m.If(write.en):
            m.d.sync += to.eq(to + 1)
        with m.If(self.rewind):
            m.d.sync += to.eq(0)
        return m
