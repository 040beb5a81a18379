"""Devices as data: what each iCE40 holds, and which is the smallest that holds a design.

A resource is counted as nextpnr counts it: logic cells (ICESTORM_LC, a LUT4, a flip-flop and a
carry each), EBR (ICESTORM_RAM, 4,096 bits), SPRAM (262,144 bits) and DSP (16x16 multipliers).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..boards import BOARDS, Board
from .errors import ConfigError, unknown

#: Resource of `Device`, and of a report, by nextpnr's name of the cell.
CELLS = {"ICESTORM_LC": "lc", "ICESTORM_RAM": "ebr", "ICESTORM_SPRAM": "spram",
         "ICESTORM_DSP": "dsp"}

#: How messages call a resource.
TITLES = {"lc": "LCs", "ebr": "EBRs", "spram": "SPRAMs", "dsp": "DSPs"}


@dataclass(frozen=True, kw_only=True)
class Device:
    """Capacities of one device; bitstream_bytes is the size of a configuration file for it."""

    name: str
    lc: int
    ebr: int
    spram: int
    dsp: int
    bitstream_bytes: int
    source: str

    @property
    def capacity(self) -> dict[str, int]:
        return {"lc": self.lc, "ebr": self.ebr, "spram": self.spram, "dsp": self.dsp}

    def excess(self, used: Mapping[str, int]) -> dict[str, int]:
        """By how much `used` (counts by resource) exceeds this device; empty if it fits."""
        return {key: used.get(key, 0) - has for key, has in self.capacity.items()
                if used.get(key, 0) > has}


# Capacities are those that nextpnr 0.11 reports as available, too. Sizes of bitstreams: measured,
# one design for each device (a configuration has one size, whatever it configures).
_UP = "Lattice iCE40 UltraPlus family data sheet, FPGA-DS-02008-1.9"
_LPHX = "Lattice iCE40 LP/HX family data sheet"

DEVICES: dict[str, Device] = {device.name: device for device in (
    Device(name="HX1K", lc=1280, ebr=16, spram=0, dsp=0, bitstream_bytes=32220, source=_LPHX),
    Device(name="LP1K", lc=1280, ebr=16, spram=0, dsp=0, bitstream_bytes=32220, source=_LPHX),
    Device(name="UP5K", lc=5280, ebr=30, spram=4, dsp=8, bitstream_bytes=104090, source=_UP),
    Device(name="HX8K", lc=7680, ebr=32, spram=0, dsp=0, bitstream_bytes=135100, source=_LPHX),
    Device(name="LP8K", lc=7680, ebr=32, spram=0, dsp=0, bitstream_bytes=135100, source=_LPHX),
)}


def device(name: str) -> Device:
    """The device of that name, in any case; ConfigError with a suggestion for an unknown one."""
    found = DEVICES.get(str(name).upper())
    if found is None:
        raise ConfigError(unknown("device", str(name).upper(), DEVICES))
    return found


#: Families that Yosys alone is asked about (`flow.estimated`): there is no board and no bitstream.
ESTIMATED = ("artix7", "ecp5")


def board(name: str) -> Board:
    """The board of that name; ConfigError with a suggestion for an unknown one."""
    if name in ESTIMATED:
        raise ConfigError(f"board must be one that is built for ({', '.join(sorted(BOARDS))}), not "
                          f"{name!r}, which is only estimated: 'spikeloom estimate --target "
                          f"{name}'")
    if name not in BOARDS:
        raise ConfigError(unknown("board", name, BOARDS))
    return BOARDS[name]


def smallest(used: Mapping[str, int]) -> Device | None:
    """The first device in ascending order of LCs that holds `used`; None if none does."""
    fitting = [item for item in DEVICES.values() if not item.excess(used)]
    return min(fitting, key=lambda item: item.lc, default=None)


def advice(name: str, used: Mapping[str, int], *, at_least: bool = False) -> str:
    """Why `used` does not fit device `name`, by how much, and the nearest device that does.

    A pure text: ``6,120 LCs do not fit the UP5K's 5,280 (840 too many); ...``. at_least: whether
    the LCs are only the fewest that there can be.
    """
    has = device(name)
    parts = [f"{'at least ' * (at_least and key == 'lc')}{used[key]:,} {TITLES[key]} do not fit "
             f"the {has.name}'s {has.capacity[key]:,} ({more:,} too many)"
             for key, more in has.excess(used).items()]
    fits = smallest(used)
    if fits is None:
        nearest = "no known device holds it: make the network smaller"
    else:
        names = sorted(item.name for item in BOARDS.values() if item.device == fits.name)
        some = " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
        where = f", on board {some}" if names else ""
        holds = "may hold" if at_least else "holds"
        nearest = f"the smallest known device that {holds} it is the {fits.name}{where}"
    return f"{' and '.join(parts)}; {nearest}"
