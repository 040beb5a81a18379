"""Slots of shared lanes: one LUT and one popcount input for the synapses of several neurons.

A lane serves its neurons one after the other, each in a pass of its own, so that the synapses by
which one input reaches them never meet: one slot holds them all, and what it holds depends on the
pass `g` and on the clock `k` within it. `clocks` are those of a pass. The slots of (k, g) are there
`depth` clocks later; the input is wanted `lag` clocks later. None of these registers has a reset of
its own, which would take the place of what is put there: what they hold counts only after `depth`
clocks anyway. What a lane counts over a pass, shifted left by `scale`, is the current I and
``less[neuron]``.

weights: int [passes, lanes, in], signed effective counts in -length..length.
"""

from math import gcd

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib.memory import Memory

from .memories import BLOCK_RAM


def _bits(top: int) -> int:
    """Bits that count 0..top - 1."""
    return (top - 1).bit_length()


class PlaneSlots:
    """For spikes, which last for the whole pass: a bit-plane of the weights a clock, sign first.

    In two's complement, so that a slot is a ROM addressed by plane and pass, one LUT for four
    passes of four planes; the register's reset lets it through where there is a spike. The count of
    the first plane enters complemented, which is one too little.
    """

    depth, lag = 1, 0
    signed = True

    def __init__(self, weights: np.ndarray, length: int) -> None:
        self.weights = weights
        passes, lanes, _ = weights.shape
        common = gcd(*map(int, weights.flat), 0)
        self.scale = (common & -common).bit_length() - 1 if common else 0
        self.units = weights >> self.scale
        low, high = int(self.units.min(initial=0)), int(self.units.max(initial=0))
        self.clocks = max((~low).bit_length(), high.bit_length()) + 1
        missing = 1 << self.clocks - 1
        self.less = np.full((passes, lanes), -missing << self.scale)
        lowest = np.minimum(self.units, 0).sum(2).min() - missing
        highest = np.maximum(self.units, 0).sum(2).max() - missing
        self.bits = max(int(x if x >= 0 else ~x).bit_length() for x in (lowest, highest)) + 1

    def slots(self, m: Module, k, g, x) -> list[list]:
        """The slots of each lane."""
        passes, lanes, inputs = self.weights.shape
        planes = _bits(self.clocks)
        address = Cat(k[:planes], g[:_bits(passes)])
        found = [[] for _ in range(lanes)]
        for p in range(lanes):
            for i in range(inputs):
                table = sum((int(self.units[h, p, i]) >> self.clocks - 1 - q & 1)
                            << (h << planes | q)
                            for h in range(passes) for q in range(self.clocks))
                if table:
                    slot = Signal(name=f"slot{p}_{i}", reset_less=True)
                    m.d.sync += slot.eq(Const(table, 1 << len(address)).bit_select(address, 1))
                    with m.If(~x[i]):
                        m.d.sync += slot.eq(0)
                    found[p].append(slot)
        return found

    def addends(self, accumulated, count, opening) -> tuple:
        """What an accumulator adds: twice itself and the count, complemented in the first clock."""
        inverted = Cat(count ^ opening.replicate(len(count)), opening).as_signed()
        return accumulated << 1, inverted


class StreamSlots:
    """For columns, which change with every clock: the streams of the weights.

    In rank order (`packing`) the stream of a count is a run of ones. A bank, which all lanes share,
    has one signal for two passes and a pair of counts: the stream of the first in one, of the
    second in the other. An input and two of them, which is four passes, leave room in a LUT for a
    sign: a signal that is high in the passes whose weight is negative, and complements the slot.
    A weight of zero takes either sign, so that slots can share signs. `banked` of these signals,
    which depend on pass and clock alone, are read from a memory instead.
    """

    depth, lag = 3, 2
    signed = False
    scale = 0
    #: Passes of one sign signal, where one for all passes would be of use to few.
    SIGNS = 4

    def __init__(self, weights: np.ndarray, length: int, banked: int = 0) -> None:
        self.weights, self.clocks, self.banked = weights, length, banked
        passes, lanes, inputs = weights.shape
        self.used = [[i for i in range(inputs) if weights[:, p, i].any()] for p in range(lanes)]
        self.signs, self.counts = self._choose_signs()
        self.less = np.zeros((passes, lanes), np.int64)
        for (p, _), masks in self.signs.items():
            for h in range(passes):
                self.less[h, p] += length * any(mask >> h & 1 for mask in masks)
        self.bits = max(1, int((self.less + np.maximum(weights, 0).sum(2)).max()).bit_length())

    def _choose_signs(self) -> tuple[dict, int]:
        """Masks of the passes in which each slot (lane, input) is complemented; their number."""
        passes = len(self.weights)
        best = None
        for width in sorted({passes, min(passes, self.SIGNS)}):
            shared, masks = [], {}
            for p, inputs in enumerate(self.used):
                for i in inputs:
                    masks[p, i] = [
                        self._share(shared, self.weights[begin:begin + width, p, i], begin)
                        for begin in range(0, passes, width)
                        if (self.weights[begin:begin + width, p, i] < 0).any()]
            # A signal takes a LUT for every four bits of the pass, a further one in a slot a third.
            cost = len(shared) + sum(len(found) for found in masks.values()) / 3
            if best is None or cost < best[0]:
                # What needs no pass without it is complemented throughout, which takes no signal.
                mask = [ones if zeros else sum(1 << h for h in window)
                        for ones, zeros, window in shared]
                final = {key: [mask[at] for at in found] for key, found in masks.items()}
                best = cost, final, len({mask for found in final.values() for mask in found})
        return best[1], best[2]

    @staticmethod
    def _share(shared: list, weights: np.ndarray, begin: int) -> int:
        """The index of a pattern (ones, zeros, passes) that these weights can have."""
        ones = sum(1 << begin + h for h, w in enumerate(weights) if w < 0)
        zeros = sum(1 << begin + h for h, w in enumerate(weights) if w > 0)
        window = range(begin, begin + len(weights))
        for at, pattern in enumerate(shared):
            if pattern[2] == window and not (pattern[0] & zeros or pattern[1] & ones):
                shared[at] = (pattern[0] | ones, pattern[1] | zeros, window)
                return at
        shared.append((ones, zeros, window))
        return len(shared) - 1

    def pairs(self, p: int, i: int) -> list[tuple[int, int, int]]:
        """Bank signals of a slot: the pair's number and the counts in its two passes."""
        counts = [abs(int(w)) for w in self.weights[:, p, i]] + [0]
        return [(q, counts[2 * q], counts[2 * q + 1]) for q in range(len(counts) // 2)
                if counts[2 * q] or counts[2 * q + 1]]

    @property
    def everywhere(self) -> int:
        """The mask of all passes, which takes no signal."""
        return (1 << len(self.weights)) - 1

    @property
    def words(self) -> int:
        """Words of a memory of bank signals: one for each clock of each pass, and some not used."""
        return self.clocks << _bits(len(self.weights))

    def signals(self) -> list[tuple]:
        """The bank's pairs (q, low, high) and signs (mask,), those that cost the most first."""
        keys = {key for p, inputs in enumerate(self.used) for i in inputs
                for key in self.pairs(p, i)}
        keys |= {(mask,) for masks in self.signs.values() for mask in masks}
        keys.discard((self.everywhere,))
        return sorted(keys, key=lambda key: (len(key) == 1, 0 in key[1:], key))

    def _read(self, m: Module, k, now) -> dict:
        """The signals that are read from the memory."""
        keys = self.signals()[:self.banked]
        if not keys:
            return {}
        later = Signal.like(k, name="later", reset_less=True)
        m.d.sync += later.eq(k)

        def bit(key: tuple, h: int, t: int) -> int:
            if len(key) == 1:
                return key[0] >> h & 1
            return h >> 1 == key[0] and t < key[1 + (h & 1)]

        init = [sum(bit(key, *divmod(word, self.clocks)) << n for n, key in enumerate(keys))
                for word in range(self.words)]
        m.submodules.bank = memory = Memory(shape=len(keys), depth=self.words, init=init,
                                            attrs=BLOCK_RAM)
        port = memory.read_port()
        m.d.comb += [port.addr.eq(Cat(later[:_bits(self.clocks)], now)), port.en.eq(1)]
        return {key: port.data[n] for n, key in enumerate(keys)}

    def slots(self, m: Module, k, g, x) -> list[list]:
        """The slots of each lane."""
        length, passes = self.clocks, len(self.weights)
        now = Signal.like(g, name="streamed", reset_less=True)
        m.d.sync += now.eq(g)
        at = Signal(-(-passes // 2), name="at", reset_less=True)
        m.d.sync += at.eq(1 << g[1:])
        streams = {0: Const(0, 1), length: Const(1, 1)}
        bank = self._read(m, k, now) | {(self.everywhere,): Const(1, 1)}

        def stream(count: int):
            if count not in streams:
                streams[count] = Signal(name=f"up{count}", reset_less=True)
                m.d.sync += streams[count].eq(k < count)
            return streams[count]

        def pair(q: int, low: int, high: int) -> Signal:
            if (q, low, high) not in bank:
                bank[q, low, high] = signal = Signal(
                    name=f"pair{q}_{low}_{high}", reset_less=True)
                # An AND, in which synthesis finds no reset: pairs of different passes would share a
                # LUT, and each would take a cell for its register alone.
                m.d.sync += signal.eq(Mux(now[0], stream(high), stream(low)) & at[q])
            return bank[q, low, high]

        def sign(mask: int):
            if (mask,) not in bank:
                bank[mask,] = signal = Signal(name=f"sign{mask:x}", reset_less=True)
                m.d.sync += signal.eq(Const(mask, 1 << len(now)).bit_select(now, 1))
            return bank[mask,]

        found = [[] for _ in self.used]
        for p, inputs in enumerate(self.used):
            for i in inputs:
                slot = Signal(name=f"slot{p}_{i}", reset_less=True)
                m.d.sync += slot.eq(
                    x[i] & Cat(pair(*key) for key in self.pairs(p, i)).any()
                    ^ Cat(sign(mask) for mask in self.signs[p, i]).any())
                found[p].append(slot)
        return found

    def addends(self, accumulated, count, opening) -> tuple:
        """What an accumulator adds: itself and the count."""
        return accumulated, count
