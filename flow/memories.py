"""Block memories (EBR): how many a design takes for its image, and how many are left for delays."""

import numpy as np

from ..hdl import encoders
from ..hdl.delay import delay_blocks, delay_cells
from ..hdl.popcount import adder_cells
from ..hdl.shared import passes, slots_of
from . import ir
from .cost.shared import CHAIN_CELLS, rom_cells, stream_cells
from .passes.legalize import effective_weights, shares
from .targets import DEVICES

EBR_BITS, EBR_WIDTH = 4096, 16
#: Logic cells of link, encoder and read-out behind shared lanes, at least (532 of a 64-32-10).
FIXED_CELLS = 500


def blocks(depth: int, width: int) -> int:
    """EBRs of one memory.

    An EBR is 256 x 16, 512 x 8, 1024 x 4 or 2048 x 2 (data sheet); the narrowest shape that is
    deep enough is taken for each slice of the width.
    """
    best = None
    for shape_width in (16, 8, 4, 2):
        shape_depth = EBR_BITS // shape_width
        count = -(-width // shape_width) * -(-depth // shape_depth)
        best = count if best is None else min(best, count)
    return best


def image_bytes(graph: ir.Graph) -> int:
    """Bytes of one image on the link."""
    return encoders.KINDS[graph.input.encoder].image_bytes(graph.input.size, graph.num_steps)


def image_blocks(graph: ir.Graph) -> int:
    """EBRs of the image, and for `stream` those of the columns, once for each read port.

    Shared lanes read the columns forwards only, cells of their own in both directions. It is what
    to reckon with before weights are known; what they leave unused is not built (`cost.memories`).
    """
    n = graph.input.size
    if graph.input.encoder != "stream":
        return blocks(image_bytes(graph), 8)
    bits = graph.layers[0][0].bits
    words = -(-n // EBR_WIDTH)
    ports = 1 if shares(graph.layers[0][0]) else 2
    return blocks(words * EBR_WIDTH, bits + 1) + ports * words * blocks(1 << bits, EBR_WIDTH)


def neuron_blocks(graph: ir.Graph) -> int:
    """EBRs of neurons behind shared lanes: states, constants, scores, and currents that are kept.

    Constants, scores and currents are taken for words of 16 bits, although large biases and long
    bitstreams make wider ones: gateware depends on this count, which is there before widths are
    known. What wider words take beyond it is counted by `cost.memories.wider_blocks`.
    """
    count = 0
    for index, (dense, population) in enumerate(graph.layers):
        if shares(dense):
            kept = index == 0 and graph.input.encoder == "stream"
            scored = index == len(graph.layers) - 1
            widest = EBR_WIDTH if population.v_bits is None else int(population.v_bits.max())
            resting = population.neuron.refractory.bit_length() if graph.fires(index) else 0
            count += blocks(population.size, widest + resting)
            count += (1 + scored + kept) * blocks(population.size + kept, EBR_WIDTH)
    return count


def banked(graph: ir.Graph) -> int:
    """How many signals of the first layer's bank are in EBRs, if it shares lanes (`hdl.slots`).

    As many as what is left can hold on the smallest device that may hold the layers with shared
    lanes by their estimate; none where other layers are folded, who have their weights there.
    """
    dense = graph.layers[0][0]
    if (not shares(dense) or graph.input.encoder != "stream" or dense.weight is None
            or any(other.lowering == "folded" for other, _ in graph.layers)):
        return 0
    bank = slots_of(effective_weights(dense), dense.lanes, dense.bitstream_length, True)
    signals = len(bank.signals())
    cells = FIXED_CELLS
    for index, (other, population) in enumerate(graph.layers):
        if shares(other):
            bits = 1 if population.v_bits is None else int(population.v_bits.max())
            cells += _lane_cells(
                effective_weights(other), other.lanes, other.bitstream_length, index == 0, bits,
                graph.fires(index), signals if index == 0 else 0)
    width = EBR_BITS // max(EBR_BITS // EBR_WIDTH, bank.words)
    if width < 2:
        return 0
    taken = image_blocks(graph) + neuron_blocks(graph)
    taken += sum(other.delay_blocks or 0 for other, _ in graph.layers)
    left = min((device.ebr - taken for device in DEVICES.values()
                if device.ebr >= taken and device.lc >= cells), default=0)
    return min(left * width, signals)


def _lane_cells(weights: np.ndarray, lanes: int, length: int, columns: bool, v_bits: int,
                fires: bool, signals: int) -> int:
    """About how many cells a layer with shared lanes takes.

    Gateware depends on it, so it is no part of the cost model, which may become better: a change
    here changes designs.
    """
    size = len(weights)
    slots = slots_of(weights, lanes, length, columns, signals)
    used = slots.weights.any(0).sum(1)
    if columns:
        own, common = stream_cells(slots)
    else:
        address = (len(slots.weights) - 1).bit_length() + (slots.clocks - 1).bit_length()
        taken = slots.units.any(0).sum(1)
        own = int(taken.sum()) * rom_cells(address)
        common = sum(int(n).bit_length() for n in taken)
    adders = sum(adder_cells(int(n)) + CHAIN_CELLS * max(0, int(n).bit_length() - 2) for n in used)
    unload = slots.bits * -(-2 * (lanes - 1) // 3)
    index = size.bit_length()
    serving = 5 * v_bits + 4 * index + 12
    control = 35 + 2 * index + (30 if columns else 0)
    return (own + common + adders + lanes * slots.bits + unload + serving + control
            + (size if fires else 0))


def bank_blocks(graph: ir.Graph, signals: int) -> int:
    """EBRs of so many signals of the first layer's bank."""
    dense = graph.layers[0][0]
    if not signals:
        return 0
    count = passes(dense.out_features, dense.lanes)
    return blocks(dense.bitstream_length << (count - 1).bit_length(), signals)


def delay_budget(graph: ir.Graph) -> int:
    """EBRs that delays may take: what the image leaves on the smallest device that can hold it.

    A compiled graph does not depend on the board, and delays never ask for a larger device than
    the image does.
    """
    image = image_blocks(graph) + neuron_blocks(graph)
    return min((device.ebr - image for device in DEVICES.values() if device.ebr >= image),
               default=0)


def place_delays(graph: ir.Graph) -> dict[str, int]:
    """How many `delay_blocks` of each layer with delays are EBRs, by the layer's name.

    As many as save logic cells (`delay_cells`), as far as `delay_budget` goes: again and again the
    step that saves the most cells for each EBR, ties to the first layer.
    """
    chosen = {dense.name: 0 for dense, _ in graph.layers if dense.max_delay}
    left = delay_budget(graph)
    cells = {}
    for dense, _ in graph.layers:
        if dense.max_delay:
            most = min(left, len(delay_blocks(dense.delays)))
            cells[dense.name] = [delay_cells(dense.delays, count) for count in range(most + 1)]
    while True:
        steps = [
            ((now[chosen[name]] - now[count]) / (count - chosen[name]), name, count)
            for name, now in cells.items()
            for count in range(chosen[name] + 1, min(len(now), chosen[name] + left + 1))
        ]
        saved, name, count = max(steps, key=lambda step: step[0], default=(0, "", 0))
        if saved <= 0:
            return chosen
        left -= count - chosen[name]
        chosen[name] = count
