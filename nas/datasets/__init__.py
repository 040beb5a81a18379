"""Data sets: pixels of 8 bits or events, and labels, in splits that never change.

A search and every tuning step see `train` and `validation`; `test` is for the final networks alone.
Data sets are one file each: a module here with `SETS`, whose keys are the names that configurations
use, and with

* `load(name)`, the `Dataset`, or ConfigError with the file that is missing or damaged and where it
  is from;
* `sizes(name)`, how many samples train, validation and test have, and `about(name)`, how these were
  chosen; neither reads a file;
* `SHAPE` and `CLASSES`, and `ORIGIN` and `files(name)` where a user brings the files.

Those of recordings of events have more (`recorded`), and `load(name, events)` takes a section
[data], which says how recordings become frames.

A plug-in (`flow.plugins`) adds its own with `register`.
"""

import pkgutil
from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from types import ModuleType

from ...flow import plugins
from ...flow.errors import ConfigError, unknown
from ...flow.events import Data, EventData
from .dataset import Dataset, Split

__all__ = ["HOMES", "LOADERS", "Dataset", "Split", "asked", "described", "load", "of_recordings",
           "register"]


def _homes() -> dict[str, ModuleType]:
    found = (import_module(f"{__name__}.{item.name}") for item in pkgutil.iter_modules(__path__))
    return {name: module for module in found for name in getattr(module, "SETS", ())}


#: The module of each data set that ships.
HOMES: dict[str, ModuleType] = _homes()

#: What makes each data set, by the name that configurations use.
LOADERS: dict[str, Callable[[], Dataset]] = {
    name: partial(module.load, name) for name, module in HOMES.items()}


def register(name: str) -> Callable:
    """Decorator of a plug-in's function that takes nothing and returns the `Dataset` of `name`."""
    def add(function: Callable[[], Dataset]) -> Callable[[], Dataset]:
        plugins.add("dataset", LOADERS, name, function)
        return function
    return add


@lru_cache(maxsize=4)
def load(name: str, events: EventData | None = None) -> Dataset:
    """The data set of that name; ConfigError for an unknown one.

    events: how recordings become frames, None as the data set has it.
    """
    if name not in LOADERS:
        raise ConfigError(unknown("dataset", name, LOADERS))
    if events is not None and name not in of_recordings():
        keys = ", ".join(key for key in events.__struct_fields__ if key != "name")
        raise ConfigError(f"what says how recordings become frames ({keys}) must be left out for "
                          f"{name!r}; data sets of recordings are {', '.join(of_recordings())}")
    data = LOADERS[name]() if events is None else LOADERS[name](events)
    if not isinstance(data, Dataset):
        raise ConfigError(f"dataset {name!r} must be a Dataset, not {type(data).__name__}")
    return data.whole()


def asked(data: Data) -> Dataset:
    """The data set that a section [data] asks for."""
    return load(data.name, data if isinstance(data, EventData) else None)


def of_recordings() -> list[str]:
    """The names of data sets of recordings."""
    return [name for name, home in HOMES.items() if hasattr(home, "READER")]


def described(name: str) -> str:
    """What a data set is, for figures that name it: its samples in each split, and their choice."""
    if name in HOMES:
        home = HOMES[name]
        sizes, about = home.sizes(name), f", {home.about(name)}"
    else:
        data = load(name)
        sizes, about = (len(data.train), len(data.validation), len(data.test)), ""
    train, validation, test = (f"{size:,}" for size in sizes)
    return f"{name}: {train} train, {validation} validation and {test} test samples{about}"
