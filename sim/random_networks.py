"""Random integer networks and inputs, over everything that a graph can vary.

The same choices come from Hypothesis, which shrinks them, and from a generator with a seed.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..flow import ir
from ..hdl import encoders, neurons, sng
from ..hdl.neurons import FixedPointLif, HomeostaticLif, Lif
from ..hdl.neurons.izhikevich import PRESETS
from .images import input_shape


def random_neuron(rng, kind, length, leak_shift, reset, refractory, saturate_bits):
    """Parameters of a kind, with thresholds of a plausible size for this bitstream length."""
    if kind == "izhikevich":
        cell = PRESETS[sorted(PRESETS)[rng.integers(len(PRESETS))]]
        # Strong enough to fire within a few milliseconds, and up to saturation.
        return replace(cell, gain=int(2 ** rng.uniform(12, 20)))
    common = {"v_threshold": int(rng.integers(length, 4 * length)), "reset": reset,
              "refractory": refractory, "saturate_bits": saturate_bits}
    if kind == "fixed":
        n = int(rng.integers(1, 9))
        return FixedPointLif(beta=int(rng.integers(0, 2**n + 1)), n=n, **common)
    if kind == "homeostatic":
        lo = int(rng.integers(1, 2 * length))
        return HomeostaticLif(up=int(rng.integers(0, length)), down=int(rng.integers(0, 4)), lo=lo,
                              hi=lo + int(rng.integers(0, 4 * length)), leak_shift=leak_shift,
                              **common)
    return Lif(leak_shift=leak_shift, **common)


def random_images(rng, graph, count):
    """Images of the kind that the network's encoder takes."""
    shape = (count, *input_shape(graph))
    return rng.integers(0, 2 if graph.input.encoder == "spikes" else 256, shape)


def random_graph(rng, *, sizes=(12, 7, 4), encoder="stream", readout="membrane", num_steps=4,
                 sng="sobol1", input_sng="ramp", lengths=None, weight_bits=None, leak_shift=2,
                 reset="subtract", zeros=0.1, refractory=0, delays=None, kind="lif",
                 saturate_bits=None, lanes=None, lowerings=None, memory=None):
    """An integer chain with uniform codes, biases and thresholds of a plausible size.

    memory: of the layers whose lowering is `folded`.
    Under membrane read-out the last layer is of kind LIF where `kind` has no such read-out.
    """
    delays = delays or [0] * (len(sizes) - 1)
    lengths = lengths or [8] * (len(sizes) - 1)
    weight_bits = weight_bits or [4] * (len(sizes) - 1)
    lanes = lanes or [None] * (len(sizes) - 1)
    lowerings = lowerings or [None] * (len(sizes) - 1)
    layers = []
    for n_in, n_out, length, w, delay, p, lowering in zip(
            sizes, sizes[1:], lengths, weight_bits, delays, lanes, lowerings, strict=False):
        top = 2 ** (w - 1) - 1
        codes = rng.integers(-top, top + 1, (n_out, n_in))
        codes[rng.random(codes.shape) < zeros] = 0
        layers.append({
            "out_features": n_out, "weight_bits": w, "bitstream_length": length, "sng": sng,
            "delay": delay, "lanes": p, "lowering": lowering,
            "memory": memory if lowering == "folded" else None, "weight": codes.astype(np.int16),
            "bias": rng.integers(-length, length + 1, n_out).astype(np.int32),
            "neuron": random_neuron(rng, kind, length, leak_shift, reset, refractory,
                                    saturate_bits),
        })
    if readout == "membrane" and not neurons.KINDS[kind].integrates:
        layers[-1]["neuron"] = random_neuron(rng, "lif", length, leak_shift, reset, refractory,
                                             saturate_bits)
    return ir.chain(shape=(sizes[0],), encoder=encoder, layers=layers, readout=readout,
                    num_steps=num_steps,
                    input_sng=input_sng if encoder == "stream" else None).verify()


class Chooser:
    """Draws from a seeded generator; another class with these two methods does as well."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def integer(self, lo: int, hi: int) -> int:
        """An integer in lo..hi."""
        return int(self.rng.integers(lo, hi + 1))

    def among(self, options: Sequence):
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]


def random_network(choose, served: bool = False) -> ir.Graph:
    """An integer graph: shapes, T, L, weight bits, generators, encoder, neuron, delays, read-out.

    Every other network or so has neurons that saturate, some at a width below their threshold. Of
    the others, those that can be served one by one share lanes in some layers, and some are folded.
    With `served` there are such neurons only.

    `choose` is a `Chooser`. Small choices are the simple ones, to which Hypothesis shrinks.
    """
    rng = np.random.default_rng(choose.integer(0, 2**32 - 1))
    kind = choose.among(sorted(neurons.SERIAL) if served else list(neurons.KINDS))
    # An engine takes hundreds of clocks for each neuron, which simulators have to wait for.
    depth, widest = (2, 3) if kind in neurons.ENGINES else (3, 9)
    depth = choose.integer(1, depth)
    sizes = [choose.integer(1, 40), *(choose.integer(1, widest) for _ in range(depth))]
    encoder = choose.among(sorted(encoders.KINDS))
    longest = [choose.integer(0, 3) for _ in range(depth)]
    if encoder == "stream":
        longest[0] = 0
    delays = [tuple(rng.integers(0, most + 1, n).tolist()) if choose.among([False, True]) else most
              for n, most in zip(sizes, longest, strict=False)]
    saturate_bits = None if served else choose.among([None, None, None, 3, 6, 8])
    lanes = lowerings = [None] * depth
    if saturate_bits is None and kind in neurons.SERIAL:
        lanes = [choose.integer(0, n) or None for n in sizes[1:]]
        lowerings = [choose.among([None, "folded"]) for _ in range(depth)]
    return random_graph(
        rng, sizes=sizes, kind=kind, encoder=encoder, delays=delays, lanes=lanes,
        lowerings=lowerings, memory=choose.among([None, "ebr", "lut"]),
        refractory=choose.integer(0, 3), saturate_bits=saturate_bits,
        readout=choose.among(ir.READOUTS),
        num_steps=sum(longest) + choose.integer(1, 6), sng=choose.among(sng.KINDS),
        input_sng=choose.among(sng.KINDS),
        lengths=[2 ** choose.integer(3, 6) for _ in range(depth)],
        weight_bits=[choose.integer(2, 4) for _ in range(depth)],
        leak_shift=choose.among([None, 1, 2, 3]), reset=choose.among(["subtract", "zero"]))
