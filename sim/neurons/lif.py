"""Leaky integrate and fire, one timestep, as the arithmetic contract states it."""

import numpy as np

from ...hdl.neurons import Lif


class LifState:
    """Membranes and refractory counters of a batch: v, wait, int64 [batch, size]."""

    def __init__(self, neuron: Lif, batch: int, size: int) -> None:
        self.neuron = neuron
        self.v = np.zeros((batch, size), np.int64)
        self.wait = np.zeros((batch, size), np.int64) if neuron.refractory else None

    def step(self, current: np.ndarray, bias: np.ndarray, fires: bool) -> np.ndarray:
        """Advance by one timestep; `current` int64 [batch, size]; returns spikes, the same shape.

        With `fires` false (membrane read-out) the neuron leaks and integrates only.
        """
        p = self.neuron
        v = self.v
        if p.leak_shift is not None:
            v = v - (v >> p.leak_shift)
        v = v + current + bias
        if not fires:
            self.v = v
            return np.zeros_like(v)
        spikes = v >= p.v_threshold
        reset = 0 if p.reset == "zero" else v - p.v_threshold
        v = np.where(spikes, reset, v)
        if self.wait is not None:
            held = self.wait > 0
            v = np.where(held, self.v, v)
            spikes = spikes & ~held
            self.wait = np.where(spikes, p.refractory, np.maximum(self.wait - 1, 0))
        self.v = v
        return spikes.astype(np.int64)
