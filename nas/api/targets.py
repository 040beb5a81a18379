"""What a search from Python can be for: iCE40 boards, measured, and families that are estimated."""

from dataclasses import dataclass

from ...boards import BOARDS, Board
from ...flow import ir, targets
from ...flow.errors import ConfigError, SpikeloomError, unknown

#: Boards that names of the family and of its devices mean.
NAMES = {"ice40": "icebreaker", "up5k": "icebreaker", "hx8k": "ice40_hx8k_b_evn",
         "hx1k": "icestick", "lp8k": "tinyfpga_bx", "lp1k": "icesugar_nano"}
#: The board whose clock and cells stand in for a family without boards, until Yosys is asked.
STAND_IN = "ice40_hx8k_b_evn"
#: Bits of an iCE40's EBR, in which block memories are counted until then.
EBR_BITS = 4096
#: Bits of a block memory of the families that are estimated.
BLOCK_BITS = {"artix7": 36864, "ecp5": 18432}


@dataclass(frozen=True)
class Target:
    """A target: its board, or the one that stands in for it, and what it holds.

    measured: designs are placed and routed for it. luts, ebr: LUTs, and EBRs' worth of memory.
    """

    name: str
    title: str
    board: Board
    measured: bool
    luts: int
    ebr: int

    @property
    def memories(self) -> tuple[str, ...]:
        """Where folded layers may keep their weights."""
        loads = self.measured and targets.device(self.board.device).spram
        return ("ebr", "spram") if loads else ("ebr",)

    @property
    def what(self) -> str:
        """How its numbers come about, in a few words."""
        return ("placed and routed" if self.measured else
                "ESTIMATES: synthesised by Yosys, not placed and routed")


def find(name: str) -> Target:
    """The target of that name: a family, a device or a board; ConfigError for an unknown one."""
    from ...flow import estimated

    if name in estimated.TARGETS:
        found = estimated.TARGETS[name]
        return Target(name, f"{found.title} {found.device}", BOARDS[STAND_IN], False,
                      found.capacity["luts"],
                      found.capacity["bram"] * BLOCK_BITS[name] // EBR_BITS)
    plain = str(name).lower()
    short = plain.removeprefix("ice40").lstrip("_-") or plain
    board = BOARDS.get(plain) or BOARDS.get(NAMES.get(plain, NAMES.get(short, "")))
    if board is None:
        raise ConfigError("target: " + unknown("target", name,
                                               [*NAMES, *estimated.TARGETS, *BOARDS]))
    device = targets.device(board.device)
    return Target(name, f"{board.title} ({device.name})", board, True, device.lc, device.ebr)


@dataclass(frozen=True)
class Mapped:
    """What Yosys makes of a network for a family without boards; why it does not fit, if so."""

    luts: int
    problem: str


def mapped(data: bytes, target: str) -> Mapped:
    """Map one network, an IR graph in bytes, to a family that is estimated."""
    from ...flow import estimated

    try:
        found = estimated.synthesise(ir.from_bytes(data, target), target)
    except SpikeloomError as error:
        return Mapped(0, str(error))
    return Mapped(found.luts, found.problem)
