"""Training of networks of cells: surrogate gradients, the quantiser in the loop.

A long training is one that is cut short now and then, so each epoch draws its order of images, its
augmentation and its dropout from the seed and its own number alone: with the checkpoint that every
epoch ends with, a resumed training gives the weights that an uninterrupted one would have given.
`images` and few epochs make the same function a search's short training.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...flow.errors import ConfigError
from ..datasets import Split
from ..train import cores
from . import checkpoints
from .cell import Cell
from .checkpoints import Epoch, Progress, Scored
from .macro import Macro
from .network import LINEAR_STD, CellNetwork, draw
from .pixels import maps
from .recipe import CellTraining

#: First standard deviation of weights of FC layers, times the root of their inputs.
GAINS = {"fc1": 3.0, "fc2": 1.0}
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


#: Called after each epoch, with how many there will be at most.
OnEpoch = Callable[[Epoch, int], None]


def device_of(name: str) -> torch.device:
    """The device of a setting; ConfigError for CUDA where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device must be 'cpu' or 'auto' on a machine without CUDA, not "
                          "'cuda'")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    return torch.device(chosen)


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
    if resume and folder is None:
        raise ConfigError("resume needs the folder of the checkpoints")
    images, labels = _fit(network, fit, settings)
    device = device_of(settings.device)
    training = _Training(network.to(device), settings, device)
    with cores(settings.threads), _repeatable(device):
        if folder is not None:
            identity = checkpoints.identity(network, settings, images, labels, check)
            if resume:
                training.restore(checkpoints.read(folder, identity, device))
        while training.stopped is None:
            training.epoch(torch.from_numpy(images), torch.from_numpy(labels), check)
            if folder is not None and not training.failed:
                checkpoints.write(folder, identity, *training.state())
            if on_epoch:
                on_epoch(training.history[-1], settings.epochs)
    return training.result()


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


class _Training:
    """A training between two epochs: everything that a checkpoint holds."""

    def __init__(self, network: CellNetwork, settings: CellTraining, device: torch.device) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.history: list[Epoch] = []
        self.best = 0
        self.kept = checkpoints.copied(network)
        self.stopped: str | None = None
        decayed = [p for p in network.parameters() if p.ndim > 1]
        others = [p for p in network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": settings.weight_decay},
                  {"params": others, "weight_decay": 0.0}]
        if settings.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(groups, lr=settings.learning_rate,
                                             momentum=settings.momentum)
        else:
            self.optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)

    @property
    def failed(self) -> bool:
        return (self.stopped or "").startswith(DIVERGED)

    def epoch(self, images: Tensor, labels: Tensor, check: Split | None) -> None:
        """One more epoch, and whether it is the last."""
        settings, number = self.settings, len(self.history) + 1
        generator = torch.Generator().manual_seed(_seed(settings.seed, number))
        self.network.generator.manual_seed(_seed(settings.seed, number))
        parts = math.ceil(len(labels) / settings.batch_size)
        total = right = 0.0
        for part, index in enumerate(torch.randperm(len(labels), generator=generator)
                                     .tensor_split(parts)):
            share = ((number - 1) * parts + part) / (settings.epochs * parts)
            loss, correct = self._step(self._drawn(images[index], generator),
                                       labels[index].to(self.device), settings.rate(share))
            total, right = total + loss * len(index), right + correct
            if not math.isfinite(loss):
                break
        found = Epoch(epoch=number, loss=total / len(labels), fit_accuracy=right / len(labels))
        if not math.isfinite(total):
            self.stopped = (f"{DIVERGED} in epoch {number}: the loss is {total}; lower "
                            "learning_rate")
        elif check is not None:
            found = Epoch(epoch=number, loss=found.loss, fit_accuracy=found.fit_accuracy,
                          check=evaluate(self.network, check, settings.batch_size))
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

    def _drawn(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What the network sees of images of a batch: float [B, C, H, W] in 0..1."""
        padding = self.settings.padding
        padding = images.shape[-1] // 8 if padding is None else padding
        found = augmented(images, padding, self.settings.flip, generator)
        return found.to(self.device).float() / 255

    def _step(self, x: Tensor, y: Tensor, rate: float) -> tuple[float, int]:
        """One step of the optimiser; the loss before it, and how many images were right."""
        self.network.train()
        logits = self.network(x)
        loss = functional.cross_entropy(logits, y, label_smoothing=self.settings.label_smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        return float(loss.detach()), int((logits.detach().argmax(1) == y).sum())

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

    def result(self) -> Trained:
        """The end of the training: the network holds the weights that are kept."""
        self.network.load_state_dict(self.kept)
        check = self.history[self.best - 1].check if self.best else None
        return Trained(accuracy=check and check.accuracy,
                       spikes_per_image=check and check.spikes_per_image,
                       epochs=len(self.history), best=self.best, stopped=self.stopped,
                       history=tuple(self.history))


def _fit(network: CellNetwork, fit: Split, settings: CellTraining
         ) -> tuple[np.ndarray, np.ndarray]:
    """The images that training sees, uint8 [n, C, H, W], and their labels int64 [n]."""
    count = settings.images or len(fit)
    if not 0 < count <= len(fit):
        raise ConfigError(f"train.images must be in 1..{len(fit)}, what there is to train on, or 0 "
                          f"for all, not {settings.images}")
    labels = np.array(fit.labels[:count])
    if labels.min() < 0 or labels.max() >= network.macro.num_classes:
        raise ConfigError(f"labels must be in 0..{network.macro.num_classes - 1}, the classes of "
                          f"the network, not {labels.min()}..{labels.max()}")
    return maps(fit.inputs[:count], network.macro), labels


def _seed(seed: int, epoch: int) -> int:
    """What an epoch's generators begin with."""
    return seed * 1_000_003 + epoch


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
