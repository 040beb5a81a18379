"""What the lowering will instantiate, counted: an estimate of logic cells before any tool runs.

The counts of slots, adders and membranes are exact for an integer graph. A graph of shapes has no
weights yet, so its synapses are counted on codes drawn from a normal distribution with a fixed
seed and an assumed spread. That is an optimist's price, fit for refusing what cannot fit: trained
codes spread wider (0.58 to 0.82 of the largest, over the 15 layers of ten networks trained on
digits), and by their shapes alone eight of those networks were priced up to 36 % below their
measurement, most so with 2-bit weights. The parts for control, encoder and read-out are linear in
widths, with coefficients rounded from Yosys's count per module of one 64-32-10 design; they are no
exact counts.
"""

from dataclasses import dataclass

import numpy as np

from ...hdl.delay import delay_cells
from ...hdl.packing import pack_neuron
from ...hdl.popcount import adder_cells
from .. import ir
from ..errors import GraphError
from ..memories import bank_blocks, banked, image_blocks, image_bytes, neuron_blocks
from ..passes.legalize import effective_weights, membrane_ranges, not_spatial, shares
from ..passes.schedule import inference_cycles, load_cycles, schedule
from .shared import shared_cells

#: Standard deviation of assumed codes over the largest code; an assumption, and a low one.
ASSUMED_SPREAD = 0.35
#: Logic cells of UART and link for 64 inputs and 10 classes, by Yosys' count: 259 LUT4 and 34
#: flip-flops that share no cell with one; and a few for the top's reset.
LINK_CELLS = 300


@dataclass(frozen=True)
class Estimate:
    """Estimated cells of a whole design with its link; cycles are exact.

    assumed: the weights were drawn, because the graph has none.
    """

    lc: int
    lut4: int
    ff: int
    carry: int
    ebr: int
    cycles: int
    load_cycles: int
    layers: tuple[int, ...]
    assumed: bool


def assume_weights(graph: ir.Graph, sparsity: float = 0.0) -> ir.Graph:
    """A graph of shapes with seeded codes, biases of zero and the thresholds it has.

    sparsity: share of each layer's codes that is zero, at least.
    """
    rng = np.random.default_rng(0)
    changes = {}
    for dense, _ in graph.layers:
        shape = (dense.out_features, dense.in_features)
        codes = rng.normal(0, ASSUMED_SPREAD * dense.max_code, shape)
        codes[np.abs(codes) < np.quantile(np.abs(codes), sparsity)] = 0
        codes = np.clip(np.rint(codes), -dense.max_code, dense.max_code)
        changes[dense.name] = {"weight": codes.astype(np.int16),
                               "bias": np.zeros(dense.out_features, np.int32)}
    return graph.replace(**changes)


def unpriced(graph: ir.Graph) -> str | None:
    """Why there is no estimate of a graph's cells, or None: parts are counted of chains alone."""
    return next((why for index in range(len(graph.layers)) if (why := not_spatial(graph, index))),
                None)


def estimate(graph: ir.Graph, sparsity: float = 0.0) -> Estimate:
    """Count the parts of a graph's design; for any stage from shapes to scheduled.

    sparsity: share of zero weights to assume where there are none yet. Raises GraphError where
    there is no estimate.
    """
    if why := unpriced(graph):
        raise GraphError(f"no estimate of cells: {why}; build it ('spikeloom synth') to know")
    assumed = graph.stage == "shape"
    if assumed:
        graph = assume_weights(graph, sparsity)
    graph = schedule(graph)
    widths = membrane_ranges(graph)
    bank = banked(graph)
    ebr = image_blocks(graph) + neuron_blocks(graph) + bank_blocks(graph, bank)
    ebr += sum(dense.delay_blocks or 0 for dense, _ in graph.layers)
    layers = []
    lut = ff = carry = 0
    for index, (dense, population) in enumerate(graph.layers):
        columns = index == 0 and graph.input.encoder == "stream"
        part = _layer(dense, widths[population.name], graph.fires(index), population.neuron,
                      columns, bank, graph.max_shift)
        layers.append(part["lc"])
        lut, ff, carry = lut + part["lut"], ff + part["ff"], carry + part["carry"]
    encoder, encoder_ff = _encoder(graph)
    score_bits = int(widths[graph.layers[-1][1].name].max())
    if graph.readout.kind == "spike_count":
        score_bits = graph.num_steps.bit_length()
    readout = 3 * score_bits + 20
    if not shares(graph.layers[-1][0]):
        readout += graph.readout.size * score_bits * 2 // 3
        if graph.readout.kind == "spike_count":
            readout += graph.readout.size * (score_bits + 1)
    fixed = encoder + readout + LINK_CELLS
    return Estimate(
        lc=sum(layers) + fixed, lut4=lut + encoder + readout + 270,
        ff=ff + encoder_ff + 3 * score_bits + 110, carry=carry + 40, ebr=ebr,
        cycles=inference_cycles(graph), load_cycles=load_cycles(graph), layers=tuple(layers),
        assumed=assumed)


def describe(graph: ir.Graph) -> dict[str, float]:
    """Numbers by which designs are compared."""
    return {}


def _layer(dense: ir.Dense, v_bits: np.ndarray, fires: bool, neuron, columns: bool,
           bank: int, max_shift: int) -> dict[str, int]:
    """Cells of one `spatial` layer, its neurons, and the delay in front of it."""
    weights = effective_weights(dense)
    waiting = delay_cells(dense.delays, dense.delay_blocks or 0)
    if shares(dense):
        part = shared_cells(weights, dense.lanes, dense.bitstream_length, columns,
                            int(v_bits.max()), fires, bank if columns else 0)
        return part | {key: part[key] + waiting for key in ("lc", "lut", "ff")}
    shared, ups, downs = set(), set(), set()
    lc = lut = ff = carry = 0
    for j, row in enumerate(weights):
        positive, negative = pack_neuron(row, dense.bitstream_length, max_shift)
        count = len(positive) + len(negative)
        # a multiplexer of max_shift + 1 places for each bit of a count
        shifting = -(-2 * max_shift // 3) * (count.bit_length() + max_shift)
        for sign, slots in ((0, positive), (1, negative)):
            for slot in slots:
                shared.add((sign, slot))
                ups.add(slot.up[1])
                if slot.down:
                    downs.add(slot.down[1])
        adders = adder_cells(count)
        bits = int(v_bits[j])
        cell, state = neuron.cells(bits, fires)
        lc += adders + max(cell, state) + count.bit_length() // 2 + shifting
        lut += adders + cell + shifting
        carry += adders // 2 + bits
        ff += state + count.bit_length() + adders // 2 + fires
    lc, lut = lc + neuron.engine_cells, lut + neuron.engine_cells
    streams = len(ups) + len(downs)
    control = 25 + 2 * dense.bits + streams + waiting
    return {
        "lc": lc + len(shared) + control + (dense.out_features if fires else 0),
        "lut": lut + len(shared) + control, "carry": carry,
        "ff": ff + streams + 20 + waiting,
    }


def _encoder(graph: ir.Graph) -> tuple[int, int]:
    """Cells and flip-flops of the encoder."""
    n = graph.input.size
    if graph.input.encoder != "stream":
        address = image_bytes(graph).bit_length()
        register = 70 if graph.input.encoder == "rate" else 30
        return n + register + 2 * address, n + 24 + 2 * address
    bits = graph.layers[0][0].bits
    rom = 0 if bits <= 4 else bits * (1 << bits) // 20
    return 75 + 9 * bits + rom, 50 + 5 * bits
