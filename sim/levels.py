"""The ladder: the rungs on which a network can run, from the reference model to a board.

Each runs images and returns what it saw as a `Trace`; whoever asked compares that with the
reference model. A rung below names also has builds: the proof build, whose witness answers for
every membrane and spike, and the one that ships.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..boards import Board
from ..flow import ir
from ..flow.errors import ConfigError, unknown
from . import attached, bitstream, gateware, netlist, reference, rtl
from .compare import ALL, CRCS, STATE
from .crossbar import network
from .reference import Trace


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where and how a rung runs; board for those that are placed on one, port for a real one.

    shift: of the bitstream lengths, at most the network's max_shift.
    """

    folder: Path
    board: Board | None = None
    port: str | None = None
    baud: float | None = None
    waves: bool = False
    currents: bool = False
    shift: int = 0
    note: Callable[[str], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """One rung; run(graph, images, setting) returns the trace, its figures, and what it saw."""

    name: str
    what: str
    run: Callable[[ir.Graph, np.ndarray, Setting], tuple[Trace, dict, tuple[str, ...]]]
    on_board: bool = False
    waves: bool = True


def _reference(graph, images, setting):
    return reference.run(graph, images, trace=True, shift=setting.shift), {}, ALL


def _amaranth(graph, images, setting):
    vcd = setting.folder / "core.vcd" if setting.waves else None
    if vcd:
        setting.folder.mkdir(parents=True, exist_ok=True)
    trace, cycles = gateware.simulate(graph, images, vcd=str(vcd) if vcd else None,
                                      currents=setting.currents, shift=setting.shift)
    figures = {"cycles": cycles, **({"waves": str(vcd)} if vcd else {})}
    return trace, figures, ALL if setting.currents else STATE


def _crossbar(graph, images, setting):
    if setting.shift:
        raise ConfigError("shift must be 0 at level crossbar, whose cells hold what weights count "
                          f"at full length, not {setting.shift}")
    return network.program(graph).run(images, trace=True), {}, ALL


def _rtl(graph, images, setting):
    return *rtl.simulate(graph, images, setting.folder, waves=setting.waves,
                         shift=setting.shift, note=setting.note), ALL


def _netlist(graph, images, setting):
    return *netlist.simulate(graph, images, setting.folder, setting.board, waves=setting.waves,
                             shift=setting.shift, note=setting.note), ALL


def _bitstream(graph, images, setting):
    """The proof build; scores and class of the build that ships are compared with it."""
    options = {"waves": setting.waves, "note": setting.note, "shift": setting.shift}
    shipped, plain = bitstream.simulate(graph, images, setting.folder / "shipped", setting.board,
                                        proof=False, **options)
    trace, figures = bitstream.simulate(graph, images, setting.folder / "proof", setting.board,
                                        **options)
    trace.shipped = shipped
    return trace, {**figures, "shipped": plain}, CRCS


def _board(graph, images, setting):
    trace, figures = attached.infer(graph, images, setting.board, setting.port, setting.baud,
                                    setting.shift)
    return trace, figures, CRCS if figures["proof"] else ()


#: Every rung by its name, from the top.
LEVELS = {level.name: level for level in (
    Level(name="reference", what="the reference model itself", run=_reference, waves=False),
    Level(name="amaranth", what="the gateware in Amaranth's simulator", run=_amaranth),
    Level(name="crossbar", what="an ideal RRAM array, or one with faults", run=_crossbar,
          waves=False),
    Level(name="rtl", what="its Verilog in cocotb and Icarus", run=_rtl),
    Level(name="netlist", what="the synthesised netlist with iCE40 cell models", run=_netlist,
          on_board=True),
    Level(name="bitstream", what="the logic that the bitstream configures, by its pins",
          run=_bitstream, on_board=True),
    Level(name="board", what="a board", run=_board, on_board=True, waves=False),
)}


def level(name: str) -> Level:
    """The rung of that name; ConfigError with a suggestion for an unknown one."""
    if name not in LEVELS:
        raise ConfigError(unknown("level", name, LEVELS))
    return LEVELS[name]
