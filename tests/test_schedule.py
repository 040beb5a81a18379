"""The pipeline's formulas against the gateware in Amaranth's simulator."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from networks import random_graph, random_images

from spikeloom.flow import lower
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import busy_cycles, inference_cycles, timesteps
from spikeloom.sim.gateware import send
from spikeloom.sim.images import payload


def simulated(graph, image) -> int:
    """Clocks of one inference in which some layer says that it accumulates."""
    core = lower.core(graph)
    busy = 0

    async def drive(ctx):
        nonlocal busy
        await send(ctx, core, payload(graph, image))
        while not ctx.get(core.done):
            busy += any(ctx.get(layer.accumulating) for layer in core.layers)
            await ctx.tick()

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return busy


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
    assert simulated(graph, image) == busy_cycles(graph)


def test_timesteps_follow_one_another():
    graph = compile_graph(random_graph(np.random.default_rng(2), sizes=(6, 5, 3)))
    start, end = timesteps(graph)
    assert start[0][0] == 0 and len(start) == len(end) == 2 and len(start[0]) == 4
    for layer in range(2):
        assert all(a <= b for a, b in zip(start[layer], end[layer]))
        assert all(a < b for a, b in zip(end[layer], start[layer][1:]))
    assert end[1][-1] < inference_cycles(graph)
