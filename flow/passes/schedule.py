"""Schedule: choose each layer's lowering, and count the clocks of an inference exactly."""

from dataclasses import dataclass

from ...hdl import encoders, shared
from ...hdl.encoders.stream import transpose_cycles
from ...hdl.engine import refusal
from ...hdl.neurons import cell_of
from ...hdl.spatial import lead, timestep_cycles
from .. import ir
from ..errors import GraphError
from ..memories import place_delays
from .legalize import effective_weights, not_spatial, shares


def schedule(graph: ir.Graph, lowering: str = "spatial") -> ir.Graph:
    """Set `lowering` on every layer that has none, and `delay_blocks` on those with delays.

    A layer that `spatial` cannot take becomes `folded` instead.

    GraphError for an unknown lowering, or for shared lanes whose neurons need cells of their own.
    """
    changes = {}
    for index, (d, _) in enumerate(graph.layers):
        refused = lowering == "spatial" and not_spatial(graph, index)
        changes[d.name] = {"lowering": d.lowering or ("folded" if refused else lowering)}
    graph = graph.replace(**changes)
    blocks = {name: {"delay_blocks": count} for name, count in place_delays(graph).items()}
    for dense, _ in graph.layers:
        if dense.delay_blocks is not None:
            blocks[dense.name] = {"delay_blocks": dense.delay_blocks}
    graph = graph.replace(**blocks).verify()
    for dense, population in graph.layers:
        if shares(dense) and (why := refusal(population.neuron)):
            raise GraphError(f"{dense.name}: lanes must be {dense.out_features} or None before "
                             f"{population.name}, not {dense.lanes}: {why}")
    return graph


@dataclass(frozen=True)
class Timing:
    """Clocks of a layer: of a timestep, up to the one that takes its input, and of its passes.

    load: those before the first timestep. adding: first clocks, from the start of a timestep (or of
    `load`, if there is one), of each run of `run` clocks in which it adds up counts. waits: it
    begins no timestep before its spikes of the one before are taken, rather than ending none.
    """

    cycles: int
    release: int
    adding: tuple[int, ...]
    run: int
    load: int = 0
    waits: bool = False


def timing(graph: ir.Graph, index: int) -> Timing:
    """How long layer `index` takes for what."""
    dense, population = graph.layers[index]
    length = dense.bitstream_length
    if not shares(dense):
        return Timing(
            timestep_cycles(length, population.neuron, graph.fires(index), population.size),
            length, (lead(cell_of(population.neuron)),), length)
    columns = index == 0 and graph.input.encoder == "stream"
    slots = shared.slots_of(effective_weights(dense), dense.lanes, length, columns)
    adding = tuple(shared.adding_clock(slots, g) for g in range(len(slots.weights)))
    return Timing(
        shared.timestep_cycles(slots, population.size, columns),
        0 if columns else shared.release_clock(slots), adding, slots.clocks,
        shared.load_cycles(slots, population.size) if columns else 0, waits=True)


def layer_cycles(graph: ir.Graph) -> list[int]:
    """Clocks per timestep of each layer."""
    return [timing(graph, index).cycles for index in range(len(graph.layers))]


def timesteps(graph: ir.Graph) -> tuple[list[list[int]], list[list[int]]]:
    """The first and the last clock of each layer's timesteps, [layer][timestep].

    Clock 0 is the encoder's first. Layers form a pipeline over timesteps. Layer l takes c_l clocks
    a timestep, takes its input r_l clocks after the first one, and offers its spikes in the clock
    after the last one; it cannot finish a timestep (with shared lanes: begin one) before the layer
    behind it has taken the spikes of the one before. With S the first clock and E the last one of a
    timestep:

        S_l(t) = max(E_l(t-1) + 1, E_{l-1}(t) + 1, with shared lanes: S_{l+1}(t-1) + r_{l+1})
        E_l(t) = max(S_l(t) + c_l - 1, without: S_{l+1}(t-1) + r_{l+1})

    `stream` columns are always there; a layer with shared lanes makes its passes over them first.
    The other encoders take `scan_cycles` clocks for the first timestep, and one more from the clock
    in which its spikes are taken for each further one.
    """
    layers = [timing(graph, index) for index in range(len(graph.layers))]
    count, steps = len(layers), graph.num_steps
    scans = graph.input.encoder != "stream"
    scan = encoders.KINDS[graph.input.encoder].scan_cycles(graph.input.size) if scans else 0
    start = [[0] * steps for _ in range(count)]
    end = [[-1] * steps for _ in range(count)]
    offered = scan + layers[0].load
    for t in range(steps):
        if t and scans:
            offered = start[0][t - 1] + layers[0].release + scan + 1
        for index, layer in enumerate(layers):
            taken = start[index + 1][t - 1] + layers[index + 1].release \
                if t and index + 1 < count else 0
            ready = offered if index == 0 else end[index - 1][t] + 1
            start[index][t] = max(ready, end[index][t - 1] + 1 if t else 0,
                                  taken if layer.waits else 0)
            end[index][t] = max(start[index][t] + layer.cycles - 1, 0 if layer.waits else taken)
    return start, end


def inference_cycles(graph: ir.Graph) -> int:
    """Clocks of an inference: from the encoder's first one to the one in which `done` is high.

    The read-out takes a clock after the last neuron's of a layer with shared lanes; after another
    layer's last timestep one clock a class, and one more.
    """
    reading = 0 if shares(graph.layers[-1][0]) else graph.readout.size + 1
    return timesteps(graph)[1][-1][-1] + 1 + reading


def busy_cycles(graph: ir.Graph) -> int:
    """Clocks of an inference in which at least one layer adds up counts of its bitstream."""
    busy = set()
    for index, start in enumerate(timesteps(graph)[0]):
        layer = timing(graph, index)
        for begin in [0] if layer.load else start:
            for first in layer.adding:
                busy.update(range(begin + first, begin + first + layer.run))
    return len(busy)


def load_cycles(graph: ir.Graph) -> int:
    """Clocks that preparing one image takes at most; most of them overlap with its arrival."""
    if graph.input.encoder != "stream":
        return 0
    return transpose_cycles(graph.input.size, graph.layers[0][0].bits)
