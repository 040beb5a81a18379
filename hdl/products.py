"""`stream` input for weights of few codes: what each code adds to a pixel's count, all at once."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True)
class Products:
    """C[p, c] of a pixel's and a weight's code, int [2**B + 1, codes] (`sng.count_table`)."""

    table: np.ndarray

    @property
    def bits(self) -> int:
        """Width of a product."""
        return max(1, int(self.table.max()).bit_length())

    @property
    def width(self) -> int:
        """Of all products of a pixel but those of code 0, side by side."""
        return self.bits * (self.table.shape[1] - 1)

    @property
    def rows(self) -> list[int]:
        """Words of a memory: that of p = 2**B is the first, as p = 0 has no use for it."""
        return [sum(int(count) << k * self.bits for k, count in enumerate(counts[1:]))
                for counts in (self.table[-1], *self.table[1:-1])]


class ProductScanner(wiring.Component):
    """Names each pixel whose code is not zero for one clock.

    `any`: this clock names the pixel whose code was taken, with `take`, in the clock before;
    `o`, a clock later, are its products. `spent`, `clear`: see `StreamScanner`.
    """

    def __init__(self, products: Products) -> None:
        self.products = products
        self.length = len(products.table) - 1
        super().__init__({
            "value": In(range(self.length + 1)), "take": In(1), "clear": In(1), "any": Out(1),
            "spent": Out(1, init=1), "o": Out(products.width),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        code = Signal(len(self.value))
        m.submodules.table = rom = Memory(shape=len(self.o), depth=self.length,
                                          init=self.products.rows)
        port = rom.read_port()
        m.d.comb += [port.addr.eq(code), port.en.eq(self.any), self.o.eq(port.data),
                     self.any.eq(code != 0), self.spent.eq(1)]
        m.d.sync += code.eq(0)
        with m.If(self.take & ~self.clear):
            m.d.sync += code.eq(self.value)
        return m
