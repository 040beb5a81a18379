"""An image that waits in block memory while the one before it is inferred and answered."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .memories import BLOCK_RAM


class ImageBuffer(wiring.Component):
    """Keeps an image of n bytes from `pixels`, and gives it to a core when `start` strobes.

    `restart` begins another image; `pixels` is always ready. `o_restart`, `o` and `o_start` are for
    a core: the first comes with `start`, the last 2 n + 1 clocks after it if every byte is taken at
    once. The next image may arrive from `start` on, if it is slower than that.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__({
            "pixels": In(stream.Signature(8)), "restart": In(1), "start": In(1),
            "o": Out(stream.Signature(8)), "o_restart": Out(1), "o_start": Out(1),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=max(2, self.n), init=[],
                                              attrs=BLOCK_RAM)
        write, read = memory.write_port(), memory.read_port()
        with m.If(self.restart):
            m.d.sync += write.addr.eq(0)
        with m.Elif(self.pixels.valid):
            m.d.sync += write.addr.eq(write.addr + 1)
        fetching = Signal()
        m.d.comb += [
            self.pixels.ready.eq(1), write.en.eq(self.pixels.valid),
            write.data.eq(self.pixels.payload), self.o.payload.eq(read.data),
            read.en.eq(1), self.o_restart.eq(self.start),
        ]
        taken = self.o.valid & self.o.ready
        last = read.addr == self.n - 1
        m.d.sync += [fetching.eq(self.start | taken & ~last), self.o_start.eq(taken & last)]
        with m.If(fetching):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(taken):
            m.d.sync += [self.o.valid.eq(0), read.addr.eq(read.addr + ~last)]
        with m.If(self.start):
            m.d.sync += read.addr.eq(0)
        return m
