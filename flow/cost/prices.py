"""Energy per action, as data: `prices.toml`, or a user's own table laid over it.

What makes a clock takes power whatever is done with it, so it is part of the static price.

A price is an interval: nobody has measured most actions alone. Counts of actions are elsewhere
(`actions`), so any table prices any run.
"""

import math
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

from msgspec import Struct
from msgspec.structs import fields, replace

from ...boards.clock import SOURCES
from .. import targets
from ..config import section
from ..errors import ConfigError, unknown
from ..files import read_toml
from ..rules import Rule

FORMAT = 1
#: Where dynamic prices of a device without its own come from.
LENDER = "UP5K"
#: No iCE40 takes more; a larger number is one in another unit. Watts, and joules an action.
MOST_STATIC, MOST_DYNAMIC = 10.0, 1e-6


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """An interval, and what the quick price takes; joules an action, or watts."""

    low: float
    high: float
    typical: float | None = None
    source: str = ""

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2 if self.typical is None else self.typical


class Static(Price, frozen=True, forbid_unknown_fields=True):
    """Watts of a configured device whose clock stands still, or of a source of clocks."""

    def rules(self) -> Iterator[Rule]:
        yield from _bounds(self, MOST_STATIC, "watts")


class Action(Price, frozen=True, forbid_unknown_fields=True):
    """Joules of one action."""

    def rules(self) -> Iterator[Rule]:
        yield from _bounds(self, MOST_DYNAMIC, "joules")


def _bounds(price: Price, most: float, unit: str) -> Iterator[Rule]:
    yield "low", 0 <= price.low < math.inf, f"{unit}, 0 or more"
    yield "high", price.low <= price.high <= most, f"in low..{most:g} {unit}"
    yield "typical", price.low <= price.middle <= price.high, "in low..high"


class DevicePrices(Struct, frozen=True, kw_only=True):
    """All prices of one device. borrowed: the dynamic ones are the `LENDER`'s."""

    static: Static
    clock: Action
    flip_flop: Action
    toggle: Action
    ebr_read: Action
    ebr_write: Action
    spram_read: Action
    spram_write: Action
    cell: Action
    borrowed: bool = False

    def floor(self, clock_hz: float) -> float:
        """Joules of a clock in which nothing happens: clock network and leakage, at the least."""
        return self.clock.low + self.static.low / clock_hz


#: What [dynamic.DEVICE] holds.
ACTIONS = tuple(f.name for f in fields(DevicePrices) if f.type is Action)
#: Accesses of memories as `actions.Phase` counts them, and what their price is.
MEMORIES = {"ebr_reads": "ebr_read", "ebr_writes": "ebr_write", "spram_reads": "spram_read",
            "spram_writes": "spram_write"}
#: Of these, what a device without SPRAM does not do.
_OF_SPRAM = ("spram_read", "spram_write")
#: What [clock.DEVICE] holds: sources of clocks on the chip.
CLOCKS = SOURCES[1:]


class Prices:
    """A table: static prices by device, those of sources of clocks by device and source, dynamic
    ones by device and action.
    """

    def __init__(self, static: dict[str, Static], clocks: dict[str, dict[str, Static]],
                 dynamic: dict[str, dict[str, Action]]) -> None:
        self.static, self.clocks, self.dynamic = static, clocks, dynamic

    def known(self, device: str) -> bool:
        """Whether energy can be told on a device."""
        return device in self.static

    def of(self, device: str, clock: str = "board") -> DevicePrices:
        """The prices of a device, its dynamic ones borrowed where it has none.

        clock: where its clock comes from, of `boards.clock.SOURCES`. Raises ConfigError for a
        device without static power.
        """
        if device not in self.static:
            raise ConfigError(unknown("device with energy figures", device, self.static)
                              + f"; 'estimate --prices' takes a table with [static.{device}]")
        own, static = self.dynamic.get(device, {}), self.static[device]
        lent = clock != "board" and clock not in self.clocks.get(device, {})
        if clock != "board":
            made = self.clocks[LENDER if lent else device][clock]
            static = replace(static, low=static.low + made.low, high=static.high + made.high,
                             typical=static.middle + made.middle)
        needed = set(ACTIONS) - (set() if targets.device(device).spram else set(_OF_SPRAM))
        return DevicePrices(static=static, borrowed=lent or not needed <= set(own),
                            **{**self.dynamic[LENDER], **own})


@cache
def shipped() -> Prices:
    """The table that ships."""
    file = resources.files(__package__) / "prices.toml"
    return _parse(tomllib.loads(file.read_text()), "prices.toml", Prices({}, {}, {}))


def load(path: Path) -> Prices:
    """A user's table over the one that ships: what it leaves out stays.

    Raises ConfigError with file, key, rule and value.
    """
    return _parse(read_toml(path), str(path), shipped())


def _parse(data: dict, source: str, base: Prices) -> Prices:
    sections = ("format", "static", "clock", "dynamic")
    for name in data:
        if name not in sections:
            raise ConfigError(f"{source}: " + unknown("section", name, sections))
    if data.get("format") != FORMAT:
        raise ConfigError(f"{source}: format must be {FORMAT}, not {data.get('format')!r}; see "
                          "flow/cost/prices.toml for the table that ships")
    static = dict(base.static)
    clocks, dynamic = ({name: dict(item) for name, item in own.items()}
                       for own in (base.clocks, base.dynamic))
    for device, item in _table(data, "static", source, targets.DEVICES, "device"):
        static[device] = _price(Static, item, source, f"static.{device}")
    for device, made in _table(data, "clock", source, targets.DEVICES, "device"):
        for name, item in _table({device: made}, device, source, CLOCKS, "clock"):
            clocks.setdefault(device, {})[name] = _price(Static, item, source,
                                                         f"clock.{device}.{name}")
    for device, actions in _table(data, "dynamic", source, targets.DEVICES, "device"):
        for action, item in _table({device: actions}, device, source, ACTIONS, "action"):
            dynamic.setdefault(device, {})[action] = _price(
                Action, item, source, f"dynamic.{device}.{action}")
    return Prices(static, clocks, dynamic)


def _table(data: dict, key: str, source: str, known, kind: str) -> list[tuple[str, object]]:
    """Items of a table all of whose keys are known."""
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: {key} must be a table, not {table!r}")
    for name in table:
        if name not in known:
            raise ConfigError(f"{source}: " + unknown(kind, name, known))
    return list(table.items())


def _price(cls: type, item: object, source: str, name: str) -> Price:
    if not isinstance(item, dict):
        raise ConfigError(f"{source}: {name} must be a table with low and high, not {item!r}")
    missing = [key for key in ("low", "high") if key not in item]
    if missing:
        raise ConfigError(f"{source}: {name} must have {missing[0]}, not only "
                          f"{', '.join(item) or 'nothing'}")
    return section(cls, item, source, name)
