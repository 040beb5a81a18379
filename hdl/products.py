"""`stream` input for weights of few codes: what each code adds to a pixel's count, all at once."""

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class ProductScanner(wiring.Component):
    """Names each pixel whose code is not zero for one clock.

    table: C[p, c], int [2**B + 1, codes] (`sng.count_table`). `any`: this clock names the pixel
    whose code was taken, with `take`, in the clock before; `products`, a clock later, are
    C[p, 1..] in fields of `product_bits`. `spent`, `clear`: see `StreamScanner`.
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.asarray(table)
        self.length = len(table) - 1
        self.product_bits = max(1, int(self.table.max()).bit_length())
        super().__init__({
            "value": In(range(self.length + 1)), "take": In(1), "clear": In(1), "any": Out(1),
            "spent": Out(1, init=1), "products": Out(self.product_bits * (table.shape[1] - 1)),
        })

    def rows(self) -> list[int]:
        """Words of the table's memory: that of p = 2**B is the first, as p = 0 has no use for it.
        """
        return [sum(int(count) << k * self.product_bits for k, count in enumerate(counts[1:]))
                for counts in (self.table[-1], *self.table[1:-1])]

    def elaborate(self, platform) -> Module:
        m = Module()
        code = Signal(len(self.value))
        m.submodules.table = rom = Memory(shape=len(self.products), depth=self.length,
                                          init=self.rows())
        port = rom.read_port()
        m.d.comb += [port.addr.eq(code), port.en.eq(1), self.products.eq(port.data),
                     self.any.eq(code != 0), self.spent.eq(1)]
        m.d.sync += code.eq(0)
        with m.If(self.take & ~self.clear):
            m.d.sync += code.eq(self.value)
        return m
