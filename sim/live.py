"""Views of a batch under way, on stderr: how far it is, or image after image with its spikes."""

import time
from collections.abc import Callable

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from ..flow import ir
from ..flow.errors import ConfigError
from .fitted import image_shape
from .screen import bars, halfblocks

#: Seconds between two lines where there is no terminal.
EVERY = 10.0
#: Images that a terminal shows in a second, at most.
FRAMES = 10


class Tally:
    """Images so far of `total`, how many of those with a label are right, and how fast they come.

    clock: seconds, of the device where it is simulated; what is left is in seconds of ours.
    """

    def __init__(self, total: int, clock: Callable[[], float]) -> None:
        self.total, self._clock = total, clock
        self.done = self.labelled = self.right = self.differ = 0
        self._began, self._here = clock(), time.monotonic()

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    @property
    def rate(self) -> float:
        """Images a second, 0 before the first."""
        return self.done / self.seconds if self.done and self.seconds > 0 else 0.0

    def add(self, image: dict) -> None:
        """Count an image (`batch.classify`)."""
        self.done += 1
        self.differ += not image["equal"]
        if image["label"] is not None:
            self.labelled += 1
            self.right += image["class"] == image["label"]

    def __str__(self) -> str:
        words = [f"{self.done:,} of {self.total:,} images", f"{self.rate:,.1f} images/s"]
        if self.labelled:
            words.append(f"accuracy {self.right / self.labelled:.2%}")
        if self.differ:
            words.append(f"{self.differ:,} NOT as the reference")
        if self.done and self.done < self.total:
            each = (time.monotonic() - self._here) / self.done
            words.append(f"{(self.total - self.done) * each:,.0f} s left")
        return ", ".join(words)


class Bar:
    """How far a batch is, with its rate and what is left; a line now and then without a terminal.
    """

    def __init__(self, console: Console, tally: Tally) -> None:
        self._console, self._tally, self._said = console, tally, time.monotonic()
        self._progress = Progress(
            TextColumn("inferring"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), console=console,
            transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=tally.total, rate="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()

    def show(self, image: dict, p8: np.ndarray) -> None:
        """An image has been answered, and is in the tally."""
        rate = f"{self._tally.rate:,.1f} images/s"
        self._progress.update(self._task, completed=self._tally.done, rate=rate)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= EVERY:
            self._said = now
            self._console.print(str(self._tally), markup=False, soft_wrap=True)


class Spikes:
    """Image after image: its pixels, the spikes or scores of each class, and the tally.

    A line for each image without a terminal.
    """

    def __init__(self, console: Console, tally: Tally, graph: ir.Graph) -> None:
        self._console, self._tally, self._shape = console, tally, _shown(graph)
        self.what = ("spikes" if graph.readout.kind == "spike_count" else
                     "membranes (the read-out counts no spikes)")
        self._live = Live(console=console, auto_refresh=False, transient=True) if (
            console.is_terminal) else None
        self._drawn = 0.0

    def __enter__(self) -> "Spikes":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, image: dict, p8: np.ndarray) -> None:
        """An image has been answered, and is in the tally."""
        if self._live is None:
            self._console.print(f"{self.line(image)}; {self._tally}", markup=False, soft_wrap=True)
            return
        now = time.monotonic()
        if now - self._drawn >= 1 / FRAMES or self._tally.done == self._tally.total:
            self._drawn = now
            self._live.update(self.frame(image, p8), refresh=True)

    def line(self, image: dict) -> str:
        label = "" if image["label"] is None else f", label {image['label']}"
        return f"{image['index']:4}: class {image['class']}{label}, {self.what} {image['scores']}"

    def frame(self, image: dict, p8: np.ndarray) -> Group:
        """What the terminal shows of an image."""
        colour = self._console.color_system is not None
        row = Table.grid(padding=(0, 3))
        cells = [bars(image["scores"], image["class"], image["label"])]
        if self._shape is not None:
            cells.insert(0, halfblocks(p8.reshape(self._shape), colour=colour))
        row.add_row(*cells)
        label = "" if image["label"] is None else f", label {image['label']}"
        lines = [f"image {image['index']}: class {image['class']}{label}; {self.what} per class"]
        if stats := image.get("counted"):
            spikes = ", ".join(f"{count:,}" for count in stats["spikes"])
            lines.append(f"counted on the device: {spikes} spikes by layer, "
                         f"{stats['clocks']:,} clocks")
        return Group(lines[0], "", row, "", *lines[1:], str(self._tally))


def _shown(graph: ir.Graph) -> tuple[int, int] | None:
    """How a network's images are drawn, None where they are not."""
    try:
        planes, height, width = image_shape(graph)
    except ConfigError:
        return None
    return (height, width) if planes == 1 else None
