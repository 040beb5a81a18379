"""What a network of blocks, or a path of a super-network, does on a split."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..checkpoints import Scored
from ..datasets import Split
from .inputs import arrays, seen
from .network import Backbone, neurons


@dataclass(frozen=True)
class Evaluated:
    """classes int64 [n]. spikes: per image, by the name of what fires, as `network` defines them;
    outputs: how many neurons, or outputs of a max pool, there are of each.
    """

    accuracy: float
    classes: np.ndarray
    spikes: dict[str, float]
    outputs: dict[str, int]
    num_steps: int

    @property
    def spikes_per_image(self) -> float:
        return sum(self.spikes.values())

    @property
    def rates(self) -> dict[str, float]:
        """Firing rate of each: spikes per output and timestep."""
        return {name: count / (self.outputs[name] * self.num_steps)
                for name, count in self.spikes.items()}

    @property
    def firing_rate(self) -> float:
        """Of all: spikes per image over outputs and timesteps."""
        return self.spikes_per_image / (sum(self.outputs.values()) * self.num_steps)

    @property
    def scored(self) -> Scored:
        return Scored(accuracy=self.accuracy, spikes_per_image=self.spikes_per_image)


def evaluate(network: Backbone, split: Split, *, path: Sequence[str] | None = None,
             batch_size: int = 96) -> Evaluated:
    """A network as it is, on the device that it is on; path: of a super-network."""
    device, was = network.fc.weight.device, network.training
    blocks = network.names if path is None else path
    counts: Counter[str] = Counter()
    found = []
    network.eval()
    try:
        with torch.no_grad():
            for batch in torch.from_numpy(arrays(split.inputs, network.macro)).split(batch_size):
                x = seen(batch, device)
                passed = network.counted(x) if path is None else network.counted(x, path)
                found.append(passed.rates.argmax(1).cpu().numpy())
                counts.update({name: round(float(value) * len(batch))
                               for name, value in passed.spikes.items()})
    finally:
        network.train(was)
    classes = np.concatenate(found)
    return Evaluated(accuracy=float((classes == split.labels).mean()), classes=classes,
                     spikes={name: count / len(split) for name, count in counts.items()},
                     outputs=neurons(network.macro, blocks), num_steps=network.macro.num_steps)
