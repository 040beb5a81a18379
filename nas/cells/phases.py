"""Search cell by cell, as SpikeNAS and NeuroNAS do it.

R. V. W. Putra and M. Shafique, "SpikeNAS: a fast memory-aware neural architecture search framework
for spiking neural network-based autonomous agents", arXiv:2402.11322, 2024, and "NeuroNAS",
arXiv:2407.00641, 2024. Phase 1 tries every cell of few operations, used everywhere. Phase k keeps
the cells before place k and tries every cell there and in the places after it, so for two places
these are the papers' phases. What breaks a bound is not evaluated.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from msgspec import Struct

from ...flow.errors import ConfigError, unknown
from ...flow.rules import Rule
from ..problem import WORST
from ..space import Genome
from .cell import Cell
from .space import CellSpace, cells_of, genome_of

#: More cells of one place are no search cell by cell any more.
MOST_CELLS = 1 << 17


class PhaseOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """operations: of the cells that are tried. isomorphic: of cells that are the same up to the
    names of their nodes one is tried; the papers try all.
    """

    operations: tuple[str, ...]
    isomorphic: bool = True

    def rules(self) -> Iterator[Rule]:
        yield ("operations", len(self.operations) > 0
               and len(set(self.operations)) == len(self.operations),
               "a list of different values, at least one")


class Phases:
    """A strategy; what a phase keeps is the best by the first objective that breaks no constraint,
    the first one of equals.

    `isomorphic`: of cells that are the same up to the names of their nodes, the first is tried.
    """

    NETWORKS = ("cells",)
    OPTIONS: type[PhaseOptions]

    def __init__(self, space: CellSpace, *, objectives: int, constraints: int, population: int,
                 seed: int, excess: Callable[[Genome], float],
                 broken: Callable[[Genome], Mapping[str, float]] | None = None,
                 deduplicate: bool = True, options: Struct | None = None) -> None:
        self.space, self.population, self.deduplicate = space, population, deduplicate
        self.excess, self.broken = excess, broken or (lambda genome: {})
        self.options = options or self.OPTIONS()
        self.cells = self._candidates()
        self.kept: tuple[Cell, ...] = ()
        self.phase = -1
        #: Violation and first objective of all that were evaluated, by genome.
        self.told: dict[Genome, tuple[float, float]] = {}
        self.best: Genome | None = None
        self._asked: list[Genome] = []
        self._todo: Iterator[Genome] = iter(())
        self._phases = 1 if space.shared else space.places

    def _candidates(self) -> list[Cell]:
        operations = tuple(self.options.operations)
        for name in operations:
            if name not in self.space.operations:
                raise ConfigError("search.options.operations must be of cells.operations: "
                                  + unknown("operation", name, self.space.operations))
        edges = self.space.nodes * (self.space.nodes - 1) // 2
        count = (len(operations) << self.space.backward) ** edges
        if count > MOST_CELLS:
            raise ConfigError(f"search.options.operations must leave at most {MOST_CELLS:,} cells "
                              f"to try, not {count:,}; take fewer of them, or fewer cells.nodes")
        found = self.space.every(operations)
        if not self.by_class:
            return list(found)
        first: dict[tuple, Cell] = {}
        for cell in found:
            first.setdefault(cell.canonical, cell)
        return list(first.values())

    @property
    def by_class(self) -> bool:
        """Whether one cell of each isomorphism class is tried."""
        return self.options.isomorphic

    def allowed(self, genome: Genome) -> bool:
        """Whether a network may be evaluated in this phase."""
        return self.excess(genome) <= 0

    def ask(self) -> list[Genome]:
        """What this phase still has to try, at most `population` of it; then the next phase."""
        self._asked = []
        while not self._asked:
            for genome in self._todo:
                if self.allowed(genome) and not (self.deduplicate and genome in self.told):
                    self._asked.append(genome)
                if len(self._asked) == self.population:
                    break
            if not self._asked and not self._next():
                return []
        return self._asked

    def _next(self) -> bool:
        """Begin the next phase, if the ones before found anything and there is one."""
        if self.phase >= 0:
            if self.best is None:
                return False
            self.kept = self._of_best()[:self.phase + 1]
        self.phase += 1
        if self.phase == self._phases:
            return False
        rest = self.space.places - len(self.kept)
        genomes = (genome_of((*self.kept, *(cell,) * rest)) for cell in self.cells)
        self._todo = iter(dict.fromkeys(genomes) if self.deduplicate else genomes)
        return True

    def _of_best(self) -> tuple[Cell, ...]:
        cells = cells_of(self.best)
        return cells * self.space.places if len(cells) == 1 else cells

    def tell(self, F: np.ndarray, G: np.ndarray) -> None:
        """Objectives [n, objectives] and constraints [n, constraints] of what was asked."""
        F, G = np.asarray(F, float), np.asarray(G, float)
        for genome, objectives, constraints in zip(self._asked, F, G, strict=True):
            found = (float(np.maximum(constraints, 0).sum()), float(objectives[0]))
            self.told[genome] = min(found, self.told.get(genome, found))
            if self.better(genome):
                self.best = genome

    def better(self, genome: Genome) -> bool:
        """Whether a network takes the place of the best one so far; one without a score never."""
        violation, objective = self.told[genome]
        return violation <= 0 and objective < (
            WORST if self.best is None else self.told[self.best][1])
