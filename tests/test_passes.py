"""Quantize, legalize and schedule."""

import numpy as np
import pytest
from hypothesis import given, settings
from networks import maps, random_graph, random_images, residual_graph

from spikeloom.flow import ir
from spikeloom.flow.builder import Builder
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes import legalize, schedule
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.quantize import quantize
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import reference
from spikeloom.sim.random_maps import random_weights


def test_quantize_rounds_and_clips():
    graph = random_graph(np.random.default_rng(0), sizes=(3, 2))
    graph = graph.replace(
        fc1={"weight": np.array([[0.4, -0.6, 9.0], [-7.4, 2.5, 3.5]], "f4"),
             "bias": np.array([1.6, -0.4], "f4")}, pop1={"neuron": Lif(v_threshold=0.2)})
    done = quantize(graph)
    assert done.layers[0][0].weight.tolist() == [[0, -1, 7], [-7, 2, 4]]
    assert done.layers[0][0].bias.tolist() == [2, 0]
    assert done.layers[0][1].neuron.v_threshold == 1
    assert done.stage == "integer" and quantize(done) is done


def test_compile_is_idempotent():
    graph = compile_graph(random_graph(np.random.default_rng(1)))
    assert graph.stage == "scheduled"
    assert compile_graph(graph).digest() == graph.digest()


def test_shapes_cannot_be_compiled():
    graph = random_graph(np.random.default_rng(1))
    bare = graph.replace(fc1={"weight": None, "bias": None})
    with pytest.raises(GraphError, match="train it first"):
        compile_graph(bare)


@pytest.mark.parametrize("kind", ["lif", "fixed", "homeostatic"])
@pytest.mark.parametrize("seed", range(12))
def test_every_membrane_stays_within_its_proven_width(seed, kind):
    """Also with inputs that drive single neurons to their extremes."""
    rng = np.random.default_rng(seed)
    graph = compile_graph(random_graph(
        rng, sizes=(9, 5, 3), kind=kind, encoder="rate", num_steps=7, readout="spike_count",
        reset=["subtract", "zero"][seed % 2], leak_shift=[None, 2, 3][seed % 3]))
    weights = legalize.effective_weights(graph.layers[0][0])
    extremes = [np.where(row > 0, 255, 0) for row in weights]
    extremes += [np.where(row < 0, 255, 0) for row in weights]
    trace = reference.run(graph, np.array([*extremes, *rng.integers(0, 256, (20, 9))]), trace=True)
    for (_, population), v in zip(graph.layers, trace.v, strict=True):
        bits = population.v_bits.astype(int)
        assert (v.min((0, 1)) >= -(1 << bits - 1)).all()
        assert (v.max((0, 1)) < 1 << bits - 1).all()


def test_quantize_rounds_kernels_and_skips():
    graph = residual_graph(np.random.default_rng(0))
    kernel = np.full(graph.node("conv2").weight_shape, -7.6, "f4")
    done = quantize(graph.replace(conv2={"weight": kernel}, sum3={"c_skip": 4.6}))
    assert (done.node("conv2").weight == -7).all() and done.node("sum3").c_skip == 5
    assert done.stage == "integer" and isinstance(done.node("sum3").c_skip, int)


@settings(max_examples=40, deadline=None)
@given(maps())
def test_maps_stay_within_their_proven_ranges(graph):
    """The widths, and the range of I + bias of every single neuron."""
    done = legalize.legalize(graph)
    images = random_images(np.random.default_rng(4), graph, 40)
    trace = reference.run(done, images, trace=True)
    for index, (synapses, population) in enumerate(done.layers):
        bias = np.repeat(synapses.bias, synapses.size // len(synapses.bias))
        lows, highs = legalize.drive_ranges(done, index)
        drive = trace.current[index] + bias
        assert (lows <= drive.min((0, 1))).all() and (drive.max((0, 1)) <= highs).all()
        bits = population.v_bits.astype(int)
        assert (trace.v[index].min((0, 1)) >= -(1 << bits - 1)).all()
        assert (trace.v[index].max((0, 1)) < 1 << bits - 1).all()


@pytest.mark.parametrize("stride,padding", [(1, 0), (1, 2), (2, 1)])
def test_every_bound_of_a_map_is_reached(stride, padding):
    """By the input that drives just that neuron to its extreme."""
    rng = np.random.default_rng(8)
    builder = Builder(shape=(2, 5, 4), encoder="spikes")
    builder.conv(3, kernel_size=3, stride=stride, padding=padding, weight_bits=4,
                 bitstream_length=8, sng="sobol1", neuron=Lif(v_threshold=9))
    graph = random_weights(rng, builder.graph(num_steps=1, readout="membrane"))
    lows, highs = legalize.drive_ranges(graph, 0)
    single = np.eye(40, dtype=np.int64)[:, None]
    bias = np.repeat(graph.layers[0][0].bias, graph.layers[0][0].size // 3)
    each = reference.run(graph, single, trace=True).current[0][0]
    assert (each.clip(max=0).sum(0) + bias == lows).all()
    assert (each.clip(min=0).sum(0) + bias == highs).all()


NOT_SPATIAL = {"conv2": "conv2 is a conv2d", "fc4": "pool3 is an avg_pool2d"}


@pytest.mark.parametrize("name", NOT_SPATIAL)
def test_spatial_refuses_maps_by_name(name):
    graph = residual_graph(np.random.default_rng(1))
    with pytest.raises(GraphError) as caught:
        legalize.legalize(graph.replace(**{name: {"lowering": "spatial"}}))
    assert str(caught.value) == (
        f"{name}: lowering must be 'folded', not 'spatial', which takes dense layers in a chain; "
        f"{NOT_SPATIAL[name]}")
    done = compile_graph(graph)
    assert [synapses.lowering for synapses, _ in done.layers] == ["folded"] * 4


def test_spatial_refuses_a_skip_of_dense_layers():
    builder = Builder(shape=(4,), encoder="rate")
    common = {"neuron": Lif(v_threshold=9), "weight_bits": 4, "bitstream_length": 8, "sng": "ramp"}
    first = builder.dense(4, **common)
    builder.dense(4, skip=first, **common)
    builder.dense(2, **common)
    graph = random_weights(np.random.default_rng(0), builder.graph(num_steps=2, readout="membrane"))
    assert [legalize.not_spatial(graph, k) for k in range(3)] == ["sum2 is a sum"] * 2 + [None]
    past = graph.replace(fc3={"src": "pop1"})
    assert legalize.not_spatial(past, 2) == "fc3 reads pop1 and not pop2, the layer before it"


@pytest.mark.parametrize("kind", ["lif", "fixed", "homeostatic"])
def test_the_range_pass_uses_the_bound_of_a_membrane_that_saturates(kind):
    """A cell's register holds v + I + bias; the longer an inference, the more is saved."""
    def widths(bits):
        graph = random_graph(np.random.default_rng(3), sizes=(9, 5, 3), kind=kind, encoder="rate",
                             num_steps=500, leak_shift=None, saturate_bits=bits)
        compiled = compile_graph(graph)
        assert f"saturate_bits={str(bits).lower()}" in compiled.text()
        return np.concatenate([p.v_bits for _, p in compiled.layers]).astype(int)

    free = widths(None)
    for bits in (3, 6, 10):
        assert (widths(bits) <= np.maximum(free, bits)).all()
        # 9 inputs of at most 8 counts, and a bias: seven bits, added to v.
        assert (widths(bits) <= max(bits, 8) + 2).all()
    if kind == "lif":
        assert widths(6).max() < free.max()


@pytest.mark.parametrize("lo,hi,bits", [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 0, 3),
                                        (0, 127, 8), (-128, 127, 8), (-129, 0, 9)])
def test_signed_bits(lo, hi, bits):
    assert legalize.signed_bits(lo, hi) == bits


REFUSED = {
    "the link carries images of at most 65535 bytes": lambda g: random_graph(
        np.random.default_rng(0), sizes=(65536, 1), num_steps=1),
    "pop2: membranes must fit 24 bits, but only 25 exclude an overflow; use a shorter "
    "bitstream_length, fewer inputs or num_steps, a stronger leak, or let pop2 saturate":
        lambda g: g.replace(fc2={"bias": np.full(4, 2**22, np.int32)}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_gateware_cannot_take_is_named(words):
    graph = REFUSED[words](random_graph(np.random.default_rng(2)))
    with pytest.raises(GraphError) as caught:
        compile_graph(graph.verify())
    assert words in str(caught.value)


def test_unknown_lowering():
    with pytest.raises(GraphError, match="did you mean 'spatial'"):
        schedule.schedule(random_graph(np.random.default_rng(0)), "spacial")
    graph = compile_graph(random_graph(np.random.default_rng(0)))
    with pytest.raises(GraphError, match="fc2: unknown lowering 'spatil'"):
        graph.replace(fc2={"lowering": "spatil"}).verify()


def test_stage_names():
    graph = random_graph(np.random.default_rng(0))
    assert isinstance(graph, ir.Graph) and graph.stage == "integer"
    assert schedule.schedule(graph).stage == "scheduled"
