"""AutoSNN's evolution: the best so far are mutated and crossed, and no network is tried twice.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022, section 4.2,
and the code released with it: a first pool of random networks; then, in each round, mutants of the
best that were ever found, offspring of two of them, cut at one place, and newcomers where these are
too few. `search.population` is the pool, `search.generations` the rounds: with 20 and 20, as in the
paper, at most 400 networks are evaluated.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from msgspec import Struct

from ...flow.errors import ConfigError
from ...flow.rules import Rule
from ..space import Genome

#: Draws for a newcomer before there is taken to be no other.
DRAWS = 1000
#: Draws for each mutant or offspring that is wanted, as in the released code.
TRIES = 3


class Options(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """top: networks that breed. mutants, crossovers: of a round, each bred of a parent, or of two,
    drawn uniformly. mutation: probability with which a mutant has another block at a place.
    """

    top: int = 10
    mutants: int = 10
    crossovers: int = 10
    mutation: float = 0.2

    def rules(self) -> Iterator[Rule]:
        yield "top", 2 <= self.top <= 4096, "in 2..4096"
        yield "mutants", 0 <= self.mutants <= 4096, "in 0..4096"
        yield "crossovers", 0 <= self.crossovers <= 4096, "in 0..4096"
        yield "mutation", 0 < self.mutation <= 1, "in 0..1, above 0"


class Strategy:
    """Networks are compared by what they break of the constraints, then by the first objective."""

    OPTIONS = Options

    def __init__(self, space, *, objectives: int, constraints: int, population: int, seed: int,
                 excess: Callable[[Genome], float],
                 broken: Callable[[Genome], Mapping[str, float]] | None = None,
                 deduplicate: bool = True, options: Options | None = None) -> None:
        self.space, self.population, self.excess = space, population, excess
        self.deduplicate, self.options = deduplicate, options or Options()
        bred = self.options.mutants + self.options.crossovers
        if bred > population:
            raise ConfigError("search.options.mutants and search.options.crossovers must be "
                              f"together at most search.population = {population}, not {bred}")
        self.rng = np.random.default_rng(seed)
        #: Genes in the order in which they are cut, and the values of each.
        self.values = {name: range(low, high + 1) for name, (low, high) in space.bounds.items()}
        self.values |= {name: range(len(found)) for name, found in space.choices.items()}
        self.seen: set[Genome] = set()
        #: The vectors that breed, the best first, and ranks of all that were told, by genome.
        self.top: list[dict[str, int]] = []
        self.ranks: dict[Genome, tuple[float, float]] = {}
        self._asked: list[dict[str, int]] = []

    def ask(self) -> list[Genome]:
        """The next round; fewer than `population` where the space has no more."""
        self._asked = []
        if self.top:
            self._bred(self._mutant, self.options.mutants)
            if len(self.top) > 1 and len(self.values) > 1:
                self._bred(self._offspring, self.options.crossovers)
        while len(self._asked) < self.population and self._keeps(self._newcomer, DRAWS):
            pass
        return [self.space.genome(vector) for vector in self._asked]

    def _bred(self, draw: Callable[[], dict[str, int]], count: int) -> None:
        """At most `count` vectors more, as many draws as the released code has for them."""
        wanted = len(self._asked) + count
        for _ in range(TRIES * count):
            if len(self._asked) == wanted:
                return
            self._keeps(draw, 1)

    def _keeps(self, draw: Callable[[], dict[str, int]], draws: int) -> bool:
        """Ask for the first vector drawn that fits, and is new if it must be; False if none is."""
        for _ in range(draws):
            vector = draw()
            genome = self.space.genome(vector)
            if (not self.deduplicate or genome not in self.seen) and self.excess(genome) <= 0:
                self.seen.add(genome)
                self._asked.append(vector)
                return True
        return False

    def _newcomer(self) -> dict[str, int]:
        return self.space.sample(self.rng)

    def _mutant(self) -> dict[str, int]:
        """One of the best, with another value for each gene that chance picks."""
        vector = dict(self.top[int(self.rng.integers(len(self.top)))])
        for name, values in self.values.items():
            others = [value for value in values if value != vector[name]]
            if self.rng.random() < self.options.mutation and others:
                vector[name] = others[int(self.rng.integers(len(others)))]
        return vector

    def _offspring(self) -> dict[str, int]:
        """Two of the best, one up to a gene, the other from there on."""
        one, other = self.rng.choice(len(self.top), size=2, replace=False)
        cut = int(self.rng.integers(1, len(self.values)))
        return {name: self.top[one if place < cut else other][name]
                for place, name in enumerate(self.values)}

    def tell(self, F: np.ndarray, G: np.ndarray) -> None:
        """Objectives [n, objectives] and constraints [n, constraints] of what was asked."""
        G = np.asarray(G, float).reshape(len(self._asked), -1)
        for vector, objectives, constraints in zip(self._asked, np.asarray(F, float), G,
                                                   strict=True):
            self.ranks[self.space.genome(vector)] = _rank(objectives, constraints)
        self._select([*self.top, *self._asked])

    def revise(self, known: Mapping[Genome, tuple[np.ndarray, np.ndarray]]) -> None:
        """Objectives and constraints of what was told earlier, as they are known now."""
        self.ranks |= {genome: _rank(*found) for genome, found in known.items()
                       if genome in self.ranks}
        self._select(self.top)

    def _select(self, vectors: list[dict[str, int]]) -> None:
        """The best of these breed, each network once; the first of equals."""
        each = {self.space.genome(vector): vector for vector in reversed(vectors)}
        first = [each[genome] for genome in dict.fromkeys(map(self.space.genome, vectors))]
        self.top = sorted(first, key=lambda vector: self.ranks[self.space.genome(vector)]
                          )[:self.options.top]


def _rank(objectives: np.ndarray, constraints: np.ndarray) -> tuple[float, float]:
    return float(np.maximum(constraints, 0).sum()), float(objectives[0])
