"""The chip that is priced: which layers, on how many PEs and tiles, and of what they consist.

`blocks` is SpikeSim's count of PEs, which knows no bits of weights; `plan` is the mapper's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from msgspec import structs

from ...errors import GraphError
from ..array import Array
from ..mapper import check_network, map_network
from ..plan import Mapped, Plan
from ..shapes import INPUT, Layer, Network
from .actions import Counts
from .switches import Switches
from .table import Table

#: Weights of 4 bits are NeuroNAS's unit.
UNIT_BITS = 4
#: SpikeSim's script has memory for the neurons of so many layers, and inputs of so many bits.
FIRST_LAYERS, RELEASED_INPUT_BITS = 5, 22


@dataclass(frozen=True)
class Tiled:
    """A layer on PEs. rows_used, columns_used, cells: of all its crossbars; row_sizes: rows in use
    of the crossbars of each row block.
    """

    layer: Layer
    pes: int
    crossbars: int
    rows_used: int
    columns_used: int
    cells: int
    row_sizes: tuple[int, ...]

    @property
    def positions(self) -> int:
        return self.layer.kernel_size ** 2


@dataclass(frozen=True)
class Chip:
    """Layers on a chip; adcs: of a crossbar, or of a PE where its crossbars share them."""

    layers: tuple[Tiled, ...]
    array: Array
    factor: int
    tiles: int
    plan: Plan | None

    @property
    def adcs(self) -> int:
        return ceil(self.array.cols / self.array.mux)

    def crossbars_per_pe(self, switches: Switches) -> int:
        """Crossbars that a PE is built with: those of one kernel in SpikeSim's script."""
        if switches.mapping == "plan":
            return self.array.crossbars_per_pe
        return max(tiled.positions for tiled in self.layers)


def chip_of(network: Network, array: Array, switches: Switches, plan: Plan | None = None) -> Chip:
    """Tile the layers that are priced; a plan that was made of just these is used as it is.

    Raises GraphError for a network of no size, or one of which nothing is left.
    """
    array.check()
    check_network(network)
    layers = _chosen(network, switches)
    if switches.tile_sharing == "shared":
        array = structs.replace(array, share_tiles=True)
    if switches.mapping == "blocks":
        plan, tiled = None, tuple(_blocks(layer, array) for layer in layers)
    else:
        if (plan is None or plan.array != array
                or tuple(mapped.layer for mapped in plan.layers) != layers):
            plan = map_network(structs.replace(network, layers=layers), array, moves=0)
        tiled = tuple(map(_mapped, plan.layers))
    factor = 1
    if switches.weight_factor == "quarter_bits":
        factor = ceil((max(layer.magnitude_bits for layer in layers) + 1) / UNIT_BITS)
    pes = [factor * item.pes for item in tiled]
    tiles = (ceil(sum(pes) / array.pes_per_tile) if array.share_tiles
             else sum(ceil(count / array.pes_per_tile) for count in pes))
    return Chip(layers=tiled, array=array, factor=factor, tiles=tiles, plan=plan)


def _chosen(network: Network, switches: Switches) -> tuple[Layer, ...]:
    layers = [layer for layer in network.layers if not layer.digital and (
        switches.dense == "priced" or layer.kind != "dense")]
    if not layers:
        what = ("convolution that crossbars could hold, and nothing else is priced (dense = "
                "'excluded'); use mode 'physical'" if switches.dense == "excluded" else
                "layer on crossbars: " + "; ".join(f"{layer.name} stays digital, {layer.digital}"
                                                   for layer in network.layers))
        raise GraphError(f"{network.name}: has no {what}")
    there = {layer.name for layer in layers} | {INPUT, ""}
    for place, layer in enumerate(layers):
        gone = {key: "" for key in ("source", "skip_source") if getattr(layer, key) not in there}
        layers[place] = structs.replace(layer, **gone) if gone else layer
    if switches.kernel == "per_layer":
        return tuple(layers)
    kernel = 3 if switches.kernel == "three" else layers[0].kernel_size
    return tuple(layer if layer.kernel_size == kernel
                 else structs.replace(layer, kernel_size=kernel) for layer in layers)


def _blocks(layer: Layer, array: Array) -> Tiled:
    rows, cols = ceil(layer.in_channels / array.rows), ceil(layer.out_channels / array.cols)
    positions = layer.kernel_size ** 2
    return Tiled(layer=layer, pes=rows * cols, crossbars=positions * rows * cols,
                 rows_used=positions * cols * layer.in_channels,
                 columns_used=positions * rows * layer.out_channels, cells=layer.weights,
                 row_sizes=tuple(min(array.rows, layer.in_channels - start)
                                 for start in range(0, layer.in_channels, array.rows)))


def _mapped(mapped: Mapped) -> Tiled:
    return Tiled(layer=mapped.layer, pes=mapped.pes, crossbars=mapped.crossbars,
                 rows_used=mapped.rows_used, columns_used=mapped.columns_used, cells=mapped.cells,
                 row_sizes=mapped.row_sizes)


def parts_of(chip: Chip, switches: Switches, table: Table) -> tuple[Counts, Counts]:
    """Parts of the chip by figures of area, and those that leak by figures of power."""
    array, tiles, sizes = chip.array, chip.tiles, table.chip
    pes = tiles * array.pes_per_tile
    crossbars = pes * chip.crossbars_per_pe(switches)
    adcs = chip.adcs * (crossbars if switches.adcs == "per_crossbar" else pes)
    area: Counts = {"DIFF": {"diff": tiles * chip.adcs}, "H-tree": {"htree": tiles}}
    leakage: Counts = {}
    if switches.constants == "fixed":
        area |= {"crossbar": {"crossbar": crossbars}, "ADC": {"adc": adcs},
                 "multiplexer": {"mux": adcs}}
    else:
        area |= {"crossbar": {"cell": crossbars * array.rows * array.cols},
                 "ADC": {"adc_comparator": adcs * ((1 << array.adc_bits) - 1)},
                 "multiplexer": {"mux_input": adcs * array.mux}}
    if switches.buffers == "released":
        area["tile buffers"] = {"temp_buffer": tiles, "tile_buffer": tiles}
    else:
        for component, count, held in (
                ("PE buffers", pes, (sizes.pe_input_bytes, sizes.pe_output_bytes)),
                ("tile buffers", tiles, (sizes.tile_input_bytes, sizes.tile_output_bytes)),
                ("global buffer", 1, (sizes.global_bytes,))):
            figures = area.setdefault(component, {})
            for size in held:
                name = f"sram.{table.memory(size)}"
                figures[f"{name}.area"] = figures.get(f"{name}.area", 0) + count
            leakage[component] = {name.replace("area", "leakage"): number
                                  for name, number in figures.items()}
    if switches.drivers == "priced":
        area["driver"] = {"driver": crossbars * array.rows}
    if switches.arithmetic == "counted":
        area["shift-add"] = {"shift_add": adcs}
    if switches.noc == "priced":
        area["NoC"] = leakage["NoC"] = {"router": tiles}
    pool = max(tiled.layer.pool for tiled in chip.layers)
    if switches.pooling == "priced" and pool > 1:
        area["pooling"] = {"or_bit": sizes.mesh_bits * (pool ** 2 - 1)}
    return area, leakage if switches.leakage == "priced" else {}


def memories_of(tiled: Tiled, index: int, switches: Switches) -> Counts:
    """Bits of a layer's input memory and of its neurons, by the figure of their area."""
    layer = tiled.layer
    bits = layer.input_bits if switches.input_memory == "bits_as_is" else RELEASED_INPUT_BITS
    found: Counts = {"input memory": {"memory_bit": layer.inputs * bits}}
    if switches.neuron_memory == "all_layers" or index < FIRST_LAYERS:
        found["neuron memory"] = {"memory_bit": layer.neurons * switches.membrane_bits}
    return found


def readers(layers: Sequence[Layer], index: int) -> list[Layer]:
    """The layers whose inputs a layer's spikes are."""
    name = layers[index].name
    return [layer for place, layer in enumerate(layers)
            if layer.source == name or (not layer.source and place == index + 1)]
