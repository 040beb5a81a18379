"""Weights in the UP5K's single-port RAM (SPRAM): rows, as wide as several RAMs side by side.

An SB_SPRAM256KA has 16,384 words of 16 bits and one port, whose address is taken at one clock edge
and whose word is there after it; no bitstream fills it (Lattice iCE40 UltraPlus family data sheet,
FPGA-DS-02008-1.9). What rows hold is written through `load`, before any of them is read.
"""

from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Const, Instance, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

#: Words of one SPRAM, and the bits of a word.
DEPTH, WIDTH = 16384, 16
#: SPRAMs of the largest device.
MOST = 4
#: Bits of a word's address while weights are loaded.
ADDRESS_BITS = 18


def load_layout() -> data.StructLayout:
    """A word of the weights, and where it belongs in the flat address space of all of them."""
    return data.StructLayout({"address": unsigned(ADDRESS_BITS), "data": unsigned(WIDTH)})


@dataclass(frozen=True)
class Shape:
    """SPRAMs that hold `rows` rows of `bits` bits: `columns` side by side, in `banks`.

    Word k of row r has the address ``r * stride + k``, its lowest 16 bits first. The stride is a
    power of two, so that three columns leave each fourth word unused.
    """

    rows: int
    bits: int

    @property
    def columns(self) -> int:
        return -(-self.bits // WIDTH)

    @property
    def banks(self) -> int:
        return -(-self.rows // DEPTH)

    @property
    def count(self) -> int:
        """SPRAMs."""
        return self.columns * self.banks

    @property
    def stride(self) -> int:
        return 1 << (self.columns - 1).bit_length()

    @property
    def words(self) -> int:
        """Words of the address space, those that are unused too."""
        return self.rows * self.stride


class Spram(wiring.Component):
    """One SPRAM: `value` is the word of `address` as of the clock before, in which `write` is low.

    Where `select` is low nothing is read or written, and `value` stays. On an iCE40 UltraPlus it is
    the device's own; anywhere else, as in simulation, a memory with the same port, of `depth`
    words.
    """

    def __init__(self, depth: int = DEPTH) -> None:
        self.depth = depth
        super().__init__({"address": In(14), "data": In(WIDTH), "write": In(1), "select": In(1),
                          "value": Out(WIDTH)})

    def elaborate(self, platform) -> Module:
        m = Module()
        if str(getattr(platform, "device", "")).startswith("iCE40UP"):
            m.submodules.ram = Instance(
                "SB_SPRAM256KA", i_ADDRESS=self.address, i_DATAIN=self.data, i_WREN=self.write,
                i_MASKWREN=Const(15, 4), i_CHIPSELECT=self.select, i_CLOCK=ClockSignal(),
                i_STANDBY=Const(0), i_SLEEP=Const(0), i_POWEROFF=Const(1),  # powered when high
                o_DATAOUT=self.value)
            return m
        m.submodules.ram = ram = Memory(shape=WIDTH, depth=self.depth, init=[])
        read, write = ram.read_port(), ram.write_port()
        m.d.comb += [
            read.addr.eq(self.address), read.en.eq(self.select & ~self.write),
            self.value.eq(read.data), write.addr.eq(self.address),
            write.en.eq(self.select & self.write), write.data.eq(self.data),
        ]
        return m


class SpramRows(wiring.Component):
    """Rows in SPRAMs: `value` is the row that `row` named in the last clock with `fetch`.

    Without it nothing is read, which saves what a read takes.

    `load` writes a word in any clock, at its address counted from the first row on; what is read in
    that clock is not defined.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        super().__init__({"row": In(range(max(2, shape.rows))), "fetch": In(1),
                          "value": Out(shape.bits),
                          "load": In(stream.Signature(load_layout()))})

    def elaborate(self, platform) -> Module:
        m = Module()
        shape, item = self.shape, self.load.payload
        low = (shape.columns - 1).bit_length()
        row = Signal(len(self.row))
        m.d.comb += [row.eq(Mux(self.load.valid, item.address[low:], self.row)),
                     self.load.ready.eq(1)]
        values = []
        for bank in range(shape.banks):
            words = []
            for column in range(shape.columns):
                ram = Spram(min(DEPTH, shape.rows - bank * DEPTH))
                m.submodules[f"spram{bank * shape.columns + column}"] = ram
                here = item.address[:low] == column
                if shape.banks > 1:
                    here &= row[14:] == bank
                m.d.comb += [ram.address.eq(row[:14]), ram.data.eq(item.data),
                             ram.select.eq(self.load.valid | self.fetch),
                             ram.write.eq(self.load.valid & here)]
                words.append(ram.value)
            values.append(words)
        read = Signal(range(shape.banks))
        if shape.banks > 1:
            with m.If(self.fetch):
                m.d.sync += read.eq(row[14:])
        for column in range(shape.columns):
            value = values[0][column]
            for bank in range(1, shape.banks):
                value = Mux(read == bank, values[bank][column], value)
            m.d.comb += self.value[column * WIDTH:(column + 1) * WIDTH].eq(value)
        return m
