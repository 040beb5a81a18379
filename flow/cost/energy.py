"""The quick price: energy of one inference from cells and clocks alone, for a search.

``E = P_static * t + cycles * (E_clock + LCs * E_cell)`` at the prices of `prices.toml`. Nothing is
known of the activity, so E_cell lies between a clocked but idle cell and one in busy arithmetic;
`total_nj` is the upper end. Accesses of block memories and SPRAMs are left out, and so can exceed
it: nobody knows how many there are before a simulation has counted them, nor what one takes. What a
simulation counts, these among them, is priced in `split`.
"""

from dataclasses import dataclass

from .prices import shipped


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
    """Energy of `cycles` clocks of a build at its own clock, None without figures for it."""
    return energy_if_known(report.device, report.lc, cycles, report.clock_mhz * 1e6, report.clock)


def energy_if_known(device: str, lc: float, cycles: float, clock_hz: float,
                    clock: str = "board") -> Energy | None:
    """As `energy_nj`, None for a device without figures."""
    if not shipped().known(device):
        return None
    return energy_nj(device, lc, cycles, clock_hz, clock)


def energy_nj(device: str, lc: float, cycles: float, clock_hz: float,
              clock: str = "board") -> Energy:
    """Energy of `cycles` clocks at `clock_hz` on a device with `lc` cells in use.

    clock: where they come from (`boards.clock.SOURCES`), which is part of the static energy.

    Raises ConfigError for a device without figures.
    """
    prices = shipped().of(device, clock)
    return Energy(
        static_nj=1e9 * prices.static.middle * cycles / clock_hz,
        clock_nj=1e9 * prices.clock.middle * cycles,
        logic_low_nj=1e9 * prices.cell.low * lc * cycles,
        logic_high_nj=1e9 * prices.cell.high * lc * cycles,
        borrowed=prices.borrowed,
    )
