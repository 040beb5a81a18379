"""Trainings in torch, epoch by epoch: what networks of cells and of blocks have in common.

A long training is one that is cut short now and then, so each epoch draws all that it draws from
the seed and its own number alone: with the checkpoint that every epoch ends with, a resumed
training gives the weights that an uninterrupted one would have given.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from ..flow.errors import ConfigError
from . import checkpoints
from .checkpoints import Epoch, Progress, Scored
from .datasets import Split
from .recipe import Recipe
from .train import cores

#: What `stopped` begins with where a training failed.
DIVERGED = "diverged"
DONE = "all epochs are done"


@dataclass(frozen=True)
class Trained:
    """A training that has ended; the network holds the weights of epoch `best`.

    accuracy, spikes_per_image: on the check split, None without one. best: the epoch with the best
    accuracy there, the last one without a check split. stopped: why it ended.
    """

    accuracy: float | None
    spikes_per_image: float | None
    epochs: int
    best: int
    stopped: str
    history: tuple[Epoch, ...]

    @property
    def diverged(self) -> bool:
        return self.stopped.startswith(DIVERGED)

    @property
    def average_spikes(self) -> float | None:
        """Spikes per image over the batches of all epochs, None where they were not counted."""
        counts = [epoch.fit_spikes for epoch in self.history if epoch.fit_spikes is not None]
        return sum(counts) / len(counts) if counts else None


#: Called after each epoch, with how many there will be at most.
OnEpoch = Callable[[Epoch, int], None]


def device_of(name: str) -> torch.device:
    """The device of a setting; ConfigError for CUDA where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device must be 'cpu' or 'auto' on a machine without CUDA, not "
                          "'cuda'")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    return torch.device(chosen)


def augmented(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random crops, and mirrored images every other time: uint8 [B, C, H, W] to the same."""
    count, _, rows, columns = images.shape
    if padding:
        wide = functional.pad(images, (padding,) * 4)
        corner = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
        down = (corner[0] + torch.arange(rows))[:, None, :, None]
        right = (corner[1] + torch.arange(columns))[:, None, None, :]
        every = torch.arange(count)[:, None, None, None]
        images = wide[every, torch.arange(wide.shape[1])[None, :, None, None], down, right]
    if flip:
        turned = torch.rand(count, generator=generator) < 0.5
        images = torch.where(turned[:, None, None, None], images.flip(3), images)
    return images


class Training:
    """A training between two epochs: everything that a checkpoint holds.

    What is trained has a subclass with `step` and `scored`.
    """

    def __init__(self, network: nn.Module, settings: Recipe, device: torch.device,
                 optimiser: Optimizer) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.optimiser = optimiser
        self.history: list[Epoch] = []
        self.best = 0
        self.kept = checkpoints.copied(network)
        self.stopped: str | None = None

    def step(self, x: Tensor, y: Tensor, share: float) -> tuple[float, int]:
        """One step of the optimiser; the loss before it, and how many images were right.

        share: of the training that is over.
        """
        raise NotImplementedError

    def scored(self, check: Split) -> Scored:
        """The network as it is, on the check split."""
        raise NotImplementedError

    def opened(self, seed: int) -> None:
        """An epoch begins: what it draws in forward passes depends on this seed alone."""

    def closed(self, found: Epoch) -> Epoch:
        """An epoch has ended: what is known of it."""
        return found

    @property
    def failed(self) -> bool:
        return (self.stopped or "").startswith(DIVERGED)

    def epoch(self, images: Tensor, labels: Tensor, check: Split | None) -> None:
        """One more epoch, and whether it is the last."""
        settings, number = self.settings, len(self.history) + 1
        seed = settings.seed * 1_000_003 + number
        generator = torch.Generator().manual_seed(seed)
        self.opened(seed)
        parts = math.ceil(len(labels) / settings.batch_size)
        total = right = 0.0
        for part, index in enumerate(torch.randperm(len(labels), generator=generator)
                                     .tensor_split(parts)):
            share = ((number - 1) * parts + part) / (settings.epochs * parts)
            loss, correct = self.step(self.drawn(images[index], generator),
                                      labels[index].to(self.device), share)
            total, right = total + loss * len(index), right + correct
            if not math.isfinite(loss):
                break
        found = self.closed(Epoch(epoch=number, loss=total / len(labels),
                                  fit_accuracy=right / len(labels)))
        if not math.isfinite(total):
            self.stopped = (f"{DIVERGED} in epoch {number}: the loss is {total}; lower "
                            "learning_rate")
        elif check is not None:
            found = msgspec.structs.replace(found, check=self.scored(check))
        self.history.append(found)
        if self.stopped is None:
            self._judge(found)

    def _judge(self, found: Epoch) -> None:
        """Keep the weights if they are the best so far, and stop where it is time."""
        settings = self.settings
        best = self.history[self.best - 1].check if self.best else None
        if best is None or found.check.accuracy > best.accuracy:
            self.best, self.kept = found.epoch, checkpoints.copied(self.network)
        if found.epoch == settings.epochs:
            self.stopped = DONE
        elif settings.patience and found.epoch - self.best >= settings.patience:
            self.stopped = (f"no better accuracy on the check split in {settings.patience} epochs "
                            f"after epoch {self.best}")

    def drawn(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What the network sees of images of a batch: float [B, C, H, W] in 0..1."""
        padding = self.settings.padding
        padding = images.shape[-1] // 8 if padding is None else padding
        found = augmented(images, padding, self.settings.flip, generator)
        return found.to(self.device).float() / 255

    def state(self) -> tuple[Progress, dict[str, Tensor]]:
        """What goes on from here: plain values, and tensors by name."""
        tensors = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in self.kept.items()}
        for number, item in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": value for key, value in item.items()
                        if value is not None}
        return Progress(history=tuple(self.history), best=self.best, stopped=self.stopped), tensors

    def restore(self, found: tuple[Progress, dict[str, Tensor]] | None) -> None:
        """Go on from a state, None for the beginning."""
        if found is None:
            return
        progress, tensors = found
        self.history, self.best = list(progress.history), progress.best
        self.stopped = progress.stopped
        parts: dict[str, dict] = {"network": {}, "best": {}, "optimiser": {}}
        for key, value in tensors.items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        self.network.load_state_dict(parts["network"])
        self.kept = parts["best"]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in parts["optimiser"].items():
            number, name = key.split(".")
            state.setdefault(int(number), {})[name] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})

    def run(self, images: np.ndarray, labels: np.ndarray, check: Split | None, described,
            folder: Path | None, resume: bool, on_epoch: OnEpoch | None) -> Trained:
        """Train to the end; the network holds the weights that are kept.

        described: everything about the network but its weights. folder: where every epoch leaves a
        checkpoint, None for nowhere. resume: go on from the one that is there, if there is one.
        Raises RunError for a checkpoint of another training.
        """
        if resume and folder is None:
            raise ConfigError("resume needs the folder of the checkpoints")
        settings = self.settings
        with cores(settings.threads), _repeatable(self.device):
            if folder is not None:
                identity = checkpoints.identity(described, settings, images, labels, check)
                if resume:
                    self.restore(checkpoints.read(folder, identity, self.device))
            while self.stopped is None:
                self.epoch(torch.from_numpy(images), torch.from_numpy(labels), check)
                if folder is not None and not self.failed:
                    checkpoints.write(folder, identity, *self.state())
                if on_epoch:
                    on_epoch(self.history[-1], settings.epochs)
        self.network.load_state_dict(self.kept)
        best = self.history[self.best - 1].check if self.best else None
        return Trained(accuracy=best and best.accuracy,
                       spikes_per_image=best and best.spikes_per_image,
                       epochs=len(self.history), best=self.best, stopped=self.stopped,
                       history=tuple(self.history))


def fitted(fit: Split, images: int, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels int64 [n] that a training sees: the first `images` ones, 0 for all.

    Raises ConfigError for more than there are, and for classes that the network does not have.
    """
    count = images or len(fit)
    if not 0 < count <= len(fit):
        raise ConfigError(f"train.images must be in 1..{len(fit)}, what there is to train on, or 0 "
                          f"for all, not {images}")
    labels = np.array(fit.labels[:count])
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ConfigError(f"labels must be in 0..{num_classes - 1}, the classes of the network, "
                          f"not {labels.min()}..{labels.max()}")
    return fit.inputs[:count], labels


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """CUDA's algorithms are chosen to give the same sums each time within the block."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    if device.type == "cuda":
        cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
