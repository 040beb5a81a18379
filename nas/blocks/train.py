"""Training of networks of blocks and of super-networks; `nas.training` has the epochs."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from ..checkpoints import Epoch, Scored
from ..datasets import Split
from ..training import OnEpoch, Trained, Training, augmented, device_of, fitted
from . import checkpoints
from .evaluate import evaluate
from .inputs import arrays, seen
from .network import Backbone, BlockNetwork, neurons
from .recipe import BlockTraining
from .supernet import SuperNetwork


def train(network: BlockNetwork, fit: Split, check: Split | None = None,
          settings: BlockTraining | None = None, *, folder: Path | None = None,
          resume: bool = False, on_epoch: OnEpoch | None = None) -> Trained:
    """Train a network in place on `fit`; splits as `inputs.arrays` takes them.

    folder: where every epoch leaves a checkpoint, None for nowhere. resume: go on from the one that
    is there, if there is one. Raises ConfigError for settings or inputs that do not fit, RunError
    for a checkpoint of another training. A training that diverged says so in `stopped`.
    """
    return _train(_Single, network, fit, check, settings, folder, resume, on_epoch)


def train_super(supernet: SuperNetwork, fit: Split, settings: BlockTraining | None = None, *,
                folder: Path | None = None, resume: bool = False,
                on_epoch: OnEpoch | None = None) -> Trained:
    """Train a super-network in place, one path drawn uniformly for each mini-batch.

    As `train`; its `average_spikes` are N_avg of the fitness, the mean over all epochs.
    """
    return _train(_Super, supernet, fit, None, settings, folder, resume, on_epoch)


def _train(kind: type["_Blocks"], network: Backbone, fit: Split, check: Split | None,
           settings: BlockTraining | None, folder: Path | None, resume: bool,
           on_epoch: OnEpoch | None) -> Trained:
    settings = (settings or BlockTraining()).check()
    inputs, labels = fitted(fit, settings.images, network.macro.num_classes)
    device = device_of(settings.device)
    training = kind(network.to(device), settings, device)
    return training.run(arrays(inputs, network.macro), labels, check,
                        checkpoints.describe(network), folder, resume, on_epoch)


class _Blocks(Training):
    """Mean squared error of firing rates, and the spikes of every batch counted."""

    network: Backbone
    settings: BlockTraining

    def __init__(self, network: Backbone, settings: BlockTraining, device: torch.device) -> None:
        super().__init__(network, settings, device,
                         torch.optim.Adam(network.parameters(), lr=settings.learning_rate))
        self._spikes = 0.0
        self._images = 0

    def path(self) -> Sequence[str] | None:
        """The path of the next mini-batch, None for a single network."""
        raise NotImplementedError

    def opened(self, seed: int) -> None:
        self._spikes, self._images = 0.0, 0

    def closed(self, found: Epoch) -> Epoch:
        return msgspec.structs.replace(found, fit_spikes=self._spikes / self._images)

    def drawn(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """The timesteps of frames are cropped and mirrored alike."""
        padding = self.settings.padding
        padding = images.shape[-1] // 8 if padding is None else padding
        flat = images.flatten(1, -3)
        found = augmented(flat, padding, self.settings.flip, generator)
        return seen(found.reshape(images.shape), self.device)

    def step(self, x: Tensor, y: Tensor, share: float) -> tuple[float, int]:
        network, settings, path = self.network, self.settings, self.path()
        network.train()
        passed = network.counted(x) if path is None else network.counted(x, path)
        wanted = functional.one_hot(y, network.macro.num_classes).to(passed.rates)
        loss = functional.mse_loss(passed.rates, wanted)
        if settings.lambda_reg:
            outputs = sum(neurons(network.macro, path or network.names).values())
            loss = loss + settings.lambda_reg / (outputs * network.macro.num_steps) * passed.total
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate(share)
        self.optimiser.step()
        self._spikes += float(passed.total.detach()) * len(y)
        self._images += len(y)
        return float(loss.detach()), int((passed.rates.detach().argmax(1) == y).sum())


class _Single(_Blocks):
    network: BlockNetwork

    def path(self) -> None:
        return None

    def scored(self, check: Split) -> Scored:
        return evaluate(self.network, check, batch_size=self.settings.batch_size).scored


class _Super(_Blocks):
    network: SuperNetwork

    def opened(self, seed: int) -> None:
        super().opened(seed)
        self._paths = torch.Generator().manual_seed(seed)

    def path(self) -> Sequence[str]:
        return self.network.drawn(self._paths)
