"""Quantize, legalize and schedule."""

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import ir
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes import legalize, schedule
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.quantize import quantize
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import reference


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
