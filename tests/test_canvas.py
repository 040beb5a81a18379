"""Digits drawn in the terminal: keys and the mouse, what is seen, and a session in a terminal."""

import io
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from spikeloom.flow.cli import main
from spikeloom.sim.canvas import SIDE, Canvas, after
from spikeloom.sim.commands.demo import install
from spikeloom.sim.drawn import ORIGIN, frame, seen, session
from spikeloom.sim.keys import Key, Mouse, parse
from spikeloom.sim.screen import bars, halfblocks


def drawn(keys, canvas=None):
    canvas = canvas or Canvas()
    for name in keys:
        canvas = after(canvas, Key(name))
    return canvas


@pytest.mark.parametrize("data,events,rest", [
    (b"ahq ", [Key("a"), Key("h"), Key("q"), Key(" ")], b""),
    (b"\x1b[A\x1b[B\x1bOC\x1b[D", [Key("up"), Key("down"), Key("right"), Key("left")], b""),
    (b"\r\n\x03\x04", [Key("enter")] * 2 + [Key("end")] * 2, b""),
    (b"\x1b[<0;5;7M\x1b[<32;6;7M\x1b[<2;1;1M\x1b[<0;6;7m",
     [Mouse(4, 6, 0, True), Mouse(5, 6, 0, True), Mouse(0, 0, 2, True), Mouse(5, 6, 0, False)],
     b""),
    (b"x\x1b[<0;5", [Key("x")], b"\x1b[<0;5"), (b"\x1b", [], b"\x1b"), (b"\x1b[", [], b"\x1b["),
    (b"\x1b[<64;5;5M\x1b[3~\x1b[1;5A\xc3\xa4\x00", [], b""),
    (b"\x1bx", [Key("escape"), Key("x")], b""), (b"", [], b""),
])
def test_bytes_of_a_terminal_as_events(data, events, rest):
    assert parse(data) == (events, rest)


def test_events_are_the_same_wherever_the_bytes_are_cut():
    data = b"a\x1b[A\x1b[<32;12;7Mq\x1bOB"
    for cut in range(len(data)):
        first, rest = parse(data[:cut])
        second, end = parse(rest + data[cut:])
        assert (first + second, end) == parse(data)


def test_the_pen_draws_where_it_moves_and_only_when_it_is_down():
    canvas = drawn(["left", "h", "up", "k"])
    assert canvas.blank and (canvas.x, canvas.y) == (SIDE // 2 - 2, SIDE // 2 - 2)
    canvas = drawn([" ", *"llll", " ", "l", "down"])
    row = canvas.ink[SIDE // 2]
    assert np.flatnonzero(row == 255).tolist() == list(range(15, 22))
    assert canvas.ink[:SIDE // 2 - 1].sum() == canvas.ink[SIDE // 2 + 2:].sum() == 0


def test_the_cursor_stays_on_the_canvas():
    canvas = drawn([" ", *["left"] * 99, *["up"] * 99])
    assert (canvas.x, canvas.y) == (0, 0) and canvas.ink[0, 0] == 255
    assert drawn([*["right"] * 99, *["j"] * 99, " "]).ink[-1, -1] == 255


def test_erasing_and_clearing():
    line = drawn([" ", *"llllllll"])
    erased = drawn(["x"], replace(line, x=SIDE // 2 + 4))
    assert not erased.pen and not erased.ink[:, SIDE // 2 + 3:SIDE // 2 + 6].any()
    assert 0 < erased.ink.astype(int).sum() < line.ink.astype(int).sum()
    assert drawn(["c"], line).blank and not line.blank


def test_the_mouse_draws_lines_and_its_right_button_erases():
    canvas = Canvas()
    for event in (Mouse(11, 3, 0, True), Mouse(21, 3, 0, True), Mouse(21, 3, 0, False),
                  Mouse(11, 9, 0, True), Mouse(11, 9, 0, False)):
        canvas = after(canvas, event, ORIGIN)
    assert np.flatnonzero(canvas.ink[4] == 255).tolist() == list(range(9, 22))
    assert canvas.ink[16, 10] == 255 and not canvas.ink[8:14].any()  # no line between strokes
    for event in (Mouse(11, 3, 2, True), Mouse(21, 3, 2, True)):
        canvas = after(canvas, event, ORIGIN)
    assert not canvas.ink[:8].any() and canvas.ink[16, 10] == 255
    outside = after(canvas, Mouse(SIDE + 1, 3, 0, True), ORIGIN)
    assert outside.ink is canvas.ink and outside.dragged is None


def answers_of(events, shape=(28, 28)):
    """The answers of a session, the images that were asked, and all that was shown."""
    asked, shown = [], []

    def classify(image):
        asked.append(image)
        return {"class": 7, "scores": [1, 2], "equal": len(asked) != 2,
                "reference": {"class": 1}}

    found = session(events, shape, classify, lambda *what: shown.append(what))
    return found, asked, shown


def test_a_session_classifies_what_the_network_sees():
    keys = [Key(name) for name in [" ", *["down"] * 9]]
    found, asked, shown = answers_of([[Key("enter")], keys, [Key("enter")], [Key("enter")],
                                      [Key("right")], [Key("q"), Key("enter")]])
    said = [text for _, _, text in shown]
    assert len(found) == len(asked) == 2 and said[0] == "draw a digit"
    assert "draw something first" in said and "class 7" in said
    assert said[-1] == "pen down" and shown[-1][1] is None  # the answer was to what is no more
    assert any("class 7, NOT the reference's class 1" in text for text in said)
    rows = np.flatnonzero(asked[0].any(1))
    assert np.ptp(rows) + 1 == 20 and asked[0].shape == (28, 28)
    assert np.array_equal(asked[0], seen(drawn([" ", *["down"] * 9]), (28, 28)))


def test_ctrl_c_ends_a_session_with_the_answers_so_far():
    asked = []

    def classify(image):
        asked.append(image)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"class": 7, "equal": True}

    events = [[Key(" "), Key("down"), Key("enter")], [Key("enter")], [Key("enter")]]
    found = session(events, (28, 28), classify, lambda *what: None)
    assert [answer["class"] for answer in found] == [7] and len(asked) == 2


def test_what_is_shown_has_the_canvas_at_its_origin():
    console = Console(width=80, height=24, color_system=None)
    canvas = drawn([" ", *"llll"])
    answer = {"class": 1, "scores": [-5, 10, -12345], "equal": True}
    with console.capture() as capture:
        console.print(frame(canvas, answer, "class 1", (28, 28), colour=False))
    lines = capture.get().splitlines()
    assert len(lines) <= 24 and lines[1].startswith("│ ") and "…" not in capture.get()
    assert all(line[SIDE + 1] == "│" for line in lines[1:SIDE // 2 + 1])
    column, row = ORIGIN
    assert lines[row + canvas.y // 2][column + canvas.x] == "+"
    assert lines[row + canvas.y // 2][column + canvas.x - 2] == "█"
    assert any(line.rstrip().endswith(" 10") and ">1" in line for line in lines)
    assert "class 1" in [line.strip() for line in lines]


def test_halfblocks_and_bars():
    image = np.array([[0, 255, 0, 255], [0, 0, 255, 255], [200, 0, 0, 0]], np.uint8)
    assert halfblocks(image, colour=False).plain == " ▀▄█\n▀   "
    assert halfblocks(image).plain == " ▀▄█\n▀   "
    console = Console(width=60, color_system=None)
    with console.capture() as capture:
        console.print(bars([-10, 0, 30], 2, width=8))
    assert [line.rstrip() for line in capture.get().splitlines()] == [
        " 0 ██       -10", " 1            0", ">2   ██████  30"]
    with console.capture() as capture:
        console.print(bars(list(range(100)), 3))
    assert capture.get().count("\n") == 16 and ">3" in capture.get()


def test_a_session_in_a_terminal(tmp_path):
    """The command itself behind a pseudo-terminal: a 1 is drawn, classified, and reported."""
    run = install(tmp_path / "run")
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-m", "spikeloom.flow.cli", "infer", "--sim", "--run", str(run.path),
         "--draw", "--json"], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE,
        env=environment)
    os.close(theirs)
    screen = b""

    def until(text):
        nonlocal screen
        end = time.monotonic() + 120
        while text not in screen:
            assert select.select([ours], [], [], max(0, end - time.monotonic()))[0], screen[-300:]
            screen += os.read(ours, 65536)
        screen = b""

    try:
        until(b"draw a digit")
        os.write(ours, b"\x1b[<0;15;4M\x1b[<32;15;14M\x1b[<0;15;14m")
        until(b"enter classifies")
        os.write(ours, b"\n")
        until(b"class ")
        os.write(ours, b"q")
        until(b"\x1b[?1002l")
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(ours)
    data = json.loads(out)
    image = np.array(data["images"][0]["p8"]).reshape(8, 8)
    assert (process.returncode, data["count"], data["equal"]) == (0, 1, 1)
    assert np.flatnonzero(image.any(0)).size <= 4 and image.any(1).all()  # an upright stroke


@pytest.mark.parametrize("argv,text", [
    ([], "--draw must have a terminal to draw in, not a file or a pipe; give pictures"),
    (["--count", "3"], "--draw must be used without FILE, --count, --live"),
    (["--live"], "--draw must be used without"), (["a.png"], "--draw must be used without"),
])
def test_where_nothing_can_be_drawn(tmp_path, capsys, monkeypatch, argv, text):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    run = install(tmp_path / "run")
    assert main(["infer", "--sim", "--draw", "--run", str(run.path), *argv]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
