"""Izhikevich's neuron, one timestep, as the arithmetic contract states it."""

import numpy as np

from ...hdl.neurons import Izhikevich


def saturated(x: np.ndarray) -> np.ndarray:
    """x within 24 bits of two's complement."""
    return np.clip(x, -(1 << 23), (1 << 23) - 1)


class IzhikevichState:
    """Membranes and recoveries of a batch: v, u, int64 [batch, size], 12 fractional bits.

    All between statements is exact in 64 bits: v*v has 47, and gain and current have 24 each.
    """

    def __init__(self, neuron: Izhikevich, batch: int, size: int) -> None:
        self.a, self.b, self.c, self.d = (
            round(x * 4096) for x in (neuron.a, neuron.b, neuron.c, neuron.d))
        self.gain = int(neuron.gain)
        self.v = np.full((batch, size), -65 << 12, np.int64)
        self.u = saturated(self.b * self.v >> 12)

    def half_step(self, drive: np.ndarray) -> np.ndarray:
        """v after half a millisecond; `drive` is gain * (I + bias)."""
        v = self.v
        change = ((41 * (v * v >> 12) >> 10) + 5 * v + (140 << 12) - self.u + drive) >> 1
        return saturated(v + change)

    def step(self, current: np.ndarray, bias: np.ndarray, fires: bool) -> np.ndarray:
        """Advance by one timestep; `current` int64 [batch, size]; returns spikes, the same shape.

        Raises ValueError with `fires` false: this kind has no membrane read-out.
        """
        if not fires:
            raise ValueError("an Izhikevich neuron must fire; it has no membrane read-out")
        peak = 30 << 12
        drive = self.gain * (current + bias)
        self.v = self.half_step(drive)
        self.v = np.where(self.v < peak, self.half_step(drive), self.v)
        self.u = saturated(self.u + (self.a * ((self.b * self.v >> 12) - self.u) >> 12))
        spikes = self.v >= peak
        self.v = np.where(spikes, self.c, self.v)
        self.u = np.where(spikes, saturated(self.u + self.d), self.u)
        return spikes.astype(np.int64)
