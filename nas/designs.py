"""Designs: networks that fill the space of what can be built evenly, to be placed and routed.

Point n of a scrambled Sobol sequence becomes network n: its shape, weights, generators, neurons,
lowering and lanes. All networks are built for the same boards. Sizes are spread evenly over orders
of magnitude: a network is made narrower until it is no larger than its point asks for. The same
number gives the same network, whatever else is built.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from ..flow import ir
from ..flow.errors import GraphError
from ..flow.memories import image_blocks
from ..flow.passes.compile import compile_graph
from ..flow.passes.simplify import simplify
from ..flow.targets import device
from ..sim.random_networks import random_neuron

#: One network in turn of each.
LOWERINGS = ("spatial", "shared", "folded")
#: Boards of two families, whose cells and wires differ; the largest device of each.
BOARDS = ("icebreaker", "ice40_hx8k_b_evn")
#: Networks before this one were looked at while the cost model was made. Nothing is fitted to those
#: from it on, on which its errors are measured.
LOOKED_AT = 114
#: Numbers from this on are those of `loaded_designs`.
LOADED = 10_000
#: Of these networks every second one of a lowering has several seeds of place and route, which tell
#: how far a seed alone moves a clock.
SEEDED = range(54, LOOKED_AT)
#: One of so many of `loaded_designs` has several seeds.
LOADED_SEEDED = 4
#: Seeds of place and route of those networks, the others have the first alone.
SEEDS = (1, 2, 3)
#: Of the scrambling, and of everything that is drawn beside it.
SEED = 20261121

_DIMENSIONS = (
    "depth", "inputs", "width1", "width2", "classes", "weight_bits1", "weight_bits2",
    "weight_bits3", "zeros", "dead", "spread", "length1", "length2", "length3", "sng", "input_sng",
    "encoder", "kind", "readout", "lanes", "memory", "delay", "num_steps", "leak", "reset",
    "refractory", "size")

#: Neurons of each lowering, and their shares.
_KINDS = {"spatial": (("lif", 0.6), ("fixed", 0.2), ("homeostatic", 0.12), ("izhikevich", 0.08)),
          "shared": (("lif", 0.75), ("fixed", 0.25)), "folded": (("lif", 0.75), ("fixed", 0.25))}
#: Shares of number generators.
GENERATORS = (("sobol1", 0.4), ("ramp", 0.1), ("sobol2", 0.1), ("sobol3", 0.1), ("lfsr", 0.15),
              ("debruijn", 0.15))
#: What a network may ask for (`_size`): of `spatial` layers, of shared lanes, of folded ones with
#: weights in block memory, and in LUTs.
_SIZES = {"spatial": (150.0, 4200.0), "shared": (150.0, 4000.0), "ebr": (1500.0, 90000.0),
          "lut": (300.0, 9000.0)}
#: Cells that a neuron takes, more or less, beside its synapses, by kind.
_NEURON = {"lif": 25, "fixed": 35, "homeostatic": 60, "izhikevich": 80}
#: How many times as wide as its point says a network is at first, and each step down.
_WIDEST, _NARROWER = 3.0, 0.85


@dataclass(frozen=True)
class Network:
    """Network `number` of a layout, scheduled; `held_out` if it is only to be predicted."""

    number: int
    lowering: str
    graph: ir.Graph

    @property
    def held_out(self) -> bool:
        return LOOKED_AT <= self.number < LOADED

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of place and route with which it is measured."""
        several = self.number in SEEDED and self.number // len(LOWERINGS) % 2 == 1
        if self.number >= LOADED:
            several = self.number % LOADED_SEEDED == 2
        return SEEDS if several else SEEDS[:1]


def layout(count: int) -> Iterator[Network]:
    """The first `count` networks, by number; a point that makes none gives way to a later one."""
    points = qmc.Sobol(len(_DIMENSIONS), scramble=True, rng=np.random.default_rng(SEED))
    # Points of each lowering are taken in order, so that a longer layout begins with a shorter one.
    for number in range(count):
        lowering = LOWERINGS[number % len(LOWERINGS)]
        while True:
            point = dict(zip(_DIMENSIONS, points.random(1)[0], strict=True))
            graph = network(point, lowering, np.random.default_rng((SEED, number)))
            if graph is not None:
                break
        yield Network(number, lowering, graph)


def network(point: dict[str, float], lowering: str, rng: np.random.Generator) -> ir.Graph | None:
    """The scheduled network of a point in the unit cube; None if there is none."""
    seed = int(rng.integers(2 ** 32))
    scale = _WIDEST
    while scale > 0.05:
        graph = _graph(point, lowering, np.random.default_rng(seed), scale)
        if graph is not None:
            most = evenly(point["size"], *_SIZES[graph.layers[0][0].memory or lowering])
            if _size(graph, lowering) <= most:
                return graph
        scale *= _NARROWER
    return None


def _size(graph: ir.Graph, lowering: str) -> float:
    """About how large a design is, by its shape alone, so that a better cost model changes nothing.

    Of folded layers the bits of all weights, else cells, more or less. Too much if the image does
    not fit the block memories.
    """
    if image_blocks(graph) > device("UP5K").ebr - (8 if lowering == "folded" else 2):
        return np.inf
    if lowering == "folded":
        return sum(d.synapses * d.weight_bits for d, _ in graph.layers)
    cells = float(sum(int((synapses.weight != 0).sum()) for synapses, _ in graph.layers))
    if lowering == "spatial":
        cells += sum(_NEURON[population.neuron.kind] * population.size
                     for _, population in graph.layers)
    return cells


def _graph(point: dict[str, float], lowering: str, rng: np.random.Generator, scale: float
           ) -> ir.Graph | None:
    """The network of a point with hidden layers, and unusual inputs, `scale` times as wide."""
    depth = 1 + int(3 * point["depth"])
    encoder = among(point["encoder"], (("stream", 0.55), ("rate", 0.35), ("spikes", 0.1)))
    # the digits are what most people try first
    inputs = 64 if point["inputs"] < 0.4 else int(evenly((point["inputs"] - 0.4) / 0.6, 8, 400))
    if inputs != 64 or scale < 0.3:
        inputs = max(4, round(inputs * min(1.0, scale)))
    classes = 10 if point["classes"] < 0.5 else 2 + int(18 * (2 * point["classes"] - 1))
    widths = [max(3, round(scale * evenly(point[f"width{k}"], 8, 160))) for k in range(1, depth)]
    kind = among(point["kind"], _KINDS[lowering])
    readout = "membrane" if point["readout"] < 0.6 else "spike_count"
    num_steps = int(evenly(point["num_steps"], 2, 24))
    generator = among(point["sng"], GENERATORS)
    delay = max(0, int(8 * point["delay"]) - 4)  # none for half of them
    layers, axons, left = [], inputs, num_steps - 1
    for k, width in enumerate([*widths, classes], 1):
        bits = 3 + int(7 * point[f"length{k}"])
        weight_bits = min(2 + int(5 * point[f"weight_bits{k}"]), bits + 1)
        late = 0 if k == 1 and encoder == "stream" else min(delay, left)
        left -= late
        layers.append({
            "out_features": width, "weight_bits": weight_bits, "bitstream_length": 1 << bits,
            "sng": generator, "delay": late and tuple(rng.integers(0, late + 1, axons).tolist()),
            "lanes": _lanes(point["lanes"], width, lowering),
            "lowering": "folded" if lowering == "folded" else "spatial",
            "memory": among(point["memory"], (("ebr", 0.7), ("lut", 0.3)))
            if lowering == "folded" else None,
            "weight": codes(point, rng, (width, axons), (1 << weight_bits - 1) - 1),
            "bias": np.rint(rng.normal(0, 1 << bits, width)).astype(np.int32),
            "neuron": random_neuron(
                rng, kind if k <= len(widths) or readout == "spike_count" or kind == "fixed"
                else "lif", 1 << bits, (None, 1, 2, 3, 4)[int(5 * point["leak"])],
                "subtract" if point["reset"] < 0.7 else "zero",
                max(0, int(6 * point["refractory"]) - 3), None),
        })
        axons = width
    try:
        return compile_graph(simplify(ir.chain(
            shape=(inputs,), encoder=encoder, layers=layers, readout=readout, num_steps=num_steps,
            input_sng=among(point["input_sng"], GENERATORS) if encoder == "stream" else None
        ).verify()))
    except GraphError:
        return None


def codes(point: dict[str, float], rng: np.random.Generator, shape: tuple[int, int], top: int
           ) -> np.ndarray:
    """Codes as training leaves them: normal, cut off, the smallest pruned, some inputs unused."""
    codes = rng.normal(0, (0.2 + 0.9 * point["spread"]) * max(top, 1), shape)
    pruned = max(0.0, 1.7 * point["zeros"] - 0.85)
    codes[np.abs(codes) <= np.quantile(np.abs(codes), pruned)] = 0
    codes[:, rng.random(shape[1]) < max(0.0, point["dead"] - 0.6)] = 0
    return np.clip(np.rint(codes), -top, top).astype(np.int16)


def _lanes(value: float, width: int, lowering: str) -> int | None:
    """Lanes of a layer: one for each neuron of a `spatial` one, fewer of the others."""
    if lowering == "spatial":
        return None
    if lowering == "folded":
        return min(width, 1 << int(6 * value))
    return max(1, min(width - 1, round(width / (2 + 8 * value))))


def evenly(value: float, lo: float, hi: float) -> float:
    """From 0..1 to lo..hi, evenly over orders of magnitude."""
    return float(lo * (hi / lo) ** value)


def among(value: float, shares: tuple[tuple[str, float], ...]) -> str:
    """The option in whose share of 0..1 the value lies."""
    for name, share in shares:
        value -= share
        if value < 0:
            return name
    return shares[-1][0]
