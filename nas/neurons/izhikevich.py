"""Izhikevich populations of many candidates at once: exact forward, surrogate gradient backward.

Tensors are as in `lif`. What is learned beside weights and biases is the gain, within bounds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import Function

from ...hdl.neurons import Izhikevich
from ...hdl.neurons.izhikevich import (
    CONSTANT,
    HIGHEST,
    LOWEST,
    ONE,
    PEAK,
    SQUARE,
    SQUARE_FRACTION,
    V_START,
)
from ..tensors import Buffers

#: What a current of three times its typical spread is worth at first, in mV: a resting neuron then
#: fires within three timesteps. Far more drives v below so far that the square throws it back over
#: the peak, and training comes to nothing. This and the next two are by trial on digits.
STRONG = 50
#: How far the logarithm of the gain may move from its first value. Left free, it creeps up over
#: many epochs, to where STRONG must not be.
TRAVEL = 0.3
#: Largest slope of a half step that the gradient follows. Near the peak it is above 4, and
#: gradients would explode where nothing depends on it any more. Below -87.5 mV it is negative:
#: there the square throws v back up, which training has to see to avoid it.
STEEPEST = 1.2
#: From rest to the peak, in mV: what the width of the surrogate derivative is a share of.
SWING = (PEAK - V_START) / ONE


class IzhikevichTraining:
    """The populations of one layer, one per candidate; their constants may differ.

    surrogate: half width of the surrogate derivative, as a share of `SWING`.
    """

    def __init__(self, neurons: Sequence[Izhikevich], steps: int, dtype: torch.dtype,
                 surrogate: float) -> None:
        self.steps = steps
        self.width = surrogate * SWING
        self.buffers = Buffers()
        constants = torch.tensor([n.constants for n in neurons], dtype=torch.float64)
        #: [C, 1, 1] each, in the neuron's format; float64 holds every intermediate exactly.
        self.a, self.b, self.c, self.d = constants.T[:, :, None, None]
        self.u_start = torch.tensor([n.u_start for n in neurons],
                                    dtype=torch.float64)[:, None, None]

    @staticmethod
    def key(neuron: Izhikevich) -> tuple:
        """What neurons trained in one batch must have in common."""
        return (neuron.kind,)

    @staticmethod
    def refuse(neuron: Izhikevich) -> str | None:
        """Why this neuron cannot be trained, or None."""
        return None

    @staticmethod
    def learned(share: Tensor, unit: Tensor) -> Tensor:
        """The gain, before rounding; with a share of 1, `unit` counts are worth `STRONG` mV."""
        return (TRAVEL * (1 - share).tanh()).exp() * (STRONG * ONE / unit)

    def spikes(self, drive: Tensor, gain: Tensor) -> Tensor:
        """Spikes 0/1 [C, T, B, N] from drive = I + bias, [C, T, B, N] or constant [C, 1, B, N].

        gain: [C, 1, 1], integers of at least 1.
        """
        return _Fire.apply(drive, gain, self)


def _half_step(v: Tensor, u: Tensor, push: Tensor) -> Tensor:
    """v half a millisecond later; push is gain * (I + bias) + 140."""
    square = (v * v).mul_(1 / ONE).floor_()
    square.mul_(SQUARE).mul_(1 / (1 << SQUARE_FRACTION)).floor_()
    change = square.add_(v, alpha=5).sub_(u).add_(push).mul_(0.5).floor_()
    return change.add_(v).clamp_(LOWEST, HIGHEST)


class _Fire(Function):
    """Forward: the exact neuron, in float64. Backward: through time, the reset taken as given.

    So is whether the second half step was left out. Slopes are those of the equation without its
    rounding, within -`STEEPEST`..`STEEPEST`.
    """

    @staticmethod
    def forward(ctx, drive: Tensor, gain: Tensor, p: IzhikevichTraining) -> Tensor:
        C, given, B, N = drive.shape
        before, middle, after, s = (p.buffers.get(name, drive, C, p.steps, B, N)
                                    for name in ("before", "middle", "after", "s"))
        v = drive.new_full((C, B, N), V_START, dtype=torch.float64)
        u = p.u_start.expand(C, B, N)
        for t in range(p.steps):
            if t == 0 or given > 1:
                push = (drive[:, t].double() * gain.double()).add_(CONSTANT)
            before[:, t] = v / ONE
            v = _half_step(v, u, push)
            middle[:, t] = v / ONE
            v = torch.where(v < PEAK, _half_step(v, u, push), v)
            after[:, t] = v / ONE
            aim = (p.b * v).mul_(1 / ONE).floor_().sub_(u)
            u = aim.mul_(p.a).mul_(1 / ONE).floor_().add_(u).clamp_(LOWEST, HIGHEST)
            fired = v >= PEAK
            s[:, t] = fired
            v = torch.where(fired, p.c, v)
            u = torch.where(fired, (u + p.d).clamp_(LOWEST, HIGHEST), u)
        ctx.save_for_backward(before, middle, after, s, drive, gain)
        ctx.p = p
        return s

    @staticmethod
    def backward(ctx, g: Tensor):
        before, middle, after, s, drive, gain = ctx.saved_tensors
        p, peak = ctx.p, PEAK / ONE
        a, ab = (p.a / ONE).to(g.dtype), (p.a * p.b / (ONE * ONE)).to(g.dtype)
        # ds/dv = 1 / (1 + ((v - peak) / width)**2), as for the LIF; what is over the peak counts as
        # at most one width over it, however far the last half step went.
        off = ((after - peak) / p.width).clamp_(max=1)
        fire = g / off.square_().add_(1)
        first, second = _slope(before), _slope(middle)
        skipped = middle >= peak
        into = torch.empty_like(g)
        g_v = torch.zeros_like(g[:, 0])
        g_u = torch.zeros_like(g_v)
        for t in range(p.steps - 1, -1, -1):
            g_v = torch.addcmul(fire[:, t] + g_v, g_v, s[:, t], value=-1)
            g_v = g_v + g_u * ab
            g_u = g_u * (1 - a)
            late = g_v.masked_fill(skipped[:, t], 0)
            g_v = torch.where(skipped[:, t], g_v, g_v * second[:, t])
            both = (late + g_v) / 2
            g_u = g_u - both
            into[:, t] = both
            g_v = g_v * first[:, t]
        into = into / ONE
        if drive.shape[1] == 1:
            into = into.sum(1, keepdim=True)
        g_gain = torch.where(drive > LOWEST, into * drive, 0).flatten(1).sum(1)[:, None, None]
        return into * gain[:, None], g_gain, None


def _slope(v: Tensor) -> Tensor:
    """How much v after a half step changes with v before it, v in mV, limited."""
    return (1 + 0.5 * (2 * SQUARE / (1 << SQUARE_FRACTION) * v + 5)).clamp_(-STEEPEST, STEEPEST)
