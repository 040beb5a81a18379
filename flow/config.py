"""An experiment: `experiment.toml` as frozen, checked structures.

Every section and key has a default; an empty file is the search on scikit-learn's digits. A key
that is unknown, of the wrong type or out of range raises ConfigError: file, key, rule and value.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import fields

from .errors import ConfigError, unknown
from .events import Data, EventData, data_of
from .rules import Rule
from .search_settings import Asked, BlockSearch, CellSearch, Search
from .space_settings import BlockSpace, CellSpace, Space

#: What `target.clock` may be.
CLOCKS = ("board", "auto", "fastest")


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """The board to build for, and the seed of place and route.

    clock: what the network that a search keeps runs at. Its first `synth` takes the board's pin, or
    chooses by the energy of an image (`auto`) or by its speed (`fastest`), with `search.pnr_seeds`
    seeds. Candidates are built for the pin's.
    """

    board: str = "icebreaker"
    seed: int = 1
    clock: str = "board"

    def rules(self) -> Iterator[Rule]:
        yield "seed", 0 <= self.seed < 1 << 31, "in 0..2**31-1"
        yield "clock", self.clock in CLOCKS, f"one of {', '.join(CLOCKS)}"


class Experiment(Struct, frozen=True, forbid_unknown_fields=True):
    """All sections. `train` holds keys of nas.train.TrainSettings, `cim` those of nas.cim.Cim,
    `cells` those of nas.cells.settings.Cells, `blocks` those of nas.blocks.settings.Blocks, checked
    where these are known; an experiment without crossbars has no `cim`, one of other networks no
    `cells` and no `blocks`, and `data` of images has a name alone.
    """

    data: Data | EventData = field(default_factory=Data)
    space: Space | CellSpace | BlockSpace = field(default_factory=Space)
    search: Asked = field(default_factory=Search)
    train: dict[str, int | float | str | bool] = field(default_factory=dict)
    cim: dict[str, object] | UnsetType = UNSET
    cells: dict[str, object] | UnsetType = UNSET
    blocks: dict[str, object] | UnsetType = UNSET
    target: Target = field(default_factory=Target)


def load_experiment(path: Path | None, changes: tuple[str, ...] = ()) -> Experiment:
    """Read an experiment; `changes` are ``section.key=value`` texts (TOML values) laid over it.

    Without a path it is the default one. Raises ConfigError.
    """
    source, data = "experiment", {}
    if path is not None:
        source = str(path)
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{source}: cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: is not TOML: {error}") from error
    for text in changes:
        section, key, value = change(text)
        if section not in _SECTIONS:
            raise ConfigError("--set: " + unknown("section", section, _SECTIONS))
        item = data.setdefault(section, {})
        if isinstance(item, dict):
            item[key] = value
    return experiment_from(data, source)


def experiment_from(data: dict, source: str = "experiment") -> Experiment:
    """Check plain data, section by section and key by key; raises ConfigError naming `source`."""
    sections = {}
    space = data.get("space")
    kinds = _SECTIONS
    network = space.get("network") if isinstance(space, dict) else None
    if isinstance(network, str) and network in _OWN:
        kinds = _SECTIONS | _OWN[network]
        sections = {name: cls() for name, cls in _OWN[network].items()}
    for name, item in data.items():
        if name not in _SECTIONS:
            raise ConfigError(f"{source}: " + unknown("section", name, _SECTIONS))
        if not isinstance(item, dict):
            raise ConfigError(f"{source}: {name} must be a section [{name}], not {item!r}")
        cls = data_of(item) if name == "data" else kinds[name]
        sections[name] = dict(item) if cls is None else section(cls, item, source, name)
    return Experiment(**sections)


def section(cls: type, item: dict, source: str, name: str):
    """One checked section: an instance of the Struct `cls` from a table of plain values.

    Where `cls` has `rules()` and `names()`, they are held too. Raises ConfigError.
    """
    known = {f.name: f for f in fields(cls)}
    values = {}
    for key, value in item.items():
        if key not in known:
            raise ConfigError(f"{source}: {name}.{key}: " + unknown("key", key, known))
        kind = known[key].type
        try:
            values[key] = msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{source}: {name}.{key} must be {_described(kind)}, not {value!r}"
                              ) from error
    made = cls(**values)
    for key, ok, text in made.rules() if hasattr(made, "rules") else ():
        if not ok:
            raise ConfigError(f"{source}: {name}.{key} must be {text}, "
                              f"not {toml_value(getattr(made, key))}")
    for key, kind, names in made.names() if hasattr(made, "names") else ():
        for value in getattr(made, key):
            if value not in names:
                raise ConfigError(f"{source}: {name}.{key}: " + unknown(kind, value, names))
    return made


def to_toml(experiment: Experiment) -> str:
    """The effective experiment as TOML, every key written out; reads back as the same."""
    lines = []
    for name, item in msgspec.to_builtins(experiment).items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in item.items()]
        lines.append("")
    return "\n".join(lines)


#: The struct of each section; None where others know its keys.
_SECTIONS: dict[str, type | None] = {
    "data": Data, "space": Space, "search": Search, "train": None, "cim": None, "cells": None,
    "blocks": None, "target": Target}
#: Sections of kinds of networks that have their own, `space_settings.OWN`.
_OWN: dict[str, dict[str, type]] = {
    "cells": {"space": CellSpace, "search": CellSearch},
    "blocks": {"space": BlockSpace, "search": BlockSearch}}


def change(text: str, option: str = "--set", shape: str = "SECTION.KEY=VALUE"
           ) -> tuple[str, str, object]:
    """Split ``section.key=value``; a value that is not TOML is taken as a string."""
    where, equals, value = text.partition("=")
    name, dot, key = where.strip().partition(".")
    if not (equals and dot and name and key):
        raise ConfigError(f"{option} must be {shape}, not {text!r}")
    return name, key, _value(value)


def key_value(text: str, example: str) -> tuple[str, object]:
    """Split ``key=value``; a value that is not TOML is taken as a string."""
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise ConfigError(f"--set must be KEY=VALUE, such as {example}, not {text!r}")
    return key.strip(), _value(value)


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _described(kind) -> str:
    names = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    if get_origin(kind) is tuple:
        return f"a list, each {_described(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return ("a table of numbers, such as { lc = 5000 }" if get_args(kind)[1] is float
                else "a table, such as { sample = 10 }")
    return names.get(kind) or " or ".join(names.get(k, str(k)) for k in get_args(kind))


def toml_value(value) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value) if isinstance(value, str) else repr(value)
