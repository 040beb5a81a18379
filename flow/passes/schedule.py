"""Schedule: choose each layer's lowering, and count the clocks of an inference exactly."""

from ...hdl import encoders
from ...hdl.encoders.stream import transpose_cycles
from ...hdl.neurons import cell_of
from ...hdl.spatial import lead, timestep_cycles
from .. import ir
from ..memories import place_delays
from .legalize import not_spatial


def schedule(graph: ir.Graph, lowering: str = "spatial") -> ir.Graph:
    """Set `lowering` on every layer that has none, and `delay_blocks` on those with delays.

    A layer that `spatial` cannot take becomes `folded` instead.

    GraphError for an unknown lowering.
    """
    changes = {}
    for index, (d, _) in enumerate(graph.layers):
        refused = lowering == "spatial" and not_spatial(graph, index)
        changes[d.name] = {"lowering": d.lowering or ("folded" if refused else lowering)}
    for name, count in place_delays(graph).items():
        changes[name]["delay_blocks"] = count
    for dense, _ in graph.layers:
        if dense.delay_blocks is not None:
            changes[dense.name]["delay_blocks"] = dense.delay_blocks
    return graph.replace(**changes).verify()


def layer_cycles(graph: ir.Graph) -> list[int]:
    """Clocks per timestep of each layer."""
    return [
        timestep_cycles(dense.bitstream_length, population.neuron, graph.fires(index),
                        population.size)
        for index, (dense, population) in enumerate(graph.layers)
    ]


def timesteps(graph: ir.Graph) -> tuple[list[list[int]], list[list[int]]]:
    """The first and the last clock of each layer's timesteps, [layer][timestep].

    Clock 0 is the encoder's first. Layers form a pipeline over timesteps. Layer l takes c_l clocks
    a timestep, frees its input after L_l + 1 of them, and offers its spikes in the clock after; it
    cannot finish a timestep before the layer behind it has taken the spikes of the one before. With
    S the first clock and E the last one of a timestep:

        S_l(t) = max(E_l(t-1) + 1, E_{l-1}(t) + 1)
        E_l(t) = max(S_l(t) + c_l - 1, S_{l+1}(t-1) + L_{l+1})

    `stream` columns are always there; the other encoders take `scan_cycles` clocks for the first
    timestep, and one more from the clock in which its spikes are taken for each further one.
    """
    cycles = layer_cycles(graph)
    lengths = [dense.bitstream_length for dense, _ in graph.layers]
    count, steps = len(cycles), graph.num_steps
    scans = graph.input.encoder != "stream"
    scan = encoders.KINDS[graph.input.encoder].scan_cycles(graph.input.size) if scans else 0
    start = [[0] * steps for _ in range(count)]
    end = [[-1] * steps for _ in range(count)]
    offered = scan
    for t in range(steps):
        if t and scans:
            offered = start[0][t - 1] + lengths[0] + scan + 1
        for index in range(count):
            ready = offered if index == 0 else end[index - 1][t] + 1
            start[index][t] = max(ready, end[index][t - 1] + 1 if t else 0)
            blocked = start[index + 1][t - 1] + lengths[index + 1] if t and index + 1 < count else 0
            end[index][t] = max(start[index][t] + cycles[index] - 1, blocked)
    return start, end


def inference_cycles(graph: ir.Graph) -> int:
    """Clocks of an inference: from the encoder's first one to the one in which `done` is high.

    The read-out takes one clock a class after the last timestep.
    """
    return timesteps(graph)[1][-1][-1] + 1 + graph.readout.size + 1


def busy_cycles(graph: ir.Graph) -> int:
    """Clocks of an inference in which at least one layer adds up counts of its bitstream."""
    busy = set()
    for (dense, population), start in zip(graph.layers, timesteps(graph)[0]):
        first = lead(cell_of(population.neuron))
        for begin in start:
            busy.update(range(begin + first, begin + first + dense.bitstream_length))
    return len(busy)


def load_cycles(graph: ir.Graph) -> int:
    """Clocks that preparing one image takes at most; most of them overlap with its arrival."""
    if graph.input.encoder != "stream":
        return 0
    return transpose_cycles(graph.input.size, graph.layers[0][0].bits)
