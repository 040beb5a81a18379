"""Block memories (EBR) that a design really takes: of what the weights leave unused, none is built.
"""

import numpy as np

from .. import ir
from ..fold import listed
from ..memories import EBR_BITS, EBR_WIDTH, bank_blocks, blocks, image_bytes, neuron_blocks
from ..passes.legalize import shares


def encoder_blocks(graph: ir.Graph, ports: tuple[np.ndarray, ...]) -> int:
    """EBRs of the image and its columns, which the first layer reads through these ports.

    A column memory has 16 inputs, in as many EBRs as its depth asks for; those of which no input is
    read are not built. Each port takes memories of its own.
    """
    first, n = graph.layers[0][0], graph.input.size
    if graph.input.encoder != "stream":
        return blocks(image_bytes(graph), 8)
    if listed(graph):
        return blocks(n, max(1, (n - 1).bit_length()) + first.bits + 1)
    image = blocks(-(-n // EBR_WIDTH) * EBR_WIDTH, first.bits + 1)
    if first.lowering == "folded":
        return image
    width = min(EBR_WIDTH, EBR_BITS >> first.bits)
    return image + sum(int(port[low:low + width].any()) for port in ports
                       for low in range(0, n, width))


def forgets(neuron, fires: bool) -> bool:
    """Whether a neuron leaks all of its membrane in a timestep: then nothing of it is kept."""
    return neuron.leak(-1) == neuron.leak(1 << 20) == 0 and not (fires and neuron.refractory)


def plain_blocks(graph: ir.Graph, bank: int, ports: tuple[np.ndarray, ...]) -> int:
    """EBRs of a scheduled graph, but those of folded runs (`folded`); bank: signals in a memory."""
    delays = sum(synapses.delay_blocks or 0 for synapses, _ in graph.layers)
    unused = 0
    for index, (synapses, population) in enumerate(graph.layers):
        if shares(synapses) and forgets(population.neuron, graph.fires(index)):
            unused += blocks(population.size, int(population.v_bits.max()))
    neurons = neuron_blocks(graph) - unused
    return encoder_blocks(graph, ports) + neurons + bank_blocks(graph, bank) + delays


def wider_blocks(words: list[tuple[int, int]]) -> int:
    """EBRs by which memories of these depths and widths exceed such of words of 16 bits."""
    return sum(blocks(depth, width) - blocks(depth, EBR_WIDTH)
               for depth, width in words if width > EBR_WIDTH)
