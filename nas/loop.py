"""The loop: a strategy asks, candidates are trained and priced, some are measured, and it is told.

What a measurement teaches goes back into the prices of all, those that the strategy still breeds
from included. A search that was killed asks the same questions again, and the store answers.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from msgspec import Struct

from ..flow.cost.predict import Predictor
from . import pareto
from .answers import tabular_evaluator
from .evaluator import Candidate
from .prices import Prices
from .problem import WORST, Problem
from .routing import Routed, Unrouted, routing
from .space import Genome
from .store import Store


class Mark(Struct, frozen=True):
    """How far a search was: `hypervolume` of the measured front, `expected` of all prices then.

    Both are shares of the box between the reference point and the ideal one, where there is one.
    seconds: since this process began to search, or those that its table recorded.
    """

    generation: int
    evaluations: int
    routed: int
    seconds: float
    hypervolume: float
    expected: float


class Search:
    """One search: `run` it, then look at `rows`, `prices`, `routing` and `marks`.

    evaluator: what judges candidates, the task's own if there is none, which asks the table of the
    search if that has one. What the table does not have is no candidate (`unknown`): the strategy
    is told that it breaks the bounds. builds: whether candidates may be placed and routed. note:
    told what the evaluator does before the first candidate.
    """

    def __init__(self, task: Problem, store: Store, executor: Executor, folder: Path, *,
                 predictor: Predictor | None = None, evaluator=None, builds: bool = True,
                 on_batch: Callable[[int, int], None] | None = None,
                 note: Callable[[str], None] | None = None,
                 on_routed: Callable[[Routed], None] | None = None,
                 on_generation: Callable[["Search", int], None] | None = None) -> None:
        self.task, self.on_generation = task, on_generation
        if evaluator is None and task.search.table:
            evaluator = tabular_evaluator(task, Path(task.search.table), on_batch=on_batch)
        self.evaluator = evaluator or task.evaluator(store, executor, on_batch=on_batch,
                                                     note=note)
        self.prices = Prices(task, predictor)
        self.routing = Unrouted() if not builds else routing(
            task, store, executor, self.prices, folder, on_routed=on_routed)
        self.strategy = task.strategy(
            task.space, objectives=len(task.search.objectives), constraints=len(task.bounds),
            population=task.search.population, seed=task.search.seed, excess=task.excess,
            broken=task.violated, deduplicate=task.search.deduplicate, options=task.options)
        self.rows: list[Candidate] = []
        self.unknown: set[Genome] = set()
        self.marks: list[Mark] = []
        self.generation = 0

    def run(self) -> "Search":
        """All generations, and all builds."""
        began = time.monotonic()
        while self.generation < self.task.search.generations and self.step() is not None:
            self._mark(began)
        if self.rows:
            self.routing.close(self.rows, lambda: self._mark(began))
        return self

    def step(self) -> list[Candidate] | None:
        """One generation, evaluated and told; None where the strategy has no more."""
        genomes = self.strategy.ask()
        if not genomes:
            return None
        self.generation += 1
        known = [genome for genome in genomes
                 if self.task.table is None or genome in self.task.table]
        self.unknown.update(set(genomes) - set(known))
        found = self.evaluator.evaluate(known, self.generation)
        self.rows += found
        due = self.routing.due(self.generation)
        if due:
            self.routing.admit(self.rows)
        self._tell(genomes, found)
        if due:
            self.routing.begin(self.rows)
        return found

    @property
    def result(self) -> Genome | None:
        """What the strategy returns, where that is not the best of all that keep the bounds."""
        return getattr(self.strategy, "result", None)

    def _tell(self, genomes: list[Genome], found: list[Candidate]) -> None:
        columns = self.prices.columns(self.rows)
        F, G = self.task.F(columns), self.task.G(columns)
        worst = np.full(F.shape[1], WORST), np.ones(G.shape[1])
        if hasattr(self.strategy, "revise"):
            self.strategy.revise({
                **{row.genome: (F[k], G[k]) for k, row in enumerate(self.rows)},
                **dict.fromkeys(self.unknown, worst)})
        answers = iter(zip(F[len(F) - len(found):], G[len(G) - len(found):], strict=True))
        told = [worst if genome in self.unknown else next(answers) for genome in genomes]
        self.strategy.tell(*(np.array(each) for each in zip(*told, strict=True)))

    def _mark(self, began: float) -> None:
        task = self.task
        seconds = time.monotonic() - began if task.table is None else task.table.seconds
        routed = [item for item in self.routing.done
                  if item.usable and task.feasible(item.measured)]
        counted = [row.counted for row in self.rows]
        reference = task.reference(counted)
        box = task.box(reference)
        measured = [item.measured for item in routed]
        expected = [columns for columns in self.prices.columns(self.rows) if task.feasible(columns)]
        self.marks.append(Mark(
            generation=self.generation, evaluations=len(self.rows), routed=len(routed),
            seconds=round(seconds, 1),
            hypervolume=pareto.hypervolume(task.F(measured), reference) / box,
            expected=pareto.hypervolume(task.F(expected), reference) / box))
        if self.on_generation:
            self.on_generation(self, self.generation)
