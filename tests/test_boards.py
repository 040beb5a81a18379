"""Boards: what their pins carry, and what their LEDs show."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator
from test_build import Registers

from spikeloom.boards import BOARDS
from spikeloom.boards.lights import lights
from spikeloom.flow import build, targets
from spikeloom.hdl.uart import MAX_DIVISOR


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_takes_a_design_on_its_own_pins(name):
    board = BOARDS[name]
    plan = build.prepare(Registers(1), board, design="d")
    pcf = [line.split() for line in plan.files[build.CONSTRAINTS].splitlines()
           if line.startswith(("set_io", "set_frequency"))]
    where = {word[1]: word[2] for word in pcf if word[0] == "set_io"}
    assert set(board.ports.values()) <= set(where)
    assert len(set(where.values())) == len(where), "a pin has two uses"
    assert [word[2] for word in pcf if word[0] == "set_frequency"] == [str(board.clock_hz / 1e6)]
    package = plan.commands["nextpnr-ice40"]
    assert f"--{board.device.lower()}" in package
    assert package[package.index("--package") + 1] == board.package.lower()


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_starts_at_115200_baud(name):
    board = BOARDS[name]
    assert board.divisor <= MAX_DIVISOR
    assert board.clock_hz / board.divisor == pytest.approx(115200, rel=0.005)


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_can_be_programmed_and_says_how_to_reach_its_uart(name):
    board = BOARDS[name]
    assert board.usb is not None and board.programmer
    assert board.uart_port is not None or "adapter" in board.notes
    assert targets.board(name) is board


@pytest.mark.parametrize("count, width, shown", [
    (0, 4, []), (1, 4, ["status"]), (2, 4, ["alive", "busy"]), (4, 4, ["alive", "busy"]),
    (5, 4, ["status", 0, 1, 2, 3]), (6, 4, ["alive", "busy", 0, 1, 2, 3]),
    (8, 4, ["alive", "busy", 0, 1, 2, 3]), (2, 1, ["status", 0]), (3, 2, ["status", 0, 1]),
])
def test_lights_show_the_class_whole_or_not_at_all(count, width, shown):
    busy, cls = Signal(), Signal(width)
    found = lights(count, busy, cls)
    assert len(found) == len(shown)
    m = Module()
    outputs = [Signal(name=f"led{index}") for index in range(len(found))]
    m.d.comb += [out.eq(light) for out, light in zip(outputs, found)]
    ticks = Signal()
    m.d.sync += ticks.eq(~ticks)  # for the reset of domain sync

    async def check(ctx):
        for is_busy in (0, 1):
            for code in range(1 << width):
                ctx.set(busy, is_busy)
                ctx.set(cls, code)
                wanted = {"alive": 1, "busy": is_busy, "status": 1 - is_busy}
                assert [ctx.get(out) for out in outputs] == [
                    wanted[what] if isinstance(what, str) else code >> what & 1 for what in shown]

    sim = Simulator(m)
    sim.add_clock(1e-6)
    sim.add_testbench(check)
    sim.run()
