"""Leaky integrate and fire: the parameters that gateware, reference model and training share.

One step: leak ``v <- v - (v >> leak_shift)`` (arithmetic shift; `leak_shift` None is IF), integrate
``v <- v + I + bias``, fire ``s = v >= v_threshold``, reset `subtract` (``v - v_threshold``) or
`zero`. For `refractory` steps after a spike v neither leaks nor integrates and s = 0. With
`saturate_bits` v saturates to that two's complement width after each of these statements.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True, kw_only=True)
class Lif:
    """Parameters of a LIF population; integers in units of one synaptic count."""

    v_threshold: int
    leak_shift: int | None = None
    reset: str = "subtract"
    refractory: int = 0
    saturate_bits: int | None = None

    kind = "lif"
    #: The parameter that training sets.
    learned = "v_threshold"
    #: Whether it can leak and integrate without firing, for the membrane read-out.
    integrates = True
    #: Width of v where the contract gives one; None where it is proven for each neuron.
    v_width = None

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
        if self.saturate_bits is not None and not 2 <= self.saturate_bits <= 24:
            return f"saturate_bits must be in 2..24 or None, not {self.saturate_bits}"
        return None

    @property
    def thresholds(self) -> tuple[int, int]:
        """The lowest and the highest threshold that can occur."""
        return self.v_threshold, self.v_threshold

    def saturate(self, v: int) -> int:
        """v, clipped if it saturates."""
        if self.saturate_bits is None:
            return v
        edge = 1 << (self.saturate_bits - 1)
        return np.minimum(np.maximum(v, -edge), edge - 1)

    def leak(self, v: int) -> int:
        """v after the leak."""
        return v if self.leak_shift is None else v - (v >> self.leak_shift)

    #: Estimate of the logic cells that the neurons of a layer share, beside their streams.
    engine_cells = 0

    def cells(self, v_bits: int, fires: bool, count_bits: int) -> tuple[float, int]:
        """Estimates of the LUTs and of the flip-flops of a neuron that adds counts of `count_bits`.

        The adder takes a LUT a bit, and one before it chooses between a bit of the count, one of
        the leak, and constants; where there are constants alone, all neurons of a layer share it,
        and where the leak brings the sign, about two of a neuron do. Three LUTs tell a neuron that
        fires when to move and when to clear. Yosys' counts of 36 cells agree within a few LUTs.
        """
        rest = self.refractory.bit_length() if fires else 0
        waiting = 3 * rest - 1.5 if rest else 0
        clipping = 0 if self.saturate_bits is None else v_bits + 6
        chosen = min(count_bits, v_bits)
        if self.leak_shift is not None:
            chosen = max(chosen, v_bits - 1 - self.leak_shift)
            chosen += min(2, v_bits - chosen)
        control = 3 if fires else 1
        extra = self.extra_cells(v_bits, fires)
        return v_bits + chosen + control + waiting + clipping + extra, v_bits + rest

    def extra_cells(self, v_bits: int, fires: bool) -> float:
        """Estimate of the logic cells that a cell of this kind takes beyond a LIF's."""
        return 0

    def leak_cells(self, v_bits: int) -> float:
        """Estimate of the LUTs of the leak in an engine that serves one neuron after the other."""
        return 0 if self.leak_shift is None else v_bits

    def after_step(self, lo, hi, i_lo, i_hi, fires: bool) -> tuple:
        """Interval of v after a step from [lo, hi] with I + bias in [i_lo, i_hi]; integers or int64
        arrays of them.

        Returns ``(lo, hi, widest_lo, widest_hi)``; the last two also span every value that v takes
        within the step, those of the gateware at FIRE included. Each operation is monotone in v, so
        with one threshold the bounds are reached.
        """
        held = (lo, hi)
        lo, hi = self.leak(lo) + i_lo, self.leak(hi) + i_hi
        widest_lo, widest_hi = lo, hi
        lo, hi = self.saturate(lo), self.saturate(hi)
        if fires:
            lowest, highest = self.thresholds
            widest_lo = np.minimum(widest_lo, lo - highest)
            # after a spike, and, where there may be none, without it
            reset = (0, 0) if self.reset == "zero" else (np.maximum(lo - highest, 0), hi - lowest)
            silent, quiet = lo < highest, np.minimum(hi, highest - 1)
            low = np.where(silent, np.minimum(np.minimum(*reset), np.minimum(lo, quiet)),
                           np.minimum(*reset))
            high = np.where(silent, np.maximum(np.maximum(*reset), np.maximum(lo, quiet)),
                            np.maximum(*reset))
            spikes = hi >= lowest
            lo, hi = np.where(spikes, low, lo), np.where(spikes, high, hi)
        if self.refractory:
            lo, hi = np.minimum(lo, held[0]), np.maximum(hi, held[1])
        return lo, hi, np.minimum(widest_lo, lo), np.maximum(widest_hi, hi)


class Phase(enum.Enum, shape=2):
    """What a cell adds to its membrane in a clock."""

    ACCUMULATE = 0
    LEAK = 1
    FIRE = 2
    SETTLE = 3


class LifCell(wiring.Component):
    """The gateware of one LIF neuron: one register, one adder, one LUT a bit in front of it.

    The membrane register itself accumulates the counts of the bitstream. The leak adds the
    complement of ``v >> leak_shift``, which is one too little, and complemented negative slots
    count `excess` too much over a bitstream; both are constants, and are put right by the constant
    that FIRE adds anyway: ``bias - v_threshold - excess + 1``. The sign is then the comparison, and
    SETTLE adds the threshold back (reset `subtract`, no spike), or clears (reset `zero`, spike).
    With `fires` false FIRE adds the bias without the threshold, and there is no SETTLE. A resting
    neuron holds its membrane for whole timesteps, which a counter of its own tells it.

    Two's complement wraps within a timestep; `v_bits` holds every value at FIRE and after it.
    """

    Phase = Phase
    #: Phases before the bitstream.
    before = (Phase.LEAK,)

    @staticmethod
    def after(fires: bool) -> tuple[Phase, ...]:
        """Phases after the bitstream."""
        return (Phase.FIRE, Phase.SETTLE) if fires else (Phase.FIRE,)

    def __init__(self, neuron: Lif, *, count_bits: int, v_bits: int, bias: int, excess: int,
                 fires: bool) -> None:
        self.neuron, self.bias, self.excess, self.fires = neuron, bias, excess, fires
        super().__init__({
            "count": In(count_bits), "phase": In(self.Phase), "enable": In(1), "clear": In(1),
            "v": Out(signed(v_bits)), "spike": Out(1),
        })

    def _held(self, m: Module):
        """High in the timesteps after a spike in which the neuron rests, None if it never does."""
        period = self.neuron.refractory
        if not period or not self.fires:
            return None
        wait = Signal(range(period + 1))
        with m.If(self.clear):
            m.d.sync += wait.eq(0)
        with m.Elif(self.enable & (self.phase == self.Phase.SETTLE)):
            with m.If(wait != 0):
                m.d.sync += wait.eq(wait - 1)
            with m.Elif(self.spike):
                m.d.sync += wait.eq(period)
        return wait != 0

    @property
    def shortfall(self) -> int:
        """What the complement in LEAK leaves out, for FIRE to add."""
        return int(self.neuron.leak_shift is not None)

    def addends(self, m: Module) -> dict:
        """What each phase adds to the membrane."""
        p, v = self.neuron, self.v
        constant = self.bias - self.excess + self.shortfall
        return {
            Phase.ACCUMULATE: self.count,
            Phase.LEAK: 0 if p.leak_shift is None else ~(v >> p.leak_shift),
            Phase.FIRE: constant - (p.v_threshold if self.fires else 0),
            Phase.SETTLE: p.v_threshold,
        }

    def elaborate(self, platform):
        m = Module()
        v = self.v
        addend = Signal(len(v))
        addends = self.addends(m)
        with m.Switch(self.phase):
            for phase, value in addends.items():
                with m.Case(phase):
                    m.d.comb += addend.eq(value)
        settling = Signal()
        m.d.comb += [
            self.spike.eq(~v[-1]),
            settling.eq((self.phase == self.Phase.SETTLE) & self.spike),
        ]
        moving = self.enable & ~settling
        held = self._held(m)
        if held is not None:
            m.d.comb += self.spike.eq(~v[-1] & ~held)
            moving = moving & ~held
        with m.If(moving):
            m.d.sync += v.eq(self.moved(self.operand(m) + addend))
        cleared = self.clear
        if self.neuron.reset == "zero" and self.fires:
            cleared = cleared | (self.enable & settling)
        with m.If(cleared):
            m.d.sync += v.eq(0)
        return m

    def operand(self, m: Module):
        """What the addend is added to."""
        return self.v

    def moved(self, total):
        """The membrane's next value; `total` is the sum with the phase's addend."""
        return total
