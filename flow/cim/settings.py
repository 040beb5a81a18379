"""An array's settings: a TOML file with the fields of `Array`, and changes laid over it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..config import key_value, section, toml_value
from ..files import read_toml, write_atomic
from ..run import Run
from .array import Array

#: In a run's `cim`: the array that a search chose for the run's network.
FILE = "array.toml"


def load_array(path: Path | None, changes: Sequence[str] = ()) -> Array:
    """The array of a file, or the default one; `changes` are ``key=value`` texts (TOML values) laid
    over it. Raises ConfigError: file, key, rule and value.
    """
    values, where = {}, "array"
    if path is not None:
        values, where = _checked(read_toml(path), str(path)), f"{path}: array"
    values |= _checked(dict(key_value(text, "rows=128") for text in changes), "--set")
    return Array(**values).check(where)


def array_of(run: Run, path: Path | None, changes: Sequence[str] = ()) -> Array:
    """As `load_array`, but without a file the array that the run's search chose, if one did."""
    own = run.path / "cim" / FILE
    return load_array(own if path is None and own.exists() else path, changes)


def save_array(array: Array, run: Run) -> Path:
    """Keep the array that a search chose where `array_of` finds it; returns the file."""
    path = run.path / "cim" / FILE
    write_atomic(path, "".join(f"{key} = {toml_value(value)}\n"
                               for key, value in msgspec.structs.asdict(array).items()))
    return path


def _checked(data: dict, source: str) -> dict:
    """The values of known keys, of their types."""
    whole = msgspec.structs.asdict(section(Array, data, source, "array"))
    return {key: whole[key] for key in data}
