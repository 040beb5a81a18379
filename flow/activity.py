"""Energy from activity: what was counted of a run's design on a board, counted where it must be.

Counting is done by a module that this package must not import; it is named, as in `cli`.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rich.progress import track

from ..boards import Board
from .cost.actions import FILE, Actions, read_actions, write_actions
from .cost.prices import DevicePrices
from .cost.split import Span, Split, split
from .errors import RunError
from .ir import Graph
from .run import Run

#: Counts the actions of a graph's images on a board's netlist.
COUNTER = "spikeloom.sim.activity"
#: Test images that are simulated unless asked: a second each for the digits, and the spread over
#: more is no wider.
IMAGES = 8


def actions_file(opened: Run, board: Board) -> Path:
    return opened.build_dir(board.name) / FILE


def known_actions(opened: Run, graph: Graph, board_name: str, clock_hz: float) -> Actions | None:
    """What has been counted of this very network on a board with this clock, None without."""
    path = opened.build_dir(board_name) / FILE
    if not path.exists():
        return None
    found = read_actions(path)
    same = found.design == graph.digest() and round(found.clock_hz) == round(clock_hz)
    return found if same else None


def actions_of(opened: Run, graph: Graph, board: Board, images: int | None, out) -> Actions:
    """The actions of a run's first test images on a board, counted unless they are known.

    images: how many; for None, as many as are known, or `IMAGES`. A damaged file is written anew
    only if a number is asked for.
    """
    try:
        known = known_actions(opened, graph, board.name, board.clock_hz)
    except RunError:
        if images is None:
            raise
        known = None
    if known is not None and images in (None, len(known.images)):
        out.note(f"{len(known.images)} images are counted already, in "
                 f"{actions_file(opened, board)}")
        return known
    samples, _ = opened.samples()
    asked = min(IMAGES, len(samples)) if images is None else images
    chosen, _ = opened.first_samples("--images", asked)
    found = import_module(COUNTER).count(
        graph, chosen, board, note=out.note,
        each=lambda items: track(items, "simulating", console=out.progress, transient=True))
    write_actions(found, actions_file(opened, board))
    return found


@dataclass(frozen=True)
class Priced:
    """Actions and what they cost: the mean image's split, and the total of each image."""

    actions: Actions
    split: Split
    each: list[Span]
    prices: DevicePrices
    divisor: int

    @property
    def spread(self) -> tuple[float, float]:
        """Of the compute phase over the images, by the upper prices: least and most, nJ."""
        values = [span.high for span in self.each]
        return min(values), max(values)

    @property
    def memory_share(self) -> float:
        """How much of the compute phase's interval is that of block memories and SPRAMs."""
        total = self.split.total("compute")
        width = total.high - total.low
        memory = self.split.compute["memory"] + self.split.compute["spram"]
        return (memory.high - memory.low) / width if width > 0 else 0.0


def priced(actions: Actions, prices: DevicePrices, *, divisor: int) -> Priced:
    """What actions cost at a device's prices and a rate of the line."""
    options = {"divisor": divisor, "clock_hz": actions.clock_hz}
    each = [split(actions, prices, image=k, **options).total("compute")
            for k in range(len(actions.images))]
    return Priced(actions, split(actions, prices, **options), each, prices, divisor)


def divisor_of(board: Board, baud: float | None) -> int:
    """Clocks per bit at a rate; of the board's reset for None."""
    if baud is None:
        return board.divisor
    return import_module("spikeloom.sim.rates").divisor_for(board.clock_hz, baud)
