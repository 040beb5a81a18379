"""What a board is: a platform of amaranth-boards, link pins, a clock, and how to program it.

A new board is one file in this folder that calls `register`. Everything else (synthesis, flashing,
`spikeloom doctor`) reads the registry.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from amaranth.hdl import ClockDomain, Elaboratable, Module
from amaranth.lib import io

from .clock import MEMORIES_START, Clock, PllDomain
from .lights import lights

#: The rate of every board's UART after reset.
RESET_BAUD = 115_200
#: How far a rate may be from the one asked for, in either direction.
BAUD_TOLERANCE = 0.02

#: USB vendor and product of the chip of many boards: its second port can be a UART.
FT2232H = (0x0403, 0x6010)


#: Behind the bitstream of any UP5K, whose 104,090 bytes end below, on a block of 64 kB that
#: programmers erase as a whole.
WEIGHTS_AT = 0x20000


@dataclass(frozen=True, kw_only=True)
class Flash:
    """The SPI flash that a board configures itself from, and that a design can read then.

    resource: what the platform calls it. weights_at: byte address of a network's weights
    (`hdl.flash_image`), to which `programmer` writes the file whose path is appended. one_image:
    whether a file that holds bitstream and weights can be written as a bitstream is.
    """

    resource: tuple[str, int] = ("spi_flash_1x", 0)
    weights_at: int = WEIGHTS_AT
    programmer: tuple[str, ...] = ("iceprog", "-o", hex(WEIGHTS_AT))
    one_image: bool = True


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.

    device and package as in data sheets ("UP5K", "SG48"); clock_hz is the clock of domain `sync`,
    which is that of a pin unless there is a `clock`;
    uart, leds and buttons name resources of the platform; what the LEDs show is up to `lights`, and
    the first button steps through stored images, if the design has any. programmer is the command
    to which the bitstream's path is appended; sram_programmer loads the configuration memory
    instead of the flash, where the board can. usb is vendor and product as the programmer sees
    them; uart_port says which of that chip's serial ports is the UART, from 0 on, and is None where
    the UART needs an adapter of its own. flash: where a design may find weights, on boards whose
    device has memories for them. option: what --board takes for it, by default its name.
    """

    name: str
    title: str
    device: str
    package: str
    clock_hz: int
    clock: Clock | None = None
    make_platform: Callable[[], object]
    uart: tuple[str, int] = ("uart", 0)
    leds: tuple[tuple[str, int], ...] = ()
    buttons: tuple[tuple[str, int], ...] = ()
    programmer: tuple[str, ...] = ("iceprog",)
    sram_programmer: tuple[str, ...] | None = None
    usb: tuple[int, int] | None = None
    uart_port: int | None = None
    flash: Flash | None = None
    notes: str = ""
    option: str = ""

    @property
    def asked(self) -> str:
        """What follows --board on the command line."""
        return self.option or self.name

    def platform(self) -> object:
        """A fresh platform; each serves one build."""
        platform = self.make_platform()
        if self.clock is not None:
            self.clock.configure(platform)
        return platform

    def clocked(self, clock: Clock | None) -> "Board":
        """This board, fresh from the registry or a pin file, with another clock; None: its own."""
        return self if clock is None else replace(self, clock=clock, clock_hz=clock.hz)

    @property
    def source(self) -> str:
        """Where its clock comes from, of `clock.SOURCES`."""
        return "board" if self.clock is None else self.clock.source

    @property
    def tolerance(self) -> float:
        """The share by which its clock may be off; 0 for a crystal's, whose ppm do not matter."""
        return 0.0 if self.clock is None else self.clock.tolerance

    @property
    def needed_hz(self) -> float:
        """What a design must be able to run at: the fastest that its clock may be."""
        return self.clock_hz * (1 + self.tolerance)

    @property
    def reset_clocks(self) -> int:
        """Of the power-on reset, at least, once a PLL is locked."""
        seconds = MEMORIES_START if self.clock is None else self.clock.reset_seconds
        return round(seconds * self.clock_hz)

    @property
    def clock_pin(self) -> str:
        """The name of its clock's pin, in its package."""
        platform = self.make_platform()
        return _pin(platform.request(platform.default_clk, dir="-"))

    @property
    def input_pins(self) -> set[str]:
        """Names of the other pins that may be inputs of a design: rx, a button, of a flash cipo."""
        platform = self.make_platform()
        found = {_pin(platform.request(*self.uart, dir="-").rx)}
        found |= {_pin(platform.request(*button, dir="-")) for button in self.buttons[:1]}
        if self.flash is not None:
            found.add(_pin(platform.request(*self.flash.resource, dir="-").cipo))
        return found

    @property
    def divisor(self) -> int:
        """Clocks per bit of the UART after reset."""
        return round(self.clock_hz / RESET_BAUD)

    @property
    def ports(self) -> dict[str, str]:
        """Names of a build's top-level ports, as Amaranth makes them: clk, if it has it, rx, tx."""
        uart, clk = "_".join(map(str, self.uart)), {}
        if self.source != "hfosc":
            clk = {"clk": f"{self.platform().default_clk}_0__io"}
        return {**clk, "rx": f"{uart}__rx__io", "tx": f"{uart}__tx__io"}

    @property
    def flash_ports(self) -> dict[str, str]:
        """The same of the flash's pins, by those of a design (`FLASH_PINS`)."""
        prefix = "_".join(map(str, self.flash.resource))
        return {name: f"{prefix}__{name.removesuffix('_n')}__io" for name in FLASH_PINS}

    @property
    def weights_at(self) -> int | None:
        """The byte address of weights in the flash; None if a design cannot read one."""
        return None if self.flash is None else self.flash.weights_at

    def pins(self, top) -> "Pins":
        """`top` connected to this board's pins."""
        return Pins(self, top)


def _pin(port: io.SingleEndedPort) -> str:
    """The name of a requested pin, in the device's package."""
    return port.io.metadata[0].name


#: Pins of a design that reads a flash.
FLASH_PINS = ("cs_n", "clk", "copi", "cipo")

#: Every board by the name that the command line uses.
BOARDS: dict[str, Board] = {}


def register(board: Board) -> Board:
    """Add a board to the registry; its name must be new."""
    assert board.name not in BOARDS, f"board {board.name!r} is registered twice"
    BOARDS[board.name] = board
    return board


class Pins(Elaboratable):
    """A design with `rx`, `tx` (UART, idle high), `busy` and `cls`, on the pins of a board.

    A design with stored images also has `button`, and one that reads the flash `flash`. Inputs are
    passed on as they arrive: the design synchronises them to its own clock.
    """

    def __init__(self, board: Board, top) -> None:
        self.board = board
        self.top = top

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.top = self.top
        if self.board.source == "pll":
            m.domains.sync = ClockDomain()
            m.submodules.clock = PllDomain(self.board.clock)
        uart = platform.request(*self.board.uart, dir="-")
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [self.top.rx.eq(rx.i), tx.o.eq(self.top.tx)]
        if hasattr(self.top, "button"):
            pin = platform.request(*self.board.buttons[0], dir="-")
            m.submodules.button = button = io.Buffer("i", pin)
            m.d.comb += self.top.button.eq(button.i)
        if hasattr(self.top, "flash"):
            self._flash(m, platform)
        shown = lights(len(self.board.leds), self.top.busy, self.top.cls)
        for index, (resource, light) in enumerate(zip(self.board.leds, shown, strict=False)):
            pin = platform.request(*resource, dir="-")
            m.submodules[f"led{index}"] = led = io.Buffer("o", pin)
            m.d.comb += led.o.eq(light)
        return m

    def _flash(self, m: Module, platform) -> None:
        """The flash's pins; those that would write-protect or hold it are kept from doing so."""
        pins, flash = platform.request(*self.board.flash.resource, dir="-"), self.top.flash
        levels = {"cs": ~flash.cs_n, "clk": flash.clk, "copi": flash.copi, "wp": 0, "hold": 0}
        for name, level in levels.items():
            if hasattr(pins, name):
                m.submodules[f"flash_{name}"] = pin = io.Buffer("o", getattr(pins, name))
                m.d.comb += pin.o.eq(level)
        m.submodules.flash_cipo = cipo = io.Buffer("i", pins.cipo)
        m.d.comb += flash.cipo.eq(cipo.i)
