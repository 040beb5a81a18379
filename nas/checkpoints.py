"""Checkpoints of trainings in torch: one after every epoch, and tensors on disk.

    training.json            what is trained, how far it is, and which file holds the tensors
    training-EPOCH.safetensors   weights, the best ones so far, and the optimiser's state

The JSON is renamed into place last, so a checkpoint is either the old one or the whole new one.
"""

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from ..flow.errors import RunError
from ..flow.files import read_json, write_atomic
from .datasets import Split

FORMAT = 1
PROGRESS = "training.json"
AGAIN = "train again"
#: Settings that may change when a training goes on.
MAY_CHANGE = ("device", "threads")


class Scored(Struct, frozen=True):
    """accuracy: of a split, in 0..1. spikes_per_image: of all neurons over all timesteps."""

    accuracy: float
    spikes_per_image: float


class Epoch(Struct, frozen=True):
    """One epoch: mean loss and accuracy over its own batches, and what the check split says.

    fit_spikes: spikes per image over its own batches, where they are counted.
    """

    epoch: int
    loss: float
    fit_accuracy: float
    check: Scored | None = None
    fit_spikes: float | None = None


class Progress(Struct, frozen=True):
    """How far a training is; best: the epoch of the weights that are kept. stopped: why it ended.
    """

    history: tuple[Epoch, ...]
    best: int
    stopped: str | None


class _Saved(Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    identity: dict
    progress: Progress
    tensors: str


def copied(network: nn.Module) -> dict[str, Tensor]:
    """All that a network has learned, apart from it."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def identity(network: Struct, settings: Struct, images: np.ndarray, labels: np.ndarray,
             check: Split | None) -> dict:
    """What two trainings have in common where one may go on with the other's checkpoint.

    network: everything about it but its weights.
    """
    plain = msgspec.to_builtins(settings)
    for key in MAY_CHANGE:
        plain.pop(key)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes())
    if check is not None:
        digest.update(check.inputs.tobytes() + check.labels.tobytes())
    return {"network": msgspec.to_builtins(network), "train": plain, "images": digest.hexdigest()}


def write(folder: Path, identity: dict, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Make this the folder's checkpoint; the one before it goes when this one is there."""
    folder = Path(folder)
    name = f"training-{len(progress.history)}.safetensors"
    write_atomic(folder / name, save({key: value.contiguous() for key, value in tensors.items()}))
    saved = msgspec.to_builtins(_Saved(identity=identity, progress=progress, tensors=name))
    write_atomic(folder / PROGRESS, json.dumps(saved, indent=1) + "\n")
    for old in folder.glob("training-*.safetensors"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read(folder: Path, identity: dict, device: torch.device
         ) -> tuple[Progress, dict[str, Tensor]] | None:
    """The folder's checkpoint, None if there is none.

    Raises RunError if it is damaged, or of another training, with what differs.
    """
    path = Path(folder) / PROGRESS
    if not path.exists():
        return None
    saved = read_json(path, _Saved, FORMAT, "checkpoint", AGAIN)
    was, now = dict(_keys(saved.identity)), dict(_keys(msgspec.to_builtins(identity)))
    for key in was | now:
        old, new = was.get(key, "not set"), now.get(key, "not set")
        if old != new:
            raise RunError(f"{path}: its training was begun with {key} = {old}, not {new}; resume "
                           "it unchanged, or train elsewhere")
    return saved.progress, tensors(path.with_name(Path(saved.tensors).name), device)


def tensors(path: Path, device: torch.device) -> dict[str, Tensor]:
    """Tensors of a file by name; RunError if there is none, or it is damaged."""
    try:
        return {key: value.to(device) for key, value in load(path.read_bytes()).items()}
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"{path}: is damaged ({type(error).__name__}); {AGAIN}") from error


def _keys(item: dict, before: str = "") -> list[tuple[str, object]]:
    """Plain values by their path; a sequence is one value."""
    found = []
    for key, value in item.items():
        if isinstance(value, dict):
            found += _keys(value, f"{before}{key}.")
        else:
            found.append((before + key, list(value) if isinstance(value, tuple) else value))
    return found
