"""Fit: the first lowering with which a network fits a board, fastest first."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..boards import Board
from . import ir
from .errors import FitError, GraphError
from .passes.compile import compile_graph
from .report import Report
from .synthesis import build_graph

#: Lowering and lanes of every layer, from the fastest to the smallest.
CHOICES: tuple[tuple[str, int | None], ...] = (
    ("spatial", None), ("folded", 32), ("folded", 16), ("folded", 8), ("folded", 4), ("folded", 1))


@dataclass(frozen=True)
class Fitted:
    """What `fit` found: the graph as built and its report, both None if nothing fits.

    tried: by choice, in order, why those before it do not fit.
    """

    choice: str
    graph: ir.Graph | None
    report: Report | None
    tried: dict[str, str] = field(default_factory=dict)


def title(lowering: str, lanes: int | None) -> str:
    """A choice in words: ``spatial``, ``folded, 8 lanes``."""
    return lowering if lanes is None else f"{lowering}, {lanes} lane{'s' if lanes > 1 else ''}"


def lowered(graph: ir.Graph, lowering: str, lanes: int | None) -> ir.Graph:
    """The scheduled graph with this lowering in every layer, of at most so many lanes.

    Raises GraphError if a layer cannot take it.
    """
    return compile_graph(graph.replace(**{
        layer.name: {"lowering": lowering,
                     "lanes": None if lanes is None else min(lanes, layer.bias_shape[0]),
                     "memory": layer.memory if lowering == "folded" else None}
        for layer, _ in graph.layers}))


def fit(graph: ir.Graph, board: Board, *, note: Callable[[str], None] | None = None,
        **options) -> Fitted:
    """Build a network for a board with the first of `CHOICES` that fits and meets its clock.

    options: those of `build_graph`. Raises ToolError as it does.
    """
    tried: dict[str, str] = {}
    built = set()
    for lowering, lanes in CHOICES:
        name = title(lowering, lanes)
        try:
            candidate = lowered(graph, lowering, lanes)
            if candidate.digest() in built:  # a narrow network has no use for more lanes
                continue
            built.add(candidate.digest())
            report = build_graph(candidate, board, must_fit=False, note=note, **options)
        except (FitError, GraphError) as error:
            tried[name] = str(error)
            continue
        if report.fits and report.meets_clock:
            return Fitted(name, candidate, report, tried)
        tried[name] = report.problem or (f"{report.fmax_mhz:.1f} MHz misses the board's "
                                         f"{report.needed_mhz:g} MHz")
        if note is not None:
            note(f"{board.name}, {name}: {tried[name]}")
    return Fitted("", None, None, tried)


def must_fit(graph: ir.Graph, board: Board, **options) -> Fitted:
    """As `fit`; FitError with every reason if no choice fits."""
    found = fit(graph, board, **options)
    if found.report is None:
        raise FitError(f"{board.name}: " + "; ".join(
            f"{choice}: {problem}" for choice, problem in found.tried.items()))
    return found
