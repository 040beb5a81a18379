"""Random networks, each on as many rungs of the ladder as there is time for."""

import time

import numpy as np

from ...flow import targets
from ...flow.errors import FitError, SpikeloomError
from ...flow.passes.compile import compile_graph
from ...sim import reference
from ...sim.cases import keep, replay_command
from ...sim.compare import compare
from ...sim.levels import LEVELS, Setting
from ...sim.random_networks import Chooser, random_images, random_network
from ..bench import FOLDER, Bench, group

CASES = 120
#: Every how many cases also run on a rung; a board is not asked, which may not be there.
EVERY = {"amaranth": 1, "rtl": 10, "netlist": 40, "bitstream": 120}
BOARD = "ice40_hx8k_b_evn"


@group(ladder__cases=("cases", ""))
def ladder(bench: Bench) -> dict:
    """Networks drawn as the tests draw them, from seeds 0, 1, ...; all must be equal."""
    seen = dict.fromkeys(EVERY, 0)
    refused = 0
    start = time.monotonic()
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        graph = compile_graph(random_network(Chooser(rng)))
        images = random_images(rng, graph, 1)
        wanted = reference.run(graph, images, trace=True)
        for name, every in EVERY.items():
            if seed % every:
                continue
            setting = Setting(folder=FOLDER / "ladder" / name, board=targets.board(BOARD),
                              note=bench.note)
            try:
                got, _, sees = LEVELS[name].run(graph, images, setting)
            except FitError:
                refused += 1
                continue
            if compare(wanted, got, sees):
                run = keep(graph, images, FOLDER / "failed")
                raise SpikeloomError(f"random network {seed} is not equal at level {name}; replay: "
                                     f"{replay_command(run, name, 1, BOARD)}")
            seen[name] += 1
    rungs = ", ".join(f"{count} on {name}" for name, count in seen.items())
    return {"ladder.cases": (seen["amaranth"], (
        f"random networks from seeds 0 to {CASES - 1} over shapes, T, L, weight bits, generators, "
        f"encoders, neurons, resets, delays, read-outs, lowerings and lanes, one image each, all "
        f"equal to the reference model: {rungs}"
        f"{f', {refused} too large for the {BOARD}' if refused else ''}; "
        f"{time.monotonic() - start:.0f} s"))}
