"""Leaky integrate and fire populations of many candidates at once, with a surrogate gradient.

Tensors are [C, T, B, N]: candidate, timestep, image, neuron. All values are integers held in
floating point, so the forward pass equals the arithmetic contract exactly while they stay below
2**24 (float32) or 2**53 (float64).
"""

import math
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

    #: Whether the threshold moves from step to step.
    adapts = False

    def __init__(self, neurons: Sequence[Lif], steps: int, dtype: torch.dtype,
                 surrogate: float) -> None:
        self.reset = neurons[0].reset
        self.steps = steps
        self.surrogate = surrogate
        self.buffers = Buffers()
        rest = torch.tensor([float(n.refractory) for n in neurons], dtype=dtype)[:, None, None]
        #: [C, 1, 1]: timesteps of rest after a spike; None where no candidate rests.
        self.rest = rest if bool(rest.any()) else None
        keep = torch.tensor([self.kept(n) for n in neurons], dtype=dtype)[:, None, None]
        #: [C, 1, 1]: share of v that a leak leaves; None where no candidate has a leak.
        self.keep = None if bool((keep == 1).all()) else keep
        self.leak = 1 - keep
        widths = [n.saturate_bits for n in neurons]
        edges = [math.inf if bits is None else 2.0 ** (bits - 1) for bits in widths]
        edge = torch.tensor(edges, dtype=dtype)[:, None, None]
        #: Lowest and highest v, each [C, 1, 1]; None where no candidate saturates.
        self.limits = (-edge, edge - 1) if any(widths) else None
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
        return None

    @staticmethod
    def learned(share: Tensor, unit: Tensor) -> Tensor:
        """The threshold, before rounding: a share, 1 at first, of `unit` counts."""
        return share * unit

    @staticmethod
    def kept(neuron: Lif) -> float:
        """Share of v that the leak leaves, before rounding; exact in float32."""
        return 1.0 if neuron.leak_shift is None else 1 - 0.5 ** neuron.leak_shift

    def leaked(self, v: Tensor) -> Tensor:
        """v after the leak, ``v - floor(v * 2**-leak_shift)``, in place."""
        return v if self.keep is None else v.sub_((v * self.leak).floor_())

    @property
    def adds(self) -> bool:
        """Whether a membrane that does not fire is the sum of all currents."""
        return self.keep is None and self.limits is None

    def saturated(self, v: Tensor) -> Tensor:
        """v as it is after a statement, in place; only the sum with the drive can saturate."""
        return v if self.limits is None else v.clamp_(*self.limits)

    def adapted(self, threshold: Tensor, s: Tensor) -> Tensor:
        """The threshold after a step with spikes s [C, B, N]; a LIF's stays."""
        return threshold

    def thresholds(self, threshold: Tensor, s: Tensor) -> Tensor:
        """The threshold of each step, given all spikes [C, T, B, N]; an axis of 1 is constant."""
        return threshold[:, None]

    def followed(self, g: Tensor, thresholds: Tensor, s: Tensor) -> Tensor:
        """Gradient of the first threshold, [C, 1, 1], from that of every step's, [C, T, B, N]."""
        return g.flatten(1).sum(1)[:, None, None]

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


class _Fire(Function):
    """Forward: the exact neuron. Backward: through time, the reset taken as given (detached).

    So are the moves of a threshold that adapts, and when a neuron rests: a resting membrane passes
    the gradient on as it is, and takes none of the drive. A saturated one passes it on, too,
    so that it can learn to leave.
    """

    @staticmethod
    def forward(ctx, drive: Tensor, threshold: Tensor, p: LifTraining) -> Tensor:
        C, given, B, N = drive.shape
        u = p.buffers.get("u", drive, C, p.steps, B, N)
        s = p.buffers.get("s", drive, C, p.steps, B, N)
        v = p.buffers.get("v", drive, C, B, N).zero_()
        now, wait, awake = threshold, None, None
        if p.rest is not None:
            wait = p.buffers.get("wait", drive, C, B, N).zero_()
            awake = p.buffers.get("awake", drive, C, p.steps, B, N)
        for t in range(p.steps):
            u_t, s_t, drive_t = u[:, t], s[:, t], drive[:, t if given > 1 else 0]
            if wait is None:
                p.saturated(torch.add(p.leaked(v), drive_t, out=u_t))
                torch.ge(u_t, now, out=s_t)
            else:
                torch.le(wait, 0, out=awake[:, t])
                u_t.copy_(v)
                moved = p.saturated(p.leaked(v).add_(drive_t))
                torch.where(awake[:, t] > 0, moved, u_t, out=u_t)
                torch.ge(u_t, now, out=s_t)
                s_t.mul_(awake[:, t])
                wait.sub_(1).clamp_(min=0).addcmul_(s_t, p.rest)
            if t + 1 == p.steps:
                break
            torch.addcmul(u_t, s_t, u_t if p.reset == "zero" else now, value=-1, out=v)
            now = p.adapted(now, s_t)
        ctx.save_for_backward(u, s, threshold)
        ctx.p, ctx.constant, ctx.awake = p, given == 1, awake
        return s

    @staticmethod
    def backward(ctx, g: Tensor):
        u, s, threshold = ctx.saved_tensors
        p = ctx.p
        C, T, B, N = u.shape
        # ds/du = 1 / (1 + ((u - threshold) / width)**2), the derivative of an arctangent;
        # where one width holds for all of a candidate, its square is left to smaller products.
        late = p.reset != "zero" and not p.adapts and ctx.awake is None
        thresholds = p.thresholds(threshold, s)
        square = (thresholds * p.surrogate).square_()
        x = torch.sub(u, thresholds, out=p.buffers.get("x", u, *u.shape))
        a = torch.div(g, torch.addcmul(square, x, x, out=x), out=x)
        if not late:
            a.mul_(square)
        if ctx.awake is not None:
            a.mul_(ctx.awake)
        g_threshold = -p.followed(a, thresholds, s)
        if p.reset == "zero" or ctx.awake is not None:
            into = _stepwise(a, s, ctx.awake, p)
            into = into.sum(1, keepdim=True) if ctx.constant else into
        else:
            worth = p.memory.sum(1, keepdim=True) if ctx.constant else p.memory
            if late:
                worth, g_threshold = worth * square[:, 0], g_threshold * square[:, 0]
            into = torch.bmm(worth, a.view(C, T, B * N)).view(C, -1, B, N)
        return into, g_threshold, None


def _stepwise(a: Tensor, s: Tensor, awake: Tensor | None, p: LifTraining) -> Tensor:
    """Gradient of the drive where a spike clears the membrane, or where neurons rest."""
    out = a.clone()
    for t in range(a.shape[1] - 2, -1, -1):
        after = out[:, t + 1]
        later = after if p.keep is None else after * p.keep
        if awake is not None:
            later = torch.where(awake[:, t + 1] > 0, later, after)
        out[:, t].add_(later)
        if p.reset == "zero":
            out[:, t].addcmul_(later, s[:, t], value=-1)
    return out if awake is None else out.mul_(awake)


class _Integrate(Function):
    """Forward: leak and integrate without firing. Backward: each step's decayed share."""

    @staticmethod
    def forward(ctx, drive: Tensor, steps: Tensor, p: LifTraining) -> Tensor:
        C, given, B, N = drive.shape
        v = drive.new_zeros(C, B, N)
        out = torch.empty_like(v)
        ends = steps.tolist()
        for t in range(max(ends)):
            v = p.saturated(p.leaked(v).add_(drive[:, t if given > 1 else 0]))
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
