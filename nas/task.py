"""Task: one experiment made ready, and what it asks of each candidate."""

import json
import math
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ..flow import config, targets
from ..flow.cost import prices
from ..flow.errors import ConfigError, unknown
from ..hdl.neurons import CELLS
from . import datasets, strategies
from .arrays import Arrays
from .columns import CIM, COLUMNS, price
from .layered import LayeredSpace
from .residual import ResidualSpace
from .space import Genome, Space, sparsity
from .train import TrainSettings


def _named(find: Callable, name: str, where: str):
    """find(name), an unknown name with where it stands."""
    try:
        return find(name)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _excess(broken: Mapping[str, float]) -> float:
    """A sum of fractions of bounds, 0 if they hold."""
    return sum(max(0.0, value) for value in broken.values())


@dataclass
class Counts:
    """What the free checks did: networks priced, and how many of them broke a bound."""

    priced: int = 0
    refused: int = 0


class Task:
    """One experiment made ready: data, space, board, and what is asked of each candidate.

    data: a data set that has no name of its own, in the place of the one that the experiment names.
    Raises ConfigError for a name or a key that only these know.
    """

    def __init__(self, experiment: config.Experiment, source: str = "experiment",
                 data: datasets.Dataset | None = None) -> None:
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
        for key in ("objectives", "constraints", "reference"):
            for name in getattr(self.search, key):
                if name not in COLUMNS:
                    raise ConfigError(f"{source}: search.{key}: "
                                      + unknown("column", name, COLUMNS))
        choose = self.search.choose
        if choose not in COLUMNS and not (choose and set(choose) <= set(string.hexdigits)):
            raise ConfigError(f"{source}: search.choose must be a column or the id of a candidate: "
                              + unknown("column", choose, COLUMNS))
        if not prices.shipped().known(self.device.name) and "energy_nj" in (
                *self.search.objectives, *self.search.constraints, choose):
            raise ConfigError(f"{source}: search must be without energy_nj on board "
                              f"{self.board.name}: no energy figures of the {self.device.name} are "
                              "known; take it out of objectives, constraints and choose")
        self._check_reference(source)
        self.cim = self._crossbars(source)
        self.data = data or _named(datasets.load, experiment.data.name, f"{source}: data.name")
        for key, wanted in (("encoders", self.data.encoders),
                            ("num_steps", self.data.num_steps and (self.data.num_steps,))):
            values = getattr(experiment.space, key)
            if wanted and not set(values) <= set(wanted):
                raise ConfigError(f"{source}: space.{key} must be of {list(wanted)} for the inputs "
                                  f"of {self.data.name!r}, not {list(values)}")
        bare = [kind for kind in experiment.space.neurons if kind not in CELLS]
        if bare:
            raise ConfigError(f"{source}: space.neurons must be kinds with gateware, by which "
                              f"candidates are priced, not {bare}; 'spikeloom train' takes them")
        if self.settings.sparsity and any(experiment.space.sparsities):
            raise ConfigError(f"{source}: train.sparsity must be 0 where space.sparsities gives "
                              f"shares to choose from, not {self.settings.sparsity}")
        kind = {"chain": Space, "layered": LayeredSpace, "residual": ResidualSpace}[
            experiment.space.network]
        self.space = kind(experiment.space, self.data.shape, self.data.num_classes,
                          self.cim and Arrays(self.cim.values))
        self.bounds = {} if self.priced_only else {
            "lc": math.floor(self.search.max_utilization * self.device.lc), "ebr": self.device.ebr}
        for name, bound in self.search.constraints.items():
            least = min if COLUMNS[name].sense > 0 else max
            self.bounds[name] = least(bound, self.bounds.get(name, bound))
        self.counts = Counts()
        self._excess: dict[Genome, float] = {}

    @property
    def priced_only(self) -> bool:
        """Whether nothing is placed and routed, so that no device need hold what is found."""
        return self.cim is not None and not self.search.routed

    def _crossbars(self, source: str):
        """Section [cim] where the experiment has one, or asks for a column of a chip, else None."""
        search, space = self.search, self.experiment.space
        asked = {*search.objectives, *search.constraints, search.choose}
        if self.experiment.cim is msgspec.UNSET and asked.isdisjoint(CIM):
            return None
        from .cim import Cim

        given = {} if self.experiment.cim is msgspec.UNSET else self.experiment.cim
        found = config.section(Cim, given, source, "cim").check(f"{source}: cim")
        if "stream" in space.encoders:
            raise ConfigError(f"{source}: space.encoders must be without stream where candidates "
                              "are priced on crossbars, not "
                              f"{list(space.encoders)}: the layer that it feeds stays digital and "
                              "has no price there; use ['rate']")
        if not found.draws and "cim_accuracy" in asked:
            raise ConfigError(f"{source}: cim.draws must be at least 1 where the search asks for "
                              "cim_accuracy, not 0")
        for key in ("cell_bits", "adc_bits"):
            values = getattr(found, key)
            if len(values) > 1 and "cim_accuracy" not in {*search.objectives, *search.constraints}:
                raise ConfigError(f"{source}: cim.{key} must be one value where neither objectives "
                                  "nor constraints have cim_accuracy, which alone sees what it "
                                  f"does, not {list(values)}")
        if not search.routed and "fmax_mhz" in asked:
            raise ConfigError(f"{source}: search must be without fmax_mhz where nothing is routed; "
                              "take it out of objectives, constraints and choose, or set "
                              "search.routed")
        self.experiment = msgspec.structs.replace(self.experiment, cim=msgspec.to_builtins(found))
        return found

    def _check_reference(self, source: str) -> None:
        """Hold `search.objectives` and `search.reference` to each other and to the cost model."""
        objectives = self.search.objectives
        if "fmax_mhz" in objectives and self.search.cost_model == "structure":
            raise ConfigError(f"{source}: search.objectives must be without fmax_mhz with "
                              "search.cost_model = 'structure', which counts cells and knows no "
                              "clocks; use 'predicted'")
        for name, value in self.search.reference.items():
            if name not in objectives:
                raise ConfigError(f"{source}: search.reference must be of search.objectives "
                                  f"({', '.join(objectives)}), not {name!r}")
            column = COLUMNS[name]
            if column.sense * (value - column.ideal) <= 0:
                raise ConfigError(f"{source}: search.reference.{name} must be worse than the best "
                                  f"that can be, {column.ideal:g}, not {value:g}")

    def array(self, genome: Genome):
        """The array of a candidate, None without crossbars."""
        return None if self.cim is None else self.cim.array(json.loads(genome)["array"])

    def sparsity(self, genome: Genome) -> float:
        """The share of its weights that training makes zero."""
        return sparsity(genome) or self.settings.sparsity

    def excess(self, genome: Genome) -> float:
        """By how much the shapes alone break the bounds: a sum of fractions, 0 if they hold."""
        if genome not in self._excess:
            sparse = self.sparsity(genome)
            found = _excess(self.broken({} if sparse else self.space.floor(genome)))
            if not found:
                graph = self.space.graph(genome)
                columns = price(graph, self.board, sparse)
                if self.cim is not None:
                    from .cim import free_check

                    more, found = free_check(graph, self.array(genome), self.cim)
                    columns |= more
                found += _excess(self.broken(columns))
            self._excess[genome] = found
            self.counts.priced += 1
            self.counts.refused += found > 0
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

        What is not known before a build counts as held until then.
        """
        rows = list(rows)
        return np.array([[self.broken(row).get(name, 0.0) for name in self.bounds] for row in rows],
                        float).reshape(len(rows), len(self.bounds))

    def reference(self, rows: Sequence[Mapping[str, float]]) -> np.ndarray:
        """The point from which hypervolumes are measured: float [objectives], less is better.

        What `search.reference` says, else a bound, the accuracy of guessing, the board's clock, or
        the worst of rows.
        """
        guessed = 1 / self.data.num_classes
        known = {"accuracy": guessed, "cim_accuracy": guessed,
                 "fmax_mhz": self.board.clock_hz / 1e6, **self.bounds, **self.search.reference}
        out = []
        for name in self.search.objectives:
            sense = COLUMNS[name].sense
            out.append(sense * known[name] if name in known
                       else max(sense * row[name] for row in rows))
        return np.array(out, float)

    def feasible(self, columns: Mapping[str, float]) -> bool:
        return all(value <= 0 for value in self.broken(columns).values())
