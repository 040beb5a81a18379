"""Quantize: latent floating-point weights to the integers that hardware computes with."""

import dataclasses

import numpy as np

from .. import ir
from ..errors import GraphError


def quantize(graph: ir.Graph) -> ir.Graph:
    """Round a `float` graph to the `integer` stage; integer graphs pass unchanged.

    Training keeps weights in units of the integer code, bias, skips and threshold (or whatever a
    neuron kind has `learned`) in those of the hardware, and rounds to nearest (ties to even) in its
    forward pass, so this is the same rounding once more and nothing is lost. Codes are clipped to
    what weight_bits holds.
    """
    if graph.stage == "shape":
        raise GraphError("quantize needs trained weights, not a graph of shapes; train it first")
    if graph.stage != "float":
        return graph
    changes = {}
    for dense, population in graph.layers:
        weight = np.clip(np.rint(dense.weight), -dense.max_code, dense.max_code).astype(np.int16)
        changes[dense.name] = {"weight": weight, "bias": np.rint(dense.bias).astype(np.int32)}
        learned = population.neuron.learned
        value = max(1, int(np.rint(getattr(population.neuron, learned))))
        neuron = dataclasses.replace(population.neuron, **{learned: value})
        changes[population.name] = {"neuron": neuron}
    for node in graph.nodes:
        if isinstance(node, ir.Sum):
            changes[node.name] = {"c_skip": int(np.rint(node.c_skip))}
    return graph.replace(**changes).verify()
