"""Neurons that cannot matter are dropped, and the scores stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from networks import maps, networks, random_graph, random_images, residual_graph

from spikeloom.flow.builder import Builder
from spikeloom.flow.passes.simplify import simplify
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import reference
from spikeloom.sim.random_maps import random_weights


def same_scores(graph, done, count=30):
    images = random_images(np.random.default_rng(5), graph, count)
    return (reference.run(graph, images).scores == reference.run(done, images).scores).all()


@settings(max_examples=60, deadline=None)
@given(maps() | networks())
def test_scores_stay(graph):
    done = simplify(graph)
    assert same_scores(graph, done) and simplify(done).digest() == done.digest()


def eager(rng, **options):
    """A chain whose neurons all can spike."""
    graph = random_graph(rng, sizes=(8, 6, 5, 3), encoder="rate", **options)
    return graph.replace(**{f"pop{k}": {"neuron": Lif(v_threshold=3)} for k in (1, 2, 3)},
                         **{d.name: {"bias": 0 * d.bias} for d, _ in graph.layers})


def test_what_is_not_heard_or_cannot_spike_goes():
    graph = eager(np.random.default_rng(2), delays=[0, (0, 1, 2, 0, 1, 2), 0])
    weights = {k: graph.node(f"fc{k}").weight.copy() for k in (1, 2, 3)}
    bias = graph.node("fc1").bias.copy()
    weights[2][:, 1] = 0  # nothing listens to neuron 1 of layer 1
    weights[1][4], bias[4] = -np.abs(weights[1][4]), 0  # and neuron 4 never spikes
    weights[3][:, 0] = 0
    graph = graph.replace(**{f"fc{k}": {"weight": w} for k, w in weights.items()})
    graph = graph.replace(fc1={"bias": bias, "lanes": 6}).verify()
    done = simplify(graph)
    assert [population.size for _, population in done.layers] == [4, 4, 3]
    assert done.node("fc2").delay == (0, 2, 0, 2) and done.node("fc1").lanes == 4
    assert (done.node("fc1").weight == weights[1][[0, 2, 3, 5]]).all()
    assert (done.node("fc2").weight == weights[2][1:][:, [0, 2, 3, 5]]).all()
    assert same_scores(graph, done)


def test_what_falls_silent_takes_along_what_it_alone_heard():
    """A layer keeps one neuron, here the first, and of the layer before what that one hears."""
    graph = eager(np.random.default_rng(1))
    heard = np.count_nonzero(graph.node("fc2").weight[0])
    done = simplify(graph.replace(fc3={"weight": np.zeros((3, 5), np.int16)}))
    assert [population.size for _, population in done.layers] == [heard, 1, 3] and heard < 6


def test_a_map_goes_through_the_pool_behind_it():
    common = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
              "neuron": Lif(v_threshold=9)}
    builder = Builder(shape=(6, 6), encoder="stream", sng="ramp")
    builder.conv(4, kernel_size=3, padding=1, **common)
    builder.pool(2)
    builder.conv(3, kernel_size=3, **common)
    builder.dense(2, **common)
    graph = random_weights(np.random.default_rng(2), builder.graph(num_steps=3,
                                                                   readout="membrane"), zeros=0)
    weight, bias = graph.node("conv1").weight.copy(), np.full(4, 5, np.int32)
    weight[2], bias[2] = -1, 0
    graph = graph.replace(conv1={"weight": weight, "bias": bias})
    done = simplify(graph)
    assert done.shape("pool1") == (3, 3, 3) and done.node("conv2").weight.shape == (3, 3, 3, 3)
    assert same_scores(graph, done)


@pytest.mark.parametrize("name", ["conv1", "conv3"])
def test_a_skip_keeps_its_ends(name):
    graph = residual_graph(np.random.default_rng(3))
    weight = -np.abs(graph.node(name).weight)
    graph = graph.replace(**{name: {"weight": weight, "bias": np.zeros(4, np.int32)}})
    assert simplify(graph).layers[0][1].size == graph.layers[0][1].size
    assert simplify(graph).layers[2][1].size == graph.layers[2][1].size
