"""How fast the RTL is simulated while its layers are busy."""

import numpy as np

from ...flow.passes.compile import compile_graph
from ...flow.passes.schedule import busy_cycles, inference_cycles
from ...sim import rtl
from ..bench import FOLDER, Bench, group
from .networks import uniform

IMAGES, SHORT, LONG = 2, 8, 264


@group(cosim__busy_edges_per_second=("1/s", ">= 1000"))
def speed(bench: Bench) -> dict:
    """64-32-10 with T = 8 and with T = 264, the same images: what differs is busy layers alone.

    The link and the loading of images take the same clocks in both, so the difference in time is
    that of 256 more timesteps. Counted are both edges of the clocks in which a layer adds up its
    bitstream; those between two bitstreams are not, though their time is.
    """
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 64))
    runs = {}
    for steps in (SHORT, LONG):
        graph = compile_graph(uniform((64, 32, 10), num_steps=steps))
        _, figures = rtl.simulate(graph, images, FOLDER / f"speed{steps}", note=bench.note)
        runs[steps] = (2 * IMAGES * busy_cycles(graph), figures["clock_edges"], figures["seconds"],
                       inference_cycles(graph))
    (few, all_short, short, _), (many, all_long, long, cycles) = runs[SHORT], runs[LONG]
    return {"cosim.busy_edges_per_second": ((many - few) / (long - short), (
        f"64-32-10, L = 8, {IMAGES} images: {many - few:,} clock edges more with a layer in its "
        f"bitstream for T = {LONG} ({cycles:,} clocks an inference) than for T = {SHORT}, in "
        f"{long - short:.1f} s more; over the whole replay with T = {LONG}, {many / long:,.0f} "
        f"such edges/s of {all_long / long:,.0f}; with T = {SHORT}, where the link takes most of "
        f"the clocks, {few / short:,.0f} of {all_short / short:,.0f}"))}
