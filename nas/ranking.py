"""Small networks of cells that were trained, and how well scores rank them.

Cells are drawn at random, distinct and connected, from SNASNet's five operations, used in both
places of one macro network, trained on images of CIFAR-10 and judged on validation images; the test
images are for nobody here.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct, structs

from ..flow.errors import RunError
from ..flow.files import write_atomic
from . import datasets
from .cells.cell import OPERATIONS, Cell, parse
from .cells.macro import Macro
from .cells.recipe import CellTraining
from .datasets import Split

SUBSET = "cifar10-batch1"
MACRO = Macro(channels=8, image_size=16, num_steps=3, hidden=256, dropout=0.0)
#: Its seed is that of the network. On the CPU, so that it is the same again.
TRAINING = CellTraining(epochs=3, images=4000, batch_size=16, learning_rate=0.004, padding=0,
                        device="cpu")
#: Operations and how many cells of each space.
SPACES = {"full": (OPERATIONS[:5], 32)}
#: The networks that come with the package, and what made them; the file holds both.
SHIPPED = Path(__file__).parent / "figures" / "scores.json"
COMMAND = "spikeloom bench scores --out nas/figures/scores.json"

#: Resamples of an interval, and how much of them it holds.
RESAMPLES, LEVEL = 2000, 0.95


class Network(Struct, frozen=True):
    """A trained network: accuracy on the validation images, spikes for each of them over all
    timesteps, and accuracy on the images of training while each epoch ran.
    """

    space: str
    cell: str
    seed: int
    accuracy: float
    spikes_per_image: float
    fit: tuple[float, ...]
    seconds: float


def cells(space: str) -> list[Cell]:
    """The cells of a space, always the same."""
    operations, count = SPACES[space]
    rng = np.random.default_rng(0)
    found: dict[tuple, Cell] = {}
    while len(found) < count:
        cell = Cell(tuple(operations[k] for k in rng.integers(len(operations), size=6)))
        if cell.connected:
            found.setdefault(cell.canonical, cell)
    return list(found.values())


def order() -> list[tuple[str, str, int]]:
    """Space, cell and seed of every network, in the order of training."""
    return [(space, str(cell), 0) for space in SPACES for cell in cells(space)]


def images(split: str) -> Split:
    """The training or validation images as the macro network takes them, uint8 [n, C, H, W]."""
    from .cells.pixels import maps

    found = getattr(datasets.load(SUBSET), split)
    return Split(maps(found.inputs, MACRO), found.labels)


def trained(space: str, cell: str, seed: int) -> Network:
    """Train one network from nothing."""
    from .cells.train import begin, evaluate, train

    began = time.process_time()
    network = begin(MACRO, [parse(cell)], seed=seed)
    done = train(network, images("train"), None,
                 structs.replace(TRAINING, seed=seed))
    scored = evaluate(network, images("validation"))
    return Network(space, cell, seed, scored.accuracy, round(scored.spikes_per_image, 1),
                   tuple(round(epoch.fit_accuracy, 4) for epoch in done.history),
                   round(time.process_time() - began, 1))


def ranked(scores: Sequence[float]) -> np.ndarray:
    """Scores with nan below all others, as a search ranks them."""
    return np.nan_to_num(np.asarray(scores, float), nan=-math.inf, neginf=-math.inf)


def tau(scores: Sequence[float], accuracies: Sequence[float]) -> float:
    """Kendall's tau-b; nan where either are all the same."""
    return _tau(_signs(ranked(scores)), _signs(np.asarray(accuracies, float)))


def interval(scores: Sequence[float], accuracies: Sequence[float], seed: int = 0
             ) -> tuple[float, float]:
    """The 95 % interval of tau by the percentiles of a bootstrap over networks; nan without a tau.

    B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    rng = np.random.default_rng(seed)
    one, other = _signs(ranked(scores)), _signs(np.asarray(accuracies, float))
    found = []
    for drawn in rng.integers(len(one), size=(RESAMPLES, len(one))):
        pairs = np.ix_(drawn, drawn)
        found.append(_tau(one[pairs], other[pairs]))
    if np.isnan(found).all():
        return math.nan, math.nan
    low, high = np.nanquantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _signs(values: np.ndarray) -> np.ndarray:
    """Of every pair, 1, 0 or -1 [n, n]: which of the two is larger."""
    return (values[:, None] > values).astype(np.int64) - (values[:, None] < values)


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    """Tau-b from signs of pairs: those in order less those that are not, over pairs untied."""
    untied = np.count_nonzero(one) * np.count_nonzero(other)
    return float((one * other).sum() / untied ** 0.5) if untied else math.nan


class _File(Struct, frozen=True):
    command: str
    settings: dict
    networks: list[Network]


def settings() -> dict:
    """What all networks have in common, as plain values."""
    return {"subset": SUBSET, "macro": msgspec.to_builtins(MACRO), 
            "training": msgspec.to_builtins(TRAINING)}


def save(networks: list[Network], path: Path) -> None:
    """Write networks to a file, with what makes them."""
    held = _File(COMMAND, settings(), networks)
    lines = ",\n".join(json.dumps(msgspec.to_builtins(item)) for item in held.networks)
    head = json.dumps({"command": held.command, "settings": held.settings}, indent=1)[:-2]
    write_atomic(path, f'{head},\n "networks": [\n{lines}\n]}}\n')


def load(path: Path) -> list[Network]:
    """What `save` wrote; RunError for another file, or for networks of other settings."""
    try:
        held = msgspec.json.decode(Path(path).read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(f"{path}: holds no trained networks ({error}); 'spikeloom bench scores' "
                       "makes them") from error
    if held.settings != settings():
        raise RunError(f"{path}: its networks were trained with {held.settings}, not {settings()}; "
                       "take another --out")
    return held.networks


def complete(path: Path, note: Callable[[str], None]) -> list[Network]:
    """Train every network that a file lacks; each is in it as soon as it is done."""
    found = load(path) if path.exists() else []
    save(found, path)  # where it cannot be written, no training is worth its seconds
    done = {(item.space, item.cell, item.seed) for item in found}
    for item in order():
        if item not in done:
            found.append(trained(*item))
            save(found, path)
            note(f"{len(found)}/{len(order())}: {found[-1].space} {found[-1].cell}: "
                 f"{found[-1].accuracy:.2%} after {found[-1].seconds:.0f} s")
    return found
