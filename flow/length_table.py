"""What a network gives and costs at each run-time bitstream length, a part of every report.

Accuracy is the reference model's over the run's test images, clocks are exact (of event-driven
layers the most that can be), energy is an estimate (`cost.energy`).
"""

from dataclasses import replace
from importlib import import_module

import msgspec
from rich.table import Table

from .cost.energy import energy_of
from .errors import GraphError
from .ir import Graph
from .lengths import most_shift
from .passes.legalize import check_lengths
from .passes.schedule import inference_cycles
from .report import Length, Report
from .run import Run

#: What runs the reference model, in a package that this one must not import.
ACCURACY = "spikeloom.sim.accuracy"


def lengths(opened: Run, graph: Graph) -> tuple[list[Length], str | None]:
    """A row for each shift of a scheduled graph, and why there is only that of 0, if so."""
    most, why = most_shift(graph), None
    try:
        check_lengths(replace(graph, max_shift=max(1, most)))
    except GraphError as error:
        most, why = 0, str(error)
    shifts = range(most + 1)
    count, right = 0, [None] * len(shifts)
    if opened.samples_file.exists():
        images, labels = opened.samples()
        count, right = len(images), import_module(ACCURACY).correct(
            graph, images, labels, shifts, str(opened.samples_file))
    return [Length(
        shift=h, bitstream_lengths=tuple(dense.bitstream_length >> h for dense, _ in graph.layers),
        served=h <= graph.max_shift, cycles=inference_cycles(graph, shift=h), images=count,
        accuracy=right[h] / count if count else None) for h in shifts], why


def costed(rows: list[Length], report: Report) -> list[Length]:
    """The rows with the time and energy of a build; energy None for a device without figures."""
    out = []
    for row in rows:
        clock_hz = report.clock_mhz * 1e6
        known = energy_of(report, row.cycles)
        out.append(msgspec.structs.replace(
            row, microseconds=1e6 * row.cycles / clock_hz,
            low_nj=known and known.low_nj, high_nj=known and known.total_nj))
    return out


def table(rows: list[Length], why: str | None) -> Table:
    """The rows, for people."""
    images = f"accuracy over {rows[0].images} test images" if rows[0].images else "no test images"
    shown = Table(title=f"run-time bitstream lengths: {images}, energy estimated",
                  title_justify="left", caption=why and f"only the whole length: {why}",
                  caption_justify="left")
    for column in ("shift", "L", "accuracy", "clocks", "us", "nJ", "served"):
        shown.add_column(column, justify="right")
    for row in rows:
        each = sorted(set(row.bitstream_lengths), reverse=True)
        shown.add_row(
            str(row.shift), ", ".join(map(str, each)),
            "" if row.accuracy is None else f"{row.accuracy:.2%}", f"{row.cycles:,}",
            "" if row.microseconds is None else f"{row.microseconds:,.1f}",
            "" if row.low_nj is None else f"{row.low_nj:,.0f}..{row.high_nj:,.0f}",
            "yes" if row.served else f"--max-shift {row.shift}")
    return shown
