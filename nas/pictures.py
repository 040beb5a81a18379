"""Pictures of studies: curves, bars and dots, as SVG, PDF and PNG.

Text of a PDF is text in embedded TrueType fonts, as journals ask for (they refuse matplotlib's
Type 3); that of an SVG is outlines, which look the same wherever that font is missing.
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..flow.files import write_atomic


@dataclass(frozen=True)
class Line:
    """What is measured at each x: a mean and, where it is known, how far from it one may be.

    std: a standard deviation to each side. low, high: an interval, in place of it. nan draws
    nothing.
    """

    label: str
    mean: tuple[float, ...]
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    def band(self, least: float, most: float) -> tuple[list[float], list[float]]:
        """The lower and the upper ends, within what the values can be."""
        if self.low:
            return list(self.low), list(self.high)
        std = self.std or (0.0,) * len(self.mean)
        low, high = ([min(most, max(least, mean + sign * one)) for mean, one
                      in zip(self.mean, std)] for sign in (-1, 1))
        return low, high


@dataclass(frozen=True)
class Curve:
    """Lines over x, where marks lie, and what is drawn level across.

    percent: values are shares in 0..1. steps: a value holds until the next one. y_label: of this
    panel; empty for that of the picture.
    """

    title: str
    x_label: str
    x: tuple[float, ...]
    lines: tuple[Line, ...]
    level: tuple[str, float] | None = None
    log: bool = False
    ticks: tuple[float, ...] = ()
    percent: bool = True
    y_label: str = ""
    steps: bool = False


@dataclass(frozen=True)
class Bars:
    """A group of bars for each name, one of each line, with their intervals."""

    title: str
    names: tuple[str, ...]
    lines: tuple[Line, ...]
    percent: bool = False
    y_label: str = ""


@dataclass(frozen=True)
class Dots:
    """Points of one kind. names: written beside them. joined: by a line, in their order."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    names: tuple[str, ...] = ()
    joined: bool = False


@dataclass(frozen=True)
class Scatter:
    """Kinds of points in one plane, and lines across it at some x."""

    title: str
    x_label: str
    dots: tuple[Dots, ...]
    percent: bool = False
    y_label: str = ""
    marks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """How many of the values of each kind lie where; all kinds have the same bins.

    percent: the values, not the counts, are shares in 0..1.
    """

    title: str
    x_label: str
    kinds: tuple[tuple[str, tuple[float, ...]], ...]
    bins: int = 12
    percent: bool = False
    y_label: str = ""


Panel = Curve | Bars | Scatter | Histogram


def draw(panels: Sequence[Panel], title: str, y_label: str, path: Path) -> list[Path]:
    """Pictures of panels side by side, SVG, PDF and PNG; bands are a standard deviation to each
    side, or the interval that a line has.

    The same panels are the same SVG and PDF. Returns the files.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.6 * rows + 0.5), layout="constrained")
    figure.suptitle(textwrap.fill(title, 72 * columns), fontsize=10)
    shared = not any(panel.y_label for panel in panels)
    axes = figure.subplots(rows, columns, sharey=shared, squeeze=False).ravel()
    for axis, panel in zip(axes, panels):
        _DRAWN[type(panel)](axis, panel)
        axis.set_title(panel.title, fontsize=9)
        if panel.percent:
            side = axis.xaxis if isinstance(panel, Histogram) else axis.yaxis
            side.set_major_formatter(PercentFormatter(1.0))
        axis.grid(color="0.9")
        axis.set_axisbelow(True)
    for number, axis in enumerate(axes):
        axis.set_visible(number < len(panels))
        if not shared and number < len(panels):
            axis.set_ylabel(panels[number].y_label or y_label)
        elif number % columns == 0:
            axis.set_ylabel(y_label)
    for axis, panel in zip(axes[:1] if shared else axes, panels):
        labels = axis.get_legend_handles_labels()[1]
        if len(labels) > 1 or not (labels == [panel.title] or isinstance(panel, Scatter)):
            axis.legend(fontsize=8, loc="lower left" if shared else "best")
    files = []
    for kind, dated in (("svg", "Date"), ("pdf", "CreationDate"), ("png", None)):
        held = io.BytesIO()
        settings = {"svg.hashsalt": title, "svg.fonttype": "path", "pdf.fonttype": 42}
        with matplotlib.rc_context(settings):
            figure.savefig(held, format=kind, dpi=150, metadata={dated: None} if dated else None)
        files.append(path.with_suffix(f".{kind}"))
        write_atomic(files[-1], held.getvalue())
    return files


def _curve(axis, curve: Curve) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    if curve.level:
        axis.axhline(curve.level[1], color="0.35", linestyle="--", linewidth=1,
                     label=curve.level[0])
    for line, (color, marker) in zip(curve.lines, _LOOKS):
        axis.plot(curve.x, line.mean, color=color, marker=marker, markersize=4, label=line.label,
                  drawstyle="steps-post" if curve.steps else "default")
        low, high = line.band(*((0.0, 1.0) if curve.percent else (-float("inf"), float("inf"))))
        axis.fill_between(curve.x, low, high, color=color, alpha=0.2, linewidth=0,
                          step="post" if curve.steps else None)
    axis.set_xlabel(curve.x_label)
    if curve.log:
        axis.set_xscale("log", base=2)
    if curve.ticks:
        axis.set_xticks(curve.ticks)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_locator(NullLocator())


def _bars(axis, bars: Bars) -> None:
    width = 0.8 / len(bars.lines)
    for number, (line, (color, _)) in enumerate(zip(bars.lines, _LOOKS)):
        at = [place + (number - (len(bars.lines) - 1) / 2) * width
              for place in range(len(bars.names))]
        axis.bar(at, line.mean, width, color=color, label=line.label)
        low, high = line.band(-float("inf"), float("inf"))
        axis.vlines(at, low, high, color="black", linewidth=1)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(bars.names)), bars.names, fontsize=8,
                    **({"rotation": 20, "ha": "right"} if len(bars.names) > 4 else {}))


def _scatter(axis, scatter: Scatter) -> None:
    for x in scatter.marks:
        axis.axvline(x, color="0.35", linestyle="--", linewidth=1)
    for dots, (color, marker) in zip(scatter.dots, _LOOKS):
        axis.scatter(dots.x, dots.y, s=16, color=color, marker=marker, alpha=0.8, linewidths=0,
                     label=dots.label)
        if dots.joined:
            axis.plot(dots.x, dots.y, color=color, linewidth=1)
        for name, x, y in zip(dots.names, dots.x, dots.y):
            axis.annotate(name, (x, y), (3, 4), textcoords="offset points", fontsize=7)
    axis.set_xlabel(scatter.x_label)


def _histogram(axis, histogram: Histogram) -> None:
    from matplotlib.ticker import MaxNLocator

    values = [value for _, kind in histogram.kinds for value in kind]
    low, high = min(values), max(values)
    width = (high - low) / histogram.bins or max(abs(low), 1.0) / histogram.bins
    edges = [low + width * k for k in range(histogram.bins + 1)]
    edges[-1] = max(edges[-1], high)
    for (label, kind), (color, _) in zip(histogram.kinds, _LOOKS):
        axis.hist(kind, bins=edges, color=color, alpha=0.55, label=label)
    axis.set_xlabel(histogram.x_label)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


_DRAWN = {Curve: _curve, Bars: _bars, Scatter: _scatter, Histogram: _histogram}
#: Colours that the colour-blind can tell apart (M. Okabe and K. Ito, "Color Universal Design").
_LOOKS = (("#D55E00", "o"), ("#0072B2", "s"), ("#009E73", "^"), ("#CC79A7", "D"),
          ("#E69F00", "v"), ("#56B4E9", "P"))
#: More lines in one panel than there are looks would not be drawn.
MOST_LINES = len(_LOOKS)
