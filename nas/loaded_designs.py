"""Loaded designs: networks whose weights are in SPRAM, spread evenly, to be placed and routed.

As `designs`, with numbers, a sequence and boards of their own, so that neither changes the other:
`folded` chains on boards whose device has SPRAMs, most of them for images of 784 pixels under
`stream` input, as they are searched for. A network is made narrower until SPRAMs hold it. None is
held out: all were looked at while their parts were counted, so their errors are those of fits
without the network itself.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import qmc

from ..boards import Board
from ..flow import ir, targets
from ..flow.errors import GraphError
from ..flow.fold import TABLED_BITS
from ..flow.passes.compile import compile_graph
from ..flow.passes.simplify import simplify
from ..hdl.spram import MOST, WIDTH
from ..sim.random_networks import random_neuron
from .designs import GENERATORS, LOADED, Network, among, codes, evenly

#: Of the scrambling, and of everything that is drawn beside it.
SEED = 20261130

_DIMENSIONS = (
    "depth", "inputs", "width1", "width2", "classes", "tabled", "weight_bits1", "weight_bits2",
    "weight_bits3", "zeros", "dead", "spread", "length", "sng", "input_sng", "encoder", "kind",
    "readout", "lanes", "memory", "delay", "num_steps", "leak", "reset", "refractory")

_INPUTS = ((784, 0.65), (64, 0.1), (None, 0.25))
_ENCODERS = (("stream", 0.7), ("rate", 0.2), ("spikes", 0.1))
#: Of the last layer, which fits anywhere; all others are in SPRAM.
_MEMORIES = (("spram", 0.7), ("ebr", 0.2), ("lut", 0.1))
#: Of a layer; wider weights than `TABLED_BITS` have lanes of another kind.
_FEWEST_BITS, _MOST_BITS = 2, 8
_NARROWER, _LEAST = 0.85, 0.05


def layout(count: int) -> Iterator[Network]:
    """The first `count` networks, by number; a point that makes none gives way to a later one."""
    points = qmc.Sobol(len(_DIMENSIONS), scramble=True, rng=np.random.default_rng(SEED))
    for number in range(LOADED, LOADED + count):
        graph = None
        while graph is None:
            point = dict(zip(_DIMENSIONS, points.random(1)[0], strict=True))
            graph = network(point, np.random.default_rng((SEED, number)))
        yield Network(number, "folded", graph)


def builds_for(board: Board) -> bool:
    """Whether the networks of this layout are built for a board."""
    return targets.device(board.device).spram > 0


def network(point: dict[str, float], rng: np.random.Generator) -> ir.Graph | None:
    """The scheduled network of a point in the unit cube; None if SPRAMs hold none."""
    seed = int(rng.integers(2 ** 32))
    scale = 1.0
    while scale > _LEAST:
        try:
            return _graph(point, np.random.default_rng(seed), scale)
        except GraphError:
            scale *= _NARROWER
    return None


def _graph(point: dict[str, float], rng: np.random.Generator, scale: float) -> ir.Graph:
    """The network of a point with hidden layers `scale` times as wide; GraphError if none is."""
    depth = 2 + int(1.6 * point["depth"])
    encoder = among(point["encoder"], _ENCODERS)
    inputs = among(point["inputs"], _INPUTS) or int(evenly(point["inputs"] * 4 - 3, 100, 1000))
    classes = 10 if point["classes"] < 0.7 else 2 + int(60 * (point["classes"] - 0.7))
    widths = [max(8, round(scale * evenly(point[f"width{k}"], 24, 320))) for k in range(1, depth)]
    wide = point["tabled"] > 0.75
    fewest, most = (TABLED_BITS + 1, _MOST_BITS) if wide else (_FEWEST_BITS, TABLED_BITS)
    bits = (5 if wide else 3) + int((3 if wide else 4) * point["length"])
    weight_bits = [min(fewest + int((most + 1 - fewest) * point[f"weight_bits{k}"]), bits + 1)
                   for k in range(1, depth + 1)]
    # a row has a field for each lane: a code, or a count of so many ones
    field_bits = bits + 1 if wide else max(weight_bits)
    # as many as 4-bit weights have room for, or evenly fewer
    lanes = min(16 if point["lanes"] < 0.35 else 4 + int(20 * (point["lanes"] - 0.35)),
                MOST * WIDTH // field_bits)
    kind = among(point["kind"], (("lif", 0.8), ("fixed", 0.2)))
    readout = "membrane" if point["readout"] < 0.6 else "spike_count"
    num_steps = int(evenly(point["num_steps"], 2, 13))
    generator = among(point["sng"], GENERATORS)
    delay = min(max(0, int(8 * point["delay"]) - 6), num_steps - 1)  # none for three of four
    layers, axons = [], inputs
    for k, width in enumerate([*widths, classes], 1):
        last = k == depth
        late = delay if k == 2 else 0
        layers.append({
            "out_features": width, "weight_bits": weight_bits[k - 1],
            "bitstream_length": 1 << bits, "sng": generator,
            "delay": late and tuple(rng.integers(0, late + 1, axons).tolist()),
            "lowering": "folded", "lanes": min(lanes, width),
            "memory": among(point["memory"], _MEMORIES) if last else "spram",
            "weight": codes(point, rng, (width, axons), (1 << weight_bits[k - 1] - 1) - 1),
            "bias": np.rint(rng.normal(0, 1 << bits, width)).astype(np.int32),
            "neuron": random_neuron(
                rng, kind if not last or readout == "spike_count" or kind == "fixed" else "lif",
                1 << bits, (None, 1, 2, 3, 4)[int(5 * point["leak"])],
                "subtract" if point["reset"] < 0.7 else "zero",
                max(0, int(6 * point["refractory"]) - 3), None),
        })
        axons = width
    return compile_graph(simplify(ir.chain(
        shape=(inputs,), encoder=encoder, layers=layers, readout=readout, num_steps=num_steps,
        input_sng=among(point["input_sng"], GENERATORS) if encoder == "stream" else None
    ).verify()))
