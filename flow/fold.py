"""Fold: what the lanes of the `folded` lowering read, from integer layers."""

import numpy as np

from ..hdl import sng
from ..hdl.engine import Served, refusal
from ..hdl.lanes import FoldedLayer
from ..hdl.streams import Streams
from ..hdl.words import WORD, SpikeWords, words
from . import ir
from .errors import GraphError
from .passes.legalize import effective_weights

#: Lanes of a folded layer that names none.
LANES = 8


def lanes_of(dense) -> int:
    """Lanes that a folded layer uses."""
    return min(dense.lanes or LANES, dense.out_features)


def runs(graph: ir.Graph) -> list[list[int]]:
    """The layers in stages: each `spatial` layer alone, neighbouring `folded` ones in one run.

    A layer with delays begins a run, in front of which they are.
    """
    stages: list[list[int]] = []
    for index, (dense, _) in enumerate(graph.layers):
        joins = index and dense.lowering == "folded" and not dense.max_delay
        if joins and graph.layers[index - 1][0].lowering == "folded":
            stages[-1].append(index)
        else:
            stages.append([index])
    return stages


def check(graph: ir.Graph) -> None:
    """GraphError for a layer that cannot be folded."""
    for dense, population in graph.layers:
        if dense.lowering == "folded" and (why := refusal(population.neuron)):
            raise GraphError(f"{dense.name}: lowering must be 'spatial' before {population.name}, "
                             f"not 'folded': {why}")


def fold_run(graph: ir.Graph, indices: list[int]) -> tuple[list[FoldedLayer], Streams | None]:
    """The layers of one run, and how its input streams, if it reads `stream` input."""
    streams, layers = None, []
    for index in indices:
        coded = index == 0 and graph.input.encoder == "stream"
        if coded:
            dense = graph.layers[0][0]
            streams = Streams.of(sng.sequence(graph.input.sng, dense.bits),
                                 sng.sequence(dense.sng, dense.bits), dense.weight_bits)
        layers.append(_folded(graph, index, coded, inner=index != indices[0]))
    return layers, streams


def _folded(graph: ir.Graph, index: int, coded: bool, inner: bool) -> FoldedLayer:
    dense, population = graph.layers[index]
    lanes, size = lanes_of(dense), dense.out_features
    count = -(-size // lanes)
    groups = tuple(min(lanes, size - g * lanes) for g in range(count))
    weights = effective_weights(dense)
    scale = 0
    if coded:
        rows = dense.weight.astype(np.int64)
    else:
        # all counts are multiples of 2**scale, for most generators 2**(B - w + 1)
        while weights.any() and not (weights & 1).any():
            weights, scale = weights >> 1, scale + 1
        rows = np.zeros((size, words(dense.in_features) * WORD), np.int64)
        for axon in range(dense.in_features):
            at = SpikeWords.position(axon, dense.in_features) if inner else axon
            rows[:, at] = weights[:, axon]
    largest = int(np.maximum(np.maximum(weights, 0).sum(1), np.maximum(-weights, 0).sum(1)).max())
    padded = np.zeros((count * lanes, rows.shape[1]), np.int64)
    padded[:size] = rows
    operands = padded.reshape(count, lanes, -1).transpose(0, 2, 1)  # [groups, axons, lanes]
    if not coded:
        operands = operands.reshape(count, -1, WORD, lanes)
    served = Served(population.neuron, size, int(population.v_bits.max()),
                    dense.bias.astype(np.int64), graph.fires(index))
    return FoldedLayer(served, operands, groups, largest, scale, coded)
