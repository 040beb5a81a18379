"""Problem: what an experiment asks of each candidate, whatever kind of network that is.

A kind of network is a class here or elsewhere, and `problem` alone chooses one. It says what a
candidate costs before anything is spent on it, who evaluates candidates, and what comes after the
search (`ending`, a module; `nas.outcome` says what it has).
"""

import math
import string
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import Executor
from dataclasses import dataclass

import msgspec
import numpy as np

from ..flow import config
from ..flow.errors import ConfigError, unknown
from . import datasets, strategies
from .columns import COLUMNS
from .datasets import Dataset
from .space import Genome

#: Kinds of networks with a section of their name.
OWN_SECTIONS = ("cells", "blocks")

#: The objectives of a candidate that has none: worse than anything, and finite, for pymoo.
WORST = 1e30


def problem(experiment: config.Experiment, source: str = "experiment") -> "Problem":
    """One experiment made ready. Raises ConfigError for a name or a key that only a kind knows."""
    if experiment.space.network == "cells":
        from .cells.task import CellTask

        return CellTask(experiment, source)
    if experiment.space.network == "blocks":
        from .blocks.task import BlockTask

        return BlockTask(experiment, source)
    from .task import Task

    return Task(experiment, source)


@dataclass
class Counts:
    """What the free checks did: networks priced, and how many of them broke a bound."""

    priced: int = 0
    refused: int = 0


class Problem:
    """What all kinds have in common; the rest is their own.

    space: with `bounds`, `choices`, `sample`, `genome`, `size` and `smaller` (`nas.space.Space`).
    bounds: of columns, the device's beside those that the search asks for. table: evaluations that
    answer in place of any that is made (`nas.answers.Answers`), if a search has them.
    """

    #: Columns that candidates of this kind do not have, and why.
    LACKS: Mapping[str, str] = {}

    #: Keys that a resumed search may change, as none of what is stored depends on them.
    may_change: Set[str] = frozenset()
    #: Folders of a run that a search which is begun afresh sets aside, beside its store.
    FOLDERS: tuple[str, ...] = ()

    def __init__(self, experiment: config.Experiment, source: str = "experiment") -> None:
        self.experiment, self.search = experiment, experiment.search
        for name in OWN_SECTIONS:
            given = getattr(experiment, name) is not msgspec.UNSET
            if given and experiment.space.network != name:
                raise ConfigError(f"{source}: section [{name}] must be left out with space.network "
                                  f"= {experiment.space.network!r}; it is of {name!r}")
        self.strategy = strategies.load(self.search.strategy, source)
        self.options = strategies.options(self.strategy, self.search.options, source)
        strategies.check_network(self.search.strategy, self.strategy, experiment.space.network,
                                 source)
        for key in ("objectives", "constraints", "reference"):
            for name in getattr(self.search, key):
                self._check_column(name, f"{source}: search.{key}: ")
        choose = self.search.choose
        if choose in self.LACKS or not (choose and set(choose) <= set(string.hexdigits)):
            self._check_column(choose, f"{source}: search.choose must be a column or the id of a "
                                       "candidate: ")
        self._check_reference(source)
        self.bounds: dict[str, float] = {}
        self.counts = Counts()
        self._excess: dict[Genome, float] = {}
        self.table = None

    def _check_column(self, name: str, where: str) -> None:
        if name in self.LACKS:
            raise ConfigError(f"{where}{name} is no column of this search: {self.LACKS[name]}; "
                              f"it has {', '.join(self.columns)}")
        if name not in COLUMNS:
            raise ConfigError(where + unknown("column", name, self.columns))

    @property
    def columns(self) -> list[str]:
        """The names of all columns that candidates may have."""
        return [name for name in COLUMNS if name not in self.LACKS]

    @property
    def asked(self) -> set[str]:
        """The columns that the search cannot do without."""
        return {*self.search.objectives, *self.search.constraints, self.search.choose}

    def _check_reference(self, source: str) -> None:
        """Hold `search.objectives` and `search.reference` to each other."""
        objectives = self.search.objectives
        for name, value in self.search.reference.items():
            if name not in objectives:
                raise ConfigError(f"{source}: search.reference must be of search.objectives "
                                  f"({', '.join(objectives)}), not {name!r}")
            column = COLUMNS[name]
            if column.ideal is not None and column.sense * (value - column.ideal) <= 0:
                raise ConfigError(f"{source}: search.reference.{name} must be worse than the best "
                                  f"that can be, {column.ideal:g}, not {value:g}")

    def bound(self) -> None:
        """Add what the search asks for to `bounds`; the narrower one of two holds."""
        for name, bound in self.search.constraints.items():
            least = min if COLUMNS[name].sense > 0 else max
            self.bounds[name] = least(bound, self.bounds.get(name, bound))

    # What a kind says of itself.

    space: object
    data: Dataset
    #: The module of what comes after the search.
    ending: object

    def free(self, genome: Genome) -> tuple[dict[str, float], float]:
        """Columns by closed form, and by how much the network can not be at all (0: it can)."""
        raise NotImplementedError

    def evaluator(self, store, executor: Executor, *,
                  on_batch: Callable[[int, int], None] | None = None,
                  note: Callable[[str], None] | None = None):
        """Who evaluates generations of genomes (`nas.evaluator.Evaluator`).

        note: told, in words, of what there is to do before the first of them.
        """
        raise NotImplementedError

    def prepare(self, note: Callable[[str], None]):
        """Find the tools that the search needs; what predicts cells, if anything does."""
        return None

    def check_repeatable(self, source: str) -> None:
        """Raise ConfigError where every search would first do the same long work."""

    def predictor(self):
        """What predicts the cells of candidates, if anything does."""
        return None

    # What follows for all.

    def excess(self, genome: Genome) -> float:
        """By how much the shapes alone break the bounds: a sum of fractions, 0 if they hold."""
        if genome not in self._excess:
            columns, unfit = self.free(genome)
            found = self.broken(columns)
            self._excess[genome] = unfit + sum(max(0.0, value) for value in found.values())
            self.counts.priced += 1
            self.counts.refused += self._excess[genome] > 0
        return self._excess[genome]

    def violated(self, genome: Genome) -> dict[str, float]:
        """`broken` of what shapes alone tell."""
        return self.broken(self.free(genome)[0])

    def nearest(self) -> Genome | None:
        """Of all that the free checks refused, the one that breaks the bounds least.

        What cannot be at all is near to nothing.
        """
        refused = (item for item in self._excess.items() if item[1] > 0)
        return next((genome for genome, _ in sorted(refused, key=lambda item: item[1])
                     if not self.free(genome)[1]), None)

    def broken(self, columns: Mapping[str, float]) -> dict[str, float]:
        """Each bound's violation as a fraction of it, at most 0 where it holds.

        Bounds of columns that are not there (accuracy before training) are left out.
        """
        return {
            name: COLUMNS[name].sense * (columns[name] - bound) / max(abs(bound), 1e-9)
            for name, bound in self.bounds.items() if columns.get(name) is not None
        }

    def F(self, rows: Iterable[Mapping[str, float]]) -> np.ndarray:
        """Objectives of rows of columns, less is better: float [n, objectives].

        A row without one of them (None: a score that could not be computed) is worse than any.
        """
        names = self.search.objectives
        found = np.array([[row[name] for name in names] for row in rows], float)
        found = found.reshape(-1, len(names)) * [COLUMNS[name].sense for name in names]
        return np.where(np.isnan(found).any(axis=1, keepdims=True), WORST, found)

    def G(self, rows: Iterable[Mapping[str, float]]) -> np.ndarray:
        """Constraints of rows of columns, at most 0 where they hold: float [n, constraints].

        What is not known before a build counts as held until then.
        """
        rows = list(rows)
        return np.array([[self.broken(row).get(name, 0.0) for name in self.bounds] for row in rows],
                        float).reshape(len(rows), len(self.bounds))

    def reference(self, rows: Sequence[Mapping[str, float]]) -> np.ndarray:
        """The point from which hypervolumes are measured: float [objectives], less is better.

        What `search.reference` says, else a bound, what is known of a column, or the worst of rows.
        """
        known = {**self.known(), **self.bounds, **self.search.reference}
        out = []
        for name in self.search.objectives:
            sense = COLUMNS[name].sense
            out.append(sense * known[name] if name in known else max(
                (sense * row[name] for row in rows if row[name] is not None), default=0.0))
        return np.array(out, float)

    def known(self) -> dict[str, float]:
        """Values that nothing worth having is worse than: the accuracy of guessing."""
        guessed = 1 / self.data.num_classes
        return {"accuracy": guessed, "cim_accuracy": guessed}

    def box(self, reference: np.ndarray) -> float:
        """The hypervolume between a reference point and the best that can be; 1 where an objective
        has no best.
        """
        ideals = [COLUMNS[name].ideal for name in self.search.objectives]
        if None in ideals:
            return 1.0
        best = [COLUMNS[name].sense * ideal
                for name, ideal in zip(self.search.objectives, ideals, strict=True)]
        return math.prod(np.maximum(reference - best, 0).tolist()) or 1.0

    def feasible(self, columns: Mapping[str, float]) -> bool:
        """Whether all bounds hold, and no objective is missing."""
        return (all(columns.get(name, 0.0) is not None for name in self.search.objectives)
                and all(value <= 0 for value in self.broken(columns).values()))


def named(find: Callable, name, where: str):
    """find(name), an unknown name with where it stands."""
    try:
        return find(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def dataset(data: config.Data, source: str) -> Dataset:
    """The data set that an experiment asks for."""
    kind = ".name" if type(data) is config.Data else ""
    return named(datasets.asked, data, f"{source}: data{kind}")


def broken(task: Problem, columns: Mapping[str, float]) -> str:
    """The bounds that columns do not keep, in words; empty if they keep all."""
    return ", ".join(f"{COLUMNS[name].title} {COLUMNS[name].text(columns[name])}, bound "
                     f"{COLUMNS[name].text(task.bounds[name])}"
                     for name, value in task.broken(columns).items() if value > 0)
