"""Run-time bitstream lengths in gateware, against the reference model."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil
from hypothesis import given
from hypothesis import strategies as st
from ladder import saved_on_failure
from networks import random_graph, random_images

from spikeloom.flow import lower
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.hdl.packing import pack
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import ALL, STATE, compare

#: Generators of the input and of the weights.
PAIRS = [("ramp", "sobol1"), ("ramp", "sobol2"), ("sobol2", "sobol1"), ("sobol1", "ramp"),
         ("sobol3", "sobol3")]


def joined(traces):
    """Traces of single images as one of a batch."""
    parts = {name: [np.concatenate(layers, 1) for layers in
                    zip(*(getattr(trace, name) for trace in traces), strict=True)] for name in ALL}
    return reference.Trace(scores=np.concatenate([trace.scores for trace in traces]),
                           classes=np.concatenate([trace.classes for trace in traces]), **parts)


def equal_at_every_shift(graph, rng):
    """Currents, membranes, spikes, scores and clocks of one device, whose length changes."""
    shifts = rng.permutation(graph.max_shift + 1)
    images = random_images(rng, graph, len(shifts))
    wanted = joined([reference.run(graph, image[None], trace=True, shift=int(shift))
                     for image, shift in zip(images, shifts, strict=True)])
    with saved_on_failure(graph, images, "amaranth"):
        got, clocks = gateware.simulate(graph, images, currents=True, shift=shifts)
        assert compare(wanted, got, ALL) == []
    assert clocks == [inference_cycles(graph, shift=int(shift)) for shift in shifts]


def shifting(max_shift, rng, **options):
    return compile_graph(replace(random_graph(rng, **options), max_shift=max_shift))


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("kind", ["lif", "fixed"])
def test_every_pair_of_generators(pair, kind):
    rng = np.random.default_rng(1)
    graph = shifting(3, rng, sizes=(19, 6, 3), input_sng=pair[0], sng=pair[1], kind=kind,
                     lengths=[16, 8], num_steps=3, weight_bits=[4, 4])
    equal_at_every_shift(graph, rng)


@pytest.mark.parametrize("encoder", ["stream", "rate", "spikes"])
@pytest.mark.parametrize("options", [
    {"kind": "homeostatic"}, {"kind": "lif", "saturate_bits": 6}, {"reset": "zero"},
    {"readout": "spike_count", "refractory": 1}, {"sng": "ramp", "input_sng": "sobol1"},
    {"delays": [0, 2], "num_steps": 4}, {"lengths": [8, 64]}, {"lengths": [32, 8]}],
    ids=str)
def test_neurons_encoders_and_lengths(encoder, options):
    rng = np.random.default_rng(2)
    graph = shifting(3, rng, **{"sizes": (9, 5, 3), "encoder": encoder, "num_steps": 3, **options})
    equal_at_every_shift(graph, rng)


def test_izhikevich_drives_beyond_those_of_the_whole_length():
    rng = np.random.default_rng(3)
    graph = shifting(3, rng, sizes=(30, 2), kind="izhikevich", readout="spike_count", num_steps=3,
                     encoder="rate", weight_bits=[2], lengths=[8])
    equal_at_every_shift(graph, rng)


@pytest.mark.parametrize("max_shift,lengths", [(1, [8, 8]), (2, [16, 8]), (5, [32, 64]),
                                               (6, [64, 64])])
def test_from_one_shift_to_a_bitstream_of_one_clock(max_shift, lengths):
    rng = np.random.default_rng(4)
    graph = shifting(max_shift, rng, sizes=(7, 4, 2), lengths=lengths, num_steps=2)
    equal_at_every_shift(graph, rng)


def test_the_proven_widths_hold_rounded_counts():
    """Weights of one unit, which the shortest bitstream rounds up to all of L."""
    rng = np.random.default_rng(5)
    graph = random_graph(rng, sizes=(40, 3), encoder="rate", num_steps=4, leak_shift=None)
    ones = np.where(rng.random((3, 40)) < 0.9, 1, -1).astype(np.int16)
    graph = compile_graph(replace(graph.replace(fc1={"weight": ones}), max_shift=3))
    narrow = compile_graph(replace(graph, max_shift=0))
    assert (graph.layers[0][1].v_bits > narrow.layers[0][1].v_bits).all()
    images, shifts = np.full((4, 40), 255), range(4)
    wanted = joined([reference.run(graph, images[:1], trace=True, shift=h) for h in shifts])
    assert compare(wanted, gateware.simulate(graph, images, shift=shifts)[0], STATE) == []


@given(st.lists(st.integers(0, 32), max_size=20), st.integers(0, 5))
def test_slots_never_overlap_at_any_shift(weights, max_shift):
    slots = pack(np.array(weights, np.int64), 32, max_shift)
    seen = sorted(s for slot in slots for s in (slot.up, slot.down) if s)
    assert seen == sorted((i, w) for i, w in enumerate(weights) if w)
    for shift in range(max_shift + 1):
        for slot in slots:
            ones = [-(-s[1] // 2**shift) for s in (slot.up, slot.down) if s]
            assert sum(ones) <= 32 >> shift


def test_no_shift_costs_nothing():
    rng = np.random.default_rng(6)
    core = lower.core(compile_graph(random_graph(rng)))
    assert not hasattr(core.encoder, "shift")
    assert not any(hasattr(layer, "shift") for layer in core.layers)
    text = rtlil.convert(core, ports=[core.start, core.done, core.cls], emit_src=False)
    assert "ranks" not in text


@pytest.mark.parametrize("changes,options,words", [
    ({"fc1": {"lanes": 2}}, {}, "fc1: max_shift must be 0 where 2 lanes serve 7 neurons, not 2"),
    ({"fc2": {"lowering": "folded"}}, {}, "fc2: max_shift must be 0 with the lowering 'folded'"),
    ({}, {"sng": "lfsr"}, "fc1: max_shift must be 0 with the generator 'lfsr', not 2"),
    ({}, {"lengths": [8, 8], "max_shift": 4}, "fc1: max_shift must be at most 3")])
def test_what_has_no_run_time_length_is_refused(changes, options, words):
    options = dict(options)
    shift = options.pop("max_shift", 2)
    graph = random_graph(np.random.default_rng(7), **options).replace(**changes)
    with pytest.raises(GraphError, match=words):
        compile_graph(replace(graph, max_shift=shift))
