"""Which words a layer of the `folded` lowering reads, for each of its positions in turn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True)
class Tap:
    """A word that the first position reads, and how far it is in rows and columns of the map.

    outer: whether its address is one of the words that come from outside the run.
    """

    address: int
    y: int = 0
    x: int = 0
    outer: bool = False


@dataclass(frozen=True)
class Walk:
    """Positions in rows and columns, each reading the same taps.

    stride: rows and columns of the map that is read from one position to the next; pitch: words
    from one of its columns to the next; across: columns of it that are kept; height, width: of the
    part that counts. A tap outside that reads zeros.
    """

    taps: tuple[Tap, ...]
    rows: int = 1
    columns: int = 1
    stride: int = 1
    pitch: int = 1
    height: int = 1
    width: int = 1
    across: int = 1

    @property
    def positions(self) -> int:
        return self.rows * self.columns

    @property
    def checked(self) -> bool:
        """Whether a tap may be outside the map."""
        down, right = (self.rows - 1) * self.stride, (self.columns - 1) * self.stride
        return any(tap.y < 0 or tap.x < 0 or down + tap.y >= self.height
                   or right + tap.x >= self.width for tap in self.taps)

    def inside(self, row: int, column: int, tap: Tap) -> bool:
        """Whether a position's tap is on the map."""
        y, x = row * self.stride + tap.y, column * self.stride + tap.x
        return 0 <= y < self.height and 0 <= x < self.width


def chosen(select, values: Sequence):
    """``values[select]``; the value itself where all are the same number."""
    values = list(values)
    if all(isinstance(value, int) and value == values[0] for value in values):
        return values[0]
    return values[0] if len(values) == 1 else Array(values)[select]


class Walker(wiring.Component):
    """The address of tap `tap` of layer `layer` at the present position, in the same clock.

    `begin` goes to the first position, `advance` to the next one, from left to right, row by row;
    `final` says that it is the last. `outer` and `inside`: of the tap.
    """

    def __init__(self, walks: Sequence[Walk]) -> None:
        self.walks = list(walks)
        self.flat = all(flat(walk) for walk in walks)
        most = max(len(walk.taps) for walk in walks)
        last = max(_highest(walk) for walk in walks)
        super().__init__({
            "layer": In(range(len(walks))), "tap": In(range(most + 1)), "begin": In(1),
            "advance": In(1), "final": Out(1), "address": Out(range(max(2, last + 1))),
            "outer": Out(1), "inside": Out(1),
        })

    def _of(self, values):
        return chosen(self.layer, list(values))

    def elaborate(self, platform) -> Module:
        m = Module()
        if self.flat:
            m.d.comb += [
                self.address.eq(self._of(walk.taps[0].address for walk in self.walks) + self.tap),
                self.final.eq(1), self.inside.eq(1),
                self.outer.eq(self._of(int(walk.taps[0].outer) for walk in self.walks)),
            ]
            return m
        column = Signal(range(max(walk.columns for walk in self.walks) + 1))
        row = Signal(range(max(walk.rows for walk in self.walks) + 1))
        origin = Signal(len(self.address))
        at_end = column == self._of(walk.columns - 1 for walk in self.walks)
        step = self._of(walk.stride * walk.pitch for walk in self.walks)
        # from the end of a row to the start of the next
        turn = self._of(walk.stride * walk.pitch * (walk.across - walk.columns + 1)
                        for walk in self.walks)
        m.d.comb += self.final.eq(
            at_end & (row == self._of(walk.rows - 1 for walk in self.walks)))
        with m.If(self.begin):
            m.d.sync += [origin.eq(0), column.eq(0), row.eq(0)]
        with m.Elif(self.advance):
            m.d.sync += [origin.eq(origin + Mux(at_end, turn, step)),
                         column.eq(Mux(at_end, 0, column + 1)), row.eq(row + at_end)]
        first = Signal.like(origin)
        y, x = (Signal(signed(_bits(getattr(tap, name) for walk in self.walks
                                    for tap in walk.taps)), name=name) for name in "yx")
        with m.Switch(self.layer):
            for index, walk in enumerate(self.walks):
                with m.Case(index), m.Switch(self.tap):
                    for k, tap in enumerate(walk.taps):
                        with m.Case(k):
                            m.d.comb += [
                                first.eq(tap.address & (1 << len(first)) - 1),
                                self.outer.eq(int(tap.outer)), y.eq(tap.y), x.eq(tap.x)]
        m.d.comb += [self.address.eq(origin + first), self.inside.eq(1)]
        if any(walk.checked for walk in self.walks):
            stride = self._of(walk.stride for walk in self.walks)
            down = Signal(signed(len(y) + 1 + _bits((w.rows - 1) * w.stride for w in self.walks)))
            right = Signal(
                signed(len(x) + 1 + _bits((w.columns - 1) * w.stride for w in self.walks)))
            m.d.comb += [
                down.eq(row * stride + y), right.eq(column * stride + x),
                self.inside.eq((down >= 0) & (right >= 0)
                               & (down < self._of(walk.height for walk in self.walks))
                               & (right < self._of(walk.width for walk in self.walks))),
            ]
        return m


def _bits(values: Iterable[int]) -> int:
    """Width of two's complement that holds all values."""
    return 1 + max(int(value if value >= 0 else ~value).bit_length() for value in values)


def flat(walk: Walk) -> bool:
    """Whether the taps are words in a row, read once."""
    first = walk.taps[0]
    return walk.positions == 1 and not walk.checked and all(
        tap.address == first.address + k and tap.outer == first.outer
        for k, tap in enumerate(walk.taps))


def _highest(walk: Walk) -> int:
    """The highest address that is read."""
    origin = (walk.rows - 1) * walk.stride * walk.across + (walk.columns - 1) * walk.stride
    return origin * walk.pitch + max(tap.address for tap in walk.taps)
