"""Fronts: searches that differ in one thing, from the same seeds, and how good their fronts are.

`loop` prices candidates by what was measured and measures while it searches; `structure` counts
parts alone and measures its front at the end; `random` has the prices of `loop` and no strategy.
All train as many candidates, and place and route as many of them, so their fronts are of measured
designs, all of them, whatever the search believed.
"""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from shutil import rmtree

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
from .workers import workers

#: What differs, as keys of an experiment.
ARMS = {
    "loop": (),
    "structure": ('search.cost_model="structure"',),
    "random": ('search.strategy="random"',),
}
SEEDS = (1, 2, 3, 4, 5)
#: What all have in common: a search of two or three minutes, since place and route of a large
#: design takes one alone. Of the digits' candidates most are better than the reference point.
COMMON = ("search.population=20", "search.generations=6", "search.routed=8",
          "search.constraints={lc = 2200}", "search.reference={accuracy = 0.9, lc = 2200}")
#: The searches that come with the package, and what made them; the file holds both.
SHIPPED = Path(__file__).parent / "figures" / "fronts.json"
COMMAND = "spikeloom bench fronts --out nas/figures/fronts.json"


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


def order() -> list[tuple[str, int]]:
    """Arms and seeds in the order in which they run: those that the figure compares, side by side
    from each seed, and then the others.
    """
    return [(arm, seed) for arms in (("loop", "structure"), ("random",))
            for seed in SEEDS for arm in arms]


def explore(arm: str, seed: int, executor: Executor, folder: Path,
            note: Callable[[str], None]) -> Front:
    """Run one search in a new run directory."""
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


def alone(arm: str, seed: int, folder: Path, jobs: int, note: Callable[[str], None]) -> Front:
    """`explore` from nothing, with a build cache of its own: its seconds are those of all its work.
    """
    rmtree(folder, ignore_errors=True)
    before = os.environ.get("SPIKELOOM_CACHE")
    os.environ["SPIKELOOM_CACHE"] = str((folder / "cache").resolve())
    try:
        with workers(jobs, "run the same command again with") as executor:
            return explore(arm, seed, executor, folder, note)
    finally:
        if before is None:
            del os.environ["SPIKELOOM_CACHE"]
        else:
            os.environ["SPIKELOOM_CACHE"] = before


def ratio(fronts: list[Front], arm: str, other: str) -> list[float]:
    """Hypervolume of an arm over that of another, from each seed, at equal seconds.

    Where the arm took longer, what it had when the other was done counts; where the other did, all
    that it had at last. Raises RunError where a search is missing, or the other one found nothing
    better than the reference point.
    """
    by_seed = {(item.arm, item.seed): item for item in fronts}
    out = []
    for seed in sorted({item.seed for item in fronts}):
        for name in (arm, other):
            if (name, seed) not in by_seed:
                raise RunError(f"there is no front of '{name}' from seed {seed}; 'spikeloom bench "
                               "fronts' runs what its file lacks")
        one, two = by_seed[arm, seed], by_seed[other, seed]
        whole = two.marks[-1].hypervolume
        if not whole:
            raise RunError(f"the front of '{other}' from seed {seed} has no hypervolume to compare "
                           f"with that of '{arm}'; search.reference must be a point that it beats")
        out.append(one.hypervolume(two.seconds) / whole)
    return out


class _File(Struct, frozen=True):
    command: str
    experiment: tuple[str, ...]
    fronts: list[Front]


def save(fronts: list[Front], path: Path) -> None:
    """Write fronts to a file, with what makes them."""
    held = _File(COMMAND, COMMON, fronts)
    write_atomic(path, json.dumps(msgspec.to_builtins(held), indent=1) + "\n")


def load(path: Path) -> list[Front]:
    """What `save` wrote; RunError for another file, or for fronts of other searches."""
    try:
        held = msgspec.json.decode(Path(path).read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError) as error:
        raise RunError(f"{path}: holds no fronts ({error}); 'spikeloom bench fronts' makes them"
                       ) from error
    if held.experiment != COMMON:
        raise RunError(f"{path}: its searches were asked for {', '.join(held.experiment)}, not "
                       f"{', '.join(COMMON)}; take another --out")
    return held.fronts
