"""LIF with an adaptive threshold: the parameters that gateware, reference model and training share.

`HomeostaticLIF`: the LIF of `lif` with a threshold per neuron. After each step, refractory ones
too, the threshold grows by `up` if the neuron fired and shrinks by `down` if not, clipped to
[lo, hi]. It starts at `v_threshold`, unclipped; firing and the reset `subtract` use it before the
update. Under `membrane` read-out it does not move.
"""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import enum

from .lif import Lif, LifCell


@dataclass(frozen=True, kw_only=True)
class HomeostaticLif(Lif):
    """Parameters of a HomeostaticLIF population; integers in units of one synaptic count."""

    up: int
    down: int
    lo: int
    hi: int

    kind = "homeostatic"

    def check(self) -> str | None:
        """The rule that these parameters break, or None."""
        for name in ("up", "down"):
            if not 0 <= getattr(self, name) < 1 << 16:
                return f"{name} must be in 0..65535, not {getattr(self, name)}"
        if not 1 <= self.lo <= self.hi:
            return f"lo and hi must be 1 <= lo <= hi, not {self.lo} and {self.hi}"
        return super().check()

    @property
    def thresholds(self) -> tuple[int, int]:
        """The lowest and the highest threshold that can occur."""
        return min(self.lo, self.v_threshold), max(self.hi, self.v_threshold)

    def cells(self, v_bits: int, fires: bool, count_bits: int) -> tuple[float, int]:
        """As for a LIF, with the threshold's register."""
        luts, states = super().cells(v_bits, fires, count_bits)
        return luts, states + fires * (self.thresholds[1].bit_length() + 1)

    def extra_cells(self, v_bits: int, fires: bool) -> float:
        """The threshold's adder and two multiplexers, and the carry chains of two comparisons;
        nothing where none fires, for then no threshold is built.

        Yosys' counts of 16 cells have 3.5 LUTs for a bit of the threshold and 8 more; the cells of
        a chain beside a comparison have no LUT that anything else uses.
        """
        return 5.5 * (self.thresholds[1].bit_length() + 1) + 8 if fires else 0


class Phase(enum.Enum, shape=3):
    """What a cell adds to its membrane in a clock."""

    ACCUMULATE = 0
    LEAK = 1
    BIAS = 2
    FIRE = 3
    SETTLE = 4


class HomeostaticLifCell(LifCell):
    """The gateware of one HomeostaticLIF neuron: a LIF cell with a register for its threshold.

    BIAS adds the constant, with the one that the complement of the threshold in FIRE leaves out.
    SETTLE then moves the threshold.
    """

    Phase = Phase
    before = (Phase.LEAK,)

    @staticmethod
    def after(fires: bool) -> tuple[Phase, ...]:
        """Phases after the bitstream."""
        return (Phase.BIAS, Phase.FIRE, Phase.SETTLE) if fires else (Phase.BIAS,)

    def addends(self, m: Module) -> dict:
        """What each phase adds to the membrane."""
        p, v = self.neuron, self.v
        leak = 0 if p.leak_shift is None else ~(v >> p.leak_shift)
        constant = self.bias - self.excess + self.shortfall
        found = {Phase.ACCUMULATE: self.count, Phase.LEAK: leak, Phase.BIAS: constant + self.fires}
        if not self.fires:
            return found
        lowest, highest = p.thresholds
        assert lowest >= 1
        self.threshold = threshold = Signal(signed(highest.bit_length() + 1), init=p.v_threshold)
        moved = Signal(signed(max(highest + p.up, p.down).bit_length() + 2))
        clipped = Signal(signed(len(threshold)))
        m.d.comb += [
            moved.eq(threshold + Mux(self.spike, p.up, -p.down)),
            clipped.eq(Mux(moved < p.lo, p.lo, Mux(moved > p.hi, p.hi, moved))),
        ]
        with m.If(self.clear):
            m.d.sync += threshold.eq(p.v_threshold)
        with m.Elif(self.enable & (self.phase == self.Phase.SETTLE)):
            m.d.sync += threshold.eq(clipped)
        return found | {Phase.FIRE: ~threshold, Phase.SETTLE: threshold}
