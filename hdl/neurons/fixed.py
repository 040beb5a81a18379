"""LIF with a fractional leak: the parameters that gateware, reference model and training share.

`FixedPointLIF`: the LIF of `lif` with the leak replaced by ``v <- (v * beta) >> n`` (arithmetic
shift), beta a factor in Q0.n. It also carries PLIF and the published LIFs with tau = 4/3, whose
input gain is folded into the weights.
"""

from dataclasses import dataclass

from amaranth.hdl import Mux

from .lif import Lif, LifCell


@dataclass(frozen=True, kw_only=True)
class FixedPointLif(Lif):
    """Parameters of a FixedPointLIF population; beta in 0..2**n, n in 1..16."""

    beta: int
    n: int

    kind = "fixed"

    def check(self) -> str | None:
        """The rule that these parameters break, or None."""
        if self.leak_shift is not None:
            return f"leak_shift must be None for a FixedPointLIF, not {self.leak_shift}"
        if not 1 <= self.n <= 16:
            return f"n must be in 1..16, not {self.n}"
        if not 0 <= self.beta <= 1 << self.n:
            return f"beta must be in 0..{1 << self.n} at n = {self.n}, not {self.beta}"
        return super().check()

    def leak(self, v: int) -> int:
        """v after the leak."""
        return (v * self.beta) >> self.n

    def extra_cells(self, v_bits: int, fires: bool) -> float:
        """The multiplexer that loads the product, and the additions of as many as beta has ones.

        Yosys adds these up with carry-save adders, and the sign of v beside them: 2.2 to 5.6 LUTs a
        bit of 7 cells with two to five ones, about 1.2 for each.
        """
        return self.leak_cells(v_bits) + v_bits * (self.beta != 1 << self.n)

    def leak_cells(self, v_bits: int) -> float:
        """The additions of `extra_cells`."""
        ones = self.beta.bit_count()
        return 1.2 * ones * v_bits if ones > 1 else 0


class FixedPointLifCell(LifCell):
    """The gateware of one FixedPointLIF neuron: a LIF cell whose LEAK loads a constant product."""

    def moved(self, total):
        p = self.neuron
        return Mux(self.phase == self.Phase.LEAK, (self.v * p.beta) >> p.n, total)
