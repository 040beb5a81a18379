"""The lanes of the `folded` lowering: weights in memory, and an accumulator for each lane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .engine import Served
from .memories import BLOCK_RAM, LOGIC
from .walk import Walk, chosen
from .words import WORD, words


@dataclass(frozen=True)
class FoldedLayer:
    """A layer as the lanes see it: at each position of `walk`, groups of neurons.

    operands: int [groups, taps, WORD, P], what lane p adds for a spike of that axon, in units of
    ``1 << scale``; for a layer with `codes`, fed by `stream` input, int [groups, taps, P], the
    signed codes. groups: neurons in each group, P but in the last one. reach: int [2, channels],
    the lowest and the highest I of a neuron, in those units. memory: where it has its weights.
    table: if not None, operands are signed codes, and this is what each code 0.. adds, in those
    units; for a layer with `codes`, C[p, c] for pixels of each code p.
    """

    served: Served
    walk: Walk
    operands: np.ndarray
    groups: tuple[int, ...]
    reach: np.ndarray
    scale: int = 0
    codes: bool = False
    memory: str = "ebr"
    table: np.ndarray | None = None

    @property
    def channels(self) -> int:
        """Neurons at each position."""
        return sum(self.groups)

    @property
    def stored(self) -> int:
        """Words of the map of its spikes."""
        return self.walk.positions * words(self.channels)

    def bounds(self, lane: int) -> np.ndarray:
        """The lowest and the highest I of the neurons that a lane adds up, 0 among them."""
        low, high = self.reach[:, np.arange(self.channels) % self.operands.shape[-1] == lane]
        return np.array([low.min(initial=0), high.max(initial=0)])


@dataclass(frozen=True)
class Accumulators:
    """What lanes count in: from `start` on, in `acc_bits`, one of each for each lane."""

    layers: tuple[FoldedLayer, ...]
    lanes: int
    start: list[int]
    acc_bits: list[int]

    @staticmethod
    def counted(layers: Sequence[FoldedLayer], lanes: int) -> tuple:
        """The fields of these accumulators."""
        bounds = np.array([[layer.bounds(p) for p in range(lanes)] for layer in layers])
        start = [int(x) for x in -bounds[..., 0].min(0)]
        acc_bits = [max(1, int(x).bit_length()) for x in start + bounds[..., 1].max(0)]
        return tuple(layers), lanes, start, acc_bits

    def less(self, index: int) -> np.ndarray:
        """What is counted too much, for each neuron of a position of layer `index`."""
        layer = self.layers[index]
        lanes = np.arange(layer.channels) % layer.operands.shape[-1]
        return np.array(self.start)[lanes] << layer.scale

    @property
    def current_bits(self) -> int:
        """Width of a current."""
        return max(self.acc_bits) + max(layer.scale for layer in self.layers)


@dataclass(frozen=True)
class Contents(Accumulators):
    """What lanes hold: words of weights, of the first layer's codes, and where layers begin.

    rows, codes: fields of `operand_bits` and `code_bits`, one for each lane; codes is empty but for
    a first layer with codes.
    """

    operand_bits: int
    code_bits: int
    rows: list[int]
    bases: list[int]
    codes: list[int]

    @staticmethod
    def of(layers: Sequence[FoldedLayer], lanes: int) -> "Contents":
        signs = [np.sign(x.operands) if x.codes else x.operands for x in layers]
        operand_bits = signed_bits(signs)
        code_bits = max(int(np.abs(x.operands).max(initial=1)).bit_length() if x.codes else 0
                        for x in layers)
        rows: list[int] = []
        bases = []
        for values in signs:
            rows += [0] * (-len(rows) % WORD)
            bases.append(len(rows))
            rows += packed(values, operand_bits)
        coded = [layer.operands for layer in layers if layer.codes]
        codes = packed(np.abs(coded[0]), code_bits) if coded else []
        return Contents(*Accumulators.counted(layers, lanes), operand_bits, code_bits, rows, bases,
                        codes)


def signed_bits(values: Sequence[np.ndarray]) -> int:
    """Width of two's complement that holds all of these."""
    return 1 + max(int(np.maximum(a, ~a).max(initial=0)).bit_length() for a in values)


def packed(values: np.ndarray, width: int) -> list[int]:
    """Words of a memory: values int [..., P] in fields of `width` bits, a row each."""
    # of objects, Python's integers, where 64 bits are too few
    small = values.shape[-1] * width < 64
    fields = values.reshape(-1, values.shape[-1]).astype(np.int64 if small else object)
    fields = fields & ((1 << width) - 1)
    shifts = np.arange(0, values.shape[-1] * width, width).astype(fields.dtype)
    return (fields << shifts).sum(-1).tolist()


class Lanes(wiring.Component):
    """Adds a row of weights in the clock after `add`, which names it; `clear` wins.

    In a layer with codes (`coded`) a lane adds 1 or -1 where its code exceeds `threshold`, given
    in the clock after `add`. `current` is the I of lane `lane`, as of the clock after it was named,
    two clocks after, and what `less` says too much: a lane counts from its `start`, so that it
    needs no sign. memory: what keeps the weights, `ebr` or `lut`.
    """

    def __init__(self, layers: Sequence[FoldedLayer], lanes: int, memory: str = "ebr") -> None:
        self.layers, self.lanes, self.memory = list(layers), lanes, memory
        self.contents = found = Contents.of(layers, lanes)
        self.start, self.acc_bits, self.bases = found.start, found.acc_bits, found.bases
        self.operand_bits, self.code_bits = found.operand_bits, found.code_bits
        self.rows, self.codes = found.rows, found.codes
        super().__init__({
            "row": In(range(max(2, len(self.rows)))), "add": In(1), "clear": In(1),
            "coded": In(1), "threshold": In(max(1, self.code_bits)), "lane": In(range(lanes)),
            "layer": In(range(len(layers))),
            "current": Out(found.current_bits),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        attrs = {"ebr": BLOCK_RAM, "lut": LOGIC}[self.memory]
        m.submodules.weights = weights = Memory(
            shape=self.operand_bits * self.lanes, depth=len(self.rows), init=self.rows, attrs=attrs)
        port = weights.read_port()
        adding = Signal()
        m.d.comb += [port.addr.eq(self.row), port.en.eq(self.add)]
        m.d.sync += adding.eq(self.add)
        if self.codes:
            m.submodules.codes = codes = Memory(
                shape=self.code_bits * self.lanes, depth=len(self.codes), init=self.codes,
                attrs=attrs)
            code = codes.read_port()
            m.d.comb += [code.addr.eq(self.row), code.en.eq(self.add)]
        accs = []
        for p in range(self.lanes):
            # cleared before it is used: a reset would be in the way of the start
            acc = Signal(self.acc_bits[p], name=f"acc{p}", reset_less=True)
            operand = port.data.word_select(p, self.operand_bits)
            enable = adding
            if self.codes:
                exceeds = code.data.word_select(p, self.code_bits) > self.threshold
                enable = adding & (~self.coded | exceeds)
            with m.If(self.clear):
                m.d.sync += acc.eq(self.start[p])
            with m.Elif(enable):
                m.d.sync += acc.eq(acc + operand.as_signed())
            accs.append(acc)
        unload(m, self, accs)
        return m


def unload(m: Module, lanes, accs: list) -> None:
    """The `current` of lane `lane`, of the accumulators of `Lanes`."""
    lane = Signal.like(lanes.lane)
    m.d.sync += lane.eq(lanes.lane)
    acc = Signal(max(lanes.acc_bits))
    m.d.comb += acc.eq(Array(accs)[lane])
    m.d.sync += lanes.current.eq(chosen(lanes.layer, [acc << x.scale for x in lanes.layers]))
