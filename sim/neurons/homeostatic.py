"""HomeostaticLIF, one timestep: the LIF with a threshold per neuron that follows its activity."""

import numpy as np

from ...hdl.neurons import HomeostaticLif
from .lif import LifState


class HomeostaticLifState(LifState):
    """Membranes of a batch, as `LifState`, and thresholds int64 [batch, size]."""

    def __init__(self, neuron: HomeostaticLif, batch: int, size: int) -> None:
        super().__init__(neuron, batch, size)
        self.thresholds = np.full((batch, size), neuron.v_threshold, np.int64)

    def threshold(self) -> np.ndarray:
        return self.thresholds

    def adapt(self, spikes: np.ndarray) -> None:
        """Up by `up` where the neuron fired, else down by `down`, clipped to [lo, hi]."""
        p = self.neuron
        moved = self.thresholds + np.where(spikes, p.up, -p.down)
        self.thresholds = np.clip(moved, p.lo, p.hi)
