"""Networks that several figures measure."""

from functools import lru_cache
from itertools import pairwise, zip_longest

import numpy as np

from ...flow import ir
from ...flow.passes.compile import compile_graph
from ...hdl.neurons import Lif


def shapes(graph: ir.Graph) -> ir.Graph:
    """The shape-stage graph of a trained one."""
    changes: dict = {}
    for dense, population in graph.layers:
        changes[dense.name] = {"weight": None, "bias": None, "lowering": None}
        changes[population.name] = {"v_bits": None}
    return graph.replace(**changes)


def uniform(sizes: tuple[int, ...], *, num_steps: int = 8, seed: int = 0,
            lanes: tuple[int | None, ...] = ()) -> ir.Graph:
    """A chain with 4-bit weights uniform over all 15 values, L = 8, `stream` input.

    lanes: of each layer, from the first one on.
    """
    rng = np.random.default_rng(seed)
    layers = [{
        "out_features": n_out, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
        "weight": rng.integers(-7, 8, (n_out, n_in)).astype(np.int16),
        "bias": rng.integers(-8, 9, n_out).astype(np.int32),
        "neuron": Lif(v_threshold=24, leak_shift=2), "lanes": p,
    } for (n_in, n_out), p in zip_longest(pairwise(sizes), lanes)]
    return ir.chain(shape=sizes[:1], encoder="stream", input_sng="ramp", layers=layers,
                    readout="membrane", num_steps=num_steps).verify()


@lru_cache(maxsize=1)
def trained_digits() -> ir.Graph:
    """64-32-10 with T = 8 and L = 8, trained on the digits' train and validation splits, seed 0."""
    from .. import datasets
    from ..train import TrainSettings, train

    graph = shapes(uniform((64, 32, 10)))
    settings = TrainSettings(epochs=60)
    return compile_graph(train([graph], datasets.load("digits").final, None, settings,
                               [0])[0].graph)
