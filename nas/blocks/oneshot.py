"""The super-network of a search: trained once into the run, and what a worker asks of it."""

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from ...flow.errors import FitError
from ..datasets import Split
from .macro import Macro

#: Where it lies in a run.
FOLDER = "supernet"
#: What is in the folder while it is trained.
TRAINING = "training"


@dataclass(frozen=True)
class Known:
    """A trained super-network. weights: as bytes of a safetensors file; digest: of these.

    average_spikes: of an image, while it was trained (N_avg of the fitness). epochs, seconds: of
    its training, 0 where it is another run's.
    """

    weights: bytes
    digest: str
    average_spikes: float
    epochs: int
    seconds: float


class Evaluated(Struct, frozen=True):
    """accuracy, spikes: of an image of the split that candidates are judged on."""

    accuracy: float
    spikes: float
    seconds: float


def trained(task, folder: Path, note: Callable[[str], None] | None = None) -> Known:
    """The super-network of a search whose run is `folder`, trained there, or gone on with, unless
    another run's is to be taken.

    note: told of each epoch. Raises RunError for one of another space, FitError for a training that
    diverged or in which nothing fired.
    """
    from safetensors.torch import save

    from .checkpoints import load_super

    began, note = time.perf_counter(), note or (lambda text: None)
    offered, epochs = task.blocks.offered, 0
    place = Path(folder) / FOLDER
    if task.blocks.supernet:
        place = Path(task.blocks.supernet) / FOLDER
    else:
        epochs = _train(task, place, note)
    supernet, average = load_super(place, task.macro, offered)
    weights = save(supernet.state_dict())
    return Known(weights, hashlib.sha256(weights).hexdigest()[:16], average, epochs,
                 time.perf_counter() - began if epochs else 0.0)


def recorded(settings: Mapping[str, object]) -> Known:
    """What a table of evaluations (`nas.tabular`) says of the super-network that made them; of one
    that is of others, nothing.
    """
    average = settings.get("average_spikes")
    return Known(b"", str(settings.get("supernet")),
                 float(average) if isinstance(average, int | float) else 0.0, 0, 0.0)


def _train(task, place: Path, note: Callable[[str], None]) -> int:
    """Train the super-network of a search into a folder; epochs."""
    from .checkpoints import save_super
    from .supernet import SuperNetwork
    from .train import train_super

    settings = task.training

    def told(epoch, most: int) -> None:
        note(f"super-network: epoch {epoch.epoch} of {most}, loss {epoch.loss:.4f}, "
             f"{epoch.fit_accuracy:.2%} on its own batches, {epoch.fit_spikes:,.0f} spikes an "
             "image")

    supernet = SuperNetwork(task.macro, task.blocks.offered, seed=settings.seed)
    done = train_super(supernet, task.data.train, settings, folder=place / TRAINING, resume=True,
                       on_epoch=told)
    if done.diverged:
        raise FitError(f"the training of the super-network {done.stopped}")
    if not done.average_spikes:
        raise FitError("the training of the super-network must make something fire; raise "
                       "blocks.super.epochs or blocks.super.learning_rate")
    save_super(supernet, done.average_spikes, place)
    return done.epochs


def evaluate(macro: Macro, offered: Sequence[str], weights: bytes, blocks: Sequence[str],
             check: Split, calibration: Split | None) -> Evaluated:
    """What a network does on `check` with the weights of a super-network, in a worker process.

    calibration: images that batch statistics are computed anew from, None for those of training.
    """
    from ..train import cores

    began = time.perf_counter()
    with cores(1):
        supernet = _loaded(macro, tuple(offered), weights, threading.get_ident())
        found = supernet.evaluate(blocks, check, calibration=calibration)
    return Evaluated(found.accuracy, found.spikes_per_image, time.perf_counter() - began)


@lru_cache(maxsize=16)
def _loaded(macro: Macro, offered: tuple[str, ...], weights: bytes, thread: int):
    """A super-network; a worker keeps the last ones, one a thread, as evaluation changes them."""
    from safetensors.torch import load

    from .supernet import SuperNetwork

    supernet = SuperNetwork(macro, offered)
    supernet.load_state_dict(load(weights))
    return supernet.eval()
