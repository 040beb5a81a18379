"""What a worker does with a network of cells: score it, count its spikes, train it a little."""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache

import numpy as np
from msgspec import Struct

from .. import scores
from ..datasets import Split
from .cell import Cell, parse
from .macro import Macro

#: Score of a network's spikes before training, and of how many images, at most, it is the mean.
SPIKES, MOST = "spikes", 256


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked of every candidate of a search.

    score: its name and settings, None where it is not asked for. spikes: count them. training: of a
    `nas.cells.train.CellTraining`, on the macro network, with weights of weight_bits; None trains
    nothing.
    """

    macro: Macro
    scored: Macro
    score: str | None
    settings: dict
    spikes: bool
    training: Struct | None
    weight_bits: int


class Evaluated(Struct, frozen=True):
    """Columns of a candidate, None where it has no such value; epochs that it was trained, and why
    no more of them.
    """

    columns: dict[str, float | None]
    epochs: int
    stopped: str | None
    seconds: float


def evaluate(asked: Asked, texts: Sequence[str], seed: int, images: np.ndarray,
             fit: Split | None = None, check: Split | None = None,
             labels: np.ndarray | None = None) -> Evaluated:
    """Evaluate one candidate, of cells as texts, in a worker process.

    images: uint8 [n, C, S, S] for scores, with labels int64 [n] for those that take them. fit,
    check: splits of a training.
    """
    began = time.perf_counter()
    cells, columns, epochs, stopped = list(map(parse, texts)), {}, 0, None
    if asked.score is not None:
        columns["score"] = _score(asked.score, asked.settings, asked.scored, images, seed, cells,
                                  labels)
    if asked.training is not None:
        found = _trained(asked, cells, seed, fit, check)
        columns |= {"accuracy": found.accuracy, "spikes": found.spikes_per_image}
        epochs, stopped = found.epochs, found.stopped
    elif asked.spikes:
        batch = {"batch_size": min(len(images), MOST), "batches": 1}
        columns["spikes"] = _score(SPIKES, batch, asked.scored, images, seed, cells)
    return Evaluated(columns, epochs, stopped, time.perf_counter() - began)


def scored(name: str, settings: dict, macro: Macro, images: np.ndarray, labels: np.ndarray | None,
           seed: int, texts: Sequence[str]) -> tuple[float | None, float]:
    """One score of one network, of cells as texts, in a worker process; and its seconds."""
    began = time.perf_counter()
    value = _score(name, settings, macro, images, seed, list(map(parse, texts)), labels)
    return value, time.perf_counter() - began


def _score(name: str, settings: dict, macro: Macro, images: np.ndarray, seed: int,
           cells: Sequence[Cell], labels: np.ndarray | None = None) -> float | None:
    made = _made(name, json.dumps(settings, sort_keys=True), macro, seed, _Images(images, labels))
    with _one_thread():
        value = made.score(cells)
    return float(value) if np.isfinite(value) else None


class _Images:
    """Images, and labels if there are any, that a cache can have as a key."""

    def __init__(self, images: np.ndarray, labels: np.ndarray | None) -> None:
        self.images, self.labels = images, labels
        self.key = (images.shape, images.tobytes(), labels is not None and labels.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Images) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=4)
def _made(name: str, settings: str, macro: Macro, seed: int, images: _Images):
    """A score; it keeps what all candidates have in common."""
    return scores.make(name, macro, images.images, images.labels, seed=seed,
                       **json.loads(settings))


def forget() -> None:
    """Let go of scores, and of the weights that they keep for other candidates."""
    _made.cache_clear()


def _trained(asked: Asked, cells: Sequence[Cell], seed: int, fit: Split, check: Split):
    from .quantiser import trained_bits
    from .train import begin, train

    network = begin(asked.macro, cells, seed=seed, weight_bits=trained_bits(asked.weight_bits))
    return train(network, fit, check, asked.training)


def _one_thread():
    """Sums of torch do not depend on how many cores there are, where it is there at all."""
    if "torch" not in sys.modules:
        return nullcontext()
    from ..train import cores

    return cores(1)
