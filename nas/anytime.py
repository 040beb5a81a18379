"""Anytime curves of searches: the best so far, over evaluations and over seconds.

A search is asked and told as ever, and nothing is placed and routed; it goes on until it has had so
many evaluations and so many seconds. Strategies do not know when they will be stopped, so the
beginning of a longer search is a shorter one.
"""

import hashlib
import json
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from msgspec import Struct, field, structs

from ..flow import config
from . import pareto, tabular
from .answers import tabular_evaluator
from .columns import COLUMNS
from .evaluator import Candidate
from .loop import Search
from .problem import Problem, problem
from .space import describe, identity
from .store import FILE, Store

#: Evaluations of one search, at most, whatever seconds it has.
MOST = 100_000
#: Generations in a row of which a table may have nothing, before it is taken to have no more.
BARREN = 200
#: Draws for a network that is evaluated before the clock runs.
DRAWS = 1000
HYPERVOLUME = "hypervolume"


class Step(Struct, frozen=True):
    """A candidate that keeps the limits and that none before it is as good as in all columns.

    at: its number among the evaluations, from 1.
    """

    at: int
    network: str
    columns: dict[str, float | None]


class Trace(Struct, frozen=True):
    """One search. seconds: when each evaluation was done. again: numbers of evaluations of networks
    that had one before. ended: the strategy had no more, or its table. own: seconds of the
    strategy. refused: networks that break limits by closed form. unknown: those that the table
    lacks. returned: whether the network that the strategy returns keeps the limits, None where that
    is the best that does.
    """

    seconds: list[float]
    steps: list[Step]
    again: list[int] = field(default_factory=list)
    ended: bool = False
    own: float = 0.0
    refused: int = 0
    unknown: int = 0
    returned: bool | None = None

    def within(self, seconds: float) -> int:
        """Evaluations that were done after so many seconds."""
        return bisect_right(self.seconds, seconds)

    def distinct(self, evaluations: int) -> int:
        """Different networks among so many evaluations."""
        count = min(evaluations, len(self.seconds))
        return count - bisect_right(self.again, count)


class Measure:
    """What searches are compared by: a column, or the hypervolume of the front.

    Reference point and box of all hypervolumes are the same.
    """

    def __init__(self, task: Problem, by: str, traces: Sequence[Trace]) -> None:
        self.task, self.by = task, by
        self.sense = -1 if by == HYPERVOLUME else COLUMNS[by].sense
        self._known: dict[tuple[int, int], float] = {}
        if by == HYPERVOLUME:
            self.reference = task.reference([step.columns for trace in traces
                                             for step in trace.steps])
            self.box = task.box(self.reference)

    @property
    def title(self) -> str:
        return self.by if self.by == HYPERVOLUME else COLUMNS[self.by].title

    @property
    def spec(self) -> str:
        """How values are written."""
        return ",.4f" if self.by == HYPERVOLUME else f",.{max(3, COLUMNS[self.by].digits)}f"

    def natural(self, value: float) -> float | None:
        """A value as it is meant; None where there is none."""
        return self.sense * value + 0.0 if math.isfinite(value) else None

    def value(self, trace: Trace, evaluations: int) -> float:
        """Of the best of the first evaluations, less is better; infinity where none keeps the
        limits.
        """
        count = bisect_right(trace.steps, evaluations, key=lambda step: step.at)
        key = (id(trace), count)
        if key not in self._known:
            self._known[key] = self._value([step.columns for step in trace.steps[:count]])
        return self._known[key]

    def _value(self, rows: Sequence[Mapping[str, float | None]]) -> float:
        if self.by == HYPERVOLUME:
            return -pareto.hypervolume(self.task.F(rows), self.reference) / self.box
        known = [row[self.by] for row in rows if row[self.by] is not None]
        return min((self.sense * value for value in known), default=math.inf)

    def network(self, trace: Trace, evaluations: int) -> str:
        """The best of the first evaluations; of a front, the one with the best first objective."""
        name = self.task.search.objectives[0] if self.by == HYPERVOLUME else self.by
        steps = [step for step in trace.steps
                 if step.at <= evaluations and step.columns[name] is not None]
        sense = COLUMNS[name].sense
        return min(steps, key=lambda step: sense * step.columns[name]).network if steps else ""


def traced(task: Problem) -> list[str]:
    """The columns of steps: objectives, and what `search.choose` names."""
    objectives, choose = task.search.objectives, task.search.choose
    return [*objectives, *([choose] if choose in COLUMNS and choose not in objectives else [])]


def searched(key: dict, *, table: Path | None = None, folder: Path | None = None) -> dict:
    """Run one search; its trace as plain values.

    key: `experiment`, `evaluations` and `seconds` (None: no more than the evaluations take), which
    are process time, or those that a table recorded. folder: keeps all that was evaluated, as a
    table of its own.
    """
    from .cells.trials import Here

    def ready(store: Store):
        task = problem(config.experiment_from(key["experiment"], "study"), "study")
        return task, (tabular_evaluator(task, table) if table
                      else task.evaluator(store, Here()))

    with TemporaryDirectory() as held, Store(Path(held) / FILE) as store, _threads(table):
        if table is None:
            with Store(Path(held) / f"first-{FILE}") as other:
                _warm(*ready(other))
        task, evaluator = ready(store)
        clocked = _Clocked(evaluator)
        search = Search(task, store, Here(), Path(held), evaluator=clocked, builds=False,
                        predictor=task.predictor())
        found = _run(search, clocked, key["evaluations"], key["seconds"])
        if table is None and folder is not None:
            rows = [structs.replace(row, seconds=clocked.each[row.genome, row.seed])
                    for row in store.evaluations(evaluator.key)]
            tabular.Table(tabular.about(task, evaluator), map(tabular.row_of, rows)).save(
                part(folder, key))
    return found


def part(folder: Path, key: dict) -> Path:
    """The file of what one search evaluated."""
    text = json.dumps(key, sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"


class _Clocked:
    """An evaluator, and the process time that it took: all, and of each evaluation by genome and
    seed, in proportion to the seconds that it measured itself, which other processes can stretch.
    """

    def __init__(self, evaluator) -> None:
        self.evaluator, self.seconds = evaluator, 0.0
        self.each: dict[tuple[str, int], float] = {}

    def evaluate(self, genomes: Sequence[str], generation: int) -> list[Candidate]:
        began = time.process_time()
        found = self.evaluator.evaluate(genomes, generation)
        taken = time.process_time() - began
        self.seconds += taken
        items = [item for row in found for item in row.trainings]
        whole = sum(item.seconds for item in items)
        for item in items:
            share = item.seconds / whole if whole else 1 / len(items)
            self.each.setdefault((item.genome, item.seed), taken * share)
        return found


def _threads(table: Path | None):
    """One thread for all that torch does, if anything is evaluated."""
    if table is not None:
        return nullcontext()
    from .train import cores

    return cores(1)


def _warm(task: Problem, evaluator) -> None:
    """Evaluate a network, the same one for every strategy of a seed, before the clock runs: none
    pays for what is loaded once, and none has what earlier searches of this process left.
    """
    getattr(evaluator, "forget", lambda: None)()
    rng = np.random.default_rng(task.search.seed)
    for _ in range(DRAWS):
        genome = task.space.genome(task.space.sample(rng))
        if task.excess(genome) <= 0:
            evaluator.evaluate([genome], 1)
            return


def _run(search: Search, clocked: _Clocked, evaluations: int, limit: float | None) -> dict:
    task = search.task
    clock: Callable[[], float] = (
        time.process_time if task.table is None else lambda: task.table.seconds)
    names, senses = traced(task), np.array([COLUMNS[name].sense for name in traced(task)])
    seconds: list[float] = []
    again, steps, front, seen = [], [], [], set()
    spent = own = 0.0
    ended, barren = False, 0
    while len(seconds) < MOST and not ended and (len(seconds) < evaluations or
                                   (limit is not None and spent < limit)):
        began, worked = clock(), time.process_time()
        rows = search.step()
        taken, own = clock() - began, own + time.process_time() - worked
        barren = 0 if rows else barren + 1
        ended = rows is None or barren == BARREN
        if not rows:
            continue
        seconds += [spent + taken * share for share in _shares(rows)]
        spent = seconds[-1]
        for at, row, columns in zip(range(len(seconds) - len(rows) + 1, len(seconds) + 1), rows,
                                    search.prices.columns(rows), strict=True):
            if row.id in seen:
                again.append(at)
            seen.add(row.id)
            if not task.feasible(columns):
                continue
            values = [columns.get(name) for name in names]
            point = np.where(np.equal(values, None), np.inf,
                             senses * np.array(values, float))
            if not any((other <= point).all() for other in front):
                front = [other for other in front if not (point <= other).all()] + [point]
                steps.append({"at": at, "network": describe(row.genome),
                              "columns": dict(zip(names, values, strict=True))})
    returned = None
    if search.result is not None:
        name = identity(search.result)
        returned = any(task.feasible(row.counted) for row in search.rows if row.id == name)
    return {"seconds": [round(value, 6) for value in seconds], "steps": steps, "again": again,
            "ended": ended, "own": round(own - clocked.seconds, 4),
            "refused": task.counts.refused, "unknown": len(search.unknown), "returned": returned}


def _shares(rows: Sequence[Candidate]) -> list[float]:
    """When each of a generation was done, as a share of the time of all: by the seconds that each
    evaluation took by itself.
    """
    own = np.cumsum([sum(item.seconds for item in row.trainings) for row in rows])
    if own[-1] <= 0:
        own = np.arange(1.0, len(rows) + 1)
    return (own / own[-1]).tolist()
