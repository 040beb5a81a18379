"""Regularised evolution: the best of a few that were drawn has a child, and the oldest one dies.

E. Real, A. Aggarwal, Y. Huang and Q. V. Le, "Regularized evolution for image classifier
architecture search", AAAI 2019. Their workers breed beside one another; here `search.population`
children are bred at once, from those that are alive when they are asked for.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from msgspec import Struct

from ...flow.rules import Rule
from ..space import Genome

#: Draws for each network that is wanted before there is taken to be no other.
DRAWS = 1000


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """alive: networks of the population, the paper's P. sample: drawn of them for each child, with
    replacement, the best of which is its parent; the paper's S.
    """

    alive: int = 100
    sample: int = 25

    def rules(self) -> Iterator[Rule]:
        yield "alive", 2 <= self.alive <= 100_000, "in 2..100000"
        yield "sample", 1 <= self.sample <= self.alive, f"in 1..alive = {self.alive}"


class Strategy:
    """Parents are compared by what they break of the constraints, then by the first objective."""

    OPTIONS = Options

    def __init__(self, space, *, objectives: int, constraints: int, population: int, seed: int,
                 excess: Callable[[Genome], float],
                 broken: Callable[[Genome], Mapping[str, float]] | None = None,
                 deduplicate: bool = True, options: Options | None = None) -> None:
        self.space, self.population, self.excess = space, population, excess
        self.deduplicate, self.options = deduplicate, options or Options()
        self.rng = np.random.default_rng(seed)
        self.genes = [*space.bounds, *space.choices]
        self.seen: set[Genome] = set()
        #: Vectors that are alive, the oldest first, and their ranks by genome.
        self.alive: deque[dict[str, int]] = deque(maxlen=self.options.alive)
        self.ranks: dict[Genome, tuple[float, float]] = {}
        self._asked: list[dict[str, int]] = []

    def ask(self) -> list[Genome]:
        """The next children, newcomers until the population is whole; fewer where there are no
        more.
        """
        self._asked, genomes = [], []
        for _ in range(self.population):
            young = len(self.alive) + len(self._asked) < self.options.alive or not self.alive
            found = self._drawn(self._newcomer if young else self._child)
            if found is None and not young:
                found = self._drawn(self._newcomer)
            if found is not None:
                self._asked.append(found)
                genomes.append(self.space.genome(found))
        return genomes

    def _drawn(self, draw: Callable[[], dict[str, int]]) -> dict[str, int] | None:
        """The first of many draws that fits, and is new if it must be."""
        for _ in range(DRAWS):
            vector = draw()
            genome = self.space.genome(vector)
            if (not self.deduplicate or genome not in self.seen) and self.excess(genome) <= 0:
                self.seen.add(genome)
                return vector
        return None

    def _newcomer(self) -> dict[str, int]:
        return self.space.sample(self.rng)

    def _child(self) -> dict[str, int]:
        """The best of a sample with one gene drawn anew, so that it is another network."""
        drawn = [self.alive[int(k)] for k in self.rng.integers(len(self.alive),
                                                               size=self.options.sample)]
        parent = min(drawn, key=lambda vector: self.ranks[self.space.genome(vector)])
        gene = self.genes[int(self.rng.integers(len(self.genes)))]
        return {**parent, gene: self.space.sample(self.rng)[gene]}

    def tell(self, F: np.ndarray, G: np.ndarray) -> None:
        """Objectives [n, objectives] and constraints [n, constraints] of what was asked."""
        G = np.asarray(G, float).reshape(len(self._asked), -1)
        for vector, objectives, constraints in zip(self._asked, np.asarray(F, float), G,
                                                   strict=True):
            self.alive.append(vector)
            self.ranks[self.space.genome(vector)] = _rank(objectives, constraints)

    def revise(self, known: Mapping[Genome, tuple[np.ndarray, np.ndarray]]) -> None:
        """Objectives and constraints of what was told earlier, as they are known now."""
        self.ranks |= {genome: _rank(*found) for genome, found in known.items()
                       if genome in self.ranks}


def _rank(objectives: np.ndarray, constraints: np.ndarray) -> tuple[float, float]:
    return float(np.maximum(constraints, 0).sum()), float(objectives[0])
