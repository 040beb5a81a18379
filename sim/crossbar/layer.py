"""One layer on crossbars: digits in cells, conductances, reads, converters, integer currents.

Crossbars lie as the mapper tiles them (`flow.cim.plan.Mapped.crossbar_list`): arrays of cells are
[col_blocks, row_blocks, positions of the kernel, rows, cols], weights side by side from the first
column and row on. A cell that holds no digit is there all the same, in its least conducting state,
and rows are driven from row 0 at the far end of the columns.

A read drives the rows whose input bit is 1. Each column's current, in units of
``v_read * step of a cell``, less ``off / step`` for every row that is driven, is a count; each
crossbar's counts pass a converter of their own and are added digitally, by what their column is
worth. Integers (behind an average pool) are read bit by bit.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...flow.cim.array import Array
from ...flow.cim.devices import States
from ...flow.cim.mapper import tile_layer
from ...flow.cim.plan import Mapped
from ...flow.cim.shapes import Layer
from ...flow.cim.weights import integers, planes
from ...flow.errors import ConfigError
from ...flow.ir import Conv2d, Dense
from ..operations import patches
from . import wires
from .adc import Seen, codes, lossless_scale
from .effects import Effects, conductances, generator

#: Numbers that a pass over a batch may hold at once, and cells whose wires are solved at once.
_NUMBERS, _CELLS = 1 << 19, 1 << 16


@dataclass(frozen=True)
class Digits:
    """What the cells of a layer are to hold: uint8 [col_blocks, row_blocks, positions, rows, cols].

    A weight is unit times (the sum of its columns' digits times scales, less offset). most: what
    the digits of any column add up to at most, in counts.
    """

    mapped: Mapped
    cells: np.ndarray
    scales: tuple[int, ...]
    unit: int
    offset: int
    most: int


def digits(node: Dense | Conv2d, shape: Layer, array: Array) -> Digits:
    """The digits of a node's weights; FitError if a weight is wider than a crossbar."""
    mapped = tile_layer(shape, array)
    values, unit = integers(node)
    found, offset = planes(values, shape.magnitude_bits, array)
    positions = shape.kernel_size ** 2
    each, width = mapped.outputs_per_crossbar, mapped.columns_per_weight
    stack = np.stack([plane.digits for plane in found], -1)
    stack = stack.reshape(shape.out_channels, shape.in_channels, positions, width)
    whole = np.zeros((mapped.col_blocks * each, mapped.row_blocks * array.rows, positions, width),
                     np.uint8)
    whole[:shape.out_channels, :shape.in_channels] = stack
    blocks = whole.reshape(mapped.col_blocks, each, mapped.row_blocks, array.rows, positions, width)
    cells = np.zeros((mapped.col_blocks, mapped.row_blocks, positions, array.rows, array.cols),
                     np.uint8)
    cells[..., :each * width] = blocks.transpose(0, 2, 4, 3, 1, 5).reshape(
        *cells.shape[:-1], each * width)
    return Digits(mapped=mapped, cells=cells, unit=unit, offset=offset,
                  scales=tuple(plane.scale for plane in found),
                  most=int(cells.sum(-2, dtype=np.int64).max()))


@dataclass(frozen=True)
class Order:
    """Where digits lie: the physical row [..., rows] and column [..., cols] of each in
    `Digits.cells`, crossbar by crossbar. Spikes find their rows, and codes of converters their
    scales, by address.
    """

    rows: np.ndarray
    cols: np.ndarray

    def placed(self, cells: np.ndarray) -> np.ndarray:
        """Cells in the order of digits as they lie in crossbars."""
        return self._picked(cells, np.argsort(self.rows), np.argsort(self.cols))

    def found(self, cells: np.ndarray) -> np.ndarray:
        """Cells as they lie in crossbars in the order of digits."""
        return self._picked(cells, self.rows, self.cols)

    @staticmethod
    def _picked(cells: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        cells = np.take_along_axis(cells, rows[..., :, None], -2)
        return np.take_along_axis(cells, cols[..., None, :], -1)


@dataclass(frozen=True)
class CrossbarLayer:
    """A layer as one chip has it. G: siemens of its cells, as they lie in crossbars; full_scale: of
    its converters in counts, None for ideal ones; seed, draw, index: of its random numbers. order:
    where digits lie, None for the order of `Digits.cells`. gains: what codes of converters are
    multiplied by, float64 in the shape of `counts` but for one row; None for 1.
    """

    node: Dense | Conv2d
    digits: Digits
    array: Array
    cells: States
    effects: Effects
    G: np.ndarray
    full_scale: float | None
    seed: int
    draw: int
    index: int
    order: Order | None = None
    gains: np.ndarray | None = None

    @property
    def _driven(self) -> int:
        """Rows of the fullest crossbar that are ever driven."""
        return self.digits.mapped.row_sizes[0]

    @cached_property
    def _seen_by_columns(self) -> np.ndarray:
        """Siemens after the wires: [row_blocks * positions, driven rows, outputs * width]."""
        G = self.G
        if self.effects.ir_drop != "none":
            r_row = self.array.r_row if self.effects.ir_drop == "full" else 0.0
            flat = G.reshape(-1, *G.shape[-2:])
            step = max(1, _CELLS // flat[0].size)
            G = np.concatenate([wires.effective(flat[k:k + step], r_row, self.array.r_col)
                                for k in range(0, len(flat), step)]).reshape(G.shape)
        return self._used(G if self.order is None else self.order.found(G))

    @cached_property
    def exact_counts(self) -> np.ndarray:
        """The digits themselves, as `counts`."""
        return self._used(self.digits.cells.astype(np.float64))

    def _used(self, cells: np.ndarray) -> np.ndarray:
        """Of cells in the order of digits those that are driven and read, as `counts`."""
        mapped = self.digits.mapped
        width = mapped.columns_per_weight
        used = np.moveaxis(cells[..., :self._driven, :mapped.outputs_per_crossbar * width], 0, -2)
        used = used.reshape(-1, self._driven, used.shape[-2] * used.shape[-1])
        return np.ascontiguousarray(used[..., :mapped.layer.out_channels * width])

    @cached_property
    def counts(self) -> np.ndarray:
        """Counts that an input bit adds, float64 [row_blocks * positions, driven rows, outputs *
        width].

        They are the digits where nothing is wrong.
        """
        return (self._seen_by_columns - self.cells.off) / self.cells.step

    @cached_property
    def _noise(self) -> np.ndarray:
        """Variance that an input bit adds to a count of one read."""
        return np.square(self._seen_by_columns * (self.effects.read_noise / self.cells.step))

    @property
    def weights(self) -> np.ndarray:
        """What the array computes as weights, its converters ideal: float64 as the node's."""
        mapped, width = self.digits.mapped, self.digits.mapped.columns_per_weight
        layer = mapped.layer
        counts = self.counts if self.gains is None else self.counts * self.gains
        found = counts.reshape(*counts.shape[:2], layer.out_channels, width)
        found = found @ np.array(self.digits.scales, np.float64) - self.digits.offset
        found = found.reshape(mapped.row_blocks, -1, self._driven, layer.out_channels)
        found = found.transpose(3, 0, 2, 1).reshape(layer.out_channels, -1, found.shape[1])
        return self.digits.unit * found[:, :layer.in_channels].reshape(self.node.weight.shape)

    def currents(self, x: np.ndarray, seen: Seen | None = None) -> np.ndarray:
        """Integer currents int64 [T, batch, out] of inputs [T, batch, in]; a pure function.

        seen: also note there what the converters see.
        """
        lead = x.reshape(-1, x.shape[-1])
        layer = self.digits.mapped.layer
        each = layer.places * len(self.counts) * sum(self.counts.shape[1:])
        step = max(1, _NUMBERS // each)
        rng = self.reading()
        found = [self._read(lead[k:k + step], rng, seen) for k in range(0, len(lead), step)]
        sums = np.concatenate(found) if found else np.zeros((0, layer.neurons))
        return np.rint(sums).astype(np.int64).reshape(*x.shape[:-1], layer.neurons)

    def _read(self, x: np.ndarray, rng: np.random.Generator, seen: Seen | None) -> np.ndarray:
        """Sums [n, out] of inputs [n, in]."""
        layer, scales = self.digits.mapped.layer, np.array(self.digits.scales, np.float64)
        rows = self.rows(x)
        total = 0.0
        for bit in range(layer.input_bits):
            driven = (rows >> bit & 1).astype(np.float64)
            counts = self.read(driven, rng)
            if seen is not None:
                seen.add(counts)
            sums = self._added(counts).reshape(-1, layer.out_channels, len(scales)) @ scales
            total = total + (1 << bit) * (sums - self.digits.offset * driven.sum((0, 2))[:, None])
        maps = total.reshape(len(x), layer.places, layer.out_channels)
        return self.digits.unit * maps.transpose(0, 2, 1).reshape(len(x), -1)

    def reading(self) -> np.random.Generator:
        """What reads draw from, from the first one on."""
        return generator(self.seed, self.draw, self.index, "read_noise")

    def read(self, driven: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What reaches the converters, in counts: [row_blocks * positions, n, outputs * width].

        driven: 0 or 1, float64 [row_blocks * positions, n, driven rows].
        """
        counts = driven @ self.counts
        if self.effects.read_noise:
            counts += np.sqrt(driven @ self._noise) * rng.standard_normal(counts.shape)
        return counts

    def _added(self, counts: np.ndarray) -> np.ndarray:
        """What converters and gains make of counts, over all crossbars: [n, outputs * width]."""
        bits, scale = self.effects.adc_bits, self.full_scale
        step = 1.0
        if scale is not None:
            counts, step = codes(counts, bits, scale), scale / ((1 << bits) - 1)
        if self.gains is not None:
            counts = counts * self.gains
        return counts.sum(0) * step

    def rows(self, x: np.ndarray) -> np.ndarray:
        """What reaches each crossbar's rows: [row_blocks * positions, n * places, driven rows]."""
        mapped = self.digits.mapped
        positions = mapped.layer.kernel_size ** 2
        if isinstance(self.node, Conv2d):
            x = patches(x, self.node)
        x = x.reshape(-1, mapped.layer.in_channels, positions)
        whole = np.zeros((len(x), mapped.row_blocks * self._driven, positions), np.int64)
        whole[:, :mapped.layer.in_channels] = x
        whole = whole.reshape(len(x), mapped.row_blocks, self._driven, positions)
        return whole.transpose(1, 3, 0, 2).reshape(-1, len(x), self._driven)


def program(node: Dense | Conv2d, shape: Layer, array: Array, cells: States, effects: Effects, *,
            seed: int, draw: int, index: int, full_scale: float | None = None) -> CrossbarLayer:
    """Write a layer into cells. full_scale: of a calibrated converter, in counts."""
    wanted = digits(node, shape, array)
    scale = None
    if effects.adc_bits is not None:
        scale = effects.full_scale
        if scale == "lossless":
            scale = lossless_scale(wanted.most, effects.adc_bits)
        elif scale == "calibrated":
            if full_scale is None:
                raise ConfigError(f"{node.name}: effects.full_scale must be lossless or a number "
                                  "where no range has been calibrated, not calibrated")
            scale = full_scale
    G = conductances(wanted.cells, cells, effects, seed, draw, index)
    return CrossbarLayer(node=node, digits=wanted, array=array, cells=cells, effects=effects, G=G,
                         full_scale=scale, seed=seed, draw=draw, index=index)
