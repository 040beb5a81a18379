"""Throughput: the smallest lowering that makes so many inferences a second, and what limits it."""

from dataclasses import dataclass

from . import ir
from .errors import FitError, GraphError
from .fit import lowered, title
from .fold import runs
from .passes.folding import run_clocks
from .passes.schedule import inference_cycles, load_cycles, timesteps


def choices(graph: ir.Graph) -> list[tuple[str, int | None]]:
    """Lowering and lanes of every layer, from the fewest cells to the most.

    Weights in memory cost fewer cells than weights in logic, and fewer lanes fewer than more.
    """
    widest = max(synapses.out_features for synapses, _ in graph.layers)
    powers = [1 << k for k in range(widest.bit_length())]
    folded = [("folded", lanes) for lanes in powers if lanes <= widest]
    shared = [("spatial", lanes) for lanes in powers if lanes < widest]
    return [*folded, *shared, ("spatial", None)]


@dataclass(frozen=True)
class Throughput:
    """Inferences a second at a clock, the most clocks of one, and the layer that limits them.

    share: of the clocks, that the bottleneck is at work in; `load` is the preparation of an image
    that cannot overlap with its arrival.
    """

    cycles: int
    load: int
    per_second: float
    bottleneck: str
    share: float

    def text(self, clock_hz: float) -> str:
        """One line for people."""
        loading = f" and {self.load:,} to prepare the image" if self.load else ""
        return (f"at most {self.cycles:,} clocks an inference{loading}: {self.per_second:,.0f} a "
                f"second at {clock_hz / 1e6:g} MHz without the link; {self.bottleneck} limits it, "
                f"at work in {self.share:.0%} of them")


def throughput(graph: ir.Graph, clock_hz: float) -> Throughput:
    """What a scheduled graph reaches, whatever its inputs; the link is not counted."""
    cycles, load = inference_cycles(graph), load_cycles(graph)
    starts, ends = timesteps(graph)
    busy = [sum(end - start + 1 for start, end in zip(*layer)) for layer in zip(starts, ends)]
    for indices in runs(graph):
        if graph.layers[indices[0]][0].lowering == "folded":
            for index, clocks in zip(indices, run_clocks(graph, indices, None).each, strict=True):
                busy[index] = int(clocks)
    limit = max(range(len(busy)), key=busy.__getitem__)
    return Throughput(cycles, load, clock_hz / (cycles + load), graph.layers[limit][0].name,
                      min(1.0, busy[limit] / cycles))


def choose(graph: ir.Graph, clock_hz: float, per_second: float) -> tuple[str, ir.Graph, Throughput]:
    """The first of `choices` that is fast enough for any input: its title, graph and figures.

    Raises FitError that names the fastest choice and its bottleneck if none is.
    """
    best = None
    for lowering, lanes in choices(graph):
        try:
            candidate = lowered(graph, lowering, lanes)
        except GraphError:
            continue
        found = throughput(candidate, clock_hz)
        if found.per_second >= per_second:
            return title(lowering, lanes), candidate, found
        if best is None or found.per_second > best[1].per_second:
            best = title(lowering, lanes), found
    if best is None:
        raise FitError(f"{graph.input.name}: no lowering takes this network")
    name, found = best
    raise FitError(f"--target-ips must be at most {found.per_second:.0f} at "
                   f"{clock_hz / 1e6:g} MHz, not {per_second:g}: {name} is the fastest lowering, "
                   f"and {found.bottleneck} limits it; use fewer timesteps or shorter bitstreams")
