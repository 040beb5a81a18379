"""Calibration: prices of one board, from currents that its owner has measured.

A file of currents is TOML; each table may be left out, one must be there::

    volts = 1.219                  # of the core's supply, where the currents were taken

    [blank]                        # configured with the clock halted, or a blank design
    ma = 0.086

    [idle]                         # this design, clocked, with nobody asking
    ma = 0.70
    mhz = 12

    [running]                      # this design, one inference after the other
    ma = 1.10
    mhz = 12
    inferences_per_second = 100

What was measured is taken as it is, at both ends of the interval; what is left of it, nobody can
tell apart. With P = volts * current, f the clock, R the inferences a second, N the clocks of one,
t the toggles and a the joules of accesses of block memories and SPRAMs at that end of their prices
(of an inference, or of an idle clock, index i):

    P_blank   = static
    P_idle    = static + f * (clock + t_i * k * toggle + a_i * m)
    P_running = static + f * clock + k * toggle * (R * t + (f - R * N) * t_i)
              + m * (R * a + (f - R * N) * a_i)

Unknown are static, clock (with the clocking of flip-flops in it) and the factor k of the price of a
toggle. Of memories nothing is known: at one end accesses take nothing, as their lower prices say,
at the other m, a share of their upper prices, is as much as the currents allow.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from ..config import section
from ..errors import ConfigError, unknown
from ..files import read_toml
from ..rules import Rule
from .actions import Actions, Phase
from .prices import MEMORIES, Action, DevicePrices, Price

#: Of a supply, and of a current from it, that an iCE40's core may be measured at.
LEAST_VOLTS, MOST_VOLTS, MOST_MA, MOST_MHZ = 0.5, 24.0, 1000.0, 300.0


class Supply(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the currents were taken."""

    volts: float = 0.0

    def rules(self) -> Iterator[Rule]:
        yield ("volts", LEAST_VOLTS <= self.volts <= MOST_VOLTS,
               f"in {LEAST_VOLTS:g}..{MOST_VOLTS:g}, the supply at which the currents were taken")


class Blank(Struct, frozen=True, forbid_unknown_fields=True):
    """A device whose clock stands still."""

    ma: float = -1.0

    def rules(self) -> Iterator[Rule]:
        yield "ma", 0 <= self.ma <= MOST_MA, f"in 0..{MOST_MA:g} mA"


class Idle(Blank, frozen=True, forbid_unknown_fields=True):
    """The design, clocked at `mhz`, with nobody asking."""

    mhz: float = 0.0

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield "mhz", 0 < self.mhz <= MOST_MHZ, f"in 0..{MOST_MHZ:g}, above 0"


class Running(Idle, frozen=True, forbid_unknown_fields=True):
    """The design at work."""

    inferences_per_second: float = 0.0

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield ("inferences_per_second", 0 < self.inferences_per_second < math.inf,
               "a positive number")


_TABLES = {"blank": Blank, "idle": Idle, "running": Running}


@dataclass(frozen=True)
class Currents:
    """What was measured; None for what was not."""

    volts: float
    blank: Blank | None = None
    idle: Idle | None = None
    running: Running | None = None

    def watts(self, measured: Blank) -> float:
        return 1e-3 * self.volts * measured.ma


@dataclass(frozen=True)
class Calibrated:
    """Prices that meet the currents at both ends; factors of the toggle's two bounds.

    residuals: model over measured, less 1, of each current, the worse of both ends.
    """

    prices: DevicePrices
    factors: tuple[float, float]
    residuals: dict[str, float]

    def text(self) -> str:
        taken = {"blank": "static power", "idle": "the clock with the clocking of flip-flops",
                 "running": "toggles"}
        low, high = self.factors
        scale = "" if "running" not in self.residuals else (
            f"; toggles cost {low:.3g} times the table's lower and {high:.3g} times its upper "
            "bound")
        worst = max(map(abs, self.residuals.values()))
        return ("calibrated from measured currents: " + ", ".join(
            taken[name] for name in _TABLES if name in self.residuals)
            + f"{scale}; the model misses the currents by {worst:.1%} at most")


def load_currents(path: Path) -> Currents:
    """A file of currents; ConfigError with file, key, rule and value."""
    data, source = read_toml(path), str(path)
    for name in data:
        if name not in ("volts", *_TABLES):
            raise ConfigError(f"{source}: " + unknown("key", name, ("volts", *_TABLES)))
    volts = section(Supply, {"volts": data.get("volts", 0.0)}, source, "supply").volts
    found = {}
    for name, cls in _TABLES.items():
        if name in data:
            if not isinstance(data[name], dict):
                raise ConfigError(f"{source}: {name} must be a table [{name}], not "
                                  f"{data[name]!r}")
            found[name] = section(cls, data[name], source, name)
    if not found:
        raise ConfigError(f"{source}: must have at least one of [blank], [idle] and [running]")
    ordered = [(name, found[name]) for name in _TABLES if name in found]
    for (less, a), (more, b) in pairwise(ordered):
        if less == "blank" and b.ma <= a.ma:
            raise ConfigError(f"{source}: {more}.ma must be above {less}.ma = {a.ma:g}, not "
                              f"{b.ma:g}")
    return Currents(volts, **found)


@dataclass(frozen=True)
class _Work:
    """Toggles and joules of memories, of an idle clock and of an inference, and its clocks."""

    idle_toggles: float
    idle_accesses: float
    toggles: float
    accesses: float
    clocks: float

    @classmethod
    def of(cls, actions: Actions, divisor: int, prices: DevicePrices, high: bool) -> "_Work":
        """high: at the upper prices of accesses, in place of the lower ones."""
        def counts(phase: Phase) -> tuple[float, float]:
            return sum(phase.toggles.values()), sum(
                _bound(getattr(prices, price), high) * sum(getattr(phase, accesses).values())
                for accesses, price in MEMORIES.items())

        whole = Phase()
        for phase in actions.mean(divisor):
            whole = whole.plus(phase)
        return cls(*counts(actions.idle), *counts(whole), whole.clocks)


@dataclass(frozen=True)
class _End:
    """One end of the interval: watts, joules a clock, a toggle and a flip-flop's clock, and the
    share that accesses of memories take of their prices.
    """

    static: float
    clock: float
    toggle: float
    memory: float
    flip_flop: float

    def watts(self, work: _Work, measured: Blank) -> float:
        """What the model says of a current."""
        if not isinstance(measured, Idle):
            return self.static
        f = 1e6 * measured.mhz
        rate = measured.inferences_per_second if isinstance(measured, Running) else 0.0
        rest = f - rate * work.clocks
        return (self.static + f * self.clock
                + self.toggle * (rate * work.toggles + rest * work.idle_toggles)
                + self.memory * (rate * work.accesses + rest * work.idle_accesses))


def calibrate(prices: DevicePrices, actions: Actions, currents: Currents, *, divisor: int,
              source: str) -> Calibrated:
    """Prices of the device with which the model meets the currents, at a rate of the line.

    Raises ConfigError if nothing can meet them; it names `source`.
    """
    works = [_Work.of(actions, divisor, prices, high) for high in (False, True)]
    work, running = works[0], currents.running
    if running is not None:
        most = 1e6 * running.mhz / work.clocks
        if running.inferences_per_second > most:
            raise ConfigError(f"{source}: running.inferences_per_second must be at most {most:.6g} "
                              f"at {running.mhz:g} MHz and {divisor} clocks per bit, not "
                              f"{running.inferences_per_second:g}; --baud says how fast the line "
                              "was")
    low, high = ends = [_end(prices, work, currents, source, high)
                        for high, work in enumerate(works)]

    def made(price: Action, low: float, high: float) -> Action:
        return msgspec.structs.replace(price, low=low, high=high, typical=None,
                                       source=f"calibrated with {source}")

    def pair(name: str, price: Action) -> Action:
        return made(price, getattr(low, name), getattr(high, name))

    fitted = msgspec.structs.replace(
        prices, static=msgspec.structs.replace(prices.static, low=low.static, high=high.static,
                                               typical=None),
        clock=pair("clock", prices.clock), flip_flop=pair("flip_flop", prices.flip_flop),
        toggle=pair("toggle", prices.toggle), **{
            name: made(price, low.memory * price.low, high.memory * price.high)
            for name in MEMORIES.values() for price in [getattr(prices, name)]})
    residuals = {}
    for name in _TABLES:
        measured = getattr(currents, name)
        if measured is not None and measured.ma:
            residuals[name] = max((end.watts(work, measured) / currents.watts(measured) - 1
                                   for end, work in zip(ends, works)), key=abs)
    factors = tuple(end.toggle / bound if bound else math.inf for end, bound in (
        (low, prices.toggle.low), (high, prices.toggle.high)))
    return Calibrated(fitted, factors, residuals)


def _bound(price: Price, high: bool) -> float:
    return price.high if high else price.low


def _end(prices: DevicePrices, work: _Work, currents: Currents, source: str, high: bool) -> _End:
    """Solve for one end: what memories cost is nothing, or as much as it can."""
    def bound(price) -> float:
        return _bound(price, high)

    blank, idle, running = currents.blank, currents.idle, currents.running
    static = bound(prices.static) if blank is None else currents.watts(blank)
    toggle, limits = bound(prices.toggle), [1.0]
    if idle is None and running is None:
        return _End(static, bound(prices.clock), toggle, 1.0, bound(prices.flip_flop))
    if idle is None:  # the table's clock stays, and toggles are all that is left
        clock = prices.clock.middle
        f, rate = 1e6 * running.mhz, running.inferences_per_second
        spare = _above(currents, running, "running", static + f * clock, source)
        rest = f - rate * work.clocks
        toggles = rate * work.toggles + rest * work.idle_toggles
        accesses = rate * work.accesses + rest * work.idle_accesses
        if accesses:
            limits.append(spare / accesses)
        share = min(limits)
        return _End(static, clock, (spare - share * accesses) / toggles, share, 0.0)
    each = _above(currents, idle, "idle", static, source) / (1e6 * idle.mhz)
    # clock and toggle as they are with free memories, and what a joule of accesses changes
    slope, change = 0.0, work.idle_accesses
    if running is not None:
        rate = running.inferences_per_second
        spare = _above(currents, running, "running", static + 1e6 * running.mhz * each, source)
        toggles = work.toggles - work.clocks * work.idle_toggles
        accesses = work.accesses - work.clocks * work.idle_accesses
        if toggles <= 0:
            raise ConfigError(f"{source}: [running] must be measured on a faster line: at this "
                              "one an inference does no more than waiting does, so its current "
                              "says nothing; see --baud")
        toggle, slope = spare / rate / toggles, accesses / toggles
        if slope > 0:
            limits.append(toggle / slope)
        change -= slope * work.idle_toggles
    clock = each - toggle * work.idle_toggles
    if clock <= 0:
        raise ConfigError(f"{source}: idle.ma must be more for this design at {idle.mhz:g} MHz, "
                          f"whose toggles alone take {1e12 * toggle * work.idle_toggles:.1f} pJ a "
                          f"clock, not {idle.ma:g}: {1e12 * each:.1f} pJ a clock")
    if change > 0:
        limits.append((clock - min(clock, prices.clock.low)) / change)
    share = max(0.0, min(limits))
    return _End(static, clock - share * change, toggle - share * slope, share, 0.0)


def _above(currents: Currents, measured: Blank, name: str, least: float, source: str) -> float:
    """Watts of a current above `least`; ConfigError if there are none."""
    spare = currents.watts(measured) - least
    if spare <= 0:
        raise ConfigError(f"{source}: {name}.ma must be above {1e3 * least / currents.volts:.4g}, "
                          "which what does not depend on it takes, not "
                          f"{measured.ma:g}")
    return spare
