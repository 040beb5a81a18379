"""Fronts: searches that differ in one thing, from the same seeds, and how good their fronts are.

`loop` prices candidates by what was measured and measures while it searches; `structure` counts
parts alone and measures its front at the end; `random` has the prices of `loop` and no strategy.
All train as many candidates, and place and route as many of them, so their fronts are of measured
designs, all of them, whatever the search believed.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import msgspec
from msgspec import Struct

from ..flow import config
from ..flow.cost import predict
from ..flow.errors import RunError
from ..flow.files import write_atomic
from . import final
from .loop import Mark, Search
from .store import FILE, Store
from .task import Task

#: What differs, as keys of an experiment.
ARMS = {
    "loop": (),
    "structure": ('search.cost_model="structure"',),
    "random": ('search.strategy="random"',),
}
SEEDS = (1, 2, 3, 4, 5)
#: What all have in common. Of the digits' candidates most are better than the reference point.
COMMON = ("search.population=40", "search.generations=10", "search.routed=16",
          "search.reference={accuracy = 0.9, lc = 5280}")


class Front(Struct, frozen=True):
    """One search: its progress, and the measured columns of its front."""

    arm: str
    seed: int
    seconds: float
    marks: list[Mark]
    front: list[dict[str, float]]

    def hypervolume(self, seconds: float) -> float:
        """Of the measured front after so many seconds."""
        return max((mark.hypervolume for mark in self.marks if mark.seconds <= seconds),
                   default=0.0)


def explore(arm: str, seed: int, executor: Executor, folder: Path,
            note: Callable[[str], None]) -> Front:
    """Run one search in a new run directory, or go on with what there is."""
    text = (*COMMON, f"search.seed={seed}", *ARMS[arm])
    task = Task(config.load_experiment(None, text), "the digits")
    with Store(folder / FILE) as store:
        began = time.monotonic()
        predictor = predict.shipped() if task.search.cost_model == "predicted" else None
        search = Search(task, store, executor, folder, predictor=predictor).run()
        seconds = time.monotonic() - began
    front = [item.measured for item in final.front(task, search.routing.done)]
    found = Front(arm, seed, round(seconds, 1), search.marks, front)
    note(f"{arm}, seed {seed}: hypervolume {found.marks[-1].hypervolume:.4f} after {seconds:.0f} s,"
         f" {len(front)} on the front")
    return found


def ratio(fronts: list[Front], arm: str, other: str) -> list[float]:
    """Hypervolume of an arm over that of another, from each seed, at equal seconds.

    Where the arm took longer, what it had when the other was done counts; where the other did, all
    that it had at last.
    """
    by_seed = {(item.arm, item.seed): item for item in fronts}
    out = []
    for seed in sorted({item.seed for item in fronts}):
        one, two = by_seed[arm, seed], by_seed[other, seed]
        out.append(one.hypervolume(two.seconds) / two.marks[-1].hypervolume)
    return out


def save(fronts: list[Front], path: Path) -> None:
    """Write fronts to a file."""
    write_atomic(path, json.dumps([msgspec.to_builtins(item) for item in fronts], indent=1) + "\n")


def load(path: Path) -> list[Front]:
    """What `save` wrote; RunError for another file."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=list[Front])
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(f"{path}: holds no fronts ({error}); 'spikeloom bench fronts' makes them"
                       ) from error
