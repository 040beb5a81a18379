"""HomeostaticLIF populations of many candidates at once: thresholds that follow the spikes.

A neuron starts at the learned threshold; `up`, `down`, `lo` and `hi` stay as they are given.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...hdl.neurons import HomeostaticLif
from .lif import LifTraining

#: Largest `hi` whose membranes and thresholds stay exact in float32.
HIGHEST = 1 << 22


class HomeostaticLifTraining(LifTraining):
    """As `LifTraining`; up, down, lo and hi may differ from candidate to candidate."""

    adapts = True

    def __init__(self, neurons: Sequence[HomeostaticLif], steps: int, dtype: torch.dtype,
                 surrogate: float) -> None:
        super().__init__(neurons, steps, dtype, surrogate)

        def column(name: str) -> Tensor:
            return torch.tensor([getattr(n, name) for n in neurons], dtype=dtype)[:, None, None]

        self.up, self.down, self.lo, self.hi = map(column, ("up", "down", "lo", "hi"))

    @staticmethod
    def refuse(neuron: HomeostaticLif) -> str | None:
        """Why this neuron cannot be trained, or None."""
        if neuron.hi > HIGHEST:
            return f"hi must be at most {HIGHEST} for training, not {neuron.hi}"
        return LifTraining.refuse(neuron)

    def adapted(self, threshold: Tensor, s: Tensor) -> Tensor:
        """The threshold after a step: up where the neuron fired, else down, within [lo, hi]."""
        return self._moved(threshold, s).clamp_(self.lo, self.hi)

    def _moved(self, threshold: Tensor, s: Tensor) -> Tensor:
        """The threshold after a step, before it is clipped."""
        return torch.addcmul(threshold - self.down, s, self.up + self.down)

    def thresholds(self, threshold: Tensor, s: Tensor) -> Tensor:
        """The threshold of each step, [C, T, B, N], given all spikes."""
        out = self.buffers.get("thresholds", s, *s.shape)
        out[:, 0] = threshold
        for t in range(1, s.shape[1]):
            out[:, t] = self.adapted(out[:, t - 1], s[:, t - 1])
        return out

    def followed(self, g: Tensor, thresholds: Tensor, s: Tensor) -> Tensor:
        """Gradient of the first threshold: of every step before the threshold is first clipped."""
        total, free = g[:, 0].clone(), torch.ones_like(g[:, 0])
        for t in range(1, s.shape[1]):
            moved = self._moved(thresholds[:, t - 1], s[:, t - 1])
            free.mul_(moved == thresholds[:, t])
            total.addcmul_(g[:, t], free)
        return super().followed(total, thresholds, s)
