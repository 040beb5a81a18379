"""What a board is: a platform of amaranth-boards, link pins, a clock, and how to program it.

A new board is one file in this folder that calls `register`. Everything else (synthesis, flashing,
`spikeloom doctor`) reads the registry.
"""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Cat, Elaboratable, Module
from amaranth.lib import io


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.

    device and package as in data sheets ("UP5K", "SG48"); clock_hz is the clock of domain `sync`;
    uart and leds name resources of the platform (the first LED shows `busy`, the others the class
    from its lowest bit). programmer is the command to which the bitstream's path is appended;
    sram_programmer loads the configuration memory instead of the flash, where the board can.
    """

    name: str
    title: str
    device: str
    package: str
    clock_hz: int
    make_platform: Callable[[], object]
    uart: tuple[str, int] = ("uart", 0)
    leds: tuple[tuple[str, int], ...] = ()
    programmer: tuple[str, ...] = ("iceprog",)
    sram_programmer: tuple[str, ...] | None = None
    usb: tuple[int, int] | None = None
    notes: str = ""

    def platform(self) -> object:
        """A fresh platform; each serves one build."""
        return self.make_platform()

    @property
    def ports(self) -> dict[str, str]:
        """Names of a build's top-level ports, as Amaranth makes them: clk, rx, tx."""
        uart = "_".join(map(str, self.uart))
        return {"clk": f"{self.platform().default_clk}_0__io", "rx": f"{uart}__rx__io",
                "tx": f"{uart}__tx__io"}

    def pins(self, top) -> "Pins":
        """`top` (signals rx, tx, busy, cls) connected to this board's pins."""
        return Pins(self, top)


#: Every board by the name that the command line uses.
BOARDS: dict[str, Board] = {}


def register(board: Board) -> Board:
    """Add a board to the registry; its name must be new."""
    assert board.name not in BOARDS, f"board {board.name!r} is registered twice"
    BOARDS[board.name] = board
    return board


class Pins(Elaboratable):
    """A design with `rx`, `tx` (UART, idle high), `busy` and `cls`, on the pins of a board.

    `rx` is passed on as it arrives: the design synchronises it to its own clock.
    """

    def __init__(self, board: Board, top) -> None:
        self.board = board
        self.top = top

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.top = self.top
        uart = platform.request(*self.board.uart, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [self.top.rx.eq(rx.i), tx.o.eq(self.top.tx)]
        shown = Cat(self.top.busy, self.top.cls)
        for index, resource in enumerate(self.board.leds[:len(shown)]):
            pin = platform.request(*resource, dir="-")
            m.submodules[f"led{index}"] = led = io.Buffer("o", pin)
            m.d.comb += led.o.eq(shown[index])
        return m
