"""Which candidates are trained together: batches of one shape class and of similar sizes."""

from collections.abc import Sequence
from itertools import pairwise

from ..flow import ir
from .program import shape_class


def plan(graphs: Sequence[ir.Graph], batch: int = 32) -> list[list[int]]:
    """Indices of `graphs` in batches that are trained together: one shape class, similar sizes.

    Depends on the list alone. Within a batch, first layers with the same tables are neighbours.
    Raises GraphError for a graph that cannot be trained.
    """
    classes: dict[tuple, list[int]] = {}
    for index, graph in enumerate(graphs):
        classes.setdefault(shape_class(graph), []).append(index)

    def tables(i: int) -> tuple:
        first = graphs[i].layers[0][0]
        return (first.bits, first.weight_bits, first.sng, graphs[i].input.sng or "", i)

    return [sorted(b, key=tables) for members in classes.values()
            for b in _merge({i: _extent(graphs[i]) for i in members}, batch)]


def _extent(graph: ir.Graph) -> tuple[int, ...]:
    """What a batch is padded to, were this its only graph: timesteps, table rank, widths."""
    first = graph.layers[0][0]
    rank = min(first.max_code, 16) if graph.input.encoder == "stream" else 0
    return (graph.num_steps, rank, graph.input.size, *(d.out_features for d, _ in graph.layers))


def step_seconds(extent: Sequence[int], count: int) -> float:
    """About how long one training step of 64 images takes for `count` candidates of an extent.

    Fitted to measurements on one core of an EPYC of 2024, within about a third: a fixed cost of
    each tensor operation, then work per candidate, neuron and synapse.
    """
    steps, rank, *sizes = extent
    fixed, each = 600.0, 35.0
    for layer, (ins, outs) in enumerate(pairwise(sizes)):
        fixed += 100 + 10 * steps
        synapse = 0.005 + 0.003 * rank if rank and not layer else 0.007 * steps
        each += 0.15 * steps * outs + synapse * ins * outs
    return (fixed + count * each) * 1e-6


#: What hidden layers of a kind take more than a LIF's in a training step, in microseconds: for each
#: timestep, and for each neuron and timestep of a candidate. Measured as `step_seconds` was.
_MORE = {"homeostatic": (90.0, 0.4), "izhikevich": (220.0, 2.5)}


def steps_seconds(graphs: Sequence[ir.Graph], batch: int = 32) -> float:
    """About how long one training step of 64 images of every graph takes, in batches of `plan`."""
    total = 0.0
    for members in plan(graphs, batch):
        extent = tuple(map(max, zip(*(_extent(graphs[i]) for i in members))))
        total += step_seconds(extent, len(members))
        for (_, population), size in zip(graphs[members[0]].layers[:-1], extent[3:]):
            fixed, each = _MORE.get(population.neuron.kind, (0.0, 0.0))
            total += 1e-6 * extent[0] * (fixed + len(members) * each * size)
    return total


def _merge(extents: dict[int, tuple[int, ...]], batch: int) -> list[list[int]]:
    """Join candidates into batches, always the two whose joining saves most time."""
    parts = [([i], extent) for i, extent in extents.items()]
    saved: dict[tuple[int, int], int] = {}  # nanoseconds, so that equal ones are equal

    def consider(a: int, b: int) -> None:
        (one, x), (two, y) = parts[a], parts[b]
        if len(one) + len(two) <= batch:
            both = tuple(map(max, x, y))
            gain = round(1e9 * (step_seconds(x, len(one)) + step_seconds(y, len(two))
                                - step_seconds(both, len(one) + len(two))))
            if gain > 0:
                saved[a, b] = gain

    for b in range(len(parts)):
        for a in range(b):
            consider(a, b)
    alive = set(range(len(parts)))
    while saved:
        a, b = min(saved, key=lambda pair: (-saved[pair], pair))
        parts[a] = (parts[a][0] + parts[b][0], tuple(map(max, parts[a][1], parts[b][1])))
        alive.remove(b)
        for pair in [pair for pair in saved if a in pair or b in pair]:
            del saved[pair]
        for other in sorted(alive - {a}):
            consider(min(a, other), max(a, other))
    return [parts[a][0] for a in sorted(alive)]
