"""The teeth of the ladder: changes of one place in a network, each of which every rung must see."""

from dataclasses import replace

import numpy as np
from networks import random_graph, random_images

from spikeloom.flow.passes.compile import compile_graph


def bitten():
    """The compiled network whose changes are tried, and images on which each of them shows."""
    rng = np.random.default_rng(5)
    graph = compile_graph(random_graph(rng, sizes=(12, 6, 3), num_steps=4, lengths=[16, 8]))
    return graph, random_images(rng, graph, 3)


def _weight(graph):
    weight = graph.layers[0][0].weight.copy()
    weight[0, 1] ^= 1
    return graph.replace(fc1={"weight": weight})


def _neuron(**changes):
    return lambda graph: graph.replace(
        pop1={"neuron": replace(graph.layers[0][1].neuron, **changes)})


def _threshold(graph):
    return _neuron(v_threshold=graph.layers[0][1].neuron.v_threshold + 1)(graph)


#: What is changed, and the function that gives the changed graph, still to be compiled.
TEETH = {
    "a weight's lowest bit": _weight,
    "threshold": _threshold,
    "generator of the inputs": lambda graph: graph.replace(input={"sng": "sobol3"}),
    "generator of the weights": lambda graph: graph.replace(fc1={"sng": "lfsr"}),
    "delay": lambda graph: graph.replace(fc2={"delay": 1}),
    "an axon's delay": lambda graph: graph.replace(fc2={"delay": (0, 0, 0, 1, 0, 0)}),
    "reset mode": _neuron(reset="zero"),
    "leak": _neuron(leak_shift=1),
    "refractory period": _neuron(refractory=1),
    "bias": lambda graph: graph.replace(fc2={"bias": graph.layers[1][0].bias + 1}),
}


def changed(name: str):
    """The compiled network with one of the `TEETH`."""
    return compile_graph(TEETH[name](bitten()[0]))
