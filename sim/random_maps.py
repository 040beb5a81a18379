"""Random integer networks with convolutions, pools and skips, as `random_networks` for chains."""

import numpy as np

from ..flow import ir
from ..flow.builder import Builder
from ..hdl import encoders, neurons, sng
from .random_networks import random_neuron


def random_weights(rng: np.random.Generator, graph: ir.Graph, zeros: float = 0.1) -> ir.Graph:
    """A graph of shapes with uniform codes, biases and skips of a plausible size; verified."""
    changes = {}
    for synapses, _ in graph.layers:
        length, top = synapses.bitstream_length, synapses.max_code
        codes = rng.integers(-top, top + 1, synapses.weight_shape)
        codes[rng.random(codes.shape) < zeros] = 0
        bias = rng.integers(-length, length + 1, synapses.bias_shape)
        changes[synapses.name] = {"weight": codes.astype(np.int16), "bias": bias.astype(np.int32)}
    for index, (synapses, _) in enumerate(graph.layers):
        if skip := graph.skip(index):
            length = synapses.bitstream_length
            changes[skip.name] = {"c_skip": int(rng.integers(-length, 4 * length))}
    return graph.replace(**changes).verify()


def residual_graph(rng: np.random.Generator, *, shape=(8, 8), channels=4, classes=3,
                   encoder="stream", readout="membrane", num_steps=3, length=8, weight_bits=4,
                   zeros=0.1, kind="lif", average=True) -> ir.Graph:
    """conv3x3, max pool, a residual block of two conv3x3, average pool or none, dense; integer."""
    common = {"weight_bits": weight_bits, "bitstream_length": length, "sng": "sobol1"}
    maps = {"kernel_size": 3, "padding": 1, **common}

    def neuron():
        return random_neuron(rng, kind, length, 2, "subtract", 0, None)

    builder = Builder(shape=shape, encoder=encoder, sng="ramp" if encoder == "stream" else None)
    builder.conv(channels, neuron=neuron(), **maps)
    block = builder.pool(2)
    builder.conv(channels, neuron=neuron(), **maps)
    builder.conv(channels, neuron=neuron(), skip=block, **maps)
    if average:
        builder.pool(2, ir.AvgPool2d)
    builder.dense(classes, neuron=neuron(), **common)
    return random_weights(rng, builder.graph(num_steps=num_steps, readout=readout), zeros)


def random_maps(choose, served: bool = False) -> ir.Graph:
    """An integer graph of maps: kernels, strides, borders, pools, skips, and all that chains vary.

    With `served` its neurons are such that can be served one by one, layers have lanes, and there
    may be another dense layer before the last.
    `choose` is a `random_networks.Chooser`.
    """
    rng = np.random.default_rng(choose.integer(0, 2**32 - 1))
    kinds = neurons.SERIAL if served else [k for k in neurons.KINDS if k not in neurons.ENGINES]
    encoder = choose.among(sorted(encoders.KINDS))
    channels = choose.integer(1, 2)
    extents = (choose.integer(1, 7), choose.integer(1, 7))
    builder = Builder(shape=extents if channels == 1 else (channels, *extents), encoder=encoder,
                      sng=choose.among(sng.KINDS) if encoder == "stream" else None)
    spiking = {}  # sizes of what a skip may start from

    def attributes(outputs: int) -> dict:
        length = 2 ** choose.integer(3, 6)
        neuron = random_neuron(rng, choose.among(kinds), length, choose.among([None, 1, 2, 3]),
                               choose.among(["subtract", "zero"]), choose.integer(0, 2),
                               None if served else choose.among([None, None, 6]))
        return {"weight_bits": choose.integer(2, 4), "bitstream_length": length,
                "sng": choose.among(sng.KINDS), "neuron": neuron,
                "lanes": choose.integer(0, outputs) or None if served else None}

    for _ in range(choose.integer(0, 3)):
        kernel = choose.integer(1, 3)
        padding = choose.integer(0, kernel - 1)
        if kernel > min(builder.shape[-2:]) + 2 * padding:
            break
        out = builder.shape[0] if len(builder.shape) == 3 and choose.among([True, False]) else (
            choose.integer(1, 4))
        wanted = ir.Conv2d(name="", src="", in_shape=(1, *builder.shape[-2:]), out_channels=out,
                           kernel_size=kernel, padding=padding, stride=choose.integer(1, 2),
                           weight_bits=2, bitstream_length=8, sng="ramp")
        skip = choose.among([None, *(name for name, n in spiking.items() if n == wanted.size)])
        builder.conv(out, kernel_size=kernel, padding=padding, stride=wanted.stride, skip=skip,
                     **attributes(out))
        spiking[builder.name] = wanted.size
        pool = choose.among([None, ir.MaxPool2d, ir.AvgPool2d])
        window = choose.integer(1, min(builder.shape[-2:]))
        if pool:
            builder.pool(window, pool)
            if pool is ir.MaxPool2d:
                spiking[builder.name] = builder.nodes[-1].size
    if served and choose.among([False, True]):
        size = choose.integer(1, 6)
        builder.dense(size, **attributes(size))
    classes = choose.integer(1, 4)
    builder.dense(classes, **attributes(classes))
    return random_weights(rng, builder.graph(num_steps=choose.integer(1, 4),
                                             readout=choose.among(ir.READOUTS)))
