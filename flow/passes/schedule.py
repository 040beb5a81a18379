"""Schedule: choose each layer's lowering, and count the clocks of an inference exactly."""

from dataclasses import dataclass

from ...hdl import encoders, shared
from ...hdl.encoders.stream import transpose_cycles
from ...hdl.engine import refusal
from ...hdl.neurons import cell_of
from ...hdl.spatial import lead, timestep_cycles
from ...hdl.words import WORD
from .. import ir
from ..errors import GraphError
from ..fold import check, runs, serial_input
from ..memories import place_delays
from ..weights_image import sections
from .folding import Seen, run_clocks
from .legalize import effective_weights, not_spatial, shares


def schedule(graph: ir.Graph, lowering: str = "spatial", *, bounded: bool = True) -> ir.Graph:
    """Set `lowering` on every layer that has none, and `delay_blocks` on those with delays.

    Where `spatial` cannot take one of the layers, all of them become `folded` instead, but those
    whose neurons need cells of their own.

    GraphError for an unknown lowering, for shared lanes whose neurons need cells of their own, or
    for what cannot be folded (`fold.check`), or, if it is `bounded`, not loaded
    (`weights_image.sections`): what is to be counted may be larger than any device.
    """
    layers = range(len(graph.layers))
    maps = lowering == "spatial" and any(not_spatial(graph, index) for index in layers)
    changes = {}
    for index, (d, population) in enumerate(graph.layers):
        folds = maps and (not_spatial(graph, index) or not refusal(population.neuron))
        changes[d.name] = {"lowering": d.lowering or ("folded" if folds else lowering)}
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
    check(graph)
    if bounded:
        sections(graph)
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


def timing(graph: ir.Graph, index: int, shift: int = 0) -> Timing:
    """How long layer `index` takes for what, at a run-time shift."""
    dense, population = graph.layers[index]
    length = dense.bitstream_length >> shift
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
    """Clocks per timestep of each `spatial` layer."""
    return [timing(graph, index).cycles for index in range(len(graph.layers))]


def timesteps(graph: ir.Graph, seen: Seen | None = None, shift: int = 0
              ) -> tuple[list[list[int]], ...]:
    """The first and the last clock of each layer's timesteps, [layer][timestep].

    Clock 0 is the encoder's first. Stages, which are `spatial` layers and runs of `folded` ones,
    form a pipeline over timesteps. A `spatial` layer l takes c_l clocks a timestep, takes its input
    r_l clocks after the first one, and offers its spikes in the clock after the last one; it cannot
    finish a timestep (with shared lanes: begin one) before what is behind it has taken the spikes
    of the one before. With S the first clock, E the last one of a timestep, and X the clock in
    which its input is taken:

        S_l(t) = max(E_l(t-1) + 1, E_{l-1}(t) + 1, with shared lanes: X_{l+1}(t-1))
        X_l(t) = S_l(t) + r_l
        E_l(t) = max(S_l(t) + c_l - 1, without: X_{l+1}(t-1))

    A run with w words of input has room for two timesteps; b and c clocks are those before its last
    layer, which waits until its spikes of the timestep before are taken, and of that layer. They
    depend on the spikes; for `seen` None they are the most that can be, as is all that follows.

        X_l(t) = max(E_{l-1}(t) + 1, X_l(t-1) + 1, E_l(t-2) + 1) + w - 1
        S_l(t) = max(X_l(t) + 1, E_l(t-1) + 1)
        E_l(t) = max(S_l(t) + b_l(t), X_{l+1}(t-1) + 1) + c_l(t) - 1

    Where the encoder brings words one by one, c clocks after the one before was taken, a first run
    has ``X(t) = max(X(t-1) + 1 + c, E(t-2) + 1) + (w - 1) * (c + 1)``. All layers of a run have its
    S and E. `stream` columns are always there; a layer with shared
    lanes makes its passes over them first, and a run counts its pixels. The other encoders take
    `scan_cycles` clocks for the first timestep, and one more from the clock in which its spikes are
    taken for each further one.
    """
    stages = runs(graph)
    folded = {s: run_clocks(graph, indices, seen) for s, indices in enumerate(stages)
              if graph.layers[indices[0]][0].lowering == "folded"}
    layers = {s: timing(graph, indices[0], shift) for s, indices in enumerate(stages)
              if s not in folded}
    count, steps = len(stages), graph.num_steps
    scans = graph.input.encoder != "stream"
    scan = encoders.KINDS[graph.input.encoder].scan_cycles(graph.input.size) if scans else 0
    serial = WORD // encoders.KINDS[graph.input.encoder].bits_per_clock \
        if serial_input(graph) else 0
    start = [[0] * steps for _ in range(count)]
    taken = [[0] * steps for _ in range(count)]
    end = [[-1] * steps for _ in range(count)]
    offered = scan + (layers[0].load if 0 in layers else 0)
    for t in range(steps):
        if t and scans:
            offered = taken[0][t - 1] + scan + 1
        for s in range(count):
            ready = offered if s == 0 else end[s - 1][t] + 1
            free = taken[s + 1][t - 1] if t and s + 1 < count else 0
            idle = end[s][t - 1] + 1 if t else 0
            if s in folded:
                clocks = folded[s]
                free_half = end[s][t - 2] + 1 if t > 1 else 0
                if s == 0 and serial:
                    begun = taken[s][t - 1] + 1 if t else 0
                    taken[s][t] = max(begun + serial, free_half) + (clocks.words - 1) * (serial + 1)
                    ready = taken[s][t] + 1
                elif clocks.words:
                    fill = max(ready, taken[s][t - 1] + 1 if t else 0, free_half)
                    taken[s][t] = fill + clocks.words - 1
                    ready = taken[s][t] + 1
                start[s][t] = max(ready, idle)
                last = max(start[s][t] + int(clocks.before[t]), free + 1 if free else 0)
                end[s][t] = last + int(clocks.last[t]) - 1
                continue
            layer = layers[s]
            start[s][t] = max(ready, idle, free if layer.waits else 0)
            taken[s][t] = start[s][t] + layer.release
            end[s][t] = max(start[s][t] + layer.cycles - 1, 0 if layer.waits else free)
    stage = {index: s for s, indices in enumerate(stages) for index in indices}
    order = [stage[index] for index in range(len(graph.layers))]
    return [start[s] for s in order], [end[s] for s in order]


def inference_cycles(graph: ir.Graph, seen: Seen | None = None, *, shift: int = 0) -> int:
    """Clocks of an inference: from the encoder's first one to the one in which `done` is high.

    With `folded` layers they depend on the spikes that were `seen`, and are the most that can be
    for None. At a run-time shift, which `spatial` layers with a lane for each neuron know, L is
    L >> shift. The read-out takes a clock after the last neuron's of a folded layer or one with
    shared lanes; after another layer's last timestep one clock a class, and one more.
    """
    last = graph.layers[-1][0]
    reading = 0 if shares(last) or last.lowering == "folded" else graph.readout.size + 1
    return timesteps(graph, seen, shift)[1][-1][-1] + 1 + reading


def busy_cycles(graph: ir.Graph) -> int:
    """Clocks of an inference in which at least one layer adds up counts of its bitstream.

    Of `spatial` layers alone.
    """
    busy = set()
    for index, start in enumerate(timesteps(graph)[0]):
        if graph.layers[index][0].lowering == "folded":
            continue
        layer = timing(graph, index)
        for begin in [0] if layer.load else start:
            for first in layer.adding:
                busy.update(range(begin + first, begin + first + layer.run))
    return len(busy)


def load_cycles(graph: ir.Graph) -> int:
    """Clocks that preparing one image takes at most; most of them overlap with its arrival."""
    if graph.input.encoder != "stream" or graph.layers[0][0].lowering == "folded":
        return 0
    return transpose_cycles(graph.input.size, graph.layers[0][0].bits)
