"""Synthesis of a network: its gateware, built for a board, and what that measured, stored."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields

from ..boards import Board
from ..hdl.protocol import BASIC, Features
from . import ir, weights_file
from .build import Outcome, build_seeds, flow_options
from .cost.features import describe
from .cost.measured import Measurement, measurement
from .cost.salvage import open_store
from .cost.structure import structure
from .errors import SpikeloomError
from .lower import top
from .report import Report
from .weights_image import check_board

Note = Callable[[str], None]


def variant_of(trace: bool, features: Features, stored: Sequence[bytes],
               clock: str = "board") -> str:
    """What is built beside the plain design of a network on a board's own clock, in a few words."""
    words = ["proof"] if trace else []
    if clock != "board":
        words.append(f"clock={clock}")
    for field in fields(features):
        value = getattr(features, field.name)
        if value != field.default:
            words.append(field.name if value is True else f"{field.name}={value}")
    if stored:
        words.append(f"{len(stored)} stored images")
    return ", ".join(words)


def synthesise(graph: ir.Graph, board: Board, *, seeds: Iterable[int] = (1,), trace: bool = False,
               features: Features = BASIC, stored: Sequence[bytes] = (), note: Note | None = None,
               warn: Note | None = None, on_measured: Callable[[Measurement], None] | None = None,
               design=None, **options) -> list[Report]:
    """Build a scheduled graph's gateware with its UART link; one report for each seed.

    Beside the bitstream goes a file of the weights that are loaded (`weights_file`), if any are.
    What was measured goes to the store, and to `on_measured`; a store that cannot be written is no
    reason to fail. warn: told what is wrong with the store, `note` if there is none. design: the
    gateware, `lower.top` of all this, where somebody has made it already. options: those of
    `build.build_seeds`, with its errors.
    """
    warn = warn or note
    check_board(graph, board)
    if design is None:
        design = top(graph, board.divisor, trace=trace, features=features, stored=stored,
                     weights_at=board.weights_at)
    variant, known = variant_of(trace, features, stored, board.source), describe(structure(graph))

    def record(outcome: Outcome) -> None:
        item = measurement(graph, board, outcome, variant=variant, options=flow_options(),
                           features=known)
        try:
            with open_store(note=warn) as store:
                store.add(item, graph)
        except SpikeloomError as error:
            if warn is not None:
                warn(f"the measurement is not stored: {error}")
        if on_measured is not None:
            on_measured(item)

    reports = build_seeds(design, board, design=graph.digest(), seeds=seeds, note=note,
                          record=record, **options)
    if options.get("out_dir") is not None:
        weights_file.write(options["out_dir"], graph)
    return reports


def build_graph(graph: ir.Graph, board: Board, *, seed: int = 1, **options) -> Report:
    """The report of `synthesise` with one seed."""
    return synthesise(graph, board, seeds=[seed], **options)[0]
