"""Spatial layers with shared lanes, against the reference model and their formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_graph, random_images

from spikeloom.flow import lower
from spikeloom.flow.cost.structure import structure
from spikeloom.flow.errors import GraphError
from spikeloom.flow.memories import banked
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.legalize import effective_weights
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.targets import DEVICES
from spikeloom.hdl.shared import by_lane, slots_of
from spikeloom.hdl.slots import PlaneSlots, StreamSlots
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import ALL, compare


def check(graph, rng, images=2):
    images = random_images(rng, graph, images)
    wanted = reference.run(graph, images, trace=True)
    got, clocks = gateware.simulate(graph, images, currents=True)
    assert compare(wanted, got, ALL) == []
    assert clocks == [inference_cycles(graph)] * len(images)


@pytest.mark.parametrize("encoder", ["stream", "rate", "spikes"])
@pytest.mark.parametrize("lanes", [[1, 1], [2, None], [None, 2], [4, 3], [6, 5]])
def test_lanes_are_equal_and_take_the_cycles_of_the_formula(encoder, lanes):
    rng = np.random.default_rng(4)
    readout = "membrane" if encoder == "stream" else "spike_count"
    check(compile_graph(random_graph(rng, sizes=(9, 7, 6), encoder=encoder, lanes=lanes,
                                     readout=readout)), rng)


@pytest.mark.parametrize("what", [
    {"sizes": (1, 2), "num_steps": 1}, {"zeros": 1.1}, {"lengths": [64, 32], "sng": "lfsr"},
    {"weight_bits": [2, 2]}, {"kind": "fixed", "leak_shift": None, "refractory": 2},
    {"reset": "zero", "encoder": "rate", "delays": [1, (0, 1, 2, 3, 4, 0, 0)], "num_steps": 9},
])
def test_corners(what):
    rng = np.random.default_rng(9)
    graph = random_graph(rng, lanes=[1, 3][:len(what.get("sizes", "123")) - 1], **what)
    check(compile_graph(graph), rng, 1)


def test_sixteen_passes_and_more():
    rng = np.random.default_rng(5)
    check(compile_graph(random_graph(rng, sizes=(6, 37, 21), lanes=[2, 1], num_steps=2)), rng, 1)


def test_as_many_lanes_as_neurons_are_cells_of_their_own():
    rng = np.random.default_rng(5)
    graphs = [compile_graph(random_graph(np.random.default_rng(1), lanes=lanes))
              for lanes in (None, [7, 4])]
    assert inference_cycles(graphs[0]) == inference_cycles(graphs[1])
    check(graphs[1], rng, 1)


@pytest.mark.parametrize("neuron", [{"saturate_bits": 8}, {"kind": "homeostatic"}])
def test_neurons_that_cannot_be_served_one_by_one_are_refused(neuron):
    graph = random_graph(np.random.default_rng(0), lanes=[2, None], **neuron)
    with pytest.raises(GraphError, match="fc1: lanes must be 7 or None before pop1, not 2: neuro"):
        compile_graph(graph)


@pytest.mark.parametrize("signals", [0, 1, 7, 1000])
def test_any_part_of_the_bank_can_be_in_memory(signals, monkeypatch):
    monkeypatch.setattr(lower, "banked", lambda graph: signals)
    rng = np.random.default_rng(6)
    check(compile_graph(random_graph(rng, sizes=(7, 11, 3), lanes=[2, 2], num_steps=2)), rng, 1)


def test_the_bank_takes_what_is_left_of_the_memories():
    rng = np.random.default_rng(6)
    large, small = (compile_graph(random_graph(rng, sizes=sizes, lanes=lanes, num_steps=2))
                    for sizes, lanes in (((64, 32, 10), [4, 3]), ((12, 7, 4), [2, 1])))
    assert banked(large) > 200 and 25 < structure(large).ebr <= DEVICES["UP5K"].ebr
    assert 0 < banked(small) and structure(small).ebr <= DEVICES["HX1K"].ebr
    assert banked(small.replace(fc2={"lowering": "folded"})) == 0


def weights(lo=-7, hi=7):
    """Random [passes, lanes, in]."""
    return st.builds(
        lambda size, lanes, inputs, zeros, seed: by_lane(
            (generator := np.random.default_rng(seed)).integers(lo, hi + 1, (size, inputs))
            * (generator.random((size, inputs)) >= zeros), lanes),
        st.integers(2, 12), st.integers(1, 4), st.integers(1, 9), st.sampled_from([0, 0.7]),
        st.integers(0, 999))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(weights())
def test_signs_fit_every_weight(w):
    slots = StreamSlots(w, 8)
    passes, lanes, inputs = w.shape
    for p in range(lanes):
        assert slots.used[p] == [i for i in range(inputs) if w[:, p, i].any()]
        for i in slots.used[p]:
            for h in range(passes):
                complemented = any(mask >> h & 1 for mask in slots.signs[p, i])
                assert w[h, p, i] == 0 or complemented == (w[h, p, i] < 0)
    assert slots.less.max() <= 8 * inputs


@settings(max_examples=30, deadline=None, derandomize=True)
@given(weights(-56, 56), st.integers(0, 3))
def test_planes_are_as_few_as_the_weights_need(w, scale):
    slots = PlaneSlots(w << scale, 512)
    common = np.gcd.reduce(w, axis=None)
    assert slots.scale == (scale + (int(common) & -int(common)).bit_length() - 1 if common else 0)
    assert -1 << slots.clocks - 1 <= slots.units.min()
    assert slots.units.max() < 1 << slots.clocks - 1


def test_zero_weights_take_no_slot():
    graph = random_graph(np.random.default_rng(0), sizes=(8, 6, 4), lanes=[2, 2], zeros=0)
    weight = graph.layers[0][0].weight.copy()
    weight[::2, 5] = 0  # lane 0 serves the even neurons
    dense, _ = compile_graph(graph.replace(fc1={"weight": weight})).layers[0]
    slots = slots_of(effective_weights(dense), 2, 8, columns=True)
    assert slots.used == [[0, 1, 2, 3, 4, 6, 7], list(range(8))]
