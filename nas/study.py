"""What studies share: points that are kept as they are measured, tables, CSV and pictures.

A study is a list of points; each is a key of plain values that says all that it depends on. Points
are written one by one, so a study that was cut short goes on where it was, and one with more points
measures only those that are new.
"""

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..flow.errors import RunError
from ..flow.files import write_atomic

FORMAT = 1


class Points:
    """Measured points of a file, by key."""

    def __init__(self, path: Path) -> None:
        self.path, self.measured = path, 0
        self._known: dict[str, dict] = {}
        try:
            data = json.loads(path.read_text())
            if data["format"] == FORMAT:
                self._known = dict(data["points"].items())
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: is damaged ({type(error).__name__}); delete it and run the "
                           "study again") from error

    def find(self, key: dict, measure: Callable[[], dict]) -> dict:
        """The result of a point, measured if it is not known."""
        text = json.dumps(key, sort_keys=True)
        if text not in self._known:
            self._known[text] = measure()
            self.measured += 1
            content = {"format": FORMAT, "points": self._known}
            write_atomic(self.path, json.dumps(content, indent=1) + "\n")
        return self._known[text]


@dataclass(frozen=True)
class Line:
    """Mean and standard deviation over draws, in 0..1, at each x."""

    label: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Curve:
    """One axis of a picture: lines over x, where marks lie, and what is drawn level across."""

    title: str
    x_label: str
    x: tuple[float, ...]
    lines: tuple[Line, ...]
    level: tuple[str, float] | None = None
    log: bool = False
    ticks: tuple[float, ...] = field(default=())


def table(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(columns)
    written.writerows(rows)
    return text.getvalue()


def draw(curves: Sequence[Curve], title: str, y_label: str, path: Path) -> list[Path]:
    """Pictures of curves side by side, SVG and PNG; bands are a standard deviation to each side.

    The same curves are the same SVG. Returns the files.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator, PercentFormatter

    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.6 * rows + 0.5), layout="constrained")
    figure.suptitle(textwrap.fill(title, 72 * columns), fontsize=10)
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axis, curve in zip(axes, curves):
        if curve.level:
            axis.axhline(curve.level[1], color="0.35", linestyle="--", linewidth=1,
                         label=curve.level[0])
        for line, (color, marker) in zip(curve.lines, _LOOKS):
            axis.plot(curve.x, line.mean, color=color, marker=marker, markersize=4,
                      label=line.label)
            low, high = ([min(1.0, max(0.0, mean + sign * std)) for mean, std
                          in zip(line.mean, line.std)] for sign in (-1, 1))
            axis.fill_between(curve.x, low, high, color=color, alpha=0.2, linewidth=0)
        axis.set_title(curve.title, fontsize=9)
        axis.set_xlabel(curve.x_label)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.grid(color="0.9")
        if curve.log:
            axis.set_xscale("log", base=2)
        if curve.ticks:
            axis.set_xticks(curve.ticks)
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_locator(NullLocator())
    for number, axis in enumerate(axes):
        axis.set_visible(number < len(curves))
        if number % columns == 0:
            axis.set_ylabel(y_label)
    axes[0].legend(fontsize=8, loc="lower left")
    files = []
    for kind in ("svg", "png"):
        held = io.BytesIO()
        settings = {"svg.hashsalt": title, "svg.fonttype": "path"}
        with matplotlib.rc_context(settings):
            figure.savefig(held, format=kind, dpi=150,
                           metadata={"Date": None} if kind == "svg" else None)
        files.append(path.with_suffix(f".{kind}"))
        write_atomic(files[-1], held.getvalue())
    return files


#: Colours that the colour-blind can tell apart (M. Okabe and K. Ito, "Color Universal Design").
_LOOKS = (("#D55E00", "o"), ("#0072B2", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
