"""Energy of one inference, from a documented model: an estimate, never a measurement.

``E = P_static * t + cycles * (E_clock + LCs * E_lc)``. The clock term is the UP5K's clock network;
E_lc lies between a clocked but idle cell and one in busy arithmetic, so an interval is given, and
`total_nj` is its upper end. EBR accesses have no public figure and are left out.
"""

from dataclasses import dataclass

from ..errors import ConfigError, unknown

#: Static power in watts: data sheet currents (FPGA-DS-02008-1.9 for the UP5K, 75 uA; the LP/HX
#: family data sheet for the HX8K, 1,140 uA, and LP8K, 250 uA) at 1.2 V.
STATIC_W = {"UP5K": 90e-6, "HX8K": 1.37e-3, "LP8K": 300e-6}
#: Joules per clock of the UP5K's clock network of about 28 LCs; derived from the 6 to 48 MHz slope
#: of tinyvision-ai-inc/ice40_power (52 to 54 pJ).
CLOCK_J = 53e-12
#: Joules per clock and LC: clocked and nearly idle (counters of 32 to 228 LCs), and busy arithmetic
#: (an 8x8 multiplier in LUTs); both derived from the same measurements.
IDLE_LC_J, BUSY_LC_J = 14e-15, 198e-15


@dataclass(frozen=True)
class Energy:
    """nJ of one inference: static, clock network, and logic at its two bounds.

    borrowed: the dynamic coefficients are the UP5K's, because none is known for this device.
    """

    static_nj: float
    clock_nj: float
    logic_low_nj: float
    logic_high_nj: float
    borrowed: bool

    @property
    def total_nj(self) -> float:
        """The upper bound of the model."""
        return self.static_nj + self.clock_nj + self.logic_high_nj

    @property
    def low_nj(self) -> float:
        """The lower bound of the model."""
        return self.static_nj + self.clock_nj + self.logic_low_nj


def energy_of(report, cycles: float) -> Energy | None:
    """Energy of `cycles` clocks of a build at its board's clock, None without figures for it."""
    return energy_if_known(report.device, report.lc, cycles, report.clock_mhz * 1e6)


def energy_if_known(device: str, lc: float, cycles: float, clock_hz: float) -> Energy | None:
    """As `energy_nj`, None for a device without figures."""
    return energy_nj(device, lc, cycles, clock_hz) if device in STATIC_W else None


def energy_nj(device: str, lc: float, cycles: float, clock_hz: float) -> Energy:
    """Energy of `cycles` clocks at `clock_hz` on a device with `lc` cells in use.

    Raises ConfigError for a device without figures.
    """
    if device not in STATIC_W:
        raise ConfigError(unknown("device with energy figures", device, STATIC_W))
    seconds = cycles / clock_hz
    return Energy(
        static_nj=1e9 * STATIC_W[device] * seconds,
        clock_nj=1e9 * CLOCK_J * cycles,
        logic_low_nj=1e9 * IDLE_LC_J * lc * cycles,
        logic_high_nj=1e9 * BUSY_LC_J * lc * cycles,
        borrowed=device != "UP5K",
    )
