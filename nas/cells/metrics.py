"""Metrics of a network of cells in floating point, as `sim.metrics` has them of integers.

The stem and the first FC layer read analog values, and so multiply; all other layers read spikes.
The stem is computed once an image. Footprints are of the parameters and buffers as torch holds them
(the package's), weights at their bits where a quantiser rounds them, and a membrane a neuron.
"""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from ...sim.metrics import Activity, Footprint, Metrics, Operations, fans_of_kernels, summed
from .network import CellNetwork
from .pixels import maps

#: Layers that read analog values.
ANALOG = ("stem", "fc1")
_FLOAT = 32


def metrics(network: CellNetwork, images: np.ndarray, batch_size: int = 64) -> Metrics:
    """Count over images uint8 as `pixels.maps` takes them; on the network's device."""
    x = torch.from_numpy(maps(images, network.macro))
    counted = _Counted(network)
    device = next(network.parameters()).device
    was = network.training
    network.eval()
    network.watch(counted.fired)
    handles = [layer.register_forward_pre_hook(counted.reads(name))
               for name, layer in network.layers.items()]
    try:
        with torch.no_grad():
            for part in x.split(batch_size):
                network(part.to(device).float() / 255)
    finally:
        network.watch(None)
        network.train(was)
        for handle in handles:
            handle.remove()
    return counted.metrics(len(x))


class _Counted:
    """What hooks have seen so far."""

    def __init__(self, network: CellNetwork) -> None:
        self.network = network
        #: Inputs that were not zero, and how often a layer was computed for an image.
        self.seen: dict[str, np.ndarray] = {}
        self.calls: Counter[str] = Counter()
        self.spikes: Counter[str] = Counter()
        self.neurons: dict[str, int] = {}

    def reads(self, name: str):
        """A hook that counts what a layer reads."""
        def hook(layer, given: tuple[Tensor, Tensor]) -> None:
            x = given[0]
            found = (x != 0).sum(0, dtype=torch.int64).cpu().numpy()
            self.seen[name] = found + self.seen.get(name, 0)
            self.calls[name] += len(x)
        return hook

    def fired(self, name: str, t: int, spikes: Tensor) -> None:
        self.spikes[name] += int(spikes.sum(dtype=torch.float64))
        self.neurons[name] = spikes[0].numel()

    def metrics(self, images: int) -> Metrics:
        steps = self.network.macro.num_steps
        with torch.no_grad():
            weights = {name: weight.cpu().numpy() for name, weight in self.network.weights().items()
                       if name in self.calls}
        layers = tuple(self._operations(name, weight, images) for name, weight in weights.items())
        populations = tuple(Activity(
            name=name, neurons=self.neurons[name], spikes=self.spikes[name] / images,
            sparsity=1 - self.spikes[name] / (images * steps * self.neurons[name]))
            for name in self.neurons)
        return summed(images, self._footprint(), layers, populations, None)

    def _operations(self, name: str, weight: np.ndarray, images: int) -> Operations:
        seen = self.seen[name]
        effective = int((seen * _fans(weight != 0, seen.shape)).sum())
        dense = int(_fans(np.ones(weight.shape, bool), seen.shape).sum()) * self.calls[name]
        return Operations(
            name=name, kind="MAC" if name in ANALOG else "AC", weights=weight.size,
            zeros=int((weight == 0).sum()), dense=dense / images, effective=effective / images)

    def _footprint(self) -> Footprint:
        network = self.network
        held = [*network.parameters(), *network.buffers()]
        weights = sum(layer.weight.numel() for layer in network.layers.values())
        bits = 8 * sum(item.numel() * item.element_size() for item in held)
        return Footprint(count=sum(item.numel() for item in held),
                         weights=weights * (network.weight_bits or _FLOAT),
                         biases=bits - weights * _FLOAT, state=_FLOAT * sum(self.neurons.values()))


def _fans(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Weights in `mask` [out, ...] that each input of a layer meets, in the inputs' shape."""
    taps = mask.astype(np.int64).sum(0)
    if taps.ndim == 1:
        return taps
    return fans_of_kernels(taps, shape, shape[1:], 1, taps.shape[-1] // 2)
