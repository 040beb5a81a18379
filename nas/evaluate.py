"""What a candidate costs and how well it does: columns, free checks, batched training.

Order of work: a closed-form price of the shapes alone, before anything else; then training in
batches, scored on the validation split; then the price of the trained integers, which is sharper
because it sees the weights that became zero. All of these are estimates until place and route.
"""

import hashlib
import json
import math
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, dataclass

import msgspec
import numpy as np
from msgspec import Struct

from ..boards import Board
from ..flow import config, ir, targets
from ..flow.cost import prices
from ..flow.cost.energy import energy_if_known
from ..flow.cost.features import estimate, unpriced
from ..flow.cost.work import work
from ..flow.errors import ConfigError, unknown
from . import datasets, strategies, workers
from .residual import ResidualSpace
from .space import Genome, Space, identity, sparsity
from .store import Evaluation, Store
from .train import TrainSettings, plan, zeros


@dataclass(frozen=True)
class Column:
    """A number that every candidate has; `sense` is 1 where less is better, -1 where more is."""

    title: str
    sense: int
    digits: int = 0

    def text(self, value: float | None) -> str:
        return "-" if value is None else f"{value:,.{self.digits}f}"


#: What may be an objective, a constraint, or just looked at.
COLUMNS: dict[str, Column] = {
    "accuracy": Column("accuracy", -1, 4),
    "lc": Column("LCs", 1),
    "lut4": Column("LUT4s", 1),
    "ff": Column("FFs", 1),
    "ebr": Column("EBRs", 1),
    "cycles": Column("cycles", 1),
    "latency_us": Column("latency [us]", 1, 1),
    "energy_nj": Column("energy [nJ]", 1, 1),
    "zeros": Column("zeros", -1, 2),
    "weight_memory": Column("weight bits", 1),
    "additions": Column("additions", 1),
}


def price(graph: ir.Graph, board: Board, sparsity: float = 0.0) -> dict[str, float]:
    """Every column that needs no training and no tool, in closed form; all of them estimates.

    latency_us is at the board's clock, without the transfer of the image. Only a graph with weights
    has `zeros`; for one of shapes `sparsity` is the share of zeros to assume. Of maps there is no
    estimate of cells and cycles.
    """
    known = {} if graph.stage == "shape" else {"zeros": zeros(graph)}
    known |= asdict(work(graph))
    if unpriced(graph):
        return known
    found = estimate(graph, sparsity)
    return complete({"lc": found.lc, "lut4": found.lut4, "ff": found.ff, "ebr": found.ebr,
                     "cycles": found.cycles, **known}, board)


def complete(columns: Mapping[str, float], board: Board) -> dict[str, float]:
    """Columns with latency and energy that follow from `lc`, `ebr` and `cycles` on a board.

    Without cycles, there is neither; without figures of the device, there is no energy.
    """
    if columns.get("cycles") is None:
        return dict(columns)
    found = {**columns, "latency_us": 1e6 * columns["cycles"] / board.clock_hz}
    energy = energy_if_known(board.device, columns["lc"], columns["cycles"], board.clock_hz)
    return found if energy is None else {**found, "energy_nj": energy.total_nj}


def _named(find: Callable, name: str, where: str):
    """find(name), an unknown name with where it stands."""
    try:
        return find(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


@dataclass
class Counts:
    """What the free checks did: networks priced, and how many of them broke a bound."""

    priced: int = 0
    refused: int = 0


class Task:
    """One experiment made ready: data, space, board, and what is asked of each candidate.

    Raises ConfigError for a name or a key that only these know.
    """

    def __init__(self, experiment: config.Experiment, source: str = "experiment") -> None:
        self.settings = config.section(TrainSettings, experiment.train, source, "train")
        try:
            self.settings.check()
        except ConfigError as error:
            raise ConfigError(f"{source}: train.{error}") from error
        plain = {key: value for key, value in msgspec.to_builtins(self.settings).items()
                 if value is not None}
        self.experiment = msgspec.structs.replace(experiment, train=plain)
        self.search = experiment.search
        self.board = _named(targets.board, experiment.target.board, f"{source}: target.board")
        self.device = targets.device(self.board.device)
        self.strategy = strategies.load(self.search.strategy, source)
        for key in ("objectives", "constraints"):
            for name in getattr(self.search, key):
                if name not in COLUMNS:
                    raise ConfigError(f"{source}: search.{key}: "
                                      + unknown("column", name, COLUMNS))
        choose = self.search.choose
        if choose not in COLUMNS and not (choose and set(choose) <= set(string.hexdigits)):
            raise ConfigError(f"{source}: search.choose must be a column or the id of a finalist: "
                              + unknown("column", choose, COLUMNS))
        if not prices.shipped().known(self.device.name) and "energy_nj" in (
                *self.search.objectives, *self.search.constraints, choose):
            raise ConfigError(f"{source}: search must be without energy_nj on board "
                              f"{self.board.name}: no energy figures of the {self.device.name} are "
                              "known; take it out of objectives, constraints and choose")
        self.data = _named(datasets.load, experiment.data.name, f"{source}: data.name")
        for key, wanted in (("encoders", self.data.encoders),
                            ("num_steps", self.data.num_steps and (self.data.num_steps,))):
            values = getattr(experiment.space, key)
            if wanted and not set(values) <= set(wanted):
                raise ConfigError(f"{source}: space.{key} must be of {list(wanted)} for the inputs "
                                  f"of {self.data.name!r}, not {list(values)}")
        if self.settings.sparsity and any(experiment.space.sparsities):
            raise ConfigError(f"{source}: train.sparsity must be 0 where space.sparsities gives "
                              f"shares to choose from, not {self.settings.sparsity}")
        kind = {"chain": Space, "residual": ResidualSpace}[experiment.space.network]
        self.space = kind(experiment.space, self.data.shape, self.data.num_classes)
        self.bounds = {"lc": math.floor(self.search.max_utilization * self.device.lc),
                       "ebr": self.device.ebr}
        for name, bound in self.search.constraints.items():
            least = min if COLUMNS[name].sense > 0 else max
            self.bounds[name] = least(bound, self.bounds.get(name, bound))
        self.counts = Counts()
        self._excess: dict[Genome, float] = {}

    def sparsity(self, genome: Genome) -> float:
        """The share of its weights that training makes zero."""
        return sparsity(genome) or self.settings.sparsity

    def excess(self, genome: Genome) -> float:
        """By how much the shapes alone break the bounds: a sum of fractions, 0 if they hold."""
        if genome not in self._excess:
            found = self.broken(price(self.space.graph(genome), self.board,
                                      self.sparsity(genome)))
            self._excess[genome] = sum(max(0.0, value) for value in found.values())
            self.counts.priced += 1
            self.counts.refused += self._excess[genome] > 0
        return self._excess[genome]

    def broken(self, columns: Mapping[str, float]) -> dict[str, float]:
        """Each bound's violation as a fraction of it, at most 0 where it holds.

        Bounds of columns that are not there (accuracy before training) are left out.
        """
        return {
            name: COLUMNS[name].sense * (columns[name] - bound) / max(abs(bound), 1e-9)
            for name, bound in self.bounds.items() if columns.get(name) is not None
        }

    def F(self, rows: Iterable[Mapping[str, float]]) -> np.ndarray:
        """Objectives of rows of columns, less is better: float [n, objectives]."""
        names = self.search.objectives
        return np.array([[COLUMNS[name].sense * row[name] for name in names] for row in rows],
                        float).reshape(-1, len(names))

    def G(self, rows: Iterable[Mapping[str, float]]) -> np.ndarray:
        """Constraints of rows of columns, at most 0 where they hold: float [n, constraints].

        What has no estimate counts as held, until a finalist is built.
        """
        return np.array([[self.broken(row).get(name, 0.0) for name in self.bounds] for row in rows],
                        float).reshape(-1, len(self.bounds))

    def feasible(self, columns: Mapping[str, float]) -> bool:
        return all(value <= 0 for value in self.broken(columns).values())


class Candidate(Struct, frozen=True):
    """A network of the search and its trainings, one a seed."""

    genome: Genome
    id: str
    generation: int
    trainings: list[Evaluation]

    @property
    def columns(self) -> dict[str, float]:
        """All columns, means over the trainings; no accuracy where nothing was held out."""
        names = ["accuracy"] if self.trainings[0].accuracy is not None else []
        table = [{**item.estimate, "accuracy": item.accuracy} for item in self.trainings]
        return {name: sum(row[name] for row in table) / len(table)
                for name in [*names, *self.trainings[0].estimate]}


class Evaluator:
    """Trains generations of candidates, each batch stored as it ends, and never one twice.

    `held_out`: True trains on the train split and scores on validation; False trains on both and
    scores on nothing, once each. The test split is not touched. on_batch(done, todo) counts the
    trainings of a generation that were still to be done. `trained` and `restored` count trainings.
    """

    def __init__(self, task: Task, store: Store, executor: Executor, *, held_out: bool = True,
                 on_batch: Callable[[int, int], None] | None = None) -> None:
        self.task, self.store, self.executor = task, store, executor
        self.on_batch = on_batch or (lambda done, todo: None)
        self.seeds = [task.search.seed + k for k in range(task.search.repeats if held_out else 1)]
        self.settings = task.settings if held_out else msgspec.structs.replace(
            task.settings, epochs=task.search.final_epochs)
        self.fit = task.data.train if held_out else task.data.final
        self.check = task.data.validation if held_out else None
        key = {"data": task.data.name, "held_out": held_out,
               "train": msgspec.to_builtins(self.settings)}
        self.key = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        self.trained = 0
        self.restored = 0

    def evaluate(self, genomes: Sequence[Genome], generation: int) -> list[Candidate]:
        """Candidates in the order of `genomes`, from the store where it has their trainings.

        Batches are those of `plan` over the whole generation, whatever is stored already, and one
        is trained and stored as a whole or not at all: which networks train together can reach
        the last bit of a sum, so a resumed search must not form others than the first one.
        """
        jobs = [(genome, seed) for genome in genomes for seed in self.seeds]
        graphs = [self.task.space.graph(genome) for genome, _ in jobs]
        rows: dict[int, Evaluation] = {}
        running: dict[Future, list[int]] = {}
        for batch in plan(graphs, self.settings.batch):
            found = [self.store.find(*jobs[place], self.key) for place in batch]
            if all(found):
                rows.update(zip(batch, found))
            else:
                running[self.executor.submit(
                    workers.train_batch, [graphs[place] for place in batch], self.fit, self.check,
                    self.settings, [jobs[place][1] for place in batch],
                    [self.task.sparsity(jobs[place][0]) for place in batch])] = batch
        self.restored += len(rows)
        done, todo = 0, len(jobs) - len(rows)
        self.on_batch(done, todo)
        for future in as_completed(running):
            batch = running[future]
            made = [
                (Evaluation(genome=jobs[place][0], seed=jobs[place][1], settings=self.key,
                            id=identity(jobs[place][0]), generation=generation, position=place,
                            accuracy=item.accuracy, epochs=item.epochs, stopped=item.stopped,
                            seconds=seconds, estimate=price(item.graph, self.task.board)),
                 item.graph)
                for place, (item, seconds) in zip(batch, future.result())
            ]
            self.store.add(made)
            rows.update(zip(batch, (row for row, _ in made)))
            self.trained += len(batch)
            done += len(batch)
            self.on_batch(done, todo)
        count = len(self.seeds)
        return [Candidate(genome=genome, id=identity(genome), generation=generation,
                          trainings=[rows[n * count + k] for k in range(count)])
                for n, genome in enumerate(genomes)]


def search(task: Task, store: Store, executor: Executor, *,
           on_batch: Callable[[int, int], None] | None = None,
           on_generation: Callable[[int, list[Candidate]], None] | None = None,
           ) -> tuple[list[Candidate], Evaluator]:
    """Run the strategy over all generations; every candidate in order, and who trained them.

    What the store has is not trained again, so a search that was killed ends as it would have.
    """
    evaluator = Evaluator(task, store, executor, on_batch=on_batch)
    strategy = task.strategy(
        task.space, objectives=len(task.search.objectives), constraints=len(task.bounds),
        population=task.search.population, seed=task.search.seed, excess=task.excess)
    rows: list[Candidate] = []
    for generation in range(1, task.search.generations + 1):
        genomes = strategy.ask()
        if not genomes:
            break
        found = evaluator.evaluate(genomes, generation)
        rows += found
        if on_generation:
            on_generation(generation, rows)
        table = [row.columns for row in found]
        strategy.tell(task.F(table), task.G(table))
    return rows, evaluator
