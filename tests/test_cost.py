"""The energy model against its figures."""

import pytest

from spikeloom.flow.cost.energy import energy_if_known, energy_nj
from spikeloom.flow.errors import ConfigError


def test_energy_is_the_documented_sum():
    energy = energy_nj("UP5K", lc=1000, cycles=1200, clock_hz=12e6)
    assert energy.static_nj == pytest.approx(90e-6 * 100e-6 * 1e9)
    assert energy.clock_nj == pytest.approx(53e-12 * 1200 * 1e9)
    assert energy.logic_high_nj == pytest.approx(198e-15 * 1000 * 1200 * 1e9)
    assert energy.low_nj < energy.total_nj and not energy.borrowed
    assert energy_nj("HX8K", 1, 1, 12e6).borrowed


def test_a_device_without_figures_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'UP5K'"):
        energy_nj("UP5", 1, 1, 12e6)
    assert energy_if_known("HX1K", 1, 1, 12e6) is None
