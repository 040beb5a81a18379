"""Finalists: trained on all but the test split, placed and routed, and measured.

The most promising candidates of the estimated front, far apart on it, are trained once more on
train and validation together and placed and routed, several at once. One that does not fit, or
whose build fails, is recorded as such and the next in order takes its place. Rounds are formed in
candidate order, so the outcome does not depend on which build ends first.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from pathlib import Path

import numpy as np
from msgspec import Struct

from ..flow import ir
from ..flow.errors import FitError
from ..flow.passes.simplify import simplify
from ..sim import reference
from . import pareto, workers
from .evaluate import COLUMNS, Candidate, Evaluator, Task, complete, price
from .space import describe
from .store import Store, Synthesis

#: Builds tried for each one wanted, before the search makes do with what it has.
TRIES = 3

_MEASURED = ("lc", "lut4", "ff", "carry", "ebr", "spram", "dsp")


class Finalist(Struct, frozen=True):
    """A candidate with its final network: predicted beside measured.

    `accuracy` is the validation accuracy of the search; `estimate` was priced from the very
    integers that were built; `measured` has the columns of the search with measured counts, None
    unless routed. test_accuracy is that of the integer reference model on the final network.
    """

    id: str
    network: str
    genome: str
    status: str
    reason: str | None
    accuracy: float
    test_accuracy: float | None
    estimate: dict[str, float]
    measured: dict[str, float] | None
    fmax_mhz: float | None
    meets_clock: bool | None
    seconds: float
    design: str

    @property
    def usable(self) -> bool:
        """Whether it fits and meets the board's clock."""
        return self.status == "routed" and bool(self.meets_clock)


class Routing:
    """Chooses, trains, builds and measures the finalists of one search."""

    def __init__(self, task: Task, store: Store, executor: Executor, run_dir: Path, *,
                 on_finalist: Callable[[Finalist], None] | None = None) -> None:
        self.task, self.store, self.executor = task, store, executor
        self.run_dir, self.on_finalist = Path(run_dir), on_finalist
        self.evaluator = Evaluator(task, store, executor, held_out=False)

    def run(self, rows: Sequence[Candidate]) -> list[Finalist]:
        """Route until `routed` candidates fit, or none is left to try, in candidate order."""
        wanted, pending = self.task.search.routed, self.order(rows)
        pending = pending[:TRIES * wanted]
        done: list[Finalist] = []
        while pending and (missing := wanted - sum(f.status == "routed" for f in done)) > 0:
            chosen, pending = pending[:missing], pending[missing:]
            done += self._round(chosen)
        return done

    def order(self, rows: Sequence[Candidate]) -> list[Candidate]:
        """The candidates within the bounds, most promising first (`pareto.spread`)."""
        rows = [row for row in rows if self.task.feasible(row.columns)]
        return [rows[index] for index in pareto.spread(self.task.F(row.columns for row in rows))]

    def _round(self, chosen: list[Candidate]) -> list[Finalist]:
        """Train and build some candidates at once; each is stored as it ends.

        The largest are begun first, which keeps all workers busy for longest.
        """
        finals = self.evaluator.evaluate([row.genome for row in chosen], 0)
        graphs = [simplify(self.store.graph(final.trainings[0])) for final in finals]
        target = self.task.experiment.target
        running: dict[Future, int] = {}
        sizes = [final.columns.get("lc", final.columns["weight_memory"]) for final in finals]
        for place in sorted(range(len(chosen)), key=lambda place: (-sizes[place], place)):
            folder = self.run_dir / "candidates" / chosen[place].id
            graphs[place].save(folder / "graph.safetensors")
            running[self.executor.submit(
                workers.build, ir.to_bytes(graphs[place]), str(folder), target.board, target.seed,
                str(folder / "build" / target.board))] = place
        done: dict[int, Finalist] = {}
        for future in as_completed(running):
            place = running[future]
            done[place] = self._measure(chosen[place], graphs[place], future.result())
            if self.on_finalist:
                self.on_finalist(done[place])
        return [done[place] for place in range(len(chosen))]

    def _measure(self, row: Candidate, graph: ir.Graph, built: dict) -> Finalist:
        estimate = price(graph, self.task.board)
        report = built["report"] or {}
        counts = {name: report.get(name) for name in _MEASURED}
        if report.get("bound"):
            counts["lc"] = None
        design, target = report.get("design", graph.digest()), self.task.experiment.target
        self.store.add_synthesis(Synthesis(
            design=design, board=target.board, seed=target.seed, tools=report.get("tools", {}),
            status=built["status"], reason=built["reason"], fmax_mhz=report.get("fmax_mhz"),
            meets_clock=report.get("meets_clock"), seconds=built["seconds"], estimate=estimate,
            report=built["report"], **counts))
        measured = test = None
        if built["status"] == "routed":
            known = {**estimate, **{key: counts[key] for key in counts if key in COLUMNS}}
            measured = complete(known, self.task.board)
            split = self.task.data.test
            classes = reference.run(graph, split.inputs).classes
            test = float((classes == split.labels).mean())
        return Finalist(
            id=row.id, network=describe(row.genome), genome=row.genome, status=built["status"],
            reason=built["reason"], accuracy=row.columns["accuracy"], test_accuracy=test,
            estimate=estimate, measured=measured, fmax_mhz=report.get("fmax_mhz"),
            meets_clock=report.get("meets_clock"), seconds=built["seconds"], design=design)


def front(task: Task, finalists: Sequence[Finalist]) -> list[Finalist]:
    """The non-dominated of those that run on the board, by measured columns; fewest LCs first."""
    routed = [item for item in finalists if item.usable]
    table = [measured_columns(item) for item in routed]
    kept = [routed[index] for index in pareto.front(task.F(table))]
    return sorted(kept, key=lambda item: (item.measured["lc"], -item.accuracy))


def measured_columns(item: Finalist) -> dict[str, float]:
    """The search's columns of a routed finalist: validation accuracy, and measured counts."""
    return {"accuracy": item.accuracy, **item.measured}


def choose(finalists: Sequence[Finalist], rule: str) -> Finalist:
    """The finalist that `rule` names: a column, whose best value wins, or the start of an id.

    Only what fits and meets the clock is chosen from; ties go to fewer LCs. Raises FitError where
    nothing does.
    """
    usable = [item for item in finalists if item.usable]
    if not usable:
        why = {item.reason or f"Fmax {item.fmax_mhz:.1f} MHz" for item in finalists}
        raise FitError(f"none of {len(finalists)} finalists fits the board and meets its clock "
                       f"({'; '.join(sorted(why)) or 'none was built'}); "
                       "try a lower search.max_utilization, or more search.routed")
    if rule in COLUMNS:
        return min(usable, key=lambda item: (COLUMNS[rule].sense * measured_columns(item)[rule],
                                             item.measured["lc"], item.id))
    found = [item for item in usable if item.id.startswith(rule)]
    if len(found) != 1:
        raise FitError(f"search.choose must be a column ({', '.join(COLUMNS)}) or the id of a "
                       f"finalist that fits ({', '.join(item.id for item in usable)}), "
                       f"not {rule!r}")
    return found[0]


def errors(finalists: Sequence[Finalist]) -> dict[str, float] | None:
    """How far predicted LCs are from measured ones, as fractions of the measured."""
    pairs = np.array([(item.estimate["lc"], item.measured["lc"])
                      for item in finalists if item.measured and "lc" in item.estimate], float)
    if not len(pairs):
        return None
    relative = (pairs[:, 0] - pairs[:, 1]) / pairs[:, 1]
    return {"mean": float(relative.mean()), "mean_absolute": float(np.abs(relative).mean()),
            "worst": float(relative[np.abs(relative).argmax()])}
