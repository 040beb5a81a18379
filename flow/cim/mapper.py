"""The mapper: layers onto crossbars, PEs and tiles.

As in SpikeSim (`array`), section III: each position of a K x K kernel has a crossbar of its own,
input channels lie along its rows and filters along its columns, so that a block of K * K crossbars
answers one part of the channels for one part of the filters. Here a weight may take several
columns, which stay together in one crossbar, and what a block leaves of a PE is given to the next
blocks of the same layer: nine blocks of a 1 x 1 kernel fill a PE of nine crossbars, one of 3 x 3
does, one of 5 x 5 takes three. No two layers share a PE; they share a tile if the array says so.
"""

from collections.abc import Sequence
from math import ceil

from msgspec import structs

from ..errors import FitError, GraphError
from .array import Array
from .placement import MOVES, place
from .plan import Mapped, Part, Plan, Tile, blocks_per_pe, pes_per_block
from .shapes import INPUT, Layer, Network
from .weights import columns_per_weight

#: More tiles are refused, whatever the chip: 10**9 cells and more with the defaults.
MOST_TILES = 1 << 16
MOST_LAYERS = 1024
#: Fields of a layer that count something, each at least 1.
_COUNTS = ("in_channels", "out_channels", "kernel_size", "magnitude_bits", "input_bits", "pool")


def map_network(network: Network, array: Array, *, max_tiles: int | None = None,
                seed: int = 0, moves: int = MOVES) -> Plan:
    """Tile every layer that is not digital, and place the tiles on a mesh.

    max_tiles: of the chip, None for as many as it takes. seed, moves: of `placement.place`.
    Raises GraphError for shapes that no layer has, FitError for a weight that is wider than a
    crossbar, and for too many tiles.
    """
    array.check()
    check_network(network)
    layers: list[Mapped] = []
    whole = _sourced(network.layers)
    for layer in whole:
        if not layer.digital:
            layers.append(tile_layer(layer, array, _next_pe(layers, array)))
    count = max((mapped.first_tile + mapped.tiles for mapped in layers), default=0)
    _fits(network, layers, array, count, max_tiles)
    parts: list[list[Part]] = [[] for _ in range(count)]
    for mapped in layers:
        for tile in range(mapped.first_tile, mapped.first_tile + mapped.tiles):
            parts[tile].append(_part(mapped, array, tile))
    placement, places = place(layers, array, count, seed=seed, moves=moves)
    return Plan(network=network.name, num_steps=network.num_steps, array=array,
                layers=tuple(layers), placement=placement,
                digital=tuple(layer for layer in whole if layer.digital),
                tiles=tuple(Tile(x=x, y=y, parts=tuple(item))
                            for (x, y), item in zip(places, parts)))


def check_network(network: Network) -> None:
    """Raise GraphError for a network that has no layers, or one of no size."""
    if not network.layers:
        raise GraphError(f"{network.name}: must have at least one layer")
    if len(network.layers) > MOST_LAYERS:
        raise GraphError(f"{network.name}: must have at most {MOST_LAYERS:,} layers, not "
                         f"{len(network.layers):,}")
    if network.num_steps < 1:
        raise GraphError(f"{network.name}: num_steps must be at least 1, not {network.num_steps}")
    names = {INPUT}
    for layer in network.layers:
        if layer.name in names:
            raise GraphError(f"{network.name}: names of layers must differ, and from {INPUT!r}, "
                             f"not {layer.name!r} again")
        for key in _COUNTS:
            if getattr(layer, key) < 1:
                raise GraphError(f"{layer.name}: {key} must be at least 1, not "
                                 f"{getattr(layer, key)}")
        for key in ("in_size", "out_size"):
            if min(getattr(layer, key)) < 1:
                raise GraphError(f"{layer.name}: {key} must be at least 1 x 1, not "
                                 f"{' x '.join(map(str, getattr(layer, key)))}")
        for key in ("source", "skip_source"):
            if getattr(layer, key) not in ("", *names):
                raise GraphError(f"{layer.name}: {key} must be a layer before it, or {INPUT!r}, "
                                 f"not {getattr(layer, key)!r}")
        names.add(layer.name)


def tile_layer(layer: Layer, array: Array, first_pe: int = 0) -> Mapped:
    """One layer whose PEs are counted from first_pe; FitError if its weights are too wide."""
    width = columns_per_weight(layer.magnitude_bits, array)
    outputs = array.cols // width
    if not outputs:
        raise FitError(
            f"{layer.name}: a weight takes {width} columns ({layer.magnitude_bits} bits and a "
            f"sign, {array.encoding}, {array.cell_bits} a cell), which must be at most the "
            f"{array.cols} of a crossbar; use more cols or cell_bits, or fewer bits")
    positions = layer.kernel_size ** 2
    row_blocks = ceil(layer.in_channels / array.rows)
    col_blocks = ceil(layer.out_channels / outputs)
    blocks, each = row_blocks * col_blocks, blocks_per_pe(positions, array)
    pes = ceil(blocks / each) if each else blocks * pes_per_block(positions, array)
    first_tile = first_pe // array.pes_per_tile
    return Mapped(layer=layer, columns_per_weight=width, inputs_per_crossbar=array.rows,
                  outputs_per_crossbar=outputs, row_blocks=row_blocks, col_blocks=col_blocks,
                  crossbars=blocks * positions, first_pe=first_pe, pes=pes, first_tile=first_tile,
                  tiles=(first_pe + pes - 1) // array.pes_per_tile - first_tile + 1)


def _sourced(layers: Sequence[Layer]) -> list[Layer]:
    """The layers, each with its source named."""
    before = (INPUT, *(layer.name for layer in layers))
    return [structs.replace(layer, source=layer.source or name)
            for layer, name in zip(layers, before)]


def _next_pe(layers: Sequence[Mapped], array: Array) -> int:
    """The PE at which the next layer begins: the next one, or the first of the next tile."""
    if not layers:
        return 0
    end = layers[-1].first_pe + layers[-1].pes
    return end if array.share_tiles else ceil(end / array.pes_per_tile) * array.pes_per_tile


def _fits(network: Network, layers: Sequence[Mapped], array: Array, count: int,
          max_tiles: int | None) -> None:
    """Raise FitError where there are too many tiles: by how many, and what to try."""
    most = MOST_TILES if max_tiles is None else min(max_tiles, MOST_TILES)
    if count <= most:
        return
    largest = max(layers, key=lambda mapped: mapped.tiles)
    tries = ["larger crossbars", "more cell_bits", "fewer bits a weight"]
    tries += [] if array.share_tiles or len(layers) == 1 else ["share_tiles"]
    raise FitError(
        f"{network.name}: takes {count:,} tiles, {count - most:,} more than "
        f"{'the chip has' if max_tiles is not None else 'are ever mapped'} ({most:,}); "
        f"{largest.layer.name} alone takes {largest.tiles:,}; use "
        f"{', '.join(tries[:-1])} or {tries[-1]}")


def _part(mapped: Mapped, array: Array, tile: int) -> Part:
    """What a tile holds of a layer."""
    start, stop = local_pes(mapped, array, tile)
    (crossbars, cells), (crossbars_end, cells_end) = (
        _before(mapped, array, pe) for pe in (start, stop))
    return Part(layer=mapped.layer.name, pes=stop - start, crossbars=crossbars_end - crossbars,
                cells=cells_end - cells)


def local_pes(mapped: Mapped, array: Array, tile: int) -> tuple[int, int]:
    """The layer's PEs in a tile, counted from its first: first, and the one after the last."""
    start = tile * array.pes_per_tile - mapped.first_pe
    return max(start, 0), min(start + array.pes_per_tile, mapped.pes)


def _before(mapped: Mapped, array: Array, pe: int) -> tuple[int, int]:
    """Crossbars, and cells in use, of the layer's PEs before its PE of that number."""
    positions = mapped.layer.kernel_size ** 2
    each, spread = blocks_per_pe(positions, array), pes_per_block(positions, array)
    block, position = ((min(pe * each, mapped.blocks), 0) if each else
                       (pe // spread, pe % spread * array.crossbars_per_pe))
    col, row = divmod(block, mapped.row_blocks)
    before = min(col * mapped.outputs_per_crossbar, mapped.layer.out_channels)
    outputs = min(mapped.outputs_per_crossbar, mapped.layer.out_channels - before)
    inputs = min(row * mapped.inputs_per_crossbar, mapped.layer.in_channels)
    rows = min(mapped.inputs_per_crossbar, mapped.layer.in_channels - inputs)
    weights = (positions * (mapped.layer.in_channels * before + inputs * outputs)
               + position * rows * outputs)
    return block * positions + position, weights * mapped.columns_per_weight
