"""Random search: genomes that fit, drawn one by one, whatever was answered; to compare others with.

J. Bergstra and Y. Bengio, "Random search for hyper-parameter optimization", JMLR 13, 2012. SNASNet
searches so, too (Y. Kim et al., ECCV 2022): 5,000 cells, of which many are the same one, so without
de-duplication.
"""

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct

from ..space import Genome, Space

#: Draws for each genome that is wanted, at one depth and then again at any, before there is taken
#: to be no other.
DRAWS = 1000


class Strategy:
    """Generations of genomes within the closed-form bounds, none twice if `deduplicate`."""

    def __init__(self, space: Space, *, objectives: int, constraints: int, population: int,
                 seed: int, excess: Callable[[Genome], float],
                 broken: Callable[[Genome], Mapping[str, float]] | None = None,
                 deduplicate: bool = True, options: Struct | None = None) -> None:
        self.space, self.population, self.excess = space, population, excess
        self.deduplicate = deduplicate
        self.rng = np.random.default_rng(seed)
        self.seen: set[Genome] = set()

    def ask(self) -> list[Genome]:
        """The next generation; fewer where the space has no more."""
        found: list[Genome] = []
        for _ in range(self.population):
            layers = None
            for draw in range(2 * DRAWS):
                vector = self.space.sample(self.rng, layers if draw < DRAWS else None)
                layers = vector.get("layers")
                genome = self.space.genome(vector)
                new = not self.deduplicate or genome not in self.seen
                if new and self.excess(genome) <= 0:
                    self.seen.add(genome)
                    found.append(genome)
                    break
        return found

    def tell(self, F: np.ndarray, G: np.ndarray) -> None:
        """Answers change nothing."""
