"""Simplify: drop neurons that cannot matter, and with them their weights."""

import numpy as np

from .. import ir
from .legalize import drive_ranges, effective_weights

POOLS = (ir.MaxPool2d, ir.AvgPool2d)


def simplify(graph: ir.Graph) -> ir.Graph:
    """An integer graph without neurons that never spike or that nothing listens to.

    Scores and classes stay the same for all inputs. What goes is a neuron of a Dense or a whole map
    of a Conv2d, until none is left to drop; each layer keeps at least one. Layers at either end of
    a skip stay as they are, and so does the last one. Graphs of other stages, and those that sum
    currents, pass unchanged.
    """
    if graph.stage != "integer" or graph.sums:
        return graph
    while True:
        for index in range(len(graph.layers) - 1):
            kept = _kept(graph, index)
            if not kept.all():
                graph = _without(graph, index, kept)
                break
        else:
            return graph.verify()


def _listeners(graph: ir.Graph, name: str) -> list:
    """The nodes that read a population, directly or through pools."""
    found = []
    for reader in graph.readers(name):
        found += _listeners(graph, reader.name) if isinstance(reader, POOLS) else [reader]
    return found


def _kept(graph: ir.Graph, index: int) -> np.ndarray:
    """Which neurons, or maps, of a layer matter: bool [units]."""
    synapses, population = graph.layers[index]
    units = len(synapses.bias)
    listeners = _listeners(graph, population.name)
    if graph.skip(index) or any(isinstance(node, ir.Sum) for node in listeners):
        return np.ones(units, bool)
    heard = np.zeros(units, bool)
    for node in listeners:
        weights = np.moveaxis(effective_weights(node), 1, 0)
        heard |= weights.reshape(units, -1).any(1)
    kept = heard & _spiking(graph, index).reshape(units, -1).any(1)
    if not kept.any():
        kept[0] = True
    return kept


def _spiking(graph: ir.Graph, index: int) -> np.ndarray:
    """Which neurons may spike at all, by the interval of their membrane: bool [size]."""
    neuron = graph.layers[index][1].neuron
    lows, highs = drive_ranges(graph, index)
    if neuron.v_width is not None:
        return np.ones(len(lows), bool)
    may = np.zeros(len(lows), bool)
    lo, hi = np.zeros_like(lows), np.zeros_like(lows)
    for _ in range(graph.num_steps):
        lo, hi, _, widest = neuron.after_step(lo, hi, lows, highs, True)
        may |= widest >= neuron.thresholds[0]
        if may.all():
            break
    return may


def _without(graph: ir.Graph, index: int, kept: np.ndarray) -> ir.Graph:
    """The graph with some of a layer's neurons, or maps, and what reads them."""
    synapses, population = graph.layers[index]
    count, each = int(kept.sum()), synapses.size // len(kept)
    out = "out_channels" if isinstance(synapses, ir.Conv2d) else "out_features"
    lanes = synapses.lanes and min(synapses.lanes, count * each)
    changes = {
        synapses.name: {out: count, "weight": synapses.weight[kept], "bias": synapses.bias[kept],
                        "lanes": lanes},
        population.name: {"size": count * each},
    }
    left = [population.name]
    while left:
        for node in graph.readers(left.pop()):
            changes[node.name] = _narrower(graph, node, kept)
            if isinstance(node, POOLS):
                left.append(node.name)
    return graph.replace(**changes)


def _narrower(graph: ir.Graph, node, kept: np.ndarray) -> dict:
    """What changes in a node that reads some of the maps, or neurons, and no longer all of them."""
    if not isinstance(node, ir.Dense):
        shape = {"in_shape": (int(kept.sum()), *node.in_shape[1:])}
        return shape if isinstance(node, POOLS) else {**shape, "weight": node.weight[:, kept]}
    axons = np.repeat(kept, node.in_features // len(kept))
    delay = node.delay
    if isinstance(delay, tuple):
        delay = tuple(d for d, keep in zip(delay, axons) if keep)
    return {"in_features": int(axons.sum()), "weight": node.weight[:, axons], "delay": delay}
