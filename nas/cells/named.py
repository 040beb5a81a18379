"""Cells by name: those that were published, those that a run found, and those that a text spells.

Published ones are in `networks.toml` beside this file, with their sources.
"""

from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from ...flow.errors import ConfigError, RunError, unknown
from ...flow.files import read_json, read_toml
from .cell import Cell, parse

FILE = Path(__file__).with_name("networks.toml")
#: Between a run directory and the id of one of its candidates; with no id it is the chosen one.
OF_RUN = ":"
#: What texts of cells are made of, and names are not.
_SPELLED = set("0123456789|~, ")


class Named(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published network. weights: that its source counts, None where it does not. untold: what
    its source does not tell, and so was chosen here.
    """

    cells: tuple[str, ...]
    source: str
    weights: int | None = None
    untold: str = ""


@cache
def published() -> dict[str, Named]:
    """Published networks by name."""
    return {name: msgspec.convert(item, Named) for name, item in read_toml(FILE).items()}


def cells_by(text: str) -> tuple[Cell, ...]:
    """The cells of a text: ``3|01|234``, several with commas between them, the name of a published
    network, or ``RUN:ID``, a candidate of a run directory, ``RUN:`` for the chosen one.

    Raises ConfigError for a text that is none of these, RunError for a run that has no such one.
    """
    if text in published():
        return tuple(map(parse, published()[text].cells))
    folder, mark, name = text.rpartition(OF_RUN)
    if mark:
        return tuple(map(parse, _of_run(Path(folder), name)))
    if set(text) <= _SPELLED:
        return tuple(parse(part.strip()) for part in text.split(","))
    raise ConfigError("cells must be a text such as 3|01|234, RUN:ID or a name: "
                      + unknown("network of cells", text, published()))


class _Chosen(Struct):
    """What a run says of its network of cells."""

    format: int
    cells: tuple[str, ...]


def _of_run(folder: Path, name: str) -> tuple[str, ...]:
    """Cells of a run, as texts."""
    if not name:
        from .final import FILE as CHOSEN

        return read_json(folder / CHOSEN, _Chosen, 1, "cells", "search for some first").cells
    from ..store import FILE as STORE
    from ..store import Store
    from .space import cells_of

    path = folder / STORE
    if not path.exists():
        raise RunError(f"{path}: there is no such search")
    with Store(path) as store:
        found = {row.genome for row in store.evaluations()
                 if row.id.startswith(name) and row.genome.startswith('{"cells"')}
    if len(found) != 1:
        raise RunError(f"{path}: the id must be the beginning of that of one network of cells "
                       f"there, not {name!r}, that of {len(found)}")
    return tuple(map(str, cells_of(found.pop())))
