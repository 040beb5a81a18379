"""Training of networks of cells: surrogate gradients, the quantiser in the loop.

`nas.training` has the epochs. `images` and few epochs make the same function a search's short
training.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..checkpoints import Scored
from ..datasets import Split
from ..training import OnEpoch, Trained, Training, device_of, fitted
from . import checkpoints
from .cell import Cell
from .macro import Macro
from .network import LINEAR_STD, CellNetwork, draw
from .pixels import maps
from .recipe import CellTraining

#: First standard deviation of weights of FC layers, times the root of their inputs.
GAINS = {"fc1": 3.0, "fc2": 1.0}


def begin(macro: Macro, cells: Sequence[Cell], *, seed: int = 0, weight_bits: int | None = None,
          rounding: str = "nearest", scale: str = "power_of_two") -> CellNetwork:
    """A network to be trained: convolutions drawn as for scores, FC layers N(0, gain**2 / fan_in).

    The published N(0, 0.01**2) leaves the neurons of a classifier with few inputs silent, and what
    is behind them without a gradient, for many epochs.
    """
    def first(name: str, shape: tuple[int, ...]) -> Tensor:
        found = draw(seed, name, shape)
        gain = GAINS.get(name.split("_")[0])
        return found if gain is None else found * (gain / (LINEAR_STD * shape[-1] ** 0.5))

    return CellNetwork(macro, cells, seed=seed, weight_bits=weight_bits, rounding=rounding,
                       scale=scale, first=first)


def train(network: CellNetwork, fit: Split, check: Split | None = None,
          settings: CellTraining | None = None, *, folder: Path | None = None,
          resume: bool = False, on_epoch: OnEpoch | None = None) -> Trained:
    """Train a network in place on `fit`; splits of uint8 images, as `pixels.maps` takes them.

    folder: where every epoch leaves a checkpoint, None for nowhere. resume: go on from the one that
    is there, if there is one. Raises ConfigError for settings or images that do not fit, RunError
    for a checkpoint of another training. A training that diverged says so in `stopped`.
    """
    settings = (settings or CellTraining()).check()
    pixels, labels = fitted(fit, settings.images, network.macro.num_classes)
    device = device_of(settings.device)
    training = _Training(network.to(device), settings, device)
    return training.run(maps(pixels, network.macro), labels, check, checkpoints.describe(network),
                        folder, resume, on_epoch)


def evaluate(network: CellNetwork, split: Split, batch_size: int = 64) -> Scored:
    """Accuracy and spikes of a network as it is, on the device that it is on."""
    found, spikes = infer(network, maps(split.inputs, network.macro), batch_size)
    return Scored(accuracy=float((found == split.labels).mean()), spikes_per_image=spikes)


def infer(network: CellNetwork, images: np.ndarray, batch_size: int = 64
          ) -> tuple[np.ndarray, float]:
    """Classes int64 [n] of images uint8 [n, C, S, S], and spikes an image."""
    device = next(network.parameters()).device
    counts: list[Tensor] = []
    was = network.training
    network.eval()
    network.watch(lambda name, t, spikes: counts.append(spikes.sum(dtype=torch.float64)))
    found, spikes = [], 0.0
    try:
        with torch.no_grad():
            for x in torch.from_numpy(images).split(batch_size):
                found.append(network(x.to(device).float() / 255).argmax(1).cpu().numpy())
                spikes += float(sum(counts))
                counts.clear()
    finally:
        network.watch(None)
        network.train(was)
    return np.concatenate(found), spikes / len(images)


class _Training(Training):
    """Cross entropy on the mean over timesteps."""

    network: CellNetwork
    settings: CellTraining

    def __init__(self, network: CellNetwork, settings: CellTraining, device: torch.device) -> None:
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": settings.weight_decay},
                  {"params": others, "weight_decay": 0.0}]
        if settings.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, lr=settings.learning_rate,
                                        momentum=settings.momentum)
        else:
            optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
        super().__init__(network, settings, device, optimiser)

    def opened(self, seed: int) -> None:
        self.network.generator.manual_seed(seed)

    def step(self, x: Tensor, y: Tensor, share: float) -> tuple[float, int]:
        self.network.train()
        logits = self.network(x)
        loss = functional.cross_entropy(logits, y, label_smoothing=self.settings.label_smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate(share)
        self.optimiser.step()
        return float(loss.detach()), int((logits.detach().argmax(1) == y).sum())

    def scored(self, check: Split) -> Scored:
        return evaluate(self.network, check, self.settings.batch_size)
