"""Scores of networks of cells, one a file: a module here with a class `Score`. All but one do
without training.

A score is made once and asked often::

    score = Score(macro, images, seed=0, **settings)   # images uint8 [n, C, H, W]
    score.score([cell])                                # higher is better; nan where it has none

`WHAT` is one line of help and `SETTINGS` a struct of its settings, which say how many images it
sees by `batch_size` and `batches`, or by `needed`. One that has `LABELS` set is also given `labels`
int64 [n] (`make`). The same arguments and cells
give the same value, and equal layers of different cells have the same random weights. What a cell
that lets nothing through has is nan. `nas.hamming` scores spikes of any other network.

A plug-in (`flow.plugins`) adds its own with `register`.
"""

import math
import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module

import msgspec
import numpy as np
from msgspec import Struct

from ...flow import plugins
from ...flow.errors import ConfigError, unknown
from ..cells.cell import Cell
from ..cells.macro import Macro

#: Scores of plug-ins.
ADDED: dict[str, type] = {}


def register(name: str) -> Callable[[type], type]:
    """Decorator of a plug-in's class, which becomes the score `name`."""
    def add(score: type) -> type:
        for part in ("WHAT", "SETTINGS", "score"):
            if not hasattr(score, part):
                raise ConfigError(f"score {name!r} must have {part}; NoSettings is the SETTINGS of "
                                  "a score without any")
        plugins.add("score", ADDED, name, score, names())
        return score
    return add


def names() -> list[str]:
    """Every score."""
    return sorted([*ADDED, *(module.name for module in pkgutil.iter_modules(__path__))])


def load(name: str) -> type:
    """The class of the score `name`; ConfigError if there is none."""
    if name not in names():
        raise ConfigError(unknown("score", name, names()))
    return ADDED[name] if name in ADDED else import_module(f"{__name__}.{name}").Score


def make(name: str, macro: Macro, images: np.ndarray, labels: np.ndarray | None, *, seed: int,
         **settings):
    """The score `name`, with labels if it has `LABELS`."""
    kind = load(name)
    more = {"labels": labels} if getattr(kind, "LABELS", False) else {}
    return kind(macro, images, seed=seed, **more, **settings)


def needed(settings: Struct) -> int:
    """How many images a score with these settings sees; 0 where they do not say."""
    if hasattr(settings, "needed"):
        return settings.needed
    return getattr(settings, "batch_size", 0) * getattr(settings, "batches", 1)


class NoSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of scores that have none."""

    def check(self) -> "NoSettings":
        return self


class ClosedForm:
    """Base of scores that need no network, images or seed: `of(cells)`, one cell for each place."""

    SETTINGS = NoSettings

    def __init__(self, macro: Macro, images: np.ndarray, *, seed: int = 0, **settings) -> None:
        self.macro = macro.check()
        settled(type(self), settings)

    def score(self, cells: Sequence[Cell]) -> float:
        cells = self.macro.all_of(cells)
        return self.of(cells) if all(cell.connected for cell in cells) else math.nan

    def of(self, cells: Sequence[Cell]) -> float:
        """The score of cells that let something through."""
        raise NotImplementedError


def settled(score: type, given: dict) -> Struct:
    """A score's settings with its defaults, checked; ConfigError for what is wrong with them."""
    name = score.__module__.rpartition(".")[2]
    known = score.SETTINGS.__struct_fields__
    for key in given:
        if key not in known:
            raise ConfigError(f"{name}: " + unknown("setting", key, known))
    try:
        return msgspec.convert(given, score.SETTINGS).check()
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: settings must be as in {score.SETTINGS()}: {error}") from error


def shaped(images: np.ndarray, macro: Macro, least: int) -> np.ndarray:
    """The first `least` images, if their shape is that of the network's input; else ConfigError."""
    wanted = (macro.in_channels, macro.image_size, macro.image_size)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != wanted:
        raise ConfigError(f"images must be uint8 [n, {', '.join(map(str, wanted))}], not "
                          f"{images.dtype} {list(images.shape)}")
    if len(images) < least:
        raise ConfigError(f"images must be at least {least:,}, which its settings ask for, not "
                          f"{len(images):,}")
    return images[:least]


def bounded(settings: Struct, where: str, bounds: Sequence[tuple[str, int, int]]) -> None:
    """Raise ConfigError for the first integer that is out of its bounds."""
    for key, low, high in bounds:
        value = getattr(settings, key)
        if not low <= value <= high:
            raise ConfigError(f"{where}: {key} must be in {low}..{high}, not {value}")
