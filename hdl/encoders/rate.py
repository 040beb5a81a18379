"""`rate`: one spike per pixel and timestep, by comparison with a pseudo-random register."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Signal

from .. import sng
from .scan import ScanEncoder

RATE_SEED = 0xACE1
RATE_BITS = 16
RATE_STEPS = 8


def leap(state):
    """The `rate` register after its eight steps, each bit the XOR of the bits that reach it."""
    bits = [frozenset([i]) for i in range(RATE_BITS)]
    for _ in range(RATE_STEPS):
        feedback = frozenset()
        for tap in sng.LFSR_TAPS[RATE_BITS]:
            feedback ^= bits[tap - 1]
        bits = [feedback, *bits[:-1]]
    return Cat(reduce(xor, (state[i] for i in sorted(chosen))) for chosen in bits)


class RateEncoder(ScanEncoder):
    """A pixel p8 spikes where ``p8 > (state & 255)``.

    The 16-bit register starts at 0xACE1 with each inference and is stepped eight times per pixel,
    in index order, timestep after timestep.
    """

    def shift_in(self, m, value, scanning, idle):
        state = Signal(RATE_BITS, init=RATE_SEED)
        with m.If(idle):
            m.d.sync += state.eq(RATE_SEED)
        with m.Elif(scanning):
            m.d.sync += state.eq(leap(state))
        return value > state[:8]
