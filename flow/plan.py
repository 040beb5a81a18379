"""The plan of a build: every file and command, made from a design and a board by no tool."""

import json
import time
from dataclasses import dataclass

from ..boards import Board
from . import cache

CONSTRAINTS = "top.pcf"
SCRIPT = "top.ys"


@dataclass(frozen=True)
class Plan:
    """What is to be built: the files and commands of Amaranth's plan for one board."""

    board: Board
    design: str
    digest: str
    files: dict[str, str | bytes]
    seconds: float

    @property
    def read_by_yosys(self) -> str:
        """Digest of what Yosys reads: all but the device and where its pins are."""
        return cache.key(*(self.files[name] for name in ("top.il", SCRIPT)))

    @property
    def commands(self) -> dict[str, list[str]]:
        """The arguments of each tool, by its name."""
        commands = json.loads(self.files["build_top.json"])["commands"]
        return {argv[0]: argv[1:] for argv in commands}


#: No design uses a word that it reads in the clock in which it writes it (`hdl.encoders.memory`).
#: Amaranth defines such a read as the old word, for which Yosys would build a bypass around every
#: EBR.
MEMORIES = "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:COLLISION_X_MASK=1'0 %i"


def script(clock_hz: float) -> str:
    """What Yosys does between reading a design and `synth_ice40`.

    Its technology mapper, abc9, is told the period that the clock needs, and to recover area within
    it: otherwise it buys speed with LUTs that no board asks for (764 LUT4 instead of 713 for
    64-32-10 folded on 8 lanes, Yosys 0.70).
    """
    return (f"{MEMORIES}\nscratchpad -copy abc9.script.flow2 abc9.script\n"
            f"scratchpad -set abc9.D {round(1e12 / clock_hz)}")


def prepare(top, board: Board, *, design: str) -> Plan:
    """Elaborate `top` (signals rx, tx, busy, cls) on the board's pins; runs no tool.

    design: the hash of the network, which the report repeats. The same design gives the same plan,
    wherever the sources lie.
    """
    start = time.monotonic()
    plan = board.platform().build(board.pins(top), do_build=False, emit_src=False,
                                  script_after_read=script(board.needed_hz))
    return Plan(board, design, plan.digest(32).hex(), dict(plan.files), time.monotonic() - start)
