"""Devices whose clock is not known well: the driver finds their rate, and from it their clock."""

from itertools import pairwise

import pytest

from spikeloom.flow.errors import LinkError
from spikeloom.hdl import protocol
from spikeloom.sim import rate_search
from spikeloom.sim.host import Device, NoAnswerError
from spikeloom.sim.simulated import SimTransport

#: Clocks a bit: enough that a rate is found by fractions of a bit.
DIVISOR, CLOCK_HZ = 16, 24e6


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Half a request is given up soon, by both sides, since a simulation is slow."""
    monkeypatch.setattr(protocol, "SILENCE_BITS", 6)


def device(counting_top, true_hz, **options):
    """A device that is believed to have CLOCK_HZ, on a line of the rate that follows."""
    line = SimTransport(counting_top(divisor=DIVISOR, silence_bits=6, clocks=20), clock_hz=true_hz,
                        timeout=0.0005)
    line.baud = CLOCK_HZ / DIVISOR
    return Device(line, clock_hz=CLOCK_HZ, **options)


@pytest.mark.parametrize("off", [-0.095, 0.06])
def test_the_rate_of_any_clock_within_the_tolerance_is_found(counting_top, off):
    found = device(counting_top, CLOCK_HZ * (1 + off))
    rate_search.meet(found, CLOCK_HZ / DIVISOR, 0.1)
    assert found.clock_hz == pytest.approx(CLOCK_HZ * (1 + off), rel=0.02)
    assert found.transport.baud == pytest.approx(found.clock_hz / DIVISOR)
    assert found.transport.timeout == 0.0005
    found.set_divisor(2 * DIVISOR)  # asks at the new rate, which is of the clock that was found
    assert found.infer([1, 2, 3, 4, 5, 6]).scores[0] == 21


def test_a_device_that_answers_at_no_rate_is_said_to():
    class Silent:
        name, baud, timeout = "silent", 1e6, 2.0
        tried = []

        def write(self, data):
            self.tried.append(self.baud)

        def read(self, n, timeout):
            return b""

    line = Silent()
    with pytest.raises(NoAnswerError, match="no answer from 900000 to 1100000 baud"):
        rate_search.meet(Device(line, clock_hz=CLOCK_HZ), 1e6, 0.1)
    assert {round(baud, -4) for baud in line.tried} == {1e6, 1.04e6, 0.96e6, 1.08e6, 0.92e6}
    assert line.timeout == 2.0


def test_another_design_is_said_at_once(counting_top):
    with pytest.raises(LinkError, match="runs design"):
        rate_search.meet(device(counting_top, CLOCK_HZ, expect=bytes(8)), CLOCK_HZ / DIVISOR, 0.1)


def test_tries_lie_close_enough_to_meet_every_clock():
    for tolerance in (0.01, 0.05, 0.1, 0.2):
        tried = sorted(rate_search.offsets(tolerance))
        assert tried[-1] >= tolerance - rate_search.STEP / 2 and tried[0] == -tried[-1]
        assert all(b - a == pytest.approx(rate_search.STEP) for a, b in pairwise(tried))
