"""What a network stores and adds up, whatever the lowering: counts, no estimates."""

from dataclasses import dataclass

from .. import ir


@dataclass(frozen=True)
class Work:
    """weights: how many. weight_memory: their bits. additions: of an inference in which every input
    spikes.

    A weight of a convolution is stored once, and added wherever it acts.
    """

    weights: int
    weight_memory: int
    additions: int


def work(graph: ir.Graph) -> Work:
    """Count a graph's weights and additions; for any stage."""
    layers = [synapses for synapses, _ in graph.layers]
    return Work(
        weights=sum(d.weight_shape[0] * d.fan_in for d in layers),
        weight_memory=sum(d.weight_shape[0] * d.fan_in * d.weight_bits for d in layers),
        additions=graph.num_steps * sum(d.synapses for d in layers))
