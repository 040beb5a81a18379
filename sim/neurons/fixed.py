"""FixedPointLIF, one timestep: the LIF with its leak replaced."""

import numpy as np

from .lif import LifState


class FixedPointLifState(LifState):
    """Membranes of a batch, as `LifState`."""

    def leaked(self) -> np.ndarray:
        """v after the leak: ``(v * beta) >> n``."""
        return (self.v * self.neuron.beta) >> self.neuron.n
