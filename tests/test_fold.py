"""What can be folded and what cannot, in which stages, and in which order neurons are served."""

from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph, residual_graph

from spikeloom.flow import fold, ir
from spikeloom.flow.builder import Builder
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.neurons import Lif
from spikeloom.sim.random_maps import random_weights

ATTRIBUTES = {"neuron": Lif(v_threshold=9), "weight_bits": 4, "bitstream_length": 8,
              "sng": "sobol1"}


def built(*steps, shape=(6, 6), encoder="rate", num_steps=4):
    """An integer graph of `Builder` calls: (method, arguments, options); a skip names a node."""
    builder = Builder(shape=shape, encoder=encoder,
                      sng="ramp" if encoder == "stream" else None)
    for method, arguments, options in steps:
        attributes = {} if method == "pool" else ATTRIBUTES
        getattr(builder, method)(*arguments, **{**attributes, **options})
    return random_weights(np.random.default_rng(0),
                          builder.graph(num_steps=num_steps, readout="membrane"))


CONV = ("conv", (3,), {"kernel_size": 3, "padding": 1})
DENSE = ("dense", (3,), {})


def folded_chain(**settings):
    lowerings = settings.pop("lowerings", ["folded", "folded"])
    return random_graph(np.random.default_rng(0), lowerings=lowerings, **settings)


REFUSED = {
    "neurons that saturate": (
        lambda: folded_chain(saturate_bits=8),
        "fc1: lowering must be 'spatial' before pop1, not 'folded': neurons that saturate"),
    "homeostatic neurons": (
        lambda: folded_chain(kind="homeostatic", lowerings=[None, "folded"], encoder="rate",
                             readout="spike_count"),
        "fc2: lowering must be 'spatial' before pop2, not 'folded': neurons of kind 'homeostatic'"),
    "a map as the last layer": (
        lambda: built(CONV),
        "conv1: the last layer must be dense, not a conv2d, under 'folded'"),
    "a skip of fewer words": (
        lambda: built(("conv", (9,), {"kernel_size": 1}),
                      ("conv", (9,), {"kernel_size": 2, "padding": 1, "stride": 1}),
                      ("conv", (9,), {"kernel_size": 2, "padding": 0, "skip": "pop1"}), DENSE),
        "sum3: 'folded' takes a skip beside a conv2d of stride 1 that reads a map of spikes of the "
        "same rows, columns and words"),
    "a skip beside a conv2d of window sums": (
        lambda: built(("conv", (2,), {"kernel_size": 1}), ("pool", (1, ir.AvgPool2d), {}),
                      ("conv", (2,), {"kernel_size": 1, "skip": "pop1"}), DENSE),
        "sum2: 'folded' takes a skip beside a conv2d"),
    "a skip of another shape of the same size": (
        lambda: built(("conv", (1,), {"kernel_size": 3, "padding": 1}),
                      ("conv", (4,), {"kernel_size": 3, "padding": 0, "skip": "pop1"}), DENSE,
                      shape=(4, 4)),
        "sum2: 'folded' takes a skip beside a conv2d of stride 1"),
    "a skip from a map to a dense layer": (
        lambda: built(("conv", (1,), {"kernel_size": 1}),
                      ("dense", (36,), {"skip": "pop1"}), DENSE),
        "sum2: 'folded' takes a skip beside a dense layer from one, not from pop1, which is a map"),
    "weights of one run in two memories": (
        lambda: folded_chain().replace(fc2={"memory": "lut"}),
        "fc1, fc2: memory must be the same for folded layers that follow each other"),
    "a delay in front of a skip": (
        lambda: built(("dense", (5,), {"delay": 1}), ("dense", (5,), {"skip": "pop1"}), DENSE),
        "fc1: delay must be 0 under 'folded' where sum2 is a sum, not 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_folded_is_refused_by_name(what):
    make, message = REFUSED[what]
    with pytest.raises(GraphError) as caught:
        compile_graph(make())
    assert str(caught.value).startswith(message)


def test_stages_are_spatial_layers_and_runs_that_delays_divide():
    graph = folded_chain(sizes=(5, 4, 4, 4, 4, 3), delays=[0, 0, 0, (0, 1, 0, 0), 0], num_steps=4,
                         lowerings=["folded", None, "folded", "folded", "folded"])
    assert fold.runs(compile_graph(graph)) == [[0], [1], [2], [3, 4]]


@pytest.mark.parametrize("tail,stages", [
    (["spatial", "spatial"], [[0, 1], [2], [3]]), ([None, "spatial"], [[0, 1, 2], [3]]),
    (["spatial", None], [[0, 1], [2], [3]]), ([None, None], [[0, 1, 2, 3]])])
def test_a_chain_behind_maps_is_lowered_layer_by_layer(tail, stages):
    graph = built(CONV, ("pool", (2,), {}), CONV, ("dense", (5,), {}), DENSE)
    graph = compile_graph(graph.replace(
        **{f"fc{k}": {"lowering": lowering} for k, lowering in enumerate(tail, 3)}))
    assert fold.runs(graph) == stages
    assert [synapses.lowering for synapses, _ in graph.layers] == [
        "folded", "folded", *(lowering or "folded" for lowering in tail)]


def test_maps_are_served_position_by_position():
    graph = residual_graph(np.random.default_rng(0), shape=(4, 6), channels=3)
    wanted = np.arange(3 * 4 * 6).reshape(3, 4, 6).transpose(1, 2, 0).reshape(-1)
    assert np.array_equal(fold.order(graph, 0), wanted)
    last = graph.layers[-1][1].size
    assert [len(order) for order in fold.orders(graph)] == [p.size for _, p in graph.layers]
    assert np.array_equal(fold.orders(graph)[-1], np.arange(last))


@pytest.mark.parametrize("channels", [1, 3, 8, 9, 17])
def test_every_neuron_has_one_bit_of_a_map(channels):
    graph = built(("conv", (channels,), {"kernel_size": 3}), DENSE)
    stored = fold.stored_order(graph, 0)
    assert len(stored) == 16 * 8 * -(-channels // 8)
    assert sorted(stored[stored >= 0]) == list(range(channels * 16))
    inputs = fold.input_order(built(DENSE, shape=(channels,)))
    assert inputs[:channels].tolist() == list(range(channels)) and (inputs[channels:] == -1).all()


def test_the_input_of_a_map_comes_position_by_position():
    order = fold.input_order(built(CONV, DENSE, shape=(3, 2, 2)))
    assert order.reshape(4, 8)[:, :3].tolist() == [[p, 4 + p, 8 + p] for p in range(4)]
    assert (order.reshape(4, 8)[:, 3:] == -1).all()


def test_lanes_are_at_most_the_neurons_of_a_position():
    graph = built(("conv", (3,), {"kernel_size": 3, "lanes": 7}), ("dense", (20,), {}), DENSE)
    assert [fold.lanes_of(synapses) for synapses, _ in graph.layers] == [3, fold.LANES, 3]
    assert fold.lanes_of(replace(graph.node("fc2"), lanes=11)) == 11


def test_weights_are_counted_in_units_of_what_they_share():
    """Codes of 4 bits at L = 64 are multiples of 8, so lanes need no more than 4 bits."""
    graph = compile_graph(folded_chain(sizes=(9, 6, 4), lengths=[64, 64], zeros=0))
    run = fold.fold_run(graph, [0, 1])
    assert run.steps[1].scale == 3
    assert np.abs(run.steps[1].operands).max() == 7


def test_codes_are_compared_with_no_more_bits_than_they_have():
    graph = folded_chain(sizes=(9, 6, 4), encoder="stream")
    weight = graph.node("fc1").weight.clip(-1, 1)
    run = fold.fold_run(compile_graph(graph.replace(fc1={"weight": weight})), [0, 1])
    assert run.streams.thresholds.max() == 1
