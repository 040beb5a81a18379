"""Counting: what the layers of a chip do in an inference.

With spikes, a share `rate` of the word lines is driven, spread evenly and independently: of rows
that meet, at least one is driven with probability ``1 - (1 - rate)**rows``, and what has none is
not read. Counts never grow when spikes fall.
"""

from collections.abc import Sequence
from math import ceil, log2

from ...errors import ConfigError
from ..array import Array
from ..plan import Plan, blocks_per_pe
from ..shapes import Network
from .actions import Actions, Counts, LayerActions
from .chip import Chip, Tiled, chip_of, memories_of, parts_of, readers
from .switches import Switches
from .table import Table

#: Bits of a word of the table's memories.
WORD_BITS = 32
#: Columns of the crossbars that SpikeSim's constants are of.
COLUMNS = 64
#: SpikeSim subtracts so many times for each ADC in a PE cycle.
DIFFS = 16
#: The share of a layer that is done when the next one starts, in SpikeSim's script.
OVERLAP = 0.75


def count(network: Network, array: Array, switches: Switches, table: Table, *,
          mode: str = "physical", spikes: Sequence[float] | None = None,
          plan: Plan | None = None) -> Actions:
    """Count an inference. spikes: float [layers], what comes into each layer in the mean timestep,
    a value of several bits as so many spikes.

    Raises ConfigError for spikes that no network has, GraphError and FitError as the mapper does.
    """
    switches.check()
    chip = chip_of(network, array, switches, plan)
    given = _spikes(network, spikes, switches)
    layers = []
    for index, tiled in enumerate(chip.layers):
        found = given.get(tiled.layer.name)
        rate = 1.0 if found is None else min(
            1.0, found / (tiled.layer.inputs * tiled.layer.input_bits))
        energy, cycles = _energy(chip, index, network.num_steps, rate, switches, table)
        layers.append(LayerActions(
            name=tiled.layer.name, pes=tiled.pes, crossbars=tiled.crossbars, pe_cycles=cycles,
            clocks=_clocks(chip, index, network.num_steps, switches, table), energy=energy,
            area=memories_of(tiled, index, switches), spikes=found))
    area, leakage = parts_of(chip, switches, table)
    return Actions(
        network=network.name, mode=mode, num_steps=network.num_steps, clock_mhz=array.clock_mhz,
        technology=table.name, tiles=chip.tiles, factor=chip.factor, layers=tuple(layers),
        area=area, leakage=leakage, switches=switches,
        digital={layer.name: layer.digital for layer in network.layers if layer.digital})


def _spikes(network: Network, spikes: Sequence[float] | None,
            switches: Switches) -> dict[str, float]:
    if spikes is None or switches.activity == "all_rows":
        if switches.activity == "spikes":
            raise ConfigError("spikes must be given for activity = 'spikes' (mode 'event'): what "
                              "comes into each layer in the mean timestep")
        return {}
    values = [float(value) for value in spikes]
    if len(values) != len(network.layers):
        raise ConfigError(f"spikes must be one number for each of {len(network.layers)} layers, "
                          f"not {len(values)}")
    for layer, value in zip(network.layers, values):
        most = layer.inputs * ((1 << layer.input_bits) - 1)
        if not 0 <= value <= most:
            raise ConfigError(f"spikes: {layer.name}: must be in 0..{most:,}, what its "
                              f"{layer.inputs:,} inputs can hold, not {value:g}")
    return {layer.name: value for layer, value in zip(network.layers, values)}


def _clocks(chip: Chip, index: int, steps: int, switches: Switches, table: Table) -> float:
    layer, sizes = chip.layers[index].layer, table.chip
    if switches.latency == "per_channel":
        turns, each = layer.neurons, sizes.pe_cycle_clocks
    else:
        turns = layer.places
        each = _bits(chip.layers[index], switches) * max(
            1, sizes.pe_cycle_clocks - sizes.pe_cycle_turns + chip.array.mux)
        if switches.noc == "priced":
            each = max(each, ceil(layer.out_channels / sizes.mesh_bits))
    if switches.overlap == "three_quarters" and index < len(chip.layers) - 1:
        turns = int(OVERLAP * turns)
    return float(turns * each * steps)


def _bits(tiled: Tiled, switches: Switches) -> int:
    """Bits of an input that are read one after the other."""
    return tiled.layer.input_bits if switches.mapping == "plan" else 1


def _energy(chip: Chip, index: int, steps: int, rate: float, switches: Switches,
            table: Table) -> tuple[Counts, float]:
    """Counts of a layer in an inference, and the PE cycles among them."""
    tiled, array = chip.layers[index], chip.array
    layer = tiled.layer
    reads = layer.places * steps * _bits(tiled, switches)
    blocks = blocks_per_pe(tiled.positions, array) if switches.mapping == "plan" else 1
    held = min(tiled.positions, array.crossbars_per_pe)
    cycles = tiled.pes * reads * _driven(tiled, rate, held, blocks)
    crossbars_read = _driven(tiled, rate, 1)
    conversions = (cycles * chip.adcs ** 2 if switches.conversions == "all_columns"
                   else tiled.columns_used * reads * crossbars_read)
    found: Counts = {"DIFF": {"diff": DIFFS * chip.adcs * cycles},
                     "multiplexer": {"mux": conversions}}
    if switches.constants == "fixed":
        found["crossbar"] = {"crossbar_turn": tiled.positions * chip.adcs * cycles}
        found["ADC"] = {"adc": conversions}
        found["H-tree"] = {"htree": cycles}
    else:
        found["crossbar"] = {"cell_read": tiled.cells * reads * rate}
        found["ADC"] = {"adc_comparator": ((1 << array.adc_bits) - 1) * conversions}
        found["H-tree"] = {"htree": cycles * array.cols / COLUMNS}
    if switches.neurons == "per_pe_cycle":
        found["neuron"] = {"neuron_cycle": cycles}
    else:
        memory = table.memory(ceil(layer.neurons * switches.membrane_bits / 8))
        words = layer.neurons * steps * switches.membrane_bits / WORD_BITS
        found["neuron"] = {"neuron_update": layer.neurons * steps}
        found["neuron memory"] = {f"sram.{memory}.read": words, f"sram.{memory}.write": words}
    width = (array.adc_bits + layer.magnitude_bits
             + ceil(log2(tiled.positions * len(tiled.row_sizes))))
    if switches.arithmetic == "counted":
        sums = (tiled.positions * len(tiled.row_sizes) - 1) * layer.out_channels
        found["shift-add"] = {"shift_add": conversions}
        found["accumulator"] = {"adder_bit": width * (
            sums * reads * crossbars_read + (layer.neurons * steps if layer.skip else 0))}
    if switches.buffers == "released":
        found["tile buffers"] = {"tile_buffer": cycles, "temp_buffer": chip.adcs * cycles}
        found["fetch"] = {"fetch": cycles}
    else:
        found |= _buffers(tiled, width, reads, steps, cycles / tiled.pes, array, table)
    if switches.drivers == "priced":
        found["driver"] = {"driver": tiled.rows_used * reads * rate}
    if switches.noc == "priced" and chip.plan is not None:
        found["NoC"] = _network(chip.plan, tiled, steps, rate)
    if switches.pooling == "priced" and layer.pool > 1:
        bits = max((item.input_bits for item in
                    readers([item.layer for item in chip.layers], index)), default=1)
        joins = layer.neurons // layer.pool ** 2 * (layer.pool ** 2 - 1) * steps
        found["pooling"] = {"adder_bit": joins * bits} if bits > 1 else {"or_bit": joins}
    return found, cycles


def _driven(tiled: Tiled, rate: float, positions: int, blocks: int = 1) -> float:
    """Mean share of reads in which crossbars have a driven row: those of so many kernel positions
    in each of so many blocks, which are neighbours, so that their inputs differ while there are
    others. Only the last row block may have fewer rows.
    """
    sizes = tiled.row_sizes
    held = min(max(1, blocks), len(sizes))
    rows = (held - 1) * sizes[0] + sizes[-1]
    full, last = (1 - (1 - rate) ** (count * positions) for count in (held * sizes[0], rows))
    return ((len(sizes) - held) * full + held * last) / len(sizes)


def _buffers(tiled: Tiled, width: int, reads: int, steps: int, places: float, array: Array,
             table: Table) -> Counts:
    """Words that buffers of Table I move. places: reads in which a mean PE has sums."""
    layer, sizes = tiled.layer, table.chip
    blocks = len(tiled.row_sizes)
    copies = ceil(tiled.rows_used / (tiled.positions * layer.in_channels))
    inputs = layer.inputs * layer.input_bits * steps / WORD_BITS
    outputs = layer.out_channels * width * places / WORD_BITS
    found: Counts = {
        "PE buffers": _access(table, (sizes.pe_input_bytes, tiled.rows_used * reads / WORD_BITS,
                                      copies * inputs),
                              (sizes.pe_output_bytes, blocks * outputs, blocks * outputs)),
        "tile buffers": _access(table, (sizes.tile_input_bytes, copies * inputs, inputs),
                                (sizes.tile_output_bytes, blocks * outputs, blocks * outputs))}
    tiles = ceil(tiled.pes / array.pes_per_tile)
    if tiles > 1 and blocks > 1:
        sums = min(tiles, blocks) * outputs
        found["global buffer"] = _access(table, (sizes.global_bytes, sums, sums))
    return found


def _access(table: Table, *memories: tuple[int, float, float]) -> dict[str, float]:
    """Figures of memories of so many bytes, read and written so many times."""
    found: dict[str, float] = {}
    for size, read, written in memories:
        name = f"sram.{table.memory(size)}"
        found[f"{name}.read"] = found.get(f"{name}.read", 0) + read
        found[f"{name}.write"] = found.get(f"{name}.write", 0) + written
    return found


def _network(plan: Plan, tiled: Tiled, steps: int, rate: float) -> dict[str, float]:
    """Bits through routers, one more than links on their way, and bits over links, in hops."""
    share = min(1.0, rate * max(1, ceil(log2(max(2, tiled.layer.inputs)))))
    edges = [edge for edge in plan.placement.edges if edge.target == tiled.layer.name]
    hops = sum(edge.bit_hops for edge in edges) * steps * share
    delivered = sum(edge.delivered for edge in edges) * steps * share
    return {"router_bit": hops + delivered, "link_bit_mm": hops}
