"""The clock that suits a network: what place and route reached, and what an image costs by it.

A first build, at the board's pin, says how fast the design is. What could be faster or cheaper than
that is built for its own clock, the best first, until one meets it; so the bitstream that is kept
is always one that was placed and routed for the clock that it has. Energy is the quick price
(`cost.energy`), static power of the source included: of the core alone, with its inputs there.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.table import Table

from ..boards import Board
from ..boards.clock import HFOSC_HZ, PLL_HZ
from . import ir
from .build import REPORT, fastest
from .clocks import AUTO, can, clocked
from .cost.energy import energy_if_known
from .cost.prices import shipped
from .errors import ConfigError, FitError
from .files import write_atomic
from .report import Report
from .synthesis import synthesise
from .throughput import throughput

FILE, FORMAT = "clocks.json", 1
#: How much faster than at first a design is hoped to get when it is built for a faster clock.
HOPE = 1.1
#: Clocks that are tried for one network, at most, beside the board's pin.
TRIES = 5


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """One clock: images a second and nJ of each (None without figures), both without the link, of
    the most clocks that an image can take.

    waiting_uw: low and high microwatts while nothing is done. fmax_mhz: what was reached when it
    was built for this clock, None where it was not, 0 where no seed was routed; needed_mhz: what it
    had to. why: of its state.
    """

    source: str
    mhz: float
    needed_mhz: float
    images_per_second: float
    low_nj: float | None
    high_nj: float | None
    waiting_uw: tuple[float, float] | None
    fmax_mhz: float | None = None
    why: str = ""

    @property
    def fits(self) -> bool | None:
        """Whether the design makes it; None where it was not built for it."""
        return None if self.fmax_mhz is None else self.fmax_mhz >= self.needed_mhz


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen for which design by what (`clocks.AUTO` or `FASTEST`), and from which."""

    format: int = FORMAT
    design: str
    board: str
    objective: str
    chosen: int
    alternatives: tuple[Alternative, ...]


def tune(graph: ir.Graph, board: Board, *, objective: str, most_mhz: float | None, folder: Path,
         note: Callable[[str], None], **options) -> tuple[Board, list[Report], Tuned]:
    """The board with the clock that suits a scheduled graph, its reports, and what else there was.

    objective: the least energy of an image (`AUTO`; without figures of the device as `FASTEST`), or
    the most images a second. most_mhz: of the clock. options: those of `synthesise`, seeds among
    them; the build that is kept goes to `folder`, as do logs of tools that fail. Raises FitError if
    the design does not fit at the pin's clock, or no clock is slow enough for it.
    """
    tries: dict[int, tuple[list[Report], Path]] = {}
    with TemporaryDirectory(prefix="spikeloom-") as work:
        def built(number: int, candidate: Board) -> Report:
            where = Path(work) / str(number)
            tries[number] = synthesise(graph, candidate, out_dir=where, logs_dir=folder, note=note,
                                       **options), where
            return fastest(tries[number][0])

        first = built(0, board)
        boards = [board, *_others(board, first.fmax_mhz, most_mhz)]
        found = [_priced(graph, item, first) for item in boards]
        found[0] = msgspec.structs.replace(found[0], fmax_mhz=first.fmax_mhz)
        allowed = [number for number, item in enumerate(found)
                   if most_mhz is None or item.mhz <= most_mhz + 1e-6]
        chosen, count = None, 0
        for number in sorted(allowed, key=lambda number: _rank(found[number], objective)):
            item = found[number]
            if item.fmax_mhz is None:
                if item.needed_mhz > HOPE * first.fmax_mhz or count == TRIES:
                    continue
                count += 1
                note(f"trying {_title(item)}")
                try:
                    made = built(number, boards[number])
                except FitError as error:
                    note(f"{_title(item)}: {error}")
                    found[number] = msgspec.structs.replace(item, fmax_mhz=0.0, why=str(error))
                    continue
                item = found[number] = msgspec.structs.replace(
                    _priced(graph, boards[number], made), fmax_mhz=made.fmax_mhz)
            if item.fits:
                chosen = number
                break
            note(f"{_title(item)}: {item.fmax_mhz:.1f} MHz reached, {item.needed_mhz:g} needed")
        if chosen is None:
            most = f" and as {most_mhz:g} MHz" if most_mhz else ""
            raise FitError(f"{board.name}: {first.fmax_mhz:.1f} MHz reached, and no clock is as "
                           f"slow as that{most}; try more --seeds, another --clock-mhz, or a "
                           "smaller network")
        reports, where = tries[chosen]
        _install(where, folder)
    tuned = Tuned(design=graph.digest(), board=board.name, objective=objective, chosen=chosen,
                  alternatives=tuple(_explained(item, first) for item in found))
    write_atomic(folder / FILE, msgspec.json.format(msgspec.json.encode(tuned), indent=1) + b"\n")
    return boards[chosen], reports, tuned


def _others(board: Board, reached_mhz: float, most_mhz: float | None) -> list[Board]:
    """What else a board can have: every clock of the oscillator, and of a PLL the fastest that the
    design may make, with hope and with less, since what a PLL takes does not depend on its clock.
    """
    found = []
    if can(board, "hfosc"):
        found = [clocked(board, "hfosc", hz / 1e6) for hz in HFOSC_HZ]
    if can(board, "pll"):
        for share in (HOPE, 1.0, 0.9, 0.8):
            limit = share * reached_mhz
            limit = min(limit, most_mhz or limit, PLL_HZ[1] / 1e6)
            try:
                made = clocked(board, "pll", limit)
            except ConfigError:
                continue
            if made not in found:
                found.append(made)
    return found


def _priced(graph: ir.Graph, board: Board, report: Report) -> Alternative:
    """What a clock gives and costs, with the cells of a build."""
    speed, hz = throughput(graph, board.clock_hz), board.clock_hz
    energy = energy_if_known(board.device, report.lc, speed.cycles + speed.load, hz, board.source)
    return Alternative(
        source=board.source, mhz=hz / 1e6, needed_mhz=board.needed_hz / 1e6,
        images_per_second=speed.per_second, low_nj=energy and energy.low_nj,
        high_nj=energy and energy.total_nj, waiting_uw=energy and _waiting(board, report.ff))


def _waiting(board: Board, flip_flops: int) -> tuple[float, float]:
    """Microwatts of static power, clock network and flip-flops that are clocked, at both ends of
    their prices.
    """
    prices = shipped().of(board.device, board.source)
    return tuple(1e6 * (getattr(prices.static, end) + board.clock_hz * (
        getattr(prices.clock, end) + flip_flops * getattr(prices.flip_flop, end)))
        for end in ("low", "high"))


def _rank(item: Alternative, objective: str) -> tuple:
    """The lower the better."""
    speed = -item.images_per_second
    if objective == AUTO and item.low_nj is not None:
        return (item.low_nj + item.high_nj, speed, item.source)
    return (speed, (item.low_nj or 0.0) + (item.high_nj or 0.0), item.source)


def _explained(item: Alternative, first: Report) -> Alternative:
    """With the reason why it was not built, or is not fast enough."""
    if item.why:
        why = item.why
    elif item.fmax_mhz is not None:
        why = f"{item.fmax_mhz:.1f} MHz reached, {item.needed_mhz:g} needed"
    elif item.needed_mhz > HOPE * first.fmax_mhz:
        why = f"{item.needed_mhz:g} MHz needed, {first.fmax_mhz:.1f} reached at the pin's clock"
    else:
        why = "not built"
    return msgspec.structs.replace(item, why=why)


def _install(source: Path, folder: Path) -> None:
    """Copy a build to where it is kept, its report last."""
    for path in sorted(source.iterdir(), key=lambda path: path.name == REPORT):
        write_atomic(folder / path.name, path.read_bytes())


def _title(item: Alternative) -> str:
    return f"{item.source} {item.mhz:g} MHz"


def table(tuned: Tuned) -> Table:
    """The alternatives, for people."""
    what = "the least energy of an image" if tuned.objective == AUTO else "the most images a second"
    shown = Table(title=f"clocks by {what}, > chosen; at the most clocks of an image; energy of "
                  "the core alone, estimated without activity", title_justify="left")
    for column in ("", "source", "MHz", "images/s", "nJ an image", "uW waiting", "fits", ""):
        shown.add_column(column, justify="left" if column in ("", "source", "fits") else "right")
    states = {True: "yes", False: "no", None: "?"}
    for number, item in enumerate(tuned.alternatives):
        shown.add_row(
            ">" if number == tuned.chosen else "", item.source, f"{item.mhz:g}",
            f"{item.images_per_second:,.0f}",
            "" if item.low_nj is None else f"{item.low_nj:,.1f}..{item.high_nj:,.1f}",
            "" if item.waiting_uw is None else "..".join(f"{end:,.0f}" for end in item.waiting_uw),
            states[item.fits], item.why)
    return shown
