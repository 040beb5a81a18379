"""Digits drawn in the terminal: the canvas, what the network sees of it, and what it answers."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..flow import ir
from ..flow.errors import ConfigError
from .canvas import SIDE, Canvas, after
from .fitted import fit, image_shape
from .keys import Key, Mouse, Terminal
from .screen import bars, halfblocks

#: Column and row of the canvas' first character: behind the frame.
ORIGIN = (1, 1)
KEYS = ("arrows or hjkl: move   space: pen up, down   x: erase   c: clear   enter: classify   "
        "q: quit   or draw with the mouse, right button erases")
#: Columns that the classes need, and their bars get at most.
_CLASSES, _BAR = 14, 24


def seen(canvas: Canvas, shape: tuple[int, int]) -> np.ndarray:
    """The image uint8 `shape` that a network gets of a canvas; nothing of a blank one."""
    return np.zeros(shape, np.uint8) if canvas.blank else fit(canvas.ink / 255.0, shape)


def session(events: Iterable[list[Key | Mouse]], shape: tuple[int, int],
            classify: Callable[[np.ndarray], dict],
            show: Callable[[Canvas, dict | None, str], None]) -> list[dict]:
    """Draw until it ends; the answers to what was drawn.

    classify: answers an image (`batch.compared`). show: is given what is to be seen: the canvas,
    the last answer while the drawing is the one that it is of, and what to say. Ctrl-C ends it with
    what has been answered until then.
    """
    answers: list[dict] = []
    with suppress(KeyboardInterrupt):
        _drawn(events, shape, classify, show, answers)
    return answers


def _drawn(events: Iterable[list[Key | Mouse]], shape: tuple[int, int],
           classify: Callable[[np.ndarray], dict],
           show: Callable[[Canvas, dict | None, str], None], answers: list[dict]) -> None:
    """`session`, which adds to the answers."""
    canvas, answer, said = Canvas(), None, "draw a digit"
    show(canvas, answer, said)
    for batch in events:
        for event in batch:
            before = canvas
            canvas = after(canvas, event, ORIGIN)
            if canvas.ink is not before.ink:
                answer, said = None, "pen down" if canvas.pen else "enter classifies"
            elif canvas.pen != before.pen:
                said = "pen down" if canvas.pen else "pen up"
            if canvas.wish == "quit":
                return
            if canvas.wish == "classify" and canvas.blank:
                said = "draw something first"
            elif canvas.wish == "classify":
                show(canvas, None, "asking the device ...")
                answer = classify(seen(canvas, shape))
                answers.append(answer)
                said = verdict(answer)
        show(canvas, answer, said)


def verdict(answer: dict) -> str:
    """What an answer says."""
    if answer["equal"]:
        return f"class {answer['class']}"
    return (f"class {answer['class']}, NOT the reference's class {answer['reference']['class']}; "
            "this must never happen, please report it")


def frame(canvas: Canvas, answer: dict | None, said: str, shape: tuple[int, int], *,
          colour: bool = True, columns: int = 80) -> Group:
    """What is to be seen: the canvas at the top left, so that `ORIGIN` holds."""
    row = Table.grid(padding=(0, 1, 0, 0))
    for width in (SIDE + 2, shape[1] + 2):
        row.add_column(width=width)
    row.add_column()
    drawn = halfblocks(canvas.ink, colour=colour, cursor=(canvas.x, canvas.y))
    sees = halfblocks(seen(canvas, shape), colour=colour)
    row.add_row(
        Panel(drawn, title="drawn", width=SIDE + 2, padding=0),
        Panel(sees, title="seen by the network"[:max(4, shape[1] - 2)], width=shape[1] + 2,
              padding=0),
        _classes(answer, columns - _width(shape)) if answer else "")
    return Group(row, Text(said, "bold"), Text(KEYS, "bright_black"))


def _width(shape: tuple[int, int]) -> int:
    """Columns of the canvas and of what the network sees."""
    return SIDE + 3 + shape[1] + 3


def _classes(answer: dict, columns: int) -> Table:
    others = 4 + max(len(str(score)) for score in answer["scores"])
    return bars(answer["scores"], answer["class"], width=max(3, min(columns - others, _BAR)))


def image_of(graph: ir.Graph) -> tuple[int, int]:
    """The shape of the images that are drawn for a network; ConfigError if it takes others."""
    planes, height, width = image_shape(graph)
    if planes != 1:
        raise ConfigError("--draw must be used with a network of grey images, not of three "
                          "colours; give pictures with --as-is instead")
    return height, width


def terminal(console: Console, shape: tuple[int, int]) -> Terminal:
    """The terminal that is on stdin and `console`; ConfigError if it is none, or too small."""
    found = Terminal(console.file)
    needed = _width(shape) + _CLASSES, max(SIDE, shape[0]) // 2 + 5
    if console.width < needed[0] or console.height < needed[1]:
        raise ConfigError(f"--draw needs a terminal of {needed[0]} x {needed[1]} characters, not "
                          f"{console.width} x {console.height}; make it larger")
    return found


def draw(console: Console, found: Terminal, shape: tuple[int, int],
         classify: Callable[[np.ndarray], dict]) -> list[dict]:
    """A session in a terminal."""
    colour = console.color_system is not None
    with found, Live(console=console, screen=True, auto_refresh=False) as live:
        def show(*what) -> None:
            live.update(frame(*what, shape, colour=colour, columns=console.width), refresh=True)

        return session(found.events(), shape, classify, show)
