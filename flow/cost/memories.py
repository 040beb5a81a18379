"""Block memories (EBR) that a design really takes: of what the weights leave unused, none is built.
"""

from ...hdl.shared import slots_of
from .. import ir
from ..memories import EBR_WIDTH, bank_blocks, blocks, image_bytes, neuron_blocks
from ..passes.legalize import effective_weights, shares
from .spatial import packed


def encoder_blocks(graph: ir.Graph) -> int:
    """EBRs of the image and its columns.

    A column memory has a read port for each direction in which an input of its 16 is walked, and is
    as wide as the inputs that are read. Each port takes memories of its own.
    """
    first, n = graph.layers[0][0], graph.input.size
    if graph.input.encoder != "stream":
        return blocks(image_bytes(graph), 8)
    image = blocks(-(-n // EBR_WIDTH) * EBR_WIDTH, first.bits + 1)
    if first.lowering == "folded":
        return image
    weights = effective_weights(first)
    if shares(first):
        slots = slots_of(weights, first.lanes, first.bitstream_length, True)
        ports = [slots.weights.any((0, 1))]
    else:
        slots = packed(weights, first.bitstream_length, graph.max_shift)
        ports = [slots.up_inputs, slots.down_inputs]
    count = 0
    for port in ports:
        for low in range(0, n, EBR_WIDTH):
            read = int(port[low:low + EBR_WIDTH].sum())
            count += blocks(1 << first.bits, read) if read else 0
    return image + count


def plain_blocks(graph: ir.Graph, bank: int) -> int:
    """EBRs of a scheduled graph, but those of folded runs (`folded`); bank: signals in a memory."""
    delays = sum(synapses.delay_blocks or 0 for synapses, _ in graph.layers)
    return encoder_blocks(graph) + neuron_blocks(graph) + bank_blocks(graph, bank) + delays
