"""The array: what a user chooses of a compute-in-memory chip, with the defaults of SpikeSim.

Defaults are Table I of A. Moitra et al., "SpikeSim: An End-to-End Compute-in-Memory Hardware
Evaluation Tool for Benchmarking Spiking Neural Networks", IEEE TCAD 42(11), 2023, whose crossbars
of 64 x 64 RRAM cells are read by one flash ADC for every `mux` columns.
"""

from msgspec import Struct

from ..errors import ConfigError, unknown

#: How signed weights become conductances, none of which is negative (`weights.planes`).
ENCODINGS = ("differential", "offset", "twos_complement")
#: The largest of what is counted; more is a slip of the keyboard, not a chip.
MOST = {"rows": 4096, "cols": 4096, "cell_bits": 8, "adc_bits": 16, "mux": 4096,
        "crossbars_per_pe": 1024, "pes_per_tile": 1024}


class Array(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of crossbar, and how many make a chip's parts; resistances in ohm, volts, MHz.

    rows, cols: cells of a crossbar. cell_bits: bits that a cell holds. mux: columns that take turns
    at one ADC of adc_bits. r_on, r_off: of a cell in its most and its least conducting state.
    v_read: of a word line whose input spikes. r_row, r_col: of the wire between two cells along a
    row and along a column. A PE has crossbars_per_pe crossbars, a tile pes_per_tile PEs;
    share_tiles: layers may share a tile. technology: the set of constants (`cost`), which names
    its node.
    """

    rows: int = 64
    cols: int = 64
    cell_bits: int = 1
    adc_bits: int = 4
    mux: int = 8
    encoding: str = "differential"
    r_on: float = 20e3
    r_off: float = 200e3
    v_read: float = 0.1
    r_row: float = 0.0
    r_col: float = 5.0
    crossbars_per_pe: int = 9
    pes_per_tile: int = 8
    clock_mhz: float = 250.0
    share_tiles: bool = False
    technology: str = "spikesim65"

    def check(self, where: str = "array") -> "Array":
        """Hold every field to its range; returns the array, raises ConfigError."""
        for name, most in MOST.items():
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise ConfigError(f"{where}.{name} must be in 1..{most}, not {value}")
        if self.encoding not in ENCODINGS:
            raise ConfigError(f"{where}.encoding: " + unknown("encoding", self.encoding, ENCODINGS))
        for name in ("r_on", "r_off", "v_read", "clock_mhz"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{where}.{name} must be more than 0 and finite, not "
                                  f"{getattr(self, name):g}")
        for name in ("r_row", "r_col"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{where}.{name} must be at least 0 and finite, not "
                                  f"{getattr(self, name):g}")
        if self.r_on >= self.r_off:
            raise ConfigError(f"{where}.r_on must be less than r_off, {self.r_off:g} ohm, not "
                              f"{self.r_on:g}")
        return self
