"""The chosen network of cells, as the run keeps it."""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import msgspec
from msgspec import Struct

from ...flow.files import write_atomic
from ...flow.run import Run
from ..evaluate import Candidate
from ..space import describe
from ..store import Store
from .space import cells_of

FILE = "cells.json"


class CellFinal(Struct, frozen=True):
    """cells: as texts, one for all places or one for each. columns: as the search found them."""

    id: str
    network: str
    cells: list[str]
    columns: dict[str, float | None]


def finish(task, store: Store, executor: Executor, folder: Path, rows: Sequence[Candidate]
           ) -> tuple[CellFinal, None]:
    """The first of `rows`, which are what was chosen, the best first."""
    best = rows[0]
    return CellFinal(id=best.id, network=describe(best.genome),
                     cells=list(map(str, cells_of(best.genome))), columns=best.counted), None


def keep(task, chosen: CellFinal, made: None, opened: Run) -> list[str]:
    """Write the cells and the macro network into the run."""
    path = opened.path / FILE
    content = {"format": 1, "id": chosen.id, "cells": chosen.cells,
               "macro": msgspec.to_builtins(task.macro)}
    write_atomic(path, json.dumps(content, indent=1) + "\n")
    return [f"the chosen cells are in {path}"]
