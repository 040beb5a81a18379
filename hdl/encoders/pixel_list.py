"""The pixels of an image that are not zero, as a list in block memory."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..memories import BLOCK_RAM
from .memory import stream_code

#: Words of an EBR that is 16 bits wide, and the numbers of pixels and bits of an entry for which
#: EBRs of that shape are not more than others (data sheet: 256 x 16 to 2048 x 2).
WORDS, PIXELS, BITS = 256, range(257, 1025), range(13, 17)


def banks(n: int, width: int) -> int:
    """In how many memories a list of n pixels with entries of so many bits is."""
    return -(-n // WORDS) if n in PIXELS and width in BITS else 1


class PixelList(wiring.Component):
    """`stream` codes of B bits that are not zero, with their pixels' indices, in index order.

    Takes pixels from the reset on. It has `entries`, at least one: without any pixel that is not
    zero, one whose code is. `fetch` reads entry `address`; `index` and `value` are what it read
    from the clock after on. Lists of several EBRs are in banks, of which a read wakes one.
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
        taken, count = Signal(range(self.n + 1)), Signal(range(self.n + 1))
        accepted, kept = Signal(), Signal()
        code, value = Signal(self.bits + 1), Signal(self.bits + 1)
        m.d.comb += [
            self.pixels.ready.eq(self.accept & (taken != self.n)),
            accepted.eq(self.pixels.valid & self.pixels.ready),
            code.eq(stream_code(m, self.pixels.payload, self.bits)),
            kept.eq(accepted & (code != 0)),
            Cat(self.index, value).eq(self._entry(m, count, Cat(taken[:len(self.index)], code),
                                                  kept)),
            self.value.eq(Mux(count == 0, 0, value)),
            self.entries.eq(Mux(count == 0, 1, count)),
        ]
        with m.If(accepted):
            m.d.sync += taken.eq(taken + 1)
        with m.If(kept):
            m.d.sync += count.eq(count + 1)
        return m

    def _entry(self, m: Module, to, entry, keep):
        """What was read of the list, whose entry `to` becomes `entry` if that is to `keep`."""
        width = len(entry)
        if banks(self.n, width) == 1:
            m.submodules.memory = memory = Memory(shape=width, depth=self.n, init=[],
                                                  attrs=BLOCK_RAM)
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [write.addr.eq(to), write.data.eq(entry), write.en.eq(keep),
                         read.addr.eq(self.address), read.en.eq(self.fetch)]
            return read.data
        low = WORDS.bit_length() - 1
        found = []
        for bank in range(banks(self.n, width)):
            memory = Memory(shape=width, depth=min(WORDS, self.n - bank * WORDS), init=[],
                            attrs=BLOCK_RAM)
            m.submodules[f"bank{bank}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.addr.eq(to[:low]), write.data.eq(entry),
                write.en.eq(keep & (to[low:] == bank)), read.addr.eq(self.address[:low]),
                read.en.eq(self.fetch & (self.address[low:] == bank)),
            ]
            found.append(read.data)
        bank = Signal(range(len(found)))
        with m.If(self.fetch):
            m.d.sync += bank.eq(self.address[low:])
        return Array(found)[bank]
