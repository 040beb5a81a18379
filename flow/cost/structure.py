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

from ...hdl import sng
from ...hdl.delay import delay_cells
from ...hdl.encoders.pixel_list import banks
from ...hdl.words import WORD
from .. import ir
from ..fold import listed, runs, serial_input
from ..memories import banked, image_bytes
from ..passes.legalize import effective_weights, membrane_ranges, shares
from ..passes.schedule import inference_cycles, load_cycles, schedule
from .cells import Block, Cells, Parts, merge, total
from .folded import folded_block
from .memories import plain_blocks, wider_blocks
from .rom import mux_cells, rom_cells
from .shared import shared_block
from .spatial import spatial_block

#: Standard deviation of assumed codes over the largest code: a typical one, and a low one.
TYPICAL_SPREAD, LOW_SPREAD = 0.7, 0.35
#: UART, link and the top's reset for 64 inputs and 10 classes, by Yosys' count.
LINK = Cells(lc=300, lut=270, ff=102, carry=40)
#: The same of what loads weights, from a flash and over the link (`hdl.boot`).
BOOT = Cells(lc=215, lut=194, ff=108, carry=25)


@dataclass(frozen=True)
class Structure:
    """Cells of a whole design by part, with its link, and what is exact: memories and clocks.

    graph: scheduled, with the widths of its membranes. blocks: of each layer, of a run of folded
    ones at its first, and None at the others.
    """

    graph: ir.Graph
    parts: Parts
    blocks: tuple[Block | None, ...]
    ebr: int
    cycles: int
    load_cycles: int

    @property
    def spram(self) -> int:
        """SPRAMs, which only weights are in."""
        return sum(block.spram for block in self.blocks if block)

    @property
    def cells(self) -> Cells:
        return total(self.parts)

    @property
    def layers(self) -> tuple[float, ...]:
        """Cells of each of `blocks`."""
        return tuple(total(block.parts).lc if block else 0.0 for block in self.blocks)


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
                                      for name, bits in ranges.items()}), bounded=False)
    bank = banked(graph)
    blocks: list[Block | None] = [None] * len(graph.layers)
    delays = []
    for indices in runs(graph):
        blocks[indices[0]] = _block(graph, indices, bank)
        delays.append(_delay(graph.layers[indices[0]][0]))
    loaded = any(block.spram for block in blocks if block)
    parts = merge({"link": LINK + BOOT if loaded else LINK}, _encoder(graph), _readout(graph),
                  *delays, *(block.parts for block in blocks if block))
    wide = [*_scores(graph), *(words for block in blocks if block for words in block.words)]
    ebr = plain_blocks(graph, bank, blocks[0].ports) + wider_blocks(wide)
    ebr += sum(block.ebr for block in blocks if block)
    return Structure(graph, parts, tuple(blocks), ebr, inference_cycles(graph), load_cycles(graph))


def _block(graph: ir.Graph, indices: list[int], bank: int) -> Block:
    """A layer or a run of folded ones; bank: signals of the first layer's that are in a memory."""
    index = indices[0]
    synapses, population = graph.layers[index]
    if synapses.lowering == "folded":
        return folded_block(graph, indices)
    weights, fires = effective_weights(synapses), graph.fires(index)
    if not shares(synapses):
        return spatial_block(weights, synapses.bitstream_length, population.v_bits,
                             population.neuron, fires, graph.max_shift)
    columns = index == 0 and graph.input.encoder == "stream"
    return shared_block(weights, synapses.bias, synapses.lanes, synapses.bitstream_length, columns,
                        int(population.v_bits.max()), population.neuron, fires,
                        bank if columns else 0)


def _delay(synapses: ir.Dense | ir.Conv2d) -> Parts:
    """The delay in front of a layer."""
    if not synapses.max_delay:
        return {}
    cells = delay_cells(synapses.delays, synapses.delay_blocks or 0)
    return {"delay": Cells(lc=cells, lut=cells, ff=cells)}


def _readout(graph: ir.Graph) -> Parts:
    """Scores, their multiplexer and the argmax; the scores of serial neurons are in a memory."""
    last, population = graph.layers[-1]
    score_bits = int(population.v_bits.max())
    if graph.readout.kind == "spike_count":
        score_bits = graph.num_steps.bit_length()
    serial = shares(last) or last.lowering == "folded"
    size, cells = graph.readout.size, 30 if serial else 3 * score_bits + 20
    parts = {"readout": Cells(lc=cells, lut=cells, ff=score_bits + 7)}
    if not serial:
        choosing = size * score_bits * 2 // 3
        parts["scores"] = Cells(lc=choosing, lut=choosing)
        if graph.readout.kind == "spike_count":
            counts = size * (score_bits + 1)
            parts["counts"] = Cells(lc=counts, lut=counts, ff=size * score_bits, carry=counts)
    return parts


def _scores(graph: ir.Graph) -> list[tuple[int, int]]:
    """Depth and width of the memory of scores, if neurons are served one after the other."""
    if not (shares(graph.layers[-1][0]) or graph.layers[-1][0].lowering == "folded"):
        return []
    width = max(int(graph.layers[k][1].v_bits.max()) for k in runs(graph)[-1])
    if graph.readout.kind == "spike_count":
        width = graph.num_steps.bit_length() + 1
    return [(graph.readout.size, width)]


def _encoder(graph: ir.Graph) -> Parts:
    """What turns pixels into what the first layer reads."""
    n, first = graph.input.size, graph.layers[0][0]
    address = image_bytes(graph).bit_length()
    if graph.input.encoder != "stream":
        register = 70 if graph.input.encoder == "rate" else 30
        line = WORD if serial_input(graph) else n
        return {graph.input.encoder: Cells(lc=register, lut=register, ff=24),
                "line": Cells(lc=line, lut=line, ff=line),
                "image": Cells(lc=2 * address, lut=2 * address, ff=2 * address)}
    bits = first.bits
    if first.lowering == "folded":
        counters, entry = 2 * address, 0
        if listed(graph):
            width = max(1, (n - 1).bit_length()) + bits + 1
            counters, entry = 4 * address, width * mux_cells(banks(n, width))
        image = 5 * bits + counters + entry
        return {"codes_encoder": Cells(lc=30, lut=30, ff=20),
                "image": Cells(lc=image, lut=image, ff=counters)}
    order = sng.rank_order(first.sng, bits)
    rom = rom_cells(sng.sequence(graph.input.sng, bits)[order].tolist(), bits)
    return {"stream": Cells(lc=75, lut=75, ff=50), "image": Cells(lc=9 * bits, lut=9 * bits,
                                                                  ff=5 * bits),
            "thresholds": Cells(lc=rom.lc, lut=rom.lut)}
