"""Clocks and rates of the line, as a host chooses them."""

import math

from ..boards.board import BAUD_TOLERANCE
from ..flow.errors import ConfigError
from ..hdl.uart import MAX_DIVISOR, MIN_DIVISOR

#: The clock that `hdl.top.Top`'s divisor expects after reset.
CLOCK_HZ = 12_000_000


def check_rate(option: str, value: float) -> None:
    """ConfigError unless a rate is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"{option} must be a positive number, not {value:g}")


def divisor_for(clock_hz: float, baud: float) -> int:
    """Clocks per bit for a rate; ConfigError if the clock cannot make it."""
    check_rate("--clock", clock_hz)
    check_rate("--baud", baud)
    divisor = round(clock_hz / baud)
    if not MIN_DIVISOR <= divisor <= MAX_DIVISOR:
        raise ConfigError(f"--baud must be in {clock_hz / MAX_DIVISOR:.0f}.."
                          f"{clock_hz / MIN_DIVISOR:.0f} with a clock of {clock_hz:.0f} Hz, "
                          f"not {baud:g}")
    made = clock_hz / divisor
    if abs(made / baud - 1) > BAUD_TOLERANCE:
        raise ConfigError(f"--baud must be within 2 % of the clock over an integer, not {baud:g}; "
                          f"the nearest is {made:.0f}")
    return divisor
