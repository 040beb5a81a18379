"""The image of an encoder in block memory, so that a byte is accepted in every clock."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..memories import BLOCK_RAM

#: Words of the column memory, and the multiple of pixels that image memories hold.
WORD = 16


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

    bits: B of the stream codes to store, or None for the pixels themselves. `fetch` reads, and
    `value` is what it read from the clock after on.
    """

    def __init__(self, n: int, bits: int | None = None) -> None:
        self.n, self.bits = n, bits
        self.depth = -(-n // WORD) * WORD
        width = 8 if bits is None else bits + 1
        super().__init__({
            "pixels": In(stream.Signature(8)), "accept": In(1),
            "written": Out(range(n + 1)), "address": In(range(self.depth)),
            "fetch": In(1, init=1), "value": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=len(self.value), depth=self.depth, init=[],
                                            attrs=BLOCK_RAM)
        write = memory.write_port()
        read = memory.read_port()
        pixel = self.pixels.payload
        accepted = Signal()
        m.d.comb += [
            self.pixels.ready.eq(self.accept & (self.written != self.n)),
            accepted.eq(self.pixels.valid & self.pixels.ready),
            write.addr.eq(self.written), write.en.eq(accepted),
            write.data.eq(pixel if self.bits is None else stream_code(m, pixel, self.bits)),
            read.addr.eq(self.address), read.en.eq(self.fetch), self.value.eq(read.data),
        ]
        with m.If(accepted):
            m.d.sync += self.written.eq(self.written + 1)
        return m
