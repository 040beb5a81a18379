"""The `folded` lowering: how busy its lanes are."""

from dataclasses import replace

import numpy as np
from amaranth.sim import Simulator

from ...flow import ir
from ...flow.errors import SpikeloomError
from ...flow.lower import core as lower_core
from ...flow.passes.compile import compile_graph
from ...flow.passes.folding import run_clocks
from ...sim.gateware import send
from ...sim.images import payload
from ...sim.seen import seen
from ..bench import Bench, group
from .networks import uniform

SIZES, LARGE, LANES, STEPS = (64, 32), (784, 128), 8, 4


@group(folded__lane_utilisation=("fraction", ">= 0.8"))
def lanes(bench: Bench) -> dict:
    """Clocks of a 64-32 layer in which its lanes add, every input spiking in every timestep."""
    every = _spikes(SIZES[0], 1)
    graph = layer(SIZES, LANES)
    adding, clocks = measured(graph, every)
    if (adding, clocks) != counted(graph, every):
        raise SpikeloomError(f"the lanes add in {adding} of {clocks} clocks, but the formula says "
                             "{} of {}".format(*counted(graph, every)))
    others = "; ".join(f"{'-'.join(map(str, sizes))} at {count} lanes, {words}: "
                       f"{np.divide(*counted(layer(sizes, count), _spikes(sizes[0], nth))):.3f}"
                       for sizes, count, nth, words in (
                           (SIZES, LANES, 2, "every other input"),
                           (SIZES, 32, 1, "every input"),
                           (SIZES, 32, 2, "every other input"),
                           (LARGE, LANES, 1, "every input"), (LARGE, LANES, 5, "every fifth input"),
                           (LARGE, 32, 5, "every fifth input")))
    return {"folded.lane_utilisation": (adding / clocks, (
        f"64-32 at {LANES} lanes, every input spiking in each of {STEPS} timesteps: in {adding:,} "
        f"of {clocks:,} simulated clocks of the layer, as its formula says; by the formula: "
        f"{others}"))}


def layer(sizes: tuple[int, int], count: int) -> ir.Graph:
    """One folded layer fed by `spikes`, at so many lanes; scheduled."""
    graph = uniform(sizes, num_steps=STEPS, lanes=(count,))
    source = replace(graph.input, encoder="spikes", sng=None)
    graph = replace(graph, nodes=(source, *graph.nodes[1:]))
    return compile_graph(graph.replace(fc1={"lowering": "folded"}))


def _spikes(n: int, nth: int) -> np.ndarray:
    """Every nth input spikes in every timestep: [T, n]."""
    return np.tile(np.arange(n) % nth == 0, (STEPS, 1)).astype(np.int64)


def counted(graph: ir.Graph, spikes: np.ndarray) -> tuple[int, int]:
    """Clocks in which the lanes of a graph of one layer add, and all of that layer, by formula."""
    clocks = run_clocks(graph, [0], seen(graph, spikes[None])[0])
    return int(clocks.adding.sum()), int((clocks.before + clocks.last).sum())


def measured(graph: ir.Graph, spikes: np.ndarray) -> tuple[int, int]:
    """The same, simulated: the layer is at work while a timestep of its input is there."""
    core = lower_core(graph)
    run = core.layers[0].run
    counts = np.zeros(2, np.int64)

    async def drive(ctx):
        await send(ctx, core, payload(graph, spikes))
        while not ctx.get(core.done):
            counts[:] += ctx.get(run.lanes.add), ctx.get(run.inputs.arrived)
            await ctx.tick()

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return int(counts[0]), int(counts[1])
