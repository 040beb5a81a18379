"""Which board a command is for: one of the registry, or a bare device with a pin file.

A pin file is TOML, its pins named as in the data sheet::

    [pins]
    clock = "35"
    clock_mhz = 12
    rx = "6"
    tx = "9"
    leds = ["11", "37"]       # these and all below may be left out
    leds_inverted = true
    buttons = ["10"]
    buttons_inverted = true
    programmer = ["iceprog"]
"""

import json
import re
import shlex
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct, to_builtins

from ..boards import Board
from ..boards.bare import bare
from ..boards.board import BAUD_TOLERANCE, RESET_BAUD
from ..hdl.uart import MAX_DIVISOR, MIN_DIVISOR
from . import targets, tools
from .config import section
from .errors import ConfigError, unknown
from .files import read_toml
from .rules import Rule

#: Option of nextpnr for a device.
_OPTIONS = {name: f"--{name.lower()}" for name in targets.DEVICES}


class PinFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The section [pins] of a pin file."""

    clock: str = ""
    clock_mhz: float = 12.0
    rx: str = ""
    tx: str = ""
    leds: tuple[str, ...] = ()
    leds_inverted: bool = False
    buttons: tuple[str, ...] = ()
    buttons_inverted: bool = False
    programmer: tuple[str, ...] = ("iceprog",)

    @property
    def uses(self) -> dict[str, str]:
        """Pin by what it is for: clock, rx, tx, leds[0], ..."""
        return {"clock": self.clock, "rx": self.rx, "tx": self.tx,
                **{f"leds[{index}]": pin for index, pin in enumerate(self.leds)},
                **{f"buttons[{index}]": pin for index, pin in enumerate(self.buttons)}}

    def rules(self) -> Iterator[Rule]:
        for key in ("clock", "rx", "tx"):
            yield key, _named(getattr(self, key)), "the name of a pin"
        for key in ("leds", "buttons"):
            yield key, all(map(_named, getattr(self, key))), "a list of names of pins"
        low, high = (divisor * RESET_BAUD / 1e6 for divisor in (MIN_DIVISOR, MAX_DIVISOR))
        clock = self.clock_mhz
        yield "clock_mhz", low <= clock <= high, f"in {low:.2f}..{high:.0f}"
        divisor = max(1, round(clock * 1e6 / RESET_BAUD))
        yield ("clock_mhz", abs(clock * 1e6 / divisor / RESET_BAUD - 1) <= BAUD_TOLERANCE,
               f"within {BAUD_TOLERANCE:.0%} of a multiple of {RESET_BAUD} Hz, the link's rate")
        yield "programmer", bool(self.programmer), "a command, such as [\"iceprog\"]"


def _named(pin: str) -> bool:
    """Whether this may be a pin's name."""
    return re.fullmatch(r"\w+", pin, re.ASCII) is not None


def add_arguments(parser) -> None:
    """--board and --pins."""
    parser.add_argument("--board", default="icebreaker",
                        help="board, or DEVICE:PACKAGE with --pins (default: icebreaker)")
    parser.add_argument("--pins", metavar="FILE",
                        help="pin file (TOML) of a bare device: --board up5k:sg48 --pins FILE")


def chosen(args) -> Board:
    """The board of the options; ConfigError if there is no such board, or its pin file is wrong."""
    if ":" not in args.board:
        if args.pins is not None:
            raise ConfigError("--pins must be used with --board DEVICE:PACKAGE, such as "
                              f"up5k:sg48, not with board {args.board}")
        return targets.board(args.board)
    if args.pins is None:
        raise ConfigError(f"--board {args.board} must come with --pins FILE, which says what its "
                          "pins are for")
    name, package = args.board.split(":", 1)
    return read(Path(args.pins), targets.device(name), package.upper())


def read(path: Path, device: targets.Device, package: str) -> Board:
    """The board that a pin file describes; ConfigError names the file and what is wrong in it."""
    data = read_toml(path)
    if set(data) != {"pins"} or not isinstance(data["pins"], dict):
        raise ConfigError(f"{path}: must hold one section [pins], not {sorted(data) or 'none'}")
    pins = section(PinFile, data["pins"], str(path), "pins")
    if pins.programmer[0] not in tools.PROGRAMMERS:
        raise ConfigError(f"{path}: pins.programmer: "
                          + unknown("programmer", pins.programmer[0], tools.PROGRAMMERS))
    _check(path, pins, device, package)
    slug = re.sub(r"[^a-z0-9_.]+", "-", f"{device.name}-{package}-{path.stem}".lower())
    # a build for other pins, or another clock, is another board's
    content = sha256(json.dumps(to_builtins(pins), sort_keys=True).encode()).hexdigest()
    option = f"{device.name.lower()}:{package.lower()} --pins {shlex.quote(str(path))}"
    return bare(name=f"{slug}-{content[:8]}", option=option, device=device.name, package=package,
                clock=pins.clock, clock_hz=round(pins.clock_mhz * 1e6), rx=pins.rx, tx=pins.tx,
                leds=pins.leds, leds_inverted=pins.leds_inverted, buttons=pins.buttons,
                buttons_inverted=pins.buttons_inverted, programmer=pins.programmer)


def _check(path: Path, pins: PinFile, device: targets.Device, package: str) -> None:
    """Hold the pins to what nextpnr knows of the package, before anything is synthesised."""
    where = f"{device.name}-{package}"
    first: dict[str, str] = {}
    for use, pin in pins.uses.items():
        if pin in first:
            raise ConfigError(f"{path}: pins.{use} must be a pin of its own, not {pin!r}, which is "
                              f"pins.{first[pin]}")
        first[pin] = use
    uses = list(pins.uses)
    ports = {f"p{index}": {"direction": "input", "bits": [index + 2]}
             for index in range(len(uses))}
    netlist = {"modules": {"top": {"attributes": {"top": "1"}, "ports": ports, "cells": {},
                                   "netnames": {}}}}
    nextpnr, = tools.prepare(["nextpnr-ice40"])
    with TemporaryDirectory(prefix="spikeloom-") as folder:
        work = Path(folder)
        (work / "pins.json").write_text(json.dumps(netlist))
        (work / "pins.pcf").write_text("".join(
            f"set_io p{index} {pin}\n" for index, pin in enumerate(pins.uses.values())))
        options = ["-q", _OPTIONS[device.name], "--package", package.lower(), "--json",
                   "pins.json", "--pcf", "pins.pcf", "--pack-only"]
        log = work / "nextpnr.log"
        ran = tools.run(nextpnr, options, cwd=work, log=log, timeout=120)
        text = log.read_text(errors="replace")
    if ran.problem is None:
        return
    if "nsupported package" in text:
        raise ConfigError(f"--board must name a package of the {device.name}, not {package}")
    missing = re.search(r"does not have a pin named '(.*)' \(on line (\d+)\)", text)
    if missing:
        raise ConfigError(f"{path}: pins.{uses[int(missing[2]) - 1]} must be a pin of the {where}, "
                          f"not {missing[1]!r}")
    raise ConfigError(f"{path}: nextpnr refuses these pins of the {where}: {ran.problem}")
