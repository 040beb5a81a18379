"""What is really in the bitstream: the Verilog that `icebox_vlog` recovers from it, by its pins.

Names are gone down here, so the proof build is simulated too, whose witness (`hdl.trace`) answers a
checksum per layer over every membrane and spike; of the build that ships, class and scores remain.
"""

from pathlib import Path

import numpy as np

from ..boards import Board
from ..flow import build, ir, targets, tools
from ..flow.errors import FitError, ToolError
from ..flow.lower import top as lower_top
from ..flow.report import Report
from ..flow.synthesis import build_graph
from ..flow.weights_image import sprams
from ..hdl.uart import MIN_DIVISOR
from . import clock_models, icarus
from .netlist import DEFINES, settle
from .probe import Ports, wrapper
from .reference import Trace

_MODULE = "chip"
#: icebox_vlog does not know the oscillator: the net that it drives is a pad's, at its place.
_OSCILLATOR = "io_19_31_0"
#: Of place and route, in this order.
SEEDS = (1, 2, 3, 4)


def routed(design, graph: ir.Graph, board: Board, folder: Path, proof: bool, note) -> Report:
    """The build of the first seed with which nextpnr connects the design.

    A dense design that fits by number may be unroutable with one seed and not with the next. Raises
    FitError if it does not fit, or none of `SEEDS` will do.
    """
    for seed in SEEDS:
        report = build_graph(graph, board, trace=proof, design=design, out_dir=folder, note=note,
                             seed=seed, must_fit=False)
        used = {"lc": report.lc, "ebr": report.ebr}
        if report.fits or targets.device(board.device).excess(used):
            break
    if not report.fits:
        raise FitError(f"{board.name}: {report.problem}")
    return report


def simulate(graph: ir.Graph, images: np.ndarray, folder: Path, board: Board, *,
             proof: bool = True, waves: bool = False, shift: int = 0, note=None
             ) -> tuple[Trace, dict]:
    """Replay images on the bitstream of a scheduled graph (`icarus.simulate`).

    proof: take the proof build, whose trace has `crcs`. Builds what is not in the cache. Raises
    ToolError for a design that uses SPRAM or DSP, or a PLL of an UP5K behind another pin than its
    own pad: those are what IceStorm cannot read back, of any device in `flow.targets`.
    """
    icarus.check()
    _readable(board, sprams(graph), 0)
    if board.source == "pll" and board.device == "UP5K" and not board.clock.pad:
        raise ToolError(f"{board.name}: icebox_vlog cannot read back a PLL of the UP5K whose clock "
                        "is not at its own pad; use --level netlist")
    for tool in ("iceunpack", "icebox_vlog"):
        tools.find(tool)  # place and route takes minutes: first see that it is of use
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    design = lower_top(graph, board.divisor, trace=proof)
    report = routed(design, graph, board, folder, proof, note)
    _readable(board, report.spram, report.dsp)
    source, bench = folder / "recovered.v", folder / "bench.v"
    source.write_text(clock_models.modelled(tools.recovered_verilog(
        folder / report.bitstream, folder / build.CONSTRAINTS, package=board.package,
        module=_MODULE)))
    layers = design.core.layers
    ports = board.ports if "clk" in board.ports else {**board.ports, "clk": _OSCILLATOR}
    bench.write_text(wrapper(Ports(**ports), layers, None, module=_MODULE))
    trace, figures = icarus.simulate(
        graph, images, folder, [tools.ice40_cells(), source, bench], layers,
        divisor=design.link.divisor.init, fast_divisor=MIN_DIVISOR, settle=settle(board),
        logs=False, waves=waves, defines=DEFINES, shift=shift)
    return trace, {**figures, "lc": report.lc, "bitstream": str(folder / report.bitstream)}


def _readable(board: Board, sprams: int, dsps: int) -> None:
    """ToolError for what IceStorm cannot read back."""
    if sprams or dsps:
        raise ToolError(f"{board.name}: icebox_vlog has no SPRAM and no DSP of the UP5K, of which "
                        f"this design uses {sprams} and {dsps}; use --level netlist")
