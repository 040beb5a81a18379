"""Lanes of the `folded` lowering whose weights are loaded into SPRAM, all or some of them.

A row has a field for each lane. In a run of `tabled` layers it is a code and, uppermost, its sign,
and a lane adds what a table shared by all lanes says of that code: the ones of a weight's stream
for a spike, or C[p, c] for a pixel. So a field has the bits of a weight, whatever it counts. In
other runs it is the number to add, but for a layer fed by `stream` input, where it is the signed
code, whose sign is added where the code exceeds a threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .lanes import Accumulators, FoldedLayer, packed, signed_bits, unload
from .memories import BLOCK_RAM, LOGIC
from .products import Products
from .spram import Shape, SpramRows, load_layout
from .walk import chosen
from .words import WORD


@dataclass(frozen=True)
class LoadedContents(Accumulators):
    """What lanes hold: rows of fields of `field_bits` by memory, and where layers begin in theirs.

    code_bits: of a first layer with codes, without tables. tables: of each layer, or None.
    """

    field_bits: int
    code_bits: int
    tables: tuple[np.ndarray, ...] | None
    rows: dict[str, list[int]]
    bases: list[int]

    @staticmethod
    def of(layers: Sequence[FoldedLayer], lanes: int) -> "LoadedContents":
        tabled = all(layer.table is not None for layer in layers)
        codes = max((_bits(x.operands) for x in layers if x.codes), default=0)
        if tabled:
            field_bits = 1 + max(_bits(layer.operands) for layer in layers)
        else:
            plain = [x.operands for x in layers if not x.codes]
            field_bits = max(signed_bits(plain) if plain else 0, 1 + codes if codes else 0)
        rows: dict[str, list[int]] = {}
        bases = []
        for layer in layers:
            values = layer.operands
            if tabled or layer.codes:
                values = np.abs(values) | (values < 0).astype(np.int64) << (field_bits - 1)
            own = rows.setdefault(layer.memory, [])
            own += [0] * (-len(own) % WORD)
            bases.append(len(own))
            own += packed(values, field_bits)
        return LoadedContents(
            *Accumulators.counted(layers, lanes), field_bits, 0 if tabled else codes,
            tuple(x.table for x in layers) if tabled else None, rows, bases)

    @property
    def shape(self) -> Shape:
        """SPRAMs that hold the rows of those layers that are loaded."""
        return Shape(len(self.rows["spram"]), self.field_bits * self.lanes)

    @property
    def words(self) -> np.ndarray:
        """What is loaded, by address: uint16 [shape.words]."""
        shape = self.shape
        out = np.zeros((shape.rows, shape.stride), np.uint16)
        for index, row in enumerate(self.rows["spram"]):
            out[index] = np.frombuffer(row.to_bytes(2 * shape.stride, "little"), "<u2")
        return out.reshape(-1)


def _bits(codes: np.ndarray) -> int:
    return max(1, int(np.abs(codes).max(initial=0)).bit_length())


class LoadedLanes(wiring.Component):
    """As `Lanes`, after `load` has written every word of `contents.words`.

    In a layer with codes of a tabled run, a lane adds the product of its code, given in `products`
    (`ProductScanner`) in the clock after `add`.
    """

    def __init__(self, layers: Sequence[FoldedLayer], lanes: int) -> None:
        self.layers, self.lanes = list(layers), lanes
        self.contents = found = LoadedContents.of(layers, lanes)
        self.start, self.acc_bits, self.bases = found.start, found.acc_bits, found.bases
        self.code_bits, self.tables = found.code_bits, found.tables
        deepest = max(len(rows) for rows in found.rows.values())
        ports = {
            "row": In(range(max(2, deepest))), "add": In(1), "clear": In(1), "coded": In(1),
            "lane": In(range(lanes)), "layer": In(range(len(layers))),
            "current": Out(found.current_bits), "load": In(stream.Signature(load_layout())),
        }
        if self.tables is None:
            ports["threshold"] = In(max(1, self.code_bits))
        else:
            #: Numbers that lanes choose from, by code, but that of code 0; and their width.
            self.choices = max(t.shape[-1] for t in self.tables) - 1
            self.choice_bits = max(1, max(int(t.max()).bit_length() for t in self.tables))
            coded = [Products(t) for t, layer in zip(self.tables, layers) if layer.codes]
            self.product_bits = coded[0].bits if coded else 1
            ports["products"] = In(coded[0].width if coded else 1)
        super().__init__(ports)

    def elaborate(self, platform) -> Module:
        m = Module()
        fields = self._fields(m)
        adding = Signal()
        m.d.sync += adding.eq(self.add)
        operand = self._direct if self.tables is None else self._tabled(m)
        accs = []
        for p in range(self.lanes):
            acc = Signal(self.acc_bits[p], name=f"acc{p}", reset_less=True)
            more, enable = operand(fields.word_select(p, self.contents.field_bits), len(acc))
            with m.If(self.clear):
                m.d.sync += acc.eq(self.start[p])
            with m.Elif(adding & enable):
                m.d.sync += acc.eq(more(acc))
            accs.append(acc)
        unload(m, self, accs)
        return m

    def _fields(self, m: Module):
        """The row that was named in the clock before."""
        found, values = self.contents, {}
        for memory, rows in found.rows.items():
            width = found.field_bits * self.lanes
            if memory == "spram":
                m.submodules.weights = weights = SpramRows(found.shape)
                wiring.connect(m, wiring.flipped(self.load), weights.load)
                m.d.comb += [weights.row.eq(self.row), weights.fetch.eq(self.add)]
                values[memory] = weights.value
                continue
            m.submodules[memory] = other = Memory(
                shape=width, depth=len(rows), init=rows,
                attrs={"ebr": BLOCK_RAM, "lut": LOGIC}[memory])
            port = other.read_port()
            m.d.comb += [port.addr.eq(self.row), port.en.eq(self.add)]
            values[memory] = port.data
        return chosen(self.layer, [values[layer.memory] for layer in self.layers]) \
            if len(values) > 1 else values["spram"]

    def _direct(self, field, bits: int) -> tuple:
        """What a field does to an accumulator of so many bits, and whether it does."""
        if not self.code_bits:
            return lambda acc: acc + field.as_signed(), 1
        sign = field[-1]
        exceeds = field[:self.code_bits] > self.threshold
        one = Cat(Const(1, 1), sign.replicate(len(field) - 1))
        number = Mux(self.coded, one, field).as_signed()
        return lambda acc: acc + number, ~self.coded | exceeds

    def _tabled(self, m: Module):
        """As `_direct`, by the table of the layer under way."""
        options = []
        for layer, table in zip(self.layers, self.tables):
            if layer.codes:
                options.append(Cat(self._padded(self.products.word_select(k, self.product_bits))
                                   for k in range(table.shape[-1] - 1)))
            else:
                options.append(sum(int(x) << k * self.choice_bits
                                   for k, x in enumerate(table[1:])))
        choices = Signal(self.choices * self.choice_bits)
        # the codes of a first layer are read while it prepares, and at no other time
        m.d.comb += choices.eq(chosen(self.layer, options))
        numbers = [0, *(choices.word_select(k, self.choice_bits) for k in range(self.choices))]

        def operand(field, bits: int) -> tuple:
            sign = field[-1]
            number = Array(numbers)[field[:-1]]
            added = Cat(sign, (number ^ sign.replicate(self.choice_bits)),
                        sign.replicate(bits))[:bits + 1]
            # the lowest bit carries the one that a negated number lacks
            return lambda acc: (Cat(Const(1, 1), acc) + added)[1:], 1

        return operand

    def _padded(self, value):
        return Cat(value, Const(0, self.choice_bits - len(value)))
