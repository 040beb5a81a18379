"""Keys and the mouse of a terminal, as events: parsed from bytes, and read from a real one.

Control sequences are xterm's (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html): cursor keys
``ESC [ A`` or ``ESC O A``, the mouse by modes 1002 (buttons, and motion with one down) and 1006
(``ESC [ < button ; column ; row`` and ``M`` pressed or moved, ``m`` released).
"""

import os
import re
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from ..flow.errors import ConfigError

_ARROWS = {"A": "up", "B": "down", "C": "right", "D": "left"}
_SEQUENCE = re.compile(rb"\x1b(?:\[([0-9;<?]*)([@-~])|O([@-~]))")
_BEGUN = re.compile(rb"\x1b(?:\[[0-9;<?]{0,32}|O)?\Z")
_MOUSE_ON, _MOUSE_OFF = "\x1b[?1002h\x1b[?1006h", "\x1b[?1006l\x1b[?1002l"
#: Seconds after which an escape that nothing follows is a key.
_ALONE = 0.05


@dataclass(frozen=True)
class Key:
    """A key: a character, or `up`, `down`, `left`, `right`, `enter`, `escape`, `end` (of input)."""

    name: str


@dataclass(frozen=True)
class Mouse:
    """The mouse over a character, column and row from 0; pressed: a button is down, and which."""

    column: int
    row: int
    button: int
    pressed: bool


def parse(data: bytes) -> tuple[list[Key | Mouse], bytes]:
    """The events of some input, and what of it waits for more; what is not known is skipped."""
    events: list[Key | Mouse] = []
    while data:
        if _BEGUN.match(data):
            break
        if found := _SEQUENCE.match(data):
            data = data[found.end():]
            if event := _event(*found.groups()):
                events.append(event)
            continue
        code, data = data[0], data[1:]
        if code in b"\r\n":
            events.append(Key("enter"))
        elif code in b"\x03\x04":
            events.append(Key("end"))
        elif code == 0x1B:
            events.append(Key("escape"))
        elif 0x20 <= code < 0x7F:
            events.append(Key(chr(code)))
    return events, data


def _event(numbers: bytes | None, final: bytes | None, single: bytes | None
           ) -> Key | Mouse | None:
    kind = (final or single).decode("ascii")
    if not numbers and kind in _ARROWS:
        return Key(_ARROWS[kind])
    if numbers and (found := re.fullmatch(rb"<(\d+);(\d+);(\d+)", numbers)) and kind in "Mm":
        code, column, row = map(int, found.groups())
        if code < 64:  # a wheel otherwise
            return Mouse(max(0, column - 1), max(0, row - 1), code & 3, kind == "M")
    return None


class Terminal:
    """A terminal that gives each key at once, and the mouse, until it is left.

    Raises ConfigError where the input, or the output `file`, is none.
    """

    def __init__(self, file: TextIO, source: TextIO | None = None) -> None:
        source = sys.stdin if source is None else source
        if not (source.isatty() and file.isatty()):
            raise ConfigError("--draw must have a terminal to draw in, not a file or a pipe; give "
                              "pictures as FILE instead")
        self._file, self._fd = file, source.fileno()

    def __enter__(self) -> "Terminal":
        import termios
        import tty

        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        self._file.write(_MOUSE_ON)
        self._file.flush()
        return self

    def __exit__(self, *_) -> None:
        import termios

        self._file.write(_MOUSE_OFF)
        self._file.flush()
        termios.tcsetattr(self._fd, termios.TCSAFLUSH, self._before)

    def events(self) -> Iterator[list[Key | Mouse]]:
        """Events as they come, those that are there at once together."""
        rest = b""
        while True:
            ready = select.select([self._fd], [], [], _ALONE if rest else None)[0]
            if not ready:
                rest = b""
                yield [Key("escape")]
                continue
            try:
                data = os.read(self._fd, 4096)
            except OSError:  # the terminal is gone
                data = b""
            found, rest = parse(rest + data)
            if not data:
                found.append(Key("end"))
            yield found
