"""The plan: which crossbars, PEs and tiles hold which weights, and where the tiles lie.

It is saved as a JSON file that a person can open. Of a layer it has the counts; which weights a
crossbar holds follows from them (`Mapped.crossbar_list`). A block is what reads one part of the
input channels for one part of the filters: a crossbar for each position of the kernel. Blocks are
numbered with their rows first, so that the parts of a sum are neighbours.
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path

import msgspec
from msgspec import Struct

from ..errors import RunError
from ..files import write_atomic
from .array import Array
from .shapes import Layer

FORMAT = 1


class Crossbar(Struct, frozen=True, kw_only=True):
    """What one crossbar holds: weight[outputs, inputs, ky, kx], each as many columns as the layer's
    `columns_per_weight`, side by side.

    inputs, outputs: first channel, and the one after the last, along the rows and the columns.
    pe counts over the whole chip, tile = pe // pes_per_tile; slot is the place in the PE.
    """

    ky: int
    kx: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    pe: int
    slot: int

    @property
    def rows_used(self) -> int:
        return self.inputs[1] - self.inputs[0]

    @property
    def outputs_used(self) -> int:
        return self.outputs[1] - self.outputs[0]


class Mapped(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A layer on crossbars.

    inputs_per_crossbar, outputs_per_crossbar: channels that a full one holds along its rows, and
    weights along its columns, each of columns_per_weight columns. row_blocks, col_blocks: parts of
    the input channels and of the filters. pes are numbered over the chip, from first_pe.
    """

    layer: Layer
    columns_per_weight: int
    inputs_per_crossbar: int
    outputs_per_crossbar: int
    row_blocks: int
    col_blocks: int
    crossbars: int
    first_pe: int
    pes: int
    first_tile: int
    tiles: int

    @property
    def blocks(self) -> int:
        return self.row_blocks * self.col_blocks

    @property
    def row_sizes(self) -> tuple[int, ...]:
        """Rows in use of the crossbars of each row block."""
        return _parts(self.layer.in_channels, self.inputs_per_crossbar)

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Weights side by side in the crossbars of each column block."""
        return _parts(self.layer.out_channels, self.outputs_per_crossbar)

    @property
    def column_sizes(self) -> tuple[int, ...]:
        """Columns in use of the crossbars of each column block."""
        return tuple(self.columns_per_weight * size for size in self.output_sizes)

    @property
    def columns_used(self) -> int:
        """Columns in use of all crossbars: what ADCs convert for one place and one input bit."""
        return (self.layer.kernel_size ** 2 * self.row_blocks * self.layer.out_channels
                * self.columns_per_weight)

    @property
    def rows_used(self) -> int:
        """Rows in use of all crossbars: word lines that an input bit at one place may drive."""
        return self.layer.kernel_size ** 2 * self.col_blocks * self.layer.in_channels

    @property
    def cells(self) -> int:
        """Cells that hold a digit of a weight."""
        return self.layer.weights * self.columns_per_weight

    def utilization(self, array: Array) -> float:
        """Share of the cells of its crossbars that hold a digit."""
        return self.cells / (self.crossbars * array.rows * array.cols)

    def crossbar_utilizations(self, array: Array) -> list[list[float]]:
        """The same of one crossbar of each block: [row_blocks][col_blocks]."""
        return [[rows * columns / (array.rows * array.cols) for columns in self.column_sizes]
                for rows in self.row_sizes]

    def crossbar_list(self, array: Array) -> Iterator[Crossbar]:
        """Every crossbar, block by block, kernel positions in order."""
        extent, positions = self.layer.kernel_size, self.layer.kernel_size ** 2
        each, spread = blocks_per_pe(positions, array), pes_per_block(positions, array)
        for block in range(self.blocks):
            col, row = divmod(block, self.row_blocks)
            for position in range(positions):
                pe, slot = ((block // each, block % each * positions + position) if each else
                            (block * spread + position // array.crossbars_per_pe,
                             position % array.crossbars_per_pe))
                yield Crossbar(
                    ky=position // extent, kx=position % extent, pe=self.first_pe + pe, slot=slot,
                    inputs=_bounds(row, self.inputs_per_crossbar, self.layer.in_channels),
                    outputs=_bounds(col, self.outputs_per_crossbar, self.layer.out_channels))


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tile holds of a layer; cells: those that hold a digit of a weight."""

    layer: str
    pes: int
    crossbars: int
    cells: int


class Tile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tile, at column x and row y of the mesh."""

    x: int
    y: int
    parts: tuple[Part, ...]

    def utilization(self, array: Array) -> float:
        """Share of all its cells that hold a digit."""
        return sum(part.cells for part in self.parts) / tile_cells(array)


class Edge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spikes from the tiles of a layer to those of another, in one timestep.

    bits: a bit, or as many as an input has behind an average pool, of every value, spike or none.
    delivered: with the copies for tiles that hold other filters of the same channels. bit_hops:
    delivered bits times the links of the mesh between the two tiles.
    """

    source: str
    target: str
    bits: float
    delivered: float
    bit_hops: float


class Placement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tiles lie on a mesh of mesh_rows x mesh_cols; bit hops of a timestep, over all edges.

    row_major: with tiles in order from left to right in every row; snake: in the best snake;
    bit_hops: as placed, by a search from `seed`.
    """

    mesh_rows: int
    mesh_cols: int
    row_major: float
    snake: float
    bit_hops: float
    seed: int
    edges: tuple[Edge, ...]


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network on a chip. digital: layers that are on no crossbar, each with its reason."""

    format: int = FORMAT
    network: str
    num_steps: int
    array: Array
    layers: tuple[Mapped, ...]
    digital: tuple[Layer, ...]
    tiles: tuple[Tile, ...]
    placement: Placement

    @property
    def crossbars(self) -> int:
        return sum(mapped.crossbars for mapped in self.layers)

    @property
    def pes(self) -> int:
        """PEs in use."""
        return sum(mapped.pes for mapped in self.layers)

    @property
    def cells(self) -> int:
        """Cells that hold a digit of a weight."""
        return sum(mapped.cells for mapped in self.layers)

    @property
    def utilization(self) -> float:
        """Share of all cells of all tiles that hold a digit; 0 if there are none."""
        return self.cells / (len(self.tiles) * tile_cells(self.array)) if self.tiles else 0.0

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        write_atomic(path, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def load_plan(path: Path) -> Plan:
    """Read what `Plan.save` wrote; RunError if it is missing, damaged or of another format."""
    advice = "'spikeloom map' writes it again"
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    try:
        found = msgspec.json.decode(data)["format"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise RunError(f"{path}: is damaged or no plan; {advice}") from error
    if found != FORMAT:
        raise RunError(f"{path}: has plan format {found}, this version reads {FORMAT}; {advice}")
    try:
        plan = msgspec.json.decode(data, type=Plan)
        plan.array.check()
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise RunError(f"{path}: is damaged ({error}); {advice}") from error
    if broken := _broken(plan):
        raise RunError(f"{path}: is damaged ({broken}); {advice}")
    return plan


def blocks_per_pe(positions: int, array: Array) -> int:
    """Whole blocks of so many kernel positions that fit a PE, 0 if none does."""
    return array.crossbars_per_pe // positions


def pes_per_block(positions: int, array: Array) -> int:
    """PEs that one block of so many kernel positions takes, if it is alone in them."""
    return ceil(positions / array.crossbars_per_pe)


def tile_cells(array: Array) -> int:
    """Cells of a tile."""
    return array.pes_per_tile * array.crossbars_per_pe * array.rows * array.cols


def _parts(total: int, each: int) -> tuple[int, ...]:
    return tuple(min(each, total - start) for start in range(0, total, each))


def _bounds(index: int, each: int, total: int) -> tuple[int, int]:
    return index * each, min((index + 1) * each, total)


def _broken(plan: Plan) -> str:
    """What of a plan contradicts the rest, in words; empty if nothing does."""
    mesh = plan.placement
    places = {(tile.x, tile.y) for tile in plan.tiles}
    if len(places) != len(plan.tiles) or any(
            not (0 <= x < mesh.mesh_cols and 0 <= y < mesh.mesh_rows) for x, y in places):
        return f"tiles must have places of their own on {mesh.mesh_rows} x {mesh.mesh_cols}"
    for mapped in plan.layers:
        parts = [part for tile in plan.tiles for part in tile.parts
                 if part.layer == mapped.layer.name]
        for key in ("pes", "crossbars", "cells"):
            total = sum(getattr(part, key) for part in parts)
            if total != getattr(mapped, key):
                return (f"{mapped.layer.name}: tiles must hold its {getattr(mapped, key)} {key}, "
                        f"not {total}")
    return ""
