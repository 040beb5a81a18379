"""A drawing, and what keys and the mouse do to it; knows no terminal."""

from dataclasses import dataclass, field, replace

import numpy as np

from .keys import Key, Mouse

#: Pixels a side, two of which are a character high.
SIDE = 32
#: What the pen leaves around its place, as strokes of MNIST are two to three of 20 pixels wide.
PEN = np.array([[128, 255, 128], [255, 255, 255], [128, 255, 128]], np.uint8)
_MOVES = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0),
          "k": (0, -1), "j": (0, 1), "h": (-1, 0), "l": (1, 0)}
#: Of a terminal's mouse.
_LEFT, _RIGHT = 0, 2


def _blank() -> np.ndarray:
    return np.zeros((SIDE, SIDE), np.uint8)


@dataclass(frozen=True)
class Canvas:
    """Ink uint8 [SIDE, SIDE], the cursor, and whether the pen is down.

    wish: what the last event asks for beyond the drawing, `classify` or `quit`. dragged: where the
    mouse was with a button down.
    """

    ink: np.ndarray = field(default_factory=_blank)
    x: int = SIDE // 2
    y: int = SIDE // 2
    pen: bool = False
    wish: str | None = None
    dragged: tuple[int, int] | None = None

    @property
    def blank(self) -> bool:
        return not self.ink.any()


def after(canvas: Canvas, event: Key | Mouse, origin: tuple[int, int] = (0, 0)) -> Canvas:
    """The canvas after an event; origin: column and row of its first character on the screen."""
    canvas = replace(canvas, wish=None)
    if isinstance(event, Mouse):
        return _after_mouse(canvas, event, origin)
    if event.name in _MOVES:
        dx, dy = _MOVES[event.name]
        at = min(max(canvas.x + dx, 0), SIDE - 1), min(max(canvas.y + dy, 0), SIDE - 1)
        moved = replace(canvas, x=at[0], y=at[1])
        return stroke(moved, (canvas.x, canvas.y), at) if canvas.pen else moved
    here = canvas.x, canvas.y
    match event.name:
        case " ":
            down = replace(canvas, pen=not canvas.pen)
            return stroke(down, here, here) if down.pen else down
        case "x":
            return stroke(replace(canvas, pen=False), here, here, erase=True)
        case "c":
            return Canvas()
        case "enter":
            return replace(canvas, wish="classify")
        case "q" | "end":
            return replace(canvas, wish="quit")
    return canvas


def stroke(canvas: Canvas, start: tuple[int, int], end: tuple[int, int], *,
           erase: bool = False) -> Canvas:
    """The canvas with ink, or none, from one pixel to another, each x and y."""
    count = max(abs(end[0] - start[0]), abs(end[1] - start[1])) + 1
    padded = np.pad(canvas.ink, 1)
    for x, y in zip(np.rint(np.linspace(start[0], end[0], count)).astype(int),
                    np.rint(np.linspace(start[1], end[1], count)).astype(int), strict=True):
        under = padded[y:y + 3, x:x + 3]
        under[:] = 0 if erase else np.maximum(under, PEN)
    return replace(canvas, ink=padded[1:-1, 1:-1])


def _after_mouse(canvas: Canvas, event: Mouse, origin: tuple[int, int]) -> Canvas:
    x, y = event.column - origin[0], 2 * (event.row - origin[1])
    inside = 0 <= x < SIDE and 0 <= y < SIDE
    if not event.pressed or event.button not in (_LEFT, _RIGHT) or not inside:
        return replace(canvas, dragged=None)
    drawn = stroke(canvas, canvas.dragged or (x, y), (x, y), erase=event.button == _RIGHT)
    return replace(drawn, x=x, y=y, pen=False, dragged=(x, y))
