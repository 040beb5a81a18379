"""The figures of this installation, each measured here and now, by the names that goals give.

The groups are in `figures`, a file for what is measured together. `make bench ONLY='glob,glob'`
runs just the groups that the names need. Nothing is read from an earlier run, and caches that would
shorten a measurement are set aside.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from shutil import rmtree

from ..flow.errors import ConfigError, SpikeloomError
from ..flow.files import write_atomic
from ..flow.run import Run

FOLDER = Path("build/bench")


@dataclass(frozen=True)
class Figure:
    """One measured figure; goal is text, holds is None where there is no goal."""

    name: str
    value: float | int
    unit: str
    goal: str
    holds: bool | None
    detail: str


@dataclass(frozen=True)
class Group:
    """Figures that are measured together: goals by name, and the function that gives values."""

    goals: dict[str, tuple[str, str]]
    measure: Callable[["Bench"], dict[str, tuple[float, str]]]


GROUPS: list[Group] = []


def group(**goals: tuple[str, str]):
    """Register a group; keywords are names with ``__`` for the dot, values (unit, goal)."""
    def register(function):
        GROUPS.append(Group({k.replace("__", "."): v for k, v in goals.items()}, function))
        return function
    return register


def groups() -> list[Group]:
    """Every group there is."""
    from . import figures  # noqa: F401, its modules register themselves

    return GROUPS


def names() -> list[str]:
    return [name for g in groups() for name in g.goals]


def selected(patterns: Iterable[str]) -> list[str]:
    """The names that match any of the globs; ConfigError for a glob that matches none."""
    out = []
    for pattern in patterns:
        found = [name for name in names() if fnmatch(name, pattern)]
        if not found:
            raise ConfigError(f"--only: {pattern!r} must match a figure: {', '.join(names())}")
        out += [name for name in found if name not in out]
    return [name for name in names() if name in out]


def holds(value: float, goal: str) -> bool | None:
    """Whether a value meets a goal such as ``>= 0.965`` or ``0.85..0.95``; None for no goal."""
    if not goal:
        return None
    if ".." in goal:
        low, high = map(float, goal.split(".."))
        return low <= value <= high
    sign, limit = goal.split()
    return {">=": value >= float(limit), "<=": value <= float(limit),
            "==": value == float(limit)}[sign]


class Unmeasured(SpikeloomError):
    """What a figure needs is not there, and nobody can be blamed: files that one brings oneself."""


class Bench:
    """One run of the benchmarks; keeps what several groups share."""

    def __init__(self, note: Callable[[str], None], jobs: int = 2) -> None:
        self.note, self.jobs = note, jobs
        self._searches: dict[str, tuple[Run, dict]] = {}

    def run(self, wanted: list[str], path: Path) -> list[Figure]:
        """Measure the wanted figures, group by group; after each group `path` has those so far."""
        out = []
        for g in groups():
            if not set(wanted) & set(g.goals):
                continue
            self.note(f"measuring {', '.join(g.goals)}")
            try:
                found = g.measure(self)
            except Unmeasured as error:
                self.note(f"not measured: {error}")
                save(out, path)
                continue
            for name, (value, detail) in found.items():
                unit, goal = g.goals[name]
                if name in wanted:
                    out.append(Figure(name, value, unit, goal, holds(value, goal), detail))
            save(out, path)
        return out

    def search(self, data: str = "digits") -> tuple[Run, dict]:
        """``make search synth DATA=data``, in a new run directory and with an empty cache."""
        if data not in self._searches:
            run, cache = FOLDER / f"search-{data}", FOLDER / "cache"
            for folder in (run, cache):
                rmtree(folder, ignore_errors=True)
            environment = os.environ | {"SPIKELOOM_CACHE": str(cache.resolve())}
            start = time.monotonic()
            experiment = [] if data == "digits" else [f"examples/{data}.toml"]
            for command in (["search", "--jobs", str(self.jobs), *experiment],
                            ["synth", "--board", "icebreaker"]):
                argv = [sys.executable, "-m", "spikeloom.flow.cli", command[0], "--run", str(run),
                        *command[1:], "--json"]
                done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    raise SpikeloomError(f"spikeloom {command[0]} failed with exit code "
                                         f"{done.returncode}; its messages stand above")
            seconds = time.monotonic() - start
            outcome = json.loads((run / "search.json").read_text())
            report = json.loads(done.stdout)["report"]
            self._searches[data] = Run.open(run), {**outcome, "wall": seconds, "report": report}
        return self._searches[data]


def save(figures: list[Figure], path: Path) -> None:
    """Write figures as a JSON list."""
    write_atomic(path, json.dumps([asdict(f) for f in figures], indent=1) + "\n")
