"""Which clock a build has: the board's pin, the oscillator on the chip, or a PLL; asked or kept.

Whatever is built is a build of a board with a clock (`Board.clocked`), and says in its report which
that is. A command that builds nothing anew finds the clock there (`kept`), so that nothing assumes
the crystal's.
"""

import math

from ..boards import Board
from ..boards.board import RESET_BAUD
from ..boards.clock import (
    HFOSC_HZ,
    PADS,
    PFD_HZ,
    PLL_HZ,
    SOURCES,
    Clock,
    dividers,
    nearest_dividers,
)
from .build import REPORT
from .errors import ConfigError, RunError
from .report import Report, read_report
from .run import Run

#: What --clock takes besides: a source and a frequency chosen by what they cost, or give.
AUTO, FASTEST = "auto", "fastest"
#: The device that has an oscillator (`boards.clock`).
OSCILLATING = "UP5K"


def add_arguments(parser) -> None:
    """--clock and --clock-mhz."""
    parser.add_argument("--clock", choices=(*SOURCES, AUTO, FASTEST),
                        help="the board's pin; the UP5K's own oscillator (48, 24, 12 or 6 MHz, "
                             "known to 10 %%); a PLL behind the pin; the one of all these that an "
                             "image takes the least energy with, or the fastest (default: that of "
                             "the run's last build for the board, the pin without one)")
    parser.add_argument("--clock-mhz", type=float, metavar="X",
                        help="of hfosc and pll the frequency, or the nearest below it; of auto and "
                             "fastest the most")


def check(source: str | None, mhz: float | None) -> None:
    """Raise ConfigError for options that contradict each other."""
    if mhz is not None and not 0 < mhz < math.inf:
        raise ConfigError(f"--clock-mhz must be a positive number, not {mhz:g}")
    if mhz is not None and source in (None, "board"):
        raise ConfigError("--clock-mhz must be used with --clock hfosc, pll, auto or fastest; "
                          "the board's pin has one frequency; add --clock, or leave it out")
    if mhz is None and source in ("hfosc", "pll"):
        raise ConfigError(f"--clock {source} must come with --clock-mhz; or take --clock auto or "
                          "fastest, which choose it")


def clocked(board: Board, source: str, mhz: float) -> Board:
    """A board, as it is registered, with a clock of `mhz` or the nearest below it.

    Raises ConfigError where the device, its package or its clock pin cannot make one.
    """
    if source == "hfosc":
        if board.device != OSCILLATING:
            raise ConfigError(f"--clock hfosc must be used with an {OSCILLATING}, which alone has "
                              f"an oscillator, not with the {board.device} of {board.name}; use "
                              "--clock board or pll")
        found = [hz for hz in HFOSC_HZ if hz <= mhz * 1e6]
        if not found:
            raise ConfigError(f"--clock-mhz must be at least {min(HFOSC_HZ) / 1e6:g} with --clock "
                              f"hfosc, not {mhz:g}")
        return board.clocked(Clock(max(found)))
    pad = _pad(board)
    made = nearest_dividers(board.clock_hz, mhz * 1e6 + 1)
    if made is None or mhz * 1e6 > PLL_HZ[1]:
        low = min(dividers(board.clock_hz)).hz
        raise ConfigError(f"--clock-mhz must be in {low / 1e6:g}..{PLL_HZ[1] / 1e6:g} with --clock "
                          f"pll behind {board.clock_hz / 1e6:g} MHz, not {mhz:g}")
    return board.clocked(Clock(made.hz, made, pad))


def _pad(board: Board) -> bool:
    """Whether the clock pin is a PLL's own pad; ConfigError where no PLL can be had from it."""
    pads = PADS[board.device].get(board.package)
    where = f"the {board.device} of {board.name}"
    if not pads:
        raise ConfigError(f"--clock pll must not be used with {where}, which has no PLL in package "
                          f"{board.package}; use --clock board")
    low, high = (hz / 1e6 for hz in PFD_HZ)
    if not low <= board.clock_hz / 1e6 <= high:
        raise ConfigError(f"--clock pll must be used with a clock pin of {low:g}..{high:g} MHz, "
                          f"not {board.clock_hz / 1e6:g} as on {board.name}; use --clock board")
    own, others = board.clock_pin, board.input_pins
    if any(own == first and not others & {first, second} for first, second in pads):
        return True
    if all({first, second} & {own, *others} for first, second in pads):
        raise ConfigError(f"--clock pll must not be used with {where}, whose pins "
                          f"{' and '.join(filter(None, pads[-1]))} a PLL takes for itself: none of "
                          "them can be another input then; use --clock board")
    return False


def can(board: Board, source: str) -> bool:
    """Whether a board can have a clock from there."""
    try:
        return source == "board" or bool(clocked(board, source, PLL_HZ[1] / 1e6))
    except ConfigError:
        return False


def of_report(board: Board, report: Report) -> Board:
    """A board, as it is registered, with the clock of a build for it."""
    if report.clock == "board":
        return board
    return clocked(board, report.clock, report.clock_mhz)


def kept(opened: Run, board: Board) -> Board:
    """A board with the clock of a run's build for it; its own without a build.

    Raises RunError if the report of that build is damaged.
    """
    path = opened.build_dir(board.name) / REPORT
    return of_report(board, read_report(path)) if path.exists() else board


def of_run(opened: Run, design: str, otherwise: float, *, asked: float | None = None,
           any_will_do: bool = False) -> tuple[float, float]:
    """Hz of the clock of a run's builds of a design, whichever board it is on, and the largest
    tolerance of the run's builds with that clock.

    otherwise: Hz where there is no build. asked: Hz to take whatever was built. Raises ConfigError
    where builds have several clocks (any_will_do: takes `otherwise`), RunError where a report is
    damaged.
    """
    reports = [(round(report.clock_mhz * 1e6), report)
               for report in (read_report(path) for _, path in opened.builds())]
    found = {hz for hz, report in reports if report.design == design}
    if asked is None and len(found) > 1 and not any_will_do:
        rates = ", ".join(f"{hz / 1e6:g}" for hz in sorted(found))
        raise ConfigError(f"--clock must be given, since the run has builds of {rates} MHz; give "
                          "the one of the board, in Hz")
    hz = asked or (found.pop() if len(found) == 1 else otherwise)
    return hz, max((report.tolerance for own, report in reports if own == round(hz)), default=0.0)


def check_same(report: Report, board: Board, again: str) -> None:
    """Raise RunError if a build has another clock than the one by which its board is spoken to."""
    if (report.clock, round(report.clock_mhz * 1e6)) != (board.source, board.clock_hz):
        raise RunError(f"this build of {board.name} has a clock of {report.clock_mhz:g} MHz "
                       f"({report.clock}), the run's last of {board.clock_hz / 1e6:g} MHz "
                       f"({board.source}); run '{again}' again")


def says(board: Board) -> list[str]:
    """What is to be known of a board's clock, in lines; none of the pin's."""
    if board.clock is None:
        return []
    made, mhz = board.clock.pll, board.clock_hz / 1e6
    if made is not None:
        return [f"clock: PLL, {mhz:g} MHz (DIVR {made.divr}, DIVF {made.divf}, DIVQ {made.divq}), "
                f"{board.clock_hz / board.divisor:,.0f} baud after reset"]
    off = board.tolerance
    return [f"clock: oscillator of the {board.device}, {mhz:g} MHz within {off:.0%}, so the design "
            f"must make {board.needed_hz / 1e6:g} MHz",
            f"warning: the link's rate is as inexact: {RESET_BAUD * (1 - off):,.0f} to "
            f"{RESET_BAUD * (1 + off):,.0f} baud after reset, where a UART takes some 2 %; "
            "'infer --port' and 'sim --level board' look for the rate, other programs must, too"]
