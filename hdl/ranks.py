"""The ranks that a bitstream of run-time length walks: every 2**shift-th one of L = 2**B.

In rank order (`sng.rank_order`) the first L >> h clocks of a generator that can end early have just
the ranks that are multiples of 2**h (`sng`).
"""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def between(shift: Signal):
    """2**shift - 1: the ranks between one that is walked and the next."""
    return Cat(shift > k for k in range((1 << len(shift)) - 1))


class Ranks(wiring.Component):
    """Walks the ranks from 0 on, where it rests, one a clock from the clock of `begin`.

    `feeding` is high as long as the stream lasts, a clock later than its ranks, and `last` in the
    last clock of these. `mirrored` is L - 1 less the rank of a walk in the other direction.
    """

    def __init__(self, length: int, max_shift: int) -> None:
        bits = (length - 1).bit_length()
        super().__init__({
            "shift": In(range(max_shift + 1)), "begin": In(1),
            "rank": Out(bits), "mirrored": Out(bits), "feeding": Out(1), "last": Out(1),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        walked = Signal(len(self.rank) + 1)
        m.d.comb += [
            self.rank.eq(walked), self.mirrored.eq(walked | between(self.shift)),
            self.last.eq(self.feeding & walked[-1]),
        ]
        m.d.sync += [walked.eq(0), self.feeding.eq(0)]
        with m.If(self.begin | (self.feeding & ~walked[-1])):
            m.d.sync += [walked.eq(walked + (Const(1) << self.shift)), self.feeding.eq(1)]
        return m
