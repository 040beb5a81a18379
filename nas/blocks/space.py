"""The space of networks of blocks: a gene for each place, genomes as people read them."""

import json
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from ..space import Genome
from .macro import Macro


class BlockSpace:
    """All networks of a macro network with one of `offered` at each of its places.

    It has what strategies ask of `nas.space.Space`; no gene is ordered, so `bounds` is empty. No
    two vectors are the same network.
    """

    def __init__(self, offered: Sequence[str], macro: Macro) -> None:
        self.offered, self.macro = tuple(offered), macro
        self.bounds: dict[str, tuple[int, int]] = {}
        self.choices: dict[str, list] = {
            f"block{place + 1}": list(self.offered) for place in range(macro.places)}

    def size(self) -> int:
        """The exact number of different networks (genomes)."""
        return len(self.offered) ** self.macro.places

    def sample(self, rng: np.random.Generator, layers: int | None = None) -> dict[str, int]:
        """A random vector, every gene uniform; there are no layers to hold."""
        return {name: int(rng.integers(len(values))) for name, values in self.choices.items()}

    def genome(self, vector: dict[str, int]) -> Genome:
        """The canonical form of a vector."""
        return genome_of(self.offered[vector[name]] for name in self.choices)

    def smaller(self, vector: dict[str, int]) -> Iterator[dict[str, int]]:
        """Vectors with one block in the place of another that has more weights."""
        for place, name in enumerate(self.choices):
            blocks = [self.offered[vector[other]] for other in self.choices]
            most = self.macro.weights(blocks)
            for index, block in enumerate(self.offered):
                if self.macro.weights([*blocks[:place], block, *blocks[place + 1:]]) < most:
                    yield {**vector, name: index}

    def every(self) -> Iterator[Genome]:
        """All networks."""
        return map(genome_of, product(self.offered, repeat=self.macro.places))


def genome_of(blocks: Sequence[str] | Iterator[str]) -> Genome:
    """The genome of a network of these blocks."""
    return json.dumps({"blocks": list(blocks), "network": "blocks"}, sort_keys=True,
                      separators=(",", ":"))


def blocks_of(genome: Genome) -> tuple[str, ...]:
    """The blocks of a genome, one for each place."""
    return tuple(json.loads(genome)["blocks"])
