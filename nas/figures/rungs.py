"""Test images of the digits network on the rungs below the reference model."""

import os
import time
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from ...boards import Board
from ...flow import ir, targets
from ...flow.passes.compile import compile_graph
from ...sim import reference
from ...sim.commands import demo
from ...sim.compare import compare, compared
from ...sim.levels import LEVELS, Setting
from .. import datasets
from ..bench import FOLDER, Bench, group
from .networks import trained_digits

BOARD = "ice40_hx8k_b_evn"


@contextmanager
def new_cache(folder: Path):
    """An empty cache of builds for the time being."""
    before = os.environ.get("SPIKELOOM_CACHE")
    rmtree(folder, ignore_errors=True)
    os.environ["SPIKELOOM_CACHE"] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ["SPIKELOOM_CACHE"]
        if before is not None:
            os.environ["SPIKELOOM_CACHE"] = before


def replay(bench: Bench, name: str, count: int, graph: ir.Graph | None = None,
           board: str | Board = BOARD, data: str = "digits") -> tuple[int, int, dict, str]:
    """Images equal, images that differ, figures and a description of `count` images on a rung.

    `wall` of the figures is all that the rung took, synthesis included: the cache is a new one.
    """
    graph = graph or trained_digits()
    images = datasets.load(data).test.inputs[:count]
    wanted = reference.run(graph, images, trace=True)
    board = targets.board(board) if isinstance(board, str) else board
    setting = Setting(folder=FOLDER / "rungs" / name, board=board, note=bench.note)
    with new_cache(FOLDER / "rungs" / "cache"):
        start = time.monotonic()
        got, figures, sees = LEVELS[name].run(graph, images, setting)
        figures["wall"] = time.monotonic() - start
    different = compare(wanted, got, sees)
    sizes = "-".join(str(n) for n in (graph.input.size, *(d.size for d, _ in graph.layers)))
    kinds = f"membranes, spikes{', currents' if 'current' in sees else ''}, scores and classes"
    detail = (f"{sizes} trained on {data}, T = {graph.num_steps}: "
              f"{compared(wanted, sees):,} {kinds} of {count} "
              f"test images, {figures['clock_edges']:,} clock edges in "
              f"{figures['seconds']:.0f} s of simulation")
    return count - len(different), len(different), figures, detail


@group(cosim__images_equal=("images", ">= 100"), cosim__mismatches=("images", "<= 0"))
def cosim(bench: Bench) -> dict:
    """100 images through the RTL."""
    equal, different, _, detail = replay(bench, "rtl", 100)
    return {"cosim.images_equal": (equal, detail), "cosim.mismatches": (different, detail)}


@group(netlist__images_equal=("images", ">= 10"), netlist__seconds=("s", "<= 180"))
def netlist(bench: Bench) -> dict:
    """10 images through the netlist that nextpnr is given for an HX8K."""
    equal, _, figures, detail = replay(bench, "netlist", 10)
    return {"netlist.images_equal": (equal, f"{detail}; HX8K"),
            "netlist.seconds": (figures["wall"], f"{figures['seconds']:.0f} s of simulation; the "
                                "rest is synthesis, with an empty cache, and Icarus' compilation")}


@group(bitstream__images_equal=("images", ">= 3"))
def bitstream(bench: Bench) -> dict:
    """3 images through what icebox_vlog recovers from a UP5K's bitstreams.

    The network is the one that ships, for the board that it ships for: nextpnr finds no way to
    connect `trained_digits` on an HX8K with its first seed.
    """
    run = demo.install(FOLDER / "rungs" / "demo")
    equal, _, figures, detail = replay(bench, "bitstream", 3, compile_graph(run.graph()),
                                       "icebreaker")
    return {"bitstream.images_equal": (equal, (
        f"{detail}; UP5K: the proof build ({figures['lc']:,} LCs) by a CRC-32 per layer and "
        f"image, the one that ships ({figures['shipped']['lc']:,} LCs) by scores and classes"))}
