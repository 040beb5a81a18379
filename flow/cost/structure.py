"""What the lowering will instantiate, counted: an estimate of cells before any tool runs.

Counts of slots, adders, memories and membranes are exact for an integer graph. What control,
encoder and read-out take is linear in widths, with coefficients rounded from Yosys's count per
module of 64-32-10 designs; `predict` corrects them by what was measured.

A graph of shapes has no weights yet, so its synapses are counted on codes drawn from a normal
distribution with a fixed seed and an assumed spread. Those of networks trained on digits have 0.58
to 0.82 of the largest code (15 layers of ten networks); less is an optimist's price, fit for
refusing what cannot fit.
"""

from dataclasses import dataclass

import numpy as np

from ...hdl.delay import delay_cells
from .. import ir
from ..fold import runs
from ..memories import banked, image_bytes
from ..passes.legalize import effective_weights, membrane_ranges, shares
from ..passes.schedule import inference_cycles, load_cycles, schedule
from .cells import Cells, Parts, merge, total
from .folded import folded_parts
from .memories import plain_blocks
from .shared import shared_parts
from .spatial import spatial_parts

#: Standard deviation of assumed codes over the largest code: a typical one, and a low one.
TYPICAL_SPREAD, LOW_SPREAD = 0.7, 0.35
#: UART, link and the top's reset for 64 inputs and 10 classes, by Yosys' count.
LINK = Cells(lc=300, lut=270, ff=110, carry=40)


@dataclass(frozen=True)
class Structure:
    """Cells of a whole design by part, with its link, and what is exact: EBRs and clocks.

    graph: scheduled, with the widths of its membranes. layers: cells of each layer, of a run of
    folded ones at its first.
    """

    graph: ir.Graph
    parts: Parts
    layers: tuple[float, ...]
    ebr: int
    cycles: int
    load_cycles: int

    @property
    def cells(self) -> Cells:
        return total(self.parts)


def assume_weights(graph: ir.Graph, sparsity: float = 0.0, spread: float = TYPICAL_SPREAD
                   ) -> ir.Graph:
    """A graph of shapes with seeded codes, biases of zero and the thresholds it has.

    sparsity: share of each layer's codes that is zero, at least. spread: of the others.
    """
    rng = np.random.default_rng(0)
    changes = {}
    for synapses, _ in graph.layers:
        codes = rng.normal(0, spread * synapses.max_code, synapses.weight_shape)
        codes[np.abs(codes) < np.quantile(np.abs(codes), sparsity)] = 0
        codes = np.clip(np.rint(codes), -synapses.max_code, synapses.max_code)
        changes[synapses.name] = {"weight": codes.astype(np.int16),
                                  "bias": np.zeros(synapses.bias_shape, np.int32)}
    for node in graph.nodes:
        if isinstance(node, ir.Sum) and node.c_skip is None:
            changes[node.name] = {"c_skip": 1}
    return graph.replace(**changes)


def structure(graph: ir.Graph) -> Structure:
    """Count the parts of a graph's design; for any stage from integer to scheduled.

    Raises GraphError where the network cannot be lowered.
    """
    ranges = membrane_ranges(graph)
    graph = schedule(graph.replace(**{name: {"v_bits": bits.astype(np.uint8)}
                                      for name, bits in ranges.items()}))
    bank = banked(graph)
    ebr = plain_blocks(graph, bank)
    found, layers = [{"link": LINK}, _encoder(graph), _readout(graph)], [0.0] * len(graph.layers)
    for indices in runs(graph):
        parts, more = _stage(graph, indices, bank)
        ebr += more
        layers[indices[0]] = total(parts).lc
        found.append(parts)
    return Structure(graph, merge(*found), tuple(layers), ebr, inference_cycles(graph),
                     load_cycles(graph))


def _stage(graph: ir.Graph, indices: list[int], bank: int) -> tuple[Parts, int]:
    """Parts of a layer or a run of folded ones, with the delay in front of it, and its EBRs."""
    index = indices[0]
    synapses, population = graph.layers[index]
    if synapses.max_delay:
        waiting = delay_cells(synapses.delays, synapses.delay_blocks or 0)
        delay = {"delay": Cells(lc=waiting, lut=waiting, ff=waiting)}
    else:
        delay = {}
    if synapses.lowering == "folded":
        parts, ebr = folded_parts(graph, indices)
        return merge(delay, parts), ebr
    weights, fires = effective_weights(synapses), graph.fires(index)
    columns = index == 0 and graph.input.encoder == "stream"
    if shares(synapses):
        parts = shared_parts(weights, synapses.lanes, synapses.bitstream_length, columns,
                             int(population.v_bits.max()), fires, bank if columns else 0)
    else:
        parts = spatial_parts(weights, synapses.bitstream_length, population.v_bits,
                              population.neuron, fires, graph.max_shift)
    return merge(delay, parts), 0


def _readout(graph: ir.Graph) -> Parts:
    """Scores, their multiplexer and the argmax; the scores of serial neurons are in a memory."""
    last, population = graph.layers[-1]
    score_bits = int(population.v_bits.max())
    if graph.readout.kind == "spike_count":
        score_bits = graph.num_steps.bit_length()
    cells = 3 * score_bits + 20
    if not shares(last) and last.lowering != "folded":
        cells += graph.readout.size * score_bits * 2 // 3
        if graph.readout.kind == "spike_count":
            cells += graph.readout.size * (score_bits + 1)
    return {"readout": Cells(lc=cells, lut=cells, ff=3 * score_bits)}


def _encoder(graph: ir.Graph) -> Parts:
    """What turns pixels into what the first layer reads."""
    n, first = graph.input.size, graph.layers[0][0]
    address = image_bytes(graph).bit_length()
    if graph.input.encoder != "stream":
        register = 70 if graph.input.encoder == "rate" else 30
        line = 16 if first.lowering == "folded" else n
        cells = line + register + 2 * address
        return {"encoder": Cells(lc=cells, lut=cells, ff=line + 24 + 2 * address)}
    bits = first.bits
    if first.lowering == "folded":
        cells = 30 + 5 * bits + 2 * address
        return {"encoder": Cells(lc=cells, lut=cells, ff=20 + 2 * address)}
    rom = 0 if bits <= 4 else bits * (1 << bits) // 20
    cells = 75 + 9 * bits + rom
    return {"encoder": Cells(lc=cells, lut=cells, ff=50 + 5 * bits)}
