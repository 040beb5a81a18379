"""Leaky integrate and fire: the parameters that gateware, reference model and training share.

One step: leak ``v <- v - (v >> leak_shift)`` (arithmetic shift; `leak_shift` None is IF), integrate
``v <- v + I + bias``, fire ``s = v >= v_threshold``, reset `subtract` (``v - v_threshold``) or
`zero`. For `refractory` steps after a spike v neither leaks nor integrates and s = 0.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Lif:
    """Parameters of a LIF population; integers in units of one synaptic count."""

    v_threshold: int
    leak_shift: int | None = None
    reset: str = "subtract"
    refractory: int = 0

    kind = "lif"

    def check(self) -> str | None:
        """The rule that these parameters break, or None."""
        if self.v_threshold < 1:
            return f"v_threshold must be at least 1, not {self.v_threshold}"
        if self.leak_shift is not None and not 1 <= self.leak_shift <= 15:
            return f"leak_shift must be in 1..15 or None, not {self.leak_shift}"
        if self.reset not in ("subtract", "zero"):
            return f"reset must be 'subtract' or 'zero', not {self.reset!r}"
        if not 0 <= self.refractory <= 255:
            return f"refractory must be in 0..255, not {self.refractory}"
        return None

    def after_step(self, lo: int, hi: int, i_lo: int, i_hi: int, fires: bool) -> tuple:
        """Interval of v after a step from [lo, hi] with I + bias in [i_lo, i_hi].

        Returns ``(lo, hi, widest_lo, widest_hi)``; the last two also span every value that v takes
        within the step. Exact because each operation is monotone in v.
        """
        if self.leak_shift is not None:
            held = (lo, hi) if self.refractory else (None, None)
            lo, hi = lo - (lo >> self.leak_shift), hi - (hi >> self.leak_shift)
        else:
            held = (lo, hi) if self.refractory else (None, None)
        lo, hi = lo + i_lo, hi + i_hi
        widest_lo, widest_hi = lo, hi
        if fires:
            th = self.v_threshold
            if hi >= th:
                kept = [0] if self.reset == "zero" else [max(lo, th) - th, hi - th]
                if lo < th:
                    kept += [lo, th - 1]
                lo, hi = min(kept), max(kept)
        if held[0] is not None:
            lo, hi = min(lo, held[0]), max(hi, held[1])
        return lo, hi, min(widest_lo, lo), max(widest_hi, hi)
