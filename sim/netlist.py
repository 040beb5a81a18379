"""The netlist that place and route is given, with the cell models of Yosys: all that has a name.

It is the very design that is flashed, pins and reset of the board included; its registers keep
their names (`hdl.observe.OBSERVED`), so every membrane, spike and current is seen.
"""

from pathlib import Path

import numpy as np

from ..boards import Board
from ..flow import build, ir, tools
from ..flow.lower import top as lower_top
from ..flow.weights_image import check_board
from ..hdl.uart import MIN_DIVISOR
from . import clock_models, icarus
from .probe import Ports, flat, wrapper
from .reference import Trace

#: Yosys' models give unconnected inputs defaults in a form that Icarus 11 does not read; a netlist
#: of synth_ice40 connects what it uses.
DEFINES = ("NO_ICE40_DEFAULT_ASSIGNMENTS",)


def settle(board: Board) -> int:
    """Clocks until a board's power-on reset (15 us at a pin's 12 MHz) is surely over."""
    return board.reset_clocks + 220  # a PLL's lock, too (`clock_models`)


def simulate(graph: ir.Graph, images: np.ndarray, folder: Path, board: Board, *,
             waves: bool = False, shift: int = 0, note=None) -> tuple[Trace, dict]:
    """Replay images on the synthesised netlist of a scheduled graph (`icarus.simulate`)."""
    icarus.check()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    check_board(graph, board)
    design = lower_top(graph, board.divisor, weights_at=board.weights_at)
    source, bench = folder / "netlist.v", folder / "bench.v"
    source.write_text(clock_models.modelled(tools.netlist_verilog(
        build.netlist(design, board, design=graph.digest(), note=note), note=note)))
    layers = design.core.layers
    flash = board.flash_ports if hasattr(design, "flash") else None
    ports = Ports(**board.ports, flash=flash, weights_at=board.weights_at)
    bench.write_text(wrapper(ports, layers, flat))
    return icarus.simulate(graph, images, folder, [tools.ice40_cells(), source, bench], layers,
                           divisor=design.link.divisor.init, fast_divisor=MIN_DIVISOR,
                           settle=settle(board), waves=waves, defines=DEFINES, shift=shift,
                           weights_at=board.weights_at)
