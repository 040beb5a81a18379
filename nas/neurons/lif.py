"""Leaky integrate and fire populations of many candidates at once, with a surrogate gradient.

Tensors are [C, T, B, N]: candidate, timestep, image, neuron. All values are integers held in
floating point, so the forward pass equals the arithmetic contract exactly while they stay below
2**24 (float32) or 2**53 (float64).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import Function

from ...hdl.neurons import Lif
from ..tensors import Buffers


class LifTraining:
    """The populations of one layer, one per candidate; they must agree in `key`.

    surrogate: half width of the surrogate derivative, as a share of the threshold.
    """

    def __init__(self, neurons: Sequence[Lif], steps: int, dtype: torch.dtype,
                 surrogate: float) -> None:
        self.reset = neurons[0].reset
        self.steps = steps
        self.surrogate = surrogate
        self.buffers = Buffers()
        leaks = [0.0 if n.leak_shift is None else 0.5 ** n.leak_shift for n in neurons]
        self.leak = torch.tensor(leaks, dtype=dtype)[:, None, None] if any(leaks) else None
        keep = 1 - torch.tensor(leaks, dtype=dtype)[:, None, None]
        later = torch.arange(steps)
        later = later - later[:, None]
        #: [C, T, T]: what a unit of current at step t (row) is still worth at step t' (column).
        self.memory = torch.where(later >= 0, keep ** later.clamp(min=0), 0.0).to(dtype)

    @staticmethod
    def key(neuron: Lif) -> tuple:
        """What neurons trained in one batch must have in common."""
        return (neuron.kind, neuron.reset)

    @staticmethod
    def refuse(neuron: Lif) -> str | None:
        """Why this neuron cannot be trained, or None."""
        if neuron.refractory:
            return f"refractory must be 0 for training, not {neuron.refractory}"
        return None

    def spikes(self, drive: Tensor, threshold: Tensor) -> Tensor:
        """Spikes 0/1 [C, T, B, N] from drive = I + bias, [C, T, B, N] or constant [C, 1, B, N].

        threshold: [C, 1, 1], integers of at least 1.
        """
        return _Fire.apply(drive, threshold, self)

    def membrane(self, drive: Tensor, steps: Tensor) -> Tensor:
        """v after each candidate's last step, [C, B, N], of a population that does not fire.

        steps: int64 [C], in 1..T.
        """
        return _Integrate.apply(drive, steps, self)


def _leaked(v: Tensor, leak: Tensor | None) -> Tensor:
    """``v - floor(v * 2**-leak_shift)``, in place."""
    return v if leak is None else v.sub_((v * leak).floor_())


class _Fire(Function):
    """Forward: the exact LIF. Backward: through time, the reset taken as given (detached)."""

    @staticmethod
    def forward(ctx, drive: Tensor, threshold: Tensor, p: LifTraining) -> Tensor:
        C, given, B, N = drive.shape
        u = p.buffers.get("u", drive, C, p.steps, B, N)
        s = p.buffers.get("s", drive, C, p.steps, B, N)
        v = p.buffers.get("v", drive, C, B, N).zero_()
        lower = -threshold
        for t in range(p.steps):
            u_t, s_t = u[:, t], s[:, t]
            torch.add(_leaked(v, p.leak), drive[:, t if given > 1 else 0], out=u_t)
            torch.ge(u_t, threshold, out=s_t)
            if t + 1 == p.steps:
                break
            if p.reset == "zero":
                torch.addcmul(u_t, u_t, s_t, value=-1, out=v)
            else:
                torch.addcmul(u_t, s_t, lower, out=v)
        ctx.save_for_backward(u, s, threshold)
        ctx.p, ctx.constant = p, given == 1
        return s

    @staticmethod
    def backward(ctx, g: Tensor):
        u, s, threshold = ctx.saved_tensors
        p = ctx.p
        C, T, B, N = u.shape
        # ds/du = 1 / (1 + ((u - threshold) / width)**2), the derivative of an arctangent;
        # the factor width**2 is left to the smaller products below.
        square = (threshold * p.surrogate).square_()
        x = torch.sub(u, threshold[:, None], out=p.buffers.get("x", u, *u.shape))
        a = torch.div(g, torch.addcmul(square[:, None], x, x, out=x), out=x)
        flat = a.view(C, T, B * N)
        if p.reset == "zero":
            into = _through_resets(a.mul_(square[:, None]), s, p)
            into = into.sum(1, keepdim=True) if ctx.constant else into
            g_threshold = -flat.sum((1, 2))[:, None, None]
        else:
            worth = p.memory.sum(1, keepdim=True) if ctx.constant else p.memory
            into = torch.bmm(worth * square, flat).view(C, -1, B, N)
            g_threshold = -flat.sum((1, 2))[:, None, None] * square
        return into, g_threshold, None


def _through_resets(a: Tensor, s: Tensor, p: LifTraining) -> Tensor:
    """Gradient of the drive where a spike clears the membrane."""
    out = a.clone()
    keep = None if p.leak is None else 1 - p.leak
    for t in range(a.shape[1] - 2, -1, -1):
        later = out[:, t + 1] if keep is None else out[:, t + 1] * keep
        out[:, t].add_(later).addcmul_(later, s[:, t], value=-1)
    return out


class _Integrate(Function):
    """Forward: leak and integrate without firing. Backward: each step's decayed share."""

    @staticmethod
    def forward(ctx, drive: Tensor, steps: Tensor, p: LifTraining) -> Tensor:
        C, given, B, N = drive.shape
        v = drive.new_zeros(C, B, N)
        out = torch.empty_like(v)
        ends = steps.tolist()
        for t in range(max(ends)):
            v = _leaked(v, p.leak).add_(drive[:, t if given > 1 else 0])
            if t + 1 in ends:
                done = steps == t + 1
                out[done] = v[done]
        ctx.worth = p.memory[torch.arange(C), :, steps - 1]
        ctx.constant = given == 1
        return out

    @staticmethod
    def backward(ctx, g: Tensor):
        worth = ctx.worth.sum(1, keepdim=True) if ctx.constant else ctx.worth
        return g[:, None] * worth[:, :, None, None], None, None
