"""The pipeline's formulas against the gateware in Amaranth's simulator."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import random_graph, random_images, residual_graph

from spikeloom.flow import lower
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import busy_cycles, inference_cycles, timesteps
from spikeloom.hdl import sng
from spikeloom.nas.figures import folded as figures
from spikeloom.sim import gateware, icarus
from spikeloom.sim.gateware import send
from spikeloom.sim.images import payload
from spikeloom.sim.seen import cycles


def simulated(core, graph, image, busy) -> tuple[int, int]:
    """Clocks of one inference, and of those the ones in which some layer is `busy`."""
    clocks = np.zeros(2, np.int64)

    async def drive(ctx):
        await send(ctx, core, payload(graph, image))
        while not ctx.get(core.encoder.busy):
            await ctx.tick()
        while not ctx.get(core.done):
            assert clocks[0] < 100_000, "the inference comes to no end"
            clocks[:] += 1, any(ctx.get(busy(layer)) for layer in core.layers)
            await ctx.tick()

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return int(clocks[0]), int(clocks[1])


@pytest.mark.parametrize("sizes,settings", [
    ((6, 5, 3), {}),
    ((6, 5, 3), {"encoder": "rate", "readout": "spike_count"}),
    ((20, 4), {"encoder": "spikes"}),
    ((6, 5, 4, 3), {"lengths": [8, 64, 16]}),
    ((6, 4, 3), {"kind": "fixed", "leak_shift": None}),
    ((6, 5, 3), {"lanes": [2, 1]}),
    ((6, 5, 4, 3), {"lanes": [3, None, 2], "encoder": "rate"}),
    ((6, 4, 3), {"kind": "homeostatic", "encoder": "rate", "delays": [1, 2]}),
])
def test_busy_cycles_are_those_simulated(sizes, settings):
    rng = np.random.default_rng(2)
    graph = compile_graph(random_graph(rng, sizes=sizes, num_steps=5, **settings))
    image = random_images(rng, graph, 1)[0]
    clocks = simulated(lower.core(graph), graph, image, lambda layer: layer.accumulating)
    assert clocks == (inference_cycles(graph), busy_cycles(graph))


def test_timesteps_follow_one_another():
    graph = compile_graph(random_graph(np.random.default_rng(2), sizes=(6, 5, 3)))
    start, end = timesteps(graph)
    assert start[0][0] == 0 and len(start) == len(end) == 2 and len(start[0]) == 4
    for layer in range(2):
        assert all(a <= b for a, b in zip(start[layer], end[layer]))
        assert all(a < b for a, b in zip(end[layer], start[layer][1:]))
    assert end[1][-1] < inference_cycles(graph)


def folded(graph, lanes):
    """A compiled graph whose layers with lanes here are folded, those with None spatial."""
    return compile_graph(graph.replace(**{
        synapses.name: {"lowering": "folded" if count else "spatial", "lanes": count}
        for (synapses, _), count in zip(graph.layers, lanes, strict=True)}))


def exact(graph, images) -> list[int]:
    """Clocks of each image, which the formula must say exactly, and at most."""
    _, clocks = gateware.simulate(graph, images)
    assert clocks == cycles(graph, images)
    assert max(clocks) <= inference_cycles(graph)
    return clocks


@st.composite
def chains(draw):
    """Small chains of both lowerings, with delays, and a seed of their images."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depth = draw(st.integers(1, 3))
    sizes = [draw(st.integers(1, 20)), *(draw(st.integers(1, 10)) for _ in range(depth))]
    encoder = draw(st.sampled_from(["spikes", "rate", "stream"]))
    delays = [draw(st.integers(0, 2)) for _ in range(depth)]
    if encoder == "stream":
        delays[0] = 0
    graph = random_graph(
        rng, sizes=sizes, encoder=encoder, delays=delays,
        num_steps=sum(delays) + draw(st.integers(1, 4)),
        readout=draw(st.sampled_from(["membrane", "spike_count"])),
        lengths=[2 ** draw(st.integers(3, 5)) for _ in range(depth)],
        sng=draw(st.sampled_from(sng.KINDS)), input_sng=draw(st.sampled_from(sng.KINDS)),
        refractory=draw(st.integers(0, 2)), kind=draw(st.sampled_from(["lif", "fixed"])))
    lanes = [draw(st.none() | st.integers(1, n)) for n in sizes[1:]]
    return folded(graph, lanes), rng


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chains())
def test_clocks_of_random_chains_are_those_of_the_formula(drawn):
    graph, rng = drawn
    exact(graph, random_images(rng, graph, 2))


@pytest.mark.parametrize("encoder", ["stream", "rate", "spikes"])
def test_clocks_of_a_residual_network_are_those_of_the_formula(encoder):
    rng = np.random.default_rng(7)
    graph = residual_graph(rng, shape=(4, 4), encoder=encoder, num_steps=2, average=False)
    graph = folded(graph, [min(3, synapses.out_features) for synapses, _ in graph.layers])
    assert exact(graph, random_images(rng, graph, 1))[0] < inference_cycles(graph)


@pytest.mark.parametrize("settings,lanes", [
    ({"encoder": "rate", "sizes": (9, 8, 3), "lengths": [8, 64]}, (8, None)),
    ({"encoder": "rate", "sizes": (9, 8, 3), "lengths": [8, 8]}, (1, None)),
    ({"encoder": "stream", "sizes": (9, 8, 3), "lengths": [64, 8]}, (None, 3)),
    ({"encoder": "stream", "sizes": (9, 8, 20), "lengths": [8, 8]}, (None, 1)),
    ({"encoder": "spikes", "sizes": (9, 8, 9, 3), "lengths": [8, 64, 8]}, (8, None, 3)),
    ({"encoder": "spikes", "sizes": (9, 8, 30, 3), "delays": [0, 1, 0]}, (8, 1, 3)),
])
def test_stages_wait_for_one_another_as_the_formula_says(settings, lanes):
    """Whichever is the slower one: a folded layer, or the spatial one beside it."""
    rng = np.random.default_rng(8)
    graph = folded(random_graph(rng, num_steps=6, **settings), lanes)
    exact(graph, random_images(rng, graph, 2))


@pytest.mark.parametrize("encoder", ["stream", "rate", "spikes"])
@pytest.mark.parametrize("lanes", [(3, 2), (None, 2), (3, None)])
def test_the_most_clocks_are_taken_where_everything_spikes(encoder, lanes):
    graph = random_graph(np.random.default_rng(9), sizes=(11, 7, 4), encoder=encoder)
    weight, bias = (np.ones_like(graph.layers[0][0].weight), np.full(7, 10_000, np.int32))
    graph = folded(graph.replace(fc1={"weight": weight, "bias": bias}), lanes)
    images = np.full_like(random_images(np.random.default_rng(0), graph, 1),
                          1 if encoder == "spikes" else 255)
    most = inference_cycles(graph)
    if encoder == "rate":  # not even the brightest pixel spikes in every timestep
        assert most * 0.9 < exact(graph, images)[0] <= most
    else:
        assert exact(graph, images) == [most]


@pytest.mark.parametrize("settings,lanes", [
    ({"encoder": "stream", "num_steps": 1}, (2, 3)), ({"encoder": "rate"}, (None, 3)),
    ({"encoder": "stream"}, (2, None)), ({"encoder": "spikes"}, (None, None)),
])
def test_a_proof_build_takes_no_more_clocks_than_simulators_wait(settings, lanes):
    rng = np.random.default_rng(10)
    graph = folded(random_graph(rng, sizes=(12, 9, 4), **settings), lanes)
    image = random_images(rng, graph, 1)[0]
    core = lower.core(graph, trace=True)
    clocks, _ = simulated(core, graph, image, lambda layer: core.done)
    most = inference_cycles(graph)
    assert cycles(graph, image[None])[0] < clocks <= most + icarus.witness_clocks(graph)


@pytest.mark.parametrize("sizes,count", [((10, 7), 3), ((33, 4), 4)])
def test_lanes_add_in_the_clocks_that_the_formula_says(sizes, count):
    graph = figures.layer(sizes, count)
    spikes = np.random.default_rng(3).integers(0, 2, (figures.STEPS, sizes[0]))
    assert figures.measured(graph, spikes) == figures.counted(graph, spikes)
