"""Izhikevich's neuron: the contract on every rung, its teeth, its curve, and training."""

import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import random_graph, random_images

from spikeloom.flow import cli, ir
from spikeloom.flow.cost.structure import structure
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles, layer_cycles
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import Izhikevich
from spikeloom.hdl.neurons.izhikevich import PRESETS, Widths
from spikeloom.nas import datasets
from spikeloom.nas.program import Program, shape_class
from spikeloom.sim import contract, fi, gateware, reference
from spikeloom.sim.compare import STATE, first_difference, image_of
from spikeloom.sim.neurons.izhikevich import IzhikevichState

FILE = Path(__file__).parent / "cases" / "contract.json"
CASE, = (case for case in contract.load_cases(FILE)[0] if case.name == "public_izhikevich")
DIGITS = datasets.load("digits")


def network(neuron, seed=0, *, sizes=(6, 2, 2), num_steps=5, **more):
    """A small network whose first layer, and by default every layer, is of one neuron."""
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, sizes=sizes, encoder="spikes", readout="spike_count",
                         num_steps=num_steps, kind="izhikevich", **more)
    return graph.replace(**{population.name: {"neuron": neuron} for _, population in graph.layers})


def exactly(x, y):
    """One neuron's step in Python's integers, from the contract's text: (v, u, spike)."""
    v, u, drive, (a, b, c, d) = x[0], x[1], *y

    def sat(value):
        return max(-(1 << 23), min((1 << 23) - 1, value))

    for half in range(2):
        if half == 0 or v < 30 << 12:
            v = sat(v + (((41 * (v * v >> 12) >> 10) + 5 * v + (140 << 12) - u + drive) >> 1))
    u = sat(u + (a * ((b * v >> 12) - u) >> 12))
    spike = v >= 30 << 12
    return (c, sat(u + d), 1) if spike else (v, u, 0)


neurons = st.builds(
    Izhikevich, a=st.floats(-16, 16), b=st.floats(-16, 16), c=st.floats(-2048, 29.9),
    d=st.floats(-2048, 2047.9), gain=st.integers(1, 2**23 - 1))


@given(neurons, st.lists(st.integers(-(2**23) + 1, 2**23 - 1), min_size=1, max_size=12))
def test_the_reference_model_is_exact_up_to_the_last_corner(neuron, drives):
    assert neuron.check() is None
    state = IzhikevichState(neuron, 1, 1)
    a, b, c, d = (round(x * 4096) for x in (neuron.a, neuron.b, neuron.c, neuron.d))
    v, u = -65 << 12, max(-(1 << 23), min((1 << 23) - 1, b * (-65 << 12) >> 12))
    for drive in drives:
        s = state.step(np.array([[drive]]), np.zeros(1, np.int64), True)
        v, u, spike = exactly((v, u), (neuron.gain * drive, (a, b, c, d)))
        assert (state.v.item(), state.u.item(), s.item()) == (v, u, spike)


@pytest.mark.parametrize("preset", PRESETS)
def test_gateware_equals_the_reference_and_takes_the_clocks_of_the_formula(preset):
    graph = compile_graph(network(dataclasses.replace(PRESETS[preset], gain=30_000), num_steps=6))
    rng = np.random.default_rng(1)
    images = random_images(rng, graph, 1)
    wanted = reference.run(graph, images, trace=True)
    got, clocks = gateware.simulate(graph, images, currents=True)
    assert first_difference(image_of(wanted, 0), image_of(got, 0)) is None
    assert clocks == [inference_cycles(graph)]
    assert wanted.spikes[0].any() and not wanted.spikes[0].all()


@settings(max_examples=6, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(neurons, st.integers(0, 2**32 - 1))
def test_gateware_equals_the_reference_for_any_constants(neuron, seed):
    """Constants far from any nerve cell saturate v and u in every way."""
    graph = compile_graph(network(neuron, seed, sizes=(5, 2), num_steps=4))
    images = random_images(np.random.default_rng(seed), graph, 1)
    wanted = reference.run(graph, images, trace=True)
    got, clocks = gateware.simulate(graph, images)
    assert first_difference(image_of(wanted, 0), image_of(got, 0), STATE) is None
    assert clocks == [inference_cycles(graph)]


@pytest.mark.parametrize("name,value", [("a", 0.0203), ("b", 0.2003), ("c", -64), ("d", 8.1),
                                        ("gain", 7167)])
def test_a_changed_constant_is_caught(name, value):
    population = CASE.graph.layers[0][1]
    changed = CASE.graph.replace(**{population.name: {
        "neuron": dataclasses.replace(population.neuron, **{name: value})}})
    got = reference.run(changed, CASE.inputs, trace=True)
    assert first_difference(CASE.expect, image_of(got, 0)) is not None


@pytest.mark.parametrize("name,value", [("a", 0.03), ("b", 0.21), ("c", -64), ("d", 7),
                                        ("gain", 30_001)])
def test_a_changed_constant_is_caught_in_gateware(name, value):
    neuron = dataclasses.replace(PRESETS["regular_spiking"], gain=30_000)
    graph = network(neuron, sizes=(6, 2), num_steps=6)
    images = random_images(np.random.default_rng(1), graph, 1)
    wanted = reference.run(graph, images, trace=True)
    assert wanted.spikes[0].any()
    other = network(dataclasses.replace(neuron, **{name: value}), sizes=(6, 2), num_steps=6)
    got, _ = gateware.simulate(compile_graph(other), images)
    assert first_difference(image_of(wanted, 0), image_of(got, 0), STATE) is not None


def test_clocks_of_a_timestep_grow_with_the_neurons():
    neuron = PRESETS["regular_spiking"]
    widths = Widths.of(neuron)
    graphs = [compile_graph(network(neuron, sizes=(5, n))) for n in (1, 2, 7)]
    one, two, seven = (layer_cycles(graph)[0] for graph in graphs)
    assert two - one == widths.visit == 6 * widths.operand + 5 * (24 + widths.total)
    assert seven - two == 5 * widths.visit


@pytest.mark.parametrize("changes,words", [
    ({"a": 17.0}, "a must be in -16..16, not 17.0"), ({"b": float("nan")}, "b must be in -16..16"),
    ({"c": 30.0}, "c must be in -2048..30, and below 30, not 30.0"),
    ({"d": 2048.0}, "d must be in -2048..2048, and below it"),
    ({"gain": 0}, "gain must be in 1..8388607, not 0"), ({"a": "x"}, "a must be float, not 'x'"),
])
def test_parameters_out_of_range_are_refused(changes, words):
    with pytest.raises(GraphError, match=words):
        network(dataclasses.replace(PRESETS["chattering"], **changes)).verify()


def test_membrane_read_out_is_refused_by_name():
    graph = network(PRESETS["chattering"])
    refused = graph.replace(readout={"kind": "membrane"})
    for take in (compile_graph, shape_class):
        with pytest.raises(GraphError, match=r"'spike_count' behind pop2.*'izhikevich'"):
            take(refused)


def test_a_current_beyond_24_bits_is_refused():
    graph = network(PRESETS["chattering"])
    bias = np.full(2, 2**23 - 5, np.int32)
    with pytest.raises(GraphError, match=r"pop1: I \+ bias must fit 24 bits"):
        compile_graph(graph.replace(fc1={"bias": bias}))


def test_integers_and_floats_are_one_network_and_survive_a_file(tmp_path):
    one = network(Izhikevich(a=0.02, b=0.2, c=-65, d=8))
    two = network(Izhikevich(a=0.02, b=0.2, c=-65.0, d=8.0))
    assert one.digest() == two.digest() and "izhikevich(a=0.02,b=0.2,c=-65.0" in one.text()
    one.save(tmp_path / "graph.safetensors")
    assert ir.load_graph(tmp_path / "graph.safetensors").digest() == one.digest()


def test_the_count_has_one_engine():
    few, many = (structure(compile_graph(network(PRESETS["chattering"], sizes=(6, n, 2))))
                 for n in (2, 4))
    assert few.parts["engine"].lc == many.parts["engine"].lc > 250
    assert few.cells.lc < many.cells.lc < few.cells.lc + 250


def digits(neuron, *hidden, num_steps=6, encoder="stream", length=8):
    return ir.chain(
        shape=(8, 8), encoder=encoder, readout="spike_count", num_steps=num_steps,
        input_sng="ramp" if encoder == "stream" else None,
        layers=[{"out_features": n, "neuron": neuron, "weight_bits": 4, "bitstream_length": length,
                 "sng": "sobol1"} for n in (*hidden, 10)]).verify()


@pytest.mark.parametrize("encoder", ["stream", "rate"])
def test_training_equals_the_reference_model(encoder):
    names = ("regular_spiking", "chattering", "low_threshold")
    graphs = [digits(PRESETS[name], 20 - 4 * k, num_steps=5 + 2 * k, length=8 << k, encoder=encoder)
              for k, name in enumerate(names)]
    assert len({shape_class(g) for g in graphs}) == 1
    program = Program(graphs, range(3), DIGITS.train.inputs, init=0.3, gain=1.0, surrogate=1.0)
    p8 = DIGITS.validation.inputs[:40]
    learn = torch.from_numpy(DIGITS.train.inputs[:128].astype(np.int64))
    labels = torch.from_numpy(DIGITS.train.labels[:128].copy())
    for trained in (False, True):
        for _ in range(4 if trained else 0):
            program.loss(learn, labels)[0].sum().backward()
            program.step(0.1, 0.01)
        scores, spikes = program.infer(p8)
        for c, graph in enumerate(program.trained()):
            trace = reference.run(graph, p8, trace=True)
            assert 0 < trace.spikes[0].mean() < 1
            np.testing.assert_array_equal(scores[c], trace.scores)
            for ours, theirs in zip(spikes, trace.spikes):
                np.testing.assert_array_equal(ours[c, :len(theirs), :, :theirs.shape[2]], theirs)


def test_train_learns_digits_with_any_preset(tmp_path, capsys):
    code = cli.main(["train", "--run", str(tmp_path / "run"), "--neuron", "izhikevich", "--preset",
                     "chattering", "--hidden", "24", "--epochs", "12", "--fit", "train", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert code == 0 and data["validation_accuracy"] > 0.85
    graph = Run.open(tmp_path / "run").graph()
    assert graph.readout.kind == "spike_count"
    assert graph.layers[0][1].neuron.d == PRESETS["chattering"].d


@pytest.mark.parametrize("options,words", [
    (("--preset", "chatering"), "did you mean 'chattering'?"),
    (("--reset", "zero"), "--reset must be left out"),
    (("--refractory", "2"), "--refractory must be left out"),
    (("--readout", "membrane"), "must be 'spike_count'"),
])
def test_options_that_mean_nothing_are_refused(tmp_path, capsys, options, words):
    assert cli.main(["train", "--run", str(tmp_path / "run"), "--neuron", "izhikevich",
                     *options]) == 2
    assert words in capsys.readouterr().err


def test_a_preset_of_another_neuron_is_refused(tmp_path, capsys):
    assert cli.main(["train", "--run", str(tmp_path / "run"), "--preset", "chattering"]) == 2
    assert "--preset must be left out unless --neuron is izhikevich" in capsys.readouterr().err


def test_show_fi_prints_the_curves_and_writes_a_picture(tmp_path, capsys):
    file = tmp_path / "fi.svg"
    assert cli.main(["show", "fi", "--svg", str(file), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["currents"] == list(range(4, 21)) and len(data["presets"]) == len(PRESETS)
    for curve in data["presets"]:
        fixed, floating = np.array(curve["fixed"]), np.array(curve["floating"])
        assert curve["error"] == pytest.approx(np.abs(fixed - floating).max() / floating.max())
        assert (np.diff(floating) >= 0).all() and curve["rounding"] < 0.05
    picture = ElementTree.parse(file).getroot()
    dots = [item for item in picture.iter() if item.tag.endswith("circle")]
    assert len(dots) == (17 + 1) * len(PRESETS)


def test_a_floating_neuron_of_the_picture_is_the_equation():
    """One step by hand, from rest at I = 10."""
    neuron = PRESETS["regular_spiking"]
    v, u = -65.0, -13.0
    for _ in range(2):
        v += 0.5 * (0.04 * v * v + 5 * v + 140 - u + 10)
    count = 0
    for _ in range(fi.DURATION):
        u += neuron.a * (neuron.b * v - u)
        if v >= 30:
            v, u, count = neuron.c, u + neuron.d, count + 1
        for _ in range(2):
            if v < 30:
                v += 0.5 * (0.04 * v * v + 5 * v + 140 - u + 10)
    assert count == fi.floating_rates(neuron, (10,))[0]
