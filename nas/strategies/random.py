"""Random search: genomes that fit, drawn one by one, whatever was answered; to compare others with.

J. Bergstra and Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012.
"""

from collections.abc import Callable

import numpy as np

from ..space import Genome, Space

#: Draws for each genome that is wanted, at one depth and then again at any, before there is taken
#: to be no other.
DRAWS = 1000


class Strategy:
    """Generations of genomes within the closed-form bounds, none twice."""

    def __init__(self, space: Space, *, objectives: int, constraints: int, population: int,
                 seed: int, excess: Callable[[Genome], float]) -> None:
        self.space, self.population, self.excess = space, population, excess
        self.rng = np.random.default_rng(seed)
        self.seen: set[Genome] = set()

    def ask(self) -> list[Genome]:
        """The next generation; fewer where the space has no more."""
        found: list[Genome] = []
        for _ in range(self.population):
            layers = None
            for draw in range(2 * DRAWS):
                vector = self.space.sample(self.rng, layers if draw < DRAWS else None)
                layers = vector["layers"]
                genome = self.space.genome(vector)
                if genome not in self.seen and self.excess(genome) <= 0:
                    self.seen.add(genome)
                    found.append(genome)
                    break
        return found

    def tell(self, F: np.ndarray, G: np.ndarray) -> None:
        """Answers change nothing."""
