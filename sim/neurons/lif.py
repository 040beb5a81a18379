"""Leaky integrate and fire, one timestep, as the arithmetic contract states it."""

import numpy as np

from ...hdl.neurons import Lif


class LifState:
    """Membranes and refractory counters of a batch: v, wait, int64 [batch, size]."""

    def __init__(self, neuron: Lif, batch: int, size: int) -> None:
        self.neuron = neuron
        self.v = np.zeros((batch, size), np.int64)
        self.wait = np.zeros((batch, size), np.int64) if neuron.refractory else None

    def leaked(self) -> np.ndarray:
        """v after the leak: ``v - (v >> leak_shift)``."""
        shift = self.neuron.leak_shift
        return self.v if shift is None else self.v - (self.v >> shift)

    def saturated(self, v: np.ndarray) -> np.ndarray:
        """v within two's complement of `saturate_bits`, where the neuron has that."""
        bits = self.neuron.saturate_bits
        return v if bits is None else np.clip(v, -(1 << bits - 1), (1 << bits - 1) - 1)

    def threshold(self) -> int | np.ndarray:
        """The threshold of this step."""
        return self.neuron.v_threshold

    def adapt(self, spikes: np.ndarray) -> None:
        """Move the threshold after a step; a LIF's stays."""

    def step(self, current: np.ndarray, bias: np.ndarray, fires: bool) -> np.ndarray:
        """Advance by one timestep; `current` int64 [batch, size]; returns spikes, the same shape.

        With `fires` false (membrane read-out) the neuron leaks and integrates only.
        """
        p = self.neuron
        v = self.saturated(self.saturated(self.leaked()) + current + bias)
        if not fires:
            self.v = v
            return np.zeros_like(v)
        threshold = self.threshold()
        spikes = v >= threshold
        v = np.where(spikes, 0 if p.reset == "zero" else self.saturated(v - threshold), v)
        if self.wait is not None:
            held = self.wait > 0
            v = np.where(held, self.v, v)
            spikes = spikes & ~held
            self.wait = np.where(spikes, p.refractory, np.maximum(self.wait - 1, 0))
        self.v = v
        self.adapt(spikes)
        return spikes.astype(np.int64)
