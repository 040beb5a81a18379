"""Pixels of fewer bits on the line: v of b bits stands for p8 = v * 255 // (2**b - 1), exactly."""

import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


def pack_pixels(values: np.ndarray, bits: int) -> bytes:
    """Values of `bits` bits (1, 2, 4 or 8), the first in the lowest bits of the first byte."""
    per_byte = 8 // bits
    values = np.asarray(values, np.uint8).reshape(-1)
    padded = np.zeros(-(-values.size // per_byte) * per_byte, np.uint8)
    padded[:values.size] = values
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    return (padded.reshape(-1, per_byte) << shifts).sum(1, dtype=np.uint8).tobytes()


class Unpacker(wiring.Component):
    """Bytes of packed pixels in `i`, pixels of 8 bits out `o`, those beyond an image's n too.

    `o_start` strobes when all that came before `start` is out. The reset makes it wait for the
    first byte of another image.
    """

    def __init__(self, n: int, bits: int) -> None:
        self.n, self.bits = n, bits
        self.image_bytes = -(-n * bits // 8)
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(8)),
                          "start": In(1), "o_start": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        held = Signal(8)
        left = Signal(range(8 // self.bits + 1))  # pixels in `held`
        asked = Signal()
        m.d.sync += asked.eq((asked | self.start) & ~self.o_start)
        m.d.comb += [
            self.o.valid.eq(left != 0), self.i.ready.eq(left == 0),
            self.o_start.eq(asked & (left == 0)),
            # 255 // (2**b - 1) has a one every b bits, so the product repeats the pixel.
            self.o.payload.eq(Cat([held[:self.bits]] * (8 // self.bits))),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), left.eq(8 // self.bits)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [held.eq(held[self.bits:]), left.eq(left - 1)]
        return m
