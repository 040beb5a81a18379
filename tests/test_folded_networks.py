"""Networks with folded layers, alone and beside spatial ones, against the reference model."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ladder import saved_on_failure
from networks import maps, networks, random_graph, random_images, residual_graph

from spikeloom.flow import ir, lower, targets
from spikeloom.flow.builder import Builder
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.hdl.neurons import Lif
from spikeloom.hdl.protocol import Features
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import ALL, CRCS, compare
from spikeloom.sim.images import payload
from spikeloom.sim.levels import LEVELS, Setting
from spikeloom.sim.random_maps import random_weights
from spikeloom.sim.seen import cycles

BOARD = targets.board("icebreaker")


def check(graph, images) -> None:
    """Every current, membrane, spike and score is equal, and the clocks are the formula's."""
    wanted = reference.run(graph, images, trace=True)
    with saved_on_failure(graph, images, "amaranth"):
        got, clocks = gateware.simulate(graph, images, currents=True)
        assert compare(wanted, got, ALL) == []
        assert clocks == cycles(graph, images, wanted)


@settings(max_examples=30, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(networks(served=True), st.integers(0, 2**32 - 1))
def test_lowerings_and_lanes_mixed(graph, seed):
    graph = compile_graph(graph)
    check(graph, random_images(np.random.default_rng(seed), graph, 2))


@settings(max_examples=20, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
@given(maps(served=True), st.integers(0, 2**32 - 1))
def test_maps(graph, seed):
    try:
        graph = compile_graph(graph)
    except GraphError as error:  # a skip between maps of different extents
        assume("'folded' takes a skip" not in str(error))
        raise
    check(graph, random_images(np.random.default_rng(seed), graph, 1))


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(maps(served=True) | networks(served=True), st.integers(0, 2**32 - 1))
def test_many_networks(graph, seed):
    try:
        graph = compile_graph(graph)
    except GraphError as error:
        assume("'folded' takes a skip" not in str(error))
        raise
    check(graph, random_images(np.random.default_rng(seed), graph, 1))


@pytest.mark.parametrize("encoder,channels,average,readout", [
    ("stream", 3, True, "membrane"), ("rate", 9, False, "spike_count"),
    ("spikes", 4, True, "spike_count"), ("stream", 11, False, "membrane")])
def test_residual_networks(encoder, channels, average, readout):
    rng = np.random.default_rng(channels)
    graph = residual_graph(rng, shape=(4, 4), channels=channels, encoder=encoder, num_steps=2,
                           average=average, readout=readout)
    lanes = {d.name: {"lanes": min(4, d.bias_shape[0])} for d, _ in graph.layers}
    graph = compile_graph(graph.replace(**lanes))
    check(graph, random_images(rng, graph, 1))


COMMON = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1"}


def neuron():
    return Lif(v_threshold=9, leak_shift=2)


def pooled_input(kind):
    builder = Builder(shape=(3, 6, 6), encoder="rate")
    builder.pool(2, kind)
    builder.conv(5, kernel_size=2, neuron=neuron(), **COMMON)
    builder.dense(3, neuron=neuron(), **COMMON)
    return builder


def pooled_vector():
    builder = Builder(shape=(3, 6, 6), encoder="spikes")
    builder.pool(2)
    builder.dense(5, neuron=neuron(), **COMMON)
    builder.dense(3, neuron=neuron(), **COMMON)
    return builder


def skipped_pool_of_the_input():
    builder = Builder(shape=(5, 6, 6), encoder="rate")
    builder.conv(5, kernel_size=3, padding=1, skip=builder.pool(2), neuron=neuron(), **COMMON)
    builder.dense(3, neuron=neuron(), **COMMON)
    return builder


def skipped_vector():
    builder = Builder(shape=(10,), encoder="rate")
    first = builder.dense(11, neuron=neuron(), **COMMON)
    builder.dense(7, neuron=neuron(), **COMMON)
    builder.dense(11, skip=first, neuron=neuron(), **COMMON)
    builder.dense(3, neuron=neuron(), **COMMON)
    return builder


def wide_map():
    builder = Builder(shape=(1, 140), encoder="rate")
    builder.conv(2, kernel_size=1, stride=6, neuron=neuron(), **COMMON)
    builder.dense(3, neuron=neuron(), **COMMON)
    return builder


def map_before(delay):
    builder = Builder(shape=(6, 6), encoder="stream", sng="ramp")
    builder.conv(3, kernel_size=3, neuron=neuron(), **COMMON)
    builder.pool(2)
    builder.conv(3, kernel_size=2, padding=1, neuron=neuron(), **COMMON)
    builder.dense(6, delay=delay, neuron=neuron(), **COMMON)
    builder.dense(3, neuron=neuron(), **COMMON)
    return builder


SHAPES = {
    "max pool of the input": lambda: pooled_input(ir.MaxPool2d),
    "average pool of the input": lambda: pooled_input(ir.AvgPool2d),
    "a dense layer behind it": pooled_vector,
    "a skip from it": skipped_pool_of_the_input,
    "a skip of vectors": skipped_vector,
    "a map of many columns": wide_map,
    "a spatial layer behind maps": lambda: map_before(0),
    "a delay behind maps": lambda: map_before(1),
}


@pytest.mark.parametrize("lowering", ["spatial", "folded"])
@pytest.mark.parametrize("what", SHAPES)
def test_shapes(what, lowering):
    """The layer behind what is no chain may be of either lowering."""
    rng = np.random.default_rng(3)
    graph = random_weights(rng, SHAPES[what]().graph(num_steps=3, readout="membrane"))
    behind = graph.layers[-2 if what.endswith("maps") else -1][0].name
    graph = compile_graph(graph.replace(**{behind: {"lowering": lowering}}))
    assert graph.layers[0][0].lowering == "folded" and graph.node(behind).lowering == lowering
    check(graph, random_images(rng, graph, 2))


def mixed(**settings):
    return compile_graph(random_graph(np.random.default_rng(6), **settings))


@pytest.mark.parametrize("lengths,lowerings", [
    ([8, 512], ["folded", "spatial"]), ([8, 8], ["spatial", "folded"]),
    ([8, 8, 512, 8], ["spatial", "folded", "spatial", "folded"])])
def test_no_spike_is_lost_between_a_fast_layer_and_a_slow_one(lengths, lowerings):
    """One lane for many neurons is slower, and a bitstream of 512 clocks is, than the others."""
    sizes = (12, *[9] * (len(lengths) - 1), 4)
    graph = mixed(sizes=sizes, lengths=lengths, lowerings=lowerings, encoder="rate",
                  lanes=[1 if lowering == "folded" else None for lowering in lowerings])
    check(graph, random_images(np.random.default_rng(1), graph, 2))


@pytest.mark.parametrize("encoder", ["stream", "rate"])
def test_a_restart_in_the_middle_of_an_inference_leaves_no_trace(encoder):
    graph = mixed(sizes=(8, 5, 4, 3), encoder=encoder, lanes=[2, None, 1],
                  lowerings=["folded", None, "folded"])
    first, second = random_images(np.random.default_rng(2), graph, 2)
    core = lower.core(graph)
    wanted = reference.run(graph, second[None])

    async def bench(ctx):
        for wait in range(1, inference_cycles(graph), 17):
            await gateware.send(ctx, core, payload(graph, first))
            await ctx.tick().repeat(wait)
            await gateware.send(ctx, core, payload(graph, second))
            await ctx.tick().until(core.done)
            assert ctx.get(core.cls) == wanted.classes[0]
            for c in range(3):
                ctx.set(core.select, c)
                await ctx.tick()
                assert ctx.get(core.score) == wanted.scores[0, c]

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def small_residual():
    """One in which maps spike a lot, in front of a spatial layer."""
    rng = np.random.default_rng(4)
    graph = residual_graph(rng, shape=(4, 4), channels=2, classes=2, num_steps=2, average=False)
    changes = {}
    for synapses, population in graph.layers:
        changes[synapses.name] = {"bias": np.abs(synapses.bias)}
        changes[population.name] = {"neuron": replace(population.neuron, v_threshold=5)}
    changes["fc4"]["lowering"] = "spatial"
    return compile_graph(graph.replace(**changes)), random_images(rng, graph, 2)


def changed(graph, name, field, change):
    """One place changed, in what a compiled graph is made of."""
    value = getattr(graph.node(name), field)
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flat[0] = change(value.flat[0])
    else:
        value = change(value)
    return compile_graph(graph.replace(**{name: {field: value}}))


TEETH = {
    "a pixel's weight": ("conv1", "weight", lambda code: code ^ 1),
    "a weight of a map": ("conv2", "weight", lambda code: code ^ 1),
    "a weight": ("fc4", "weight", lambda code: code ^ 1),
    "a bias": ("conv3", "bias", lambda bias: bias + 1),
    "a threshold": ("pop2", "neuron", lambda cell: replace(cell, v_threshold=cell.v_threshold + 1)),
    "a skip": ("sum3", "c_skip", lambda weight: weight + 1),
}


@pytest.mark.parametrize("what", TEETH)
def test_a_change_is_seen(what):
    graph, images = small_residual()
    wanted = reference.run(graph, images, trace=True)
    got, _ = gateware.simulate(changed(graph, *TEETH[what]), images, currents=True)
    (first, *_) = compare(wanted, got, ALL)
    index = [name for pair in graph.layers for name in (pair[0].name, pair[1].name)].index(
        TEETH[what][0].replace("sum", "pop")) // 2
    assert first["layer"] == index


@pytest.mark.parametrize("level", ["rtl", "netlist"])
def test_maps_are_equal_below(level, tmp_path):
    graph, images = small_residual()
    wanted = reference.run(graph, images, trace=True)
    got, _, sees = LEVELS[level].run(graph, images, Setting(folder=tmp_path, board=BOARD))
    assert sees == ALL and compare(wanted, got, sees) == []


def test_a_single_neuron_is_seen_below(tmp_path):
    graph = compile_graph(random_graph(np.random.default_rng(1), sizes=(1, 1), num_steps=2,
                                       lowerings=["folded"]))
    images = np.array([[200], [90]])
    got, _, sees = LEVELS["rtl"].run(graph, images, Setting(folder=tmp_path, board=BOARD))
    assert compare(reference.run(graph, images, trace=True), got, sees) == []


def test_more_layers_than_a_reply_has_words_for_are_refused():
    count = lower.MAX_LAYERS + 1
    graph = compile_graph(random_graph(np.random.default_rng(1), sizes=(1,) * (count + 1)))
    for options in ({"trace": True}, {"features": Features(counters=True)}):
        with pytest.raises(GraphError, match=f"must have at most {lower.MAX_LAYERS} layers"):
            lower.core(graph, **options)


def test_the_witness_of_maps_takes_them_as_they_are_served(tmp_path):
    """The proof build in Icarus, before synthesis: its checksums are those of the reference."""
    from spikeloom.flow import tools
    from spikeloom.sim import icarus
    from spikeloom.sim.probe import Ports, wrapper

    graph, images = small_residual()
    design = lower.top(graph, divisor=4, trace=True)
    source, bench = tmp_path / "top.v", tmp_path / "bench.v"
    source.write_text(tools.amaranth_verilog(
        design, ports=[design.rx, design.tx, design.busy, design.cls]))
    layers = design.core.layers
    bench.write_text(wrapper(Ports(clk="clk", rst="rst", rx="rx", tx="tx"), layers, None))
    got, _ = icarus.simulate(graph, images, tmp_path, [source, bench], layers, divisor=4,
                             logs=False)
    wanted = reference.run(graph, images, trace=True)
    assert len(got.crcs) == 4 and compare(wanted, got, CRCS) == []
    got.orders[0] = got.orders[0][::-1]
    assert compare(wanted, got, CRCS)[0]["what"] == "crc"
