"""Devices: what a cell conducts in each of its states, how far that spreads, what writing takes.

Presets are data with their sources (`devices.toml`); a user's own measurements are a CSV of mean
and spread by state (`load_states`). Between r_off and r_on the states lie evenly, as digits are
worth. Laws of variation, with N standard normal and G clipped at 0:

* `proportional`: ``G (1 + sigma N)``;
* `state_independent`: ``G + sigma G_on N``, sigma a share of the largest conductance;
* `absolute`: ``G + sigma N``, sigma in siemens;
* `lognormal`: ``G exp(sigma N)``, whose median is G, sigma the deviation of ln G;
* `states`: ``G + sigma sigma_state N``, sigma times what the user's table has for the state.
"""

import csv
import io
import math
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from msgspec import Struct, structs

from ..config import section
from ..errors import ConfigError, unknown
from ..rules import Rule
from .array import Array

#: Law of variation -> states, digits, sigma and standard normal numbers -> siemens, maybe negative.
LAWS: dict[str, Callable] = {
    "proportional": lambda cells, at, sigma, normal: cells.mean[at] * (1 + sigma * normal),
    "state_independent": lambda cells, at, sigma, normal: (cells.mean[at]
                                                           + sigma * cells.on * normal),
    "absolute": lambda cells, at, sigma, normal: cells.mean[at] + sigma * normal,
    "lognormal": lambda cells, at, sigma, normal: cells.mean[at] * np.exp(sigma * normal),
    "states": lambda cells, at, sigma, normal: cells.mean[at] + sigma * cells.sigma[at] * normal,
}

#: Columns of a table of states.
COLUMNS = ("state", "mean_siemens", "sigma_siemens")


class Device(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of cell. pulses of pulse_volts and pulse_seconds write it from r_off to r_on."""

    r_on: float
    r_off: float
    states: int
    v_read: float
    variation: float | None = None
    law: str = "proportional"
    pulses: int | None = None
    pulse_seconds: float | None = None
    pulse_volts: float | None = None
    source: str

    def rules(self) -> Iterator[Rule]:
        for name in ("r_on", "r_off", "v_read"):
            yield name, 0 < getattr(self, name) < math.inf, "more than 0 and finite"
        yield "r_on", self.r_on < self.r_off, f"less than r_off, {self.r_off:g} ohm"
        yield "states", 2 <= self.states <= 1 << 8, "in 2..256"
        for name in ("variation", "pulses", "pulse_seconds", "pulse_volts"):
            value = getattr(self, name)
            yield name, value is None or 0 < value < math.inf, "more than 0 and finite"
        yield "law", self.law in LAWS, f"one of {', '.join(LAWS)}"


@dataclass(frozen=True)
class States:
    """Conductance by digit: mean and sigma in siemens, float64 [2**cell_bits]; sigma None but in
    a user's table.
    """

    mean: np.ndarray
    sigma: np.ndarray | None = None

    @property
    def off(self) -> float:
        """Siemens of the digit 0, whose leakage is subtracted."""
        return float(self.mean[0])

    @property
    def on(self) -> float:
        return float(self.mean[-1])

    @property
    def step(self) -> float:
        """Siemens that one count is worth: the range over its steps."""
        return (self.on - self.off) / (len(self.mean) - 1)


@dataclass(frozen=True)
class Programming:
    """Writing one cell from its least to its most conducting state."""

    pulses: int
    seconds: float
    joules: float


@cache
def presets() -> dict[str, Device]:
    """The devices that ship, by name."""
    data = tomllib.loads((resources.files(__package__) / "devices.toml").read_text())
    return {name: section(Device, item, "devices.toml", name) for name, item in data.items()}


def preset(name: str) -> Device:
    """The device of that name; ConfigError with a suggestion for an unknown one."""
    if name not in presets():
        raise ConfigError(unknown("device", name, presets())
                          + "; a table of your own is a CSV with " + ", ".join(COLUMNS))
    return presets()[name]


def with_device(array: Array, name: str) -> Array:
    """An array of a preset's cells; ConfigError if they have fewer states than it wants."""
    device = preset(name)
    if 1 << array.cell_bits > device.states:
        raise ConfigError(f"array.cell_bits must be at most {device.states.bit_length() - 1} with "
                          f"{name}, whose cells have {device.states} states, not "
                          f"{array.cell_bits}")
    return structs.replace(array, r_on=device.r_on, r_off=device.r_off,
                           v_read=device.v_read).check()


def programming(name: str) -> Programming:
    """What writing a preset's cell takes; ConfigError if its source does not say.

    The energy is the cell's alone, ``V^2 (G_off + G_on) / 2`` for the time of the pulses, as
    NeuroSim counts it; the line's capacitance is not in it.
    """
    device = preset(name)
    for field in ("pulses", "pulse_seconds", "pulse_volts"):
        if getattr(device, field) is None:
            raise ConfigError(f"{name}.{field} is not known, so neither are the energy and time of "
                              f"programming; its source is: {device.source}")
    seconds = device.pulses * device.pulse_seconds
    joules = device.pulse_volts ** 2 * (1 / device.r_on + 1 / device.r_off) / 2 * seconds
    return Programming(pulses=device.pulses, seconds=seconds, joules=joules)


def states(array: Array) -> States:
    """Evenly spaced states from 1 / r_off to 1 / r_on."""
    array.check()
    return States(np.linspace(1 / array.r_off, 1 / array.r_on, 1 << array.cell_bits))


def programmed(states: States, digits: np.ndarray, law: str, sigma: float,
               rng: np.random.Generator) -> np.ndarray:
    """Conductances of cells programmed to `digits`: float64 siemens in their shape, 0 or more.

    Raises ConfigError for an unknown law, and for `states` without a table of them.
    """
    if law not in LAWS:
        raise ConfigError(unknown("law of variation", law, LAWS))
    if law == "states" and states.sigma is None:
        raise ConfigError("law of variation must be another than states where no table of states "
                          f"is given; give a CSV with {', '.join(COLUMNS)}")
    return np.maximum(LAWS[law](states, digits, sigma, rng.standard_normal(digits.shape)), 0)


def load_states(path: Path, array: Array) -> States:
    """A user's table: CSV with the columns of `COLUMNS`, one row for each of 2**cell_bits states.

    Raises ConfigError with the file, the line, the rule and the value.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})"
                          ) from error
    rows = [[word.strip() for word in row] for row in csv.reader(io.StringIO(text)) if row]
    if not rows or rows[0] != list(COLUMNS):
        raise ConfigError(f"{path}: the first line must be {','.join(COLUMNS)}, not "
                          f"{','.join(rows[0]) if rows else 'nothing'}")
    found = {}
    for number, row in enumerate(rows[1:], 2):
        try:
            state, mean, sigma = int(row[0]), float(row[1]), float(row[2])
        except (ValueError, IndexError) as error:
            raise ConfigError(f"{path}: row {number} must be a state and two numbers, not "
                              f"{','.join(row)}") from error
        for name, value in (("mean_siemens", mean), ("sigma_siemens", sigma)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"{path}: row {number}: {name} must be 0 or more and finite, not "
                                  f"{value:g}")
        if state in found:
            raise ConfigError(f"{path}: row {number}: state {state} must not come twice")
        found[state] = mean, sigma
    wanted = 1 << array.cell_bits
    if sorted(found) != list(range(wanted)):
        raise ConfigError(f"{path}: must have the states 0..{wanted - 1} of {array.cell_bits} bits "
                          f"a cell, not {', '.join(map(str, sorted(found))) or 'none'}; set "
                          "array.cell_bits to what was measured")
    mean, sigma = np.array([found[state] for state in range(wanted)]).T
    if (np.diff(mean) <= 0).any():
        state = int(np.flatnonzero(np.diff(mean) <= 0)[0]) + 1
        raise ConfigError(f"{path}: mean_siemens must grow with the state, not fall from "
                          f"{mean[state - 1]:g} to {mean[state]:g} at state {state}")
    return States(mean, sigma)
