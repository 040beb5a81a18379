"""Answers: a table of evaluations in the place of a search's store, so that nothing is trained.

The evaluator of the problem asks it as it asks a store that has everything already. What an
evaluation took when it was made is added to a clock, once for each that is asked for, as a search
that trains pays once; the time of the strategy itself is not on it.
"""

from collections.abc import Callable
from pathlib import Path

from ..flow import ir
from ..flow.errors import RunError
from . import tabular
from .problem import Problem
from .space import Genome, identity
from .store import Evaluation
from .tabular import Table


class Answers:
    """What the evaluators of `nas.evaluator` and others ask of a store, from a table.

    seconds: on the clock. repeats: evaluations that a network must have to be known, those of each
    candidate of the search.
    """

    def __init__(self, table: Table, path: Path, repeats: int) -> None:
        self.table, self.path, self.repeats = table, path, repeats
        self.seconds = 0.0
        self._paid: set[tuple[Genome, int]] = set()

    def __contains__(self, genome: Genome) -> bool:
        return len(self.table.rows.get(genome, ())) >= self.repeats

    def find(self, genome: Genome, seed: int, settings: str) -> Evaluation:
        """The evaluation from this seed, or where there is none, of those that there are the one at
        the place seed modulo their number: searches of many seeds draw from what a few gave.

        Asked of what it has alone.
        """
        rows = self.table.rows[genome]
        row = next((row for row in rows if row.seed == seed), rows[seed % len(rows)])
        if (genome, seed) not in self._paid:
            self._paid.add((genome, seed))
            self.seconds += row.seconds
        return row.evaluation(settings, identity(genome))

    def graph(self, row: Evaluation) -> ir.Graph:
        raise RunError(f"{self.path}: holds no trained network of candidate {row.id}, but numbers "
                       "alone")

    def facts(self) -> dict:
        """What search.json says of it."""
        return {"file": str(self.path), "problem": self.table.problem,
                "networks": len(self.table.rows), "evaluations": self.table.evaluations,
                "seconds": round(self.seconds, 4)}


def tabular_evaluator(task: Problem, path: Path, *,
                      on_batch: Callable[[int, int], None] | None = None):
    """The evaluator of a problem that a file answers, which becomes the problem's `table`.

    Raises RunError for a table of another problem.
    """
    table, _ = tabular.load(path)
    answers = Answers(table, path, task.search.repeats)
    evaluator = task.evaluator(answers, None, on_batch=on_batch)
    tabular.check_same(table.about, tabular.about(task, evaluator), str(path))
    task.table = answers
    return evaluator
