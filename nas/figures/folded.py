"""The `folded` lowering: what it costs, and how busy its lanes are."""

from dataclasses import replace

import numpy as np
from amaranth.sim import Simulator

from ...flow import ir, targets
from ...flow.errors import SpikeloomError
from ...flow.fit import lowered
from ...flow.lower import core as lower_core
from ...flow.passes.compile import compile_graph
from ...flow.passes.folding import run_clocks
from ...flow.synthesis import build_graph
from ...sim.gateware import send
from ...sim.images import payload
from ...sim.seen import seen
from ..bench import Bench, group
from .networks import uniform

SIZES, LARGE, LANES, STEPS = (64, 32), (784, 128), 8, 4


@group(folded__lc_per_synapse_8=("LCs", "<= 0.35"), folded__lc_per_synapse_32=("LCs", "<= 0.50"))
def area(bench: Bench) -> dict:
    """64-32-10 with uniform weights on an HX8K, everything included, on 8 and on 32 lanes."""
    synapses, out = 64 * 32 + 32 * 10, {}
    for count in (8, 32):
        told = []
        for encoder in ("rate", "stream"):
            graph = lowered(with_encoder(uniform((64, 32, 10)), encoder), "folded", count)
            report = build_graph(graph, targets.board("ice40_hx8k_b_evn"), use_cache=False,
                                 must_fit=False, exact=True, note=bench.note)
            told.append((encoder, report))
        out[f"folded.lc_per_synapse_{count}"] = (told[0][1].lc / synapses, (
            f"64-32-10, weights uniform over 15 values, L = 8, HX8K with link, {count} lanes (10 "
            "in the second layer at most); " + "; ".join(
                f"{encoder} input: {report.lc} LCs, {report.ebr} EBRs, {report.fmax_mhz:.1f} MHz"
                for encoder, report in told)))
    return out


def with_encoder(graph: ir.Graph, encoder: str) -> ir.Graph:
    """The graph with another encoder."""
    source = replace(graph.input, encoder=encoder,
                     sng=graph.input.sng if encoder == "stream" else None)
    return replace(graph, nodes=(source, *graph.nodes[1:]))


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
