"""The pixels of an image that are not zero, as a list in block memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..memories import BLOCK_RAM
from .memory import stream_code


class PixelList(wiring.Component):
    """`stream` codes of B bits that are not zero, with their pixels' indices, in index order.

    Takes pixels from the reset on. It has `entries`, at least one: without any pixel that is not
    zero, one whose code is. `fetch` reads entry `address`; `index` and `value` are what it read
    from the clock after on.
    """

    def __init__(self, n: int, bits: int) -> None:
        self.n, self.bits = n, bits
        super().__init__({
            "pixels": In(stream.Signature(8)), "accept": In(1), "entries": Out(range(n + 1)),
            "address": In(range(n + 1)), "fetch": In(1), "index": Out(range(max(2, n))),
            "value": Out(bits + 1),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=len(self.index) + self.bits + 1, depth=self.n,
                                              init=[], attrs=BLOCK_RAM)
        write, read = memory.write_port(), memory.read_port()
        taken, count = Signal(range(self.n + 1)), Signal(range(self.n + 1))
        accepted = Signal()
        code, value = Signal(self.bits + 1), Signal(self.bits + 1)
        m.d.comb += [
            self.pixels.ready.eq(self.accept & (taken != self.n)),
            accepted.eq(self.pixels.valid & self.pixels.ready),
            code.eq(stream_code(m, self.pixels.payload, self.bits)),
            write.addr.eq(count), write.data.eq(Cat(taken[:len(self.index)], code)),
            write.en.eq(accepted & (code != 0)),
            read.addr.eq(self.address), read.en.eq(self.fetch),
            Cat(self.index, value).eq(read.data),
            self.value.eq(Mux(count == 0, 0, value)),
            self.entries.eq(Mux(count == 0, 1, count)),
        ]
        with m.If(accepted):
            m.d.sync += taken.eq(taken + 1)
        with m.If(write.en):
            m.d.sync += count.eq(count + 1)
        return m
