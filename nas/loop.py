"""The loop: a strategy asks, candidates are trained and priced, some are measured, and it is told.

What a measurement teaches goes back into the prices of all, those that the strategy still breeds
from included. A search that was killed asks the same questions again, and the store answers.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from msgspec import Struct

from ..flow.cost.predict import Predictor
from . import pareto
from .evaluator import Candidate
from .prices import Prices
from .problem import Problem
from .routing import Routed, routing
from .space import Genome
from .store import Store


class Mark(Struct, frozen=True):
    """How far a search was: `hypervolume` of the measured front, `expected` of all prices then.

    Both are shares of the box between the reference point and the ideal one, where there is one.
    seconds: since this process began to search.
    """

    generation: int
    evaluations: int
    routed: int
    seconds: float
    hypervolume: float
    expected: float


class Search:
    """One search: `run` it, then look at `rows`, `prices`, `routing` and `marks`.

    evaluator: what judges candidates, an `Evaluator` of the task if there is none.
    """

    def __init__(self, task: Problem, store: Store, executor: Executor, folder: Path, *,
                 predictor: Predictor | None = None, evaluator=None,
                 on_batch: Callable[[int, int], None] | None = None,
                 on_routed: Callable[[Routed], None] | None = None,
                 on_generation: Callable[["Search", int], None] | None = None) -> None:
        self.task, self.on_generation = task, on_generation
        self.evaluator = evaluator or task.evaluator(store, executor, on_batch=on_batch)
        self.prices = Prices(task, predictor)
        self.routing = routing(task, store, executor, self.prices, folder, on_routed=on_routed)
        self.strategy = task.strategy(
            task.space, objectives=len(task.search.objectives), constraints=len(task.bounds),
            population=task.search.population, seed=task.search.seed, excess=task.excess,
            broken=task.violated, deduplicate=task.search.deduplicate, options=task.options)
        self.rows: list[Candidate] = []
        self.marks: list[Mark] = []

    def run(self) -> "Search":
        """All generations, and all builds."""
        task, began = self.task, time.monotonic()
        generation = 0
        while generation < task.search.generations and (genomes := self.strategy.ask()):
            generation += 1
            found = self.evaluator.evaluate(genomes, generation)
            self.rows += found
            due = self.routing.due(generation)
            if due:
                self.routing.admit(self.rows)
            self._tell(found)
            if due:
                self.routing.begin(self.rows)
            self._mark(generation, began)
        if self.rows:
            self.routing.close(self.rows, lambda: self._mark(generation, began))
        return self

    @property
    def result(self) -> Genome | None:
        """What the strategy returns, where that is not the best of all that keep the bounds."""
        return getattr(self.strategy, "result", None)

    def _tell(self, found: list[Candidate]) -> None:
        columns = self.prices.columns(self.rows)
        F, G = self.task.F(columns), self.task.G(columns)
        if hasattr(self.strategy, "revise"):
            self.strategy.revise({row.genome: (F[k], G[k]) for k, row in enumerate(self.rows)})
        self.strategy.tell(F[-len(found):], G[-len(found):])

    def _mark(self, generation: int, began: float) -> None:
        task = self.task
        routed = [item for item in self.routing.done
                  if item.usable and task.feasible(item.measured)]
        counted = [row.counted for row in self.rows]
        reference = task.reference(counted)
        box = task.box(reference)
        measured = [item.measured for item in routed]
        expected = [columns for columns in self.prices.columns(self.rows) if task.feasible(columns)]
        self.marks.append(Mark(
            generation=generation, evaluations=len(self.rows), routed=len(routed),
            seconds=round(time.monotonic() - began, 1),
            hypervolume=pareto.hypervolume(task.F(measured), reference) / box,
            expected=pareto.hypervolume(task.F(expected), reference) / box))
        if self.on_generation:
            self.on_generation(self, generation)
