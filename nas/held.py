"""What a network does with images that were held out: columns that no count of its parts tells."""

from ..flow import ir
from ..flow.cost.structure import structure
from ..flow.passes.folding import event_driven
from ..flow.passes.schedule import inference_cycles, schedule
from ..sim import seen
from .datasets import Split
from .train import checked

#: Images whose clocks are averaged: exact each, and as alike as images of one data set are.
TIMED = 32
#: The columns, beside `accuracy`.
HELD = ("spikes", "mean_cycles")


def held(graph: ir.Graph, split: Split) -> dict[str, float]:
    """`accuracy`, and the columns of `HELD`, of an integer graph."""
    right, spikes = checked(graph, split)
    return {"accuracy": right, "spikes": spikes, "mean_cycles": mean_cycles(graph, split)}


def mean_cycles(graph: ir.Graph, split: Split, count: int = TIMED) -> float:
    """Clocks of an inference: the mean of the first `count` images where they depend on spikes."""
    scheduled = schedule(graph, bounded=False)
    if not event_driven(scheduled):  # whose parts need not be counted for it
        return float(inference_cycles(scheduled))
    found = seen.cycles(structure(graph).graph, split.inputs[:count])
    return sum(found) / len(found)
