"""A plan for people: a row for each layer, a map of the tiles in letters, and what it all means."""

from rich import box
from rich.table import Table

from ..output import counted
from .array import Array
from .plan import Plan, Tile
from .shapes import Layer

#: Columns of the mesh that the terminal gets with utilisation, and at all.
FULL_COLS, MOST_COLS = 12, 24


def data(plan: Plan) -> dict:
    """What the table shows, as plain values: units in the names, shares from 0 to 1."""
    array, placed = plan.array, plan.placement
    return {
        "network": plan.network, "num_steps": plan.num_steps,
        "crossbars": plan.crossbars, "pes": plan.pes, "tiles": len(plan.tiles),
        "cells_used": plan.cells, "utilization": plan.utilization,
        "mesh": [placed.mesh_rows, placed.mesh_cols],
        "bit_hops": {"row_major": placed.row_major, "snake": placed.snake,
                     "placed": placed.bit_hops},
        "layers": [{
            "name": mapped.layer.name, "columns_per_weight": mapped.columns_per_weight,
            "outputs_per_crossbar": mapped.outputs_per_crossbar,
            "row_blocks": mapped.row_blocks, "col_blocks": mapped.col_blocks,
            "crossbars": mapped.crossbars, "pes": mapped.pes, "tiles": mapped.tiles,
            "rows_used": mapped.rows_used, "columns_used": mapped.columns_used,
            "cells_used": mapped.cells, "utilization": mapped.utilization(array),
        } for mapped in plan.layers],
        "digital": [{"name": layer.name, "reason": layer.digital, "weights": layer.weights,
                     "synapses": synapses(layer), "neurons": layer.neurons}
                    for layer in plan.digital],
    }


def synapses(layer: Layer) -> int:
    """Pairs of an input and a neuron, those of a border included."""
    return layer.weights * layer.places


def table(plan: Plan) -> Table:
    """A row for each layer on crossbars, and one for all."""
    found = Table(title=f"{plan.network} on crossbars of {plan.array.rows} x {plan.array.cols}",
                  title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False,
                  show_footer=True)
    total = ("", "all", "", "", "", "", "", f"{plan.crossbars:,}", f"{plan.pes:,}",
             f"{len(plan.tiles):,}", f"{sum(mapped.columns_used for mapped in plan.layers):,}", "")
    titles = ("", "layer", "weights", "maps", "columns\na weight", "weights\na row",
              "blocks\nrows x cols", "crossbars", "PEs", "tiles", "columns\nin use",
              "cells\nin use")
    for title, footer in zip(titles, total, strict=True):
        left = title in ("layer", "weights", "maps")
        found.add_column(title, footer, justify="left" if left else "right", no_wrap=True)
    for index, mapped in enumerate(plan.layers):
        found.add_row(symbol(index), mapped.layer.name, shape(mapped.layer),
                      " x ".join(map(str, mapped.layer.out_size)),
                      str(mapped.columns_per_weight), str(mapped.outputs_per_crossbar),
                      f"{mapped.row_blocks:,} x {mapped.col_blocks:,}",
                      f"{mapped.crossbars:,}", f"{mapped.pes:,}", f"{mapped.tiles:,}",
                      f"{mapped.columns_used:,}", percent(mapped.utilization(plan.array)))
    return found


def shape(layer: Layer) -> str:
    """``64 -> 128, 3 x 3`` of a convolution, ``256 -> 10`` of a dense layer."""
    extent = layer.kernel_size
    kernel = "" if layer.kind == "dense" else f", {extent} x {extent}"
    return f"{layer.in_channels:,} -> {layer.out_channels:,}{kernel}"


def lines(plan: Plan) -> list[str]:
    """What the table does not say: how full the chip is, how far spikes go, what is digital."""
    found = [f"{layer.name} stays digital ({counted(synapses(layer), 'synapse')}, "
             f"{counted(layer.neurons, 'neuron')}): {layer.digital}" for layer in plan.digital]
    if not plan.tiles:
        return [*found, "nothing is on crossbars"]
    array, placed = plan.array, plan.placement
    found.append(
        f"a PE has {counted(array.crossbars_per_pe, 'crossbar')}, a tile "
        f"{counted(array.pes_per_tile, 'PE')}; {percent(plan.utilization)} of all cells of "
        f"{counted(len(plan.tiles), 'tile')} are in use, and layers "
        f"{'may share' if array.share_tiles else 'never share'} a tile")
    if placed.row_major:
        saved = 1 - placed.bit_hops / placed.row_major
        found.append(
            f"placed on a mesh of {placed.mesh_rows} x {placed.mesh_cols}: {placed.bit_hops:,.0f} "
            "bit hops a timestep, " + (
                f"{percent(saved)} fewer than the {placed.row_major:,.0f} of row-major order "
                f"(snake: {placed.snake:,.0f})" if saved > 0 else "as in row-major order"))
        found.append("bit hops are of a bit for every value, spike or none, and of its copies for "
                     "tiles with other filters; between tiles alone")
    return found


def tile_map(plan: Plan) -> str:
    """The mesh in letters, one for each layer as in the table; with how full each tile is, while
    the mesh is narrow enough. A + is a tile of several layers, under the letter of the largest.
    """
    placed, array = plan.placement, plan.array
    if not plan.tiles:
        return "no tiles"
    if placed.mesh_cols > MOST_COLS:
        return f"a mesh of {placed.mesh_rows} x {placed.mesh_cols} is too wide for the terminal"
    letters = {mapped.layer.name: symbol(index) for index, mapped in enumerate(plan.layers)}
    cells = {(tile.x, tile.y): _cell(tile, letters, array, placed.mesh_cols <= FULL_COLS)
             for tile in plan.tiles}
    width = max(map(len, cells.values()))
    return "\n".join("  ".join(cells.get((x, y), ".").ljust(width) for x in
                               range(placed.mesh_cols)).rstrip() for y in range(placed.mesh_rows))


def _cell(tile: Tile, letters: dict[str, str], array: Array, full: bool) -> str:
    largest = max(tile.parts, key=lambda part: part.crossbars)
    cell = letters[largest.layer] + ("+" if len(tile.parts) > 1 else "")
    return f"{cell} {percent(tile.utilization(array))}" if full else cell


def symbol(index: int) -> str:
    """A, B, ..., Z, AA, AB, ... as in a spreadsheet."""
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def percent(share: float) -> str:
    """A share in per cent: whole numbers, but what is not nothing never reads as nothing."""
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"
