"""The rate of a device whose clock is not known well, such as an oscillator's on the chip.

Both sides of a line take a rate that is off by half a bit in the ten of a byte, some 5 % together,
so a few tries meet any clock within `tolerance`; the middle of the rates that are answered is then
the device's own, and says what its clock is.
"""

import math

from .host import Device, NoAnswerError

#: From one try to the next, and in the search for both ends, as shares of the nominal rate.
STEP, FINE = 0.04, 0.01
#: As far from the first rate that is answered its ends are looked for, at most.
REACH = 0.08
#: Seconds that a try waits: a device that hears answers at once.
PATIENCE = 0.25


def offsets(tolerance: float) -> list[float]:
    """What is tried, the nearest first: ``0, 0.04, -0.04, 0.08, -0.08`` for 0.1."""
    most = math.ceil((tolerance - STEP / 2) / STEP - 1e-9)
    return [0.0, *(sign * step * STEP for step in range(1, most + 1) for sign in (1, -1))]


def meet(device: Device, nominal: float, tolerance: float) -> None:
    """Set the line to the rate of a device, `nominal` within `tolerance`, and its clock to match.

    Raises NoAnswerError if it answers at none; LinkError if it is another design.
    """
    line = device.transport
    patience, line.timeout = line.timeout, min(line.timeout, PATIENCE)

    def answers(offset: float) -> bool:
        line.baud = nominal * (1 + offset)
        try:
            device.info()
        except NoAnswerError:
            return False
        return True

    try:
        found = next((offset for offset in offsets(tolerance) if answers(offset)), None)
        if found is None:
            low, high = (nominal * (1 + sign * tolerance) for sign in (-1, 1))
            raise NoAnswerError(f"{line.name}: no answer from {low:.0f} to {high:.0f} baud, which "
                                "is where the clock of this build can be; check that the board is "
                                "flashed and connected here (its reset restores the rate)")
        ends = []
        for sign in (1, -1):
            end = found
            while abs(end - found) < REACH and answers(end + sign * FINE):
                end += sign * FINE
            ends.append(end)
        middle = sum(ends) / 2
        line.baud = nominal * (1 + middle)
        device.clock_hz *= 1 + middle
    finally:
        line.timeout = patience
    device.info()
