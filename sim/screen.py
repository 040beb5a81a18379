"""What a terminal shows of an image and of what a network made of it, as renderables of rich."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

#: Classes with a bar, at most; of more, those with the highest scores.
MOST_BARS = 16
_MARKED, _PLAIN, _RIGHT, _WRONG = "bold cyan", "bright_black", "bold green", "bold red"


def halfblocks(image: np.ndarray, *, colour: bool = True,
               cursor: tuple[int, int] | None = None) -> Text:
    """An image 0..255 [h, w], two rows to a line of text: ``h / 2`` lines of w characters.

    Without colours whatever is above a quarter is ink. cursor: x and y of a pixel to be marked.
    """
    rows = np.vstack([image, np.zeros_like(image[:1])]) if len(image) % 2 else image
    text = Text(no_wrap=True)
    for y in range(0, len(rows), 2):
        for x, (upper, lower) in enumerate(zip(rows[y].tolist(), rows[y + 1].tolist(),
                                               strict=True)):
            here = cursor == (x, y) or cursor == (x, y + 1)
            text.append(*_cell(upper, lower, colour, here))
        if y + 2 < len(rows):
            text.append("\n")
    return text


def _cell(upper: int, lower: int, colour: bool, here: bool) -> tuple[str, str]:
    """A character, and its style."""
    if here:
        return "+", "bold yellow" + (f" on {_grey((upper + lower) // 2)}" if colour else "")
    if not colour:
        return " ▀▄█"[(upper > 63) + 2 * (lower > 63)], ""
    if not lower:
        return ("▀", _grey(upper)) if upper else (" ", "")
    if not upper:
        return "▄", _grey(lower)
    return ("█", _grey(upper)) if upper == lower else ("▀", f"{_grey(upper)} on {_grey(lower)}")


def _grey(value: int) -> str:
    return f"rgb({value},{value},{value})"


def bars(scores: Sequence[int], cls: int, label: int | None = None, *, width: int = 24) -> Table:
    """A bar for each class, from zero; the class that was answered is marked.

    label: what it should be; then the answer is green or red, and the label's own class green.
    """
    shown = sorted(sorted(range(len(scores)), key=lambda k: (k != cls, -scores[k]))[:MOST_BARS])
    low, high = min(0, *scores), max(0, *scores)
    span = high - low or 1
    zero = round(width * -low / span)
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(width=width, no_wrap=True)
    table.add_column(justify="right")
    for k in shown:
        size = round(width * abs(scores[k]) / span)
        left = max(0, zero - size) if scores[k] < 0 else min(zero, width - size)
        style = _PLAIN
        if k == cls:
            style = _MARKED if label is None else _RIGHT if label == cls else _WRONG
        elif k == label:
            style = _RIGHT
        name = f">{k}" if k == cls else str(k)
        table.add_row(Text(name, style), Text(" " * left + "█" * size, style),
                      Text(str(scores[k]), style))
    return table
