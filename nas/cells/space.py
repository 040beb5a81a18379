"""The space of networks of cells: genes for strategies, genomes as people read them.

A vector has an operation for every edge of every cell, and its direction where edges may run
backward. Its genome has the cells without their dead edges, one where all places have the same, so
that two vectors are the same network exactly if their genomes are equal.
"""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from ..space import Genome
from .cell import KERNELS, OPERATIONS, ZEROIZE, Cell, every, pairs, parse
from .count import distinct


class CellSpace:
    """All networks of `places` cells of some operations; with `shared` one cell is used everywhere.

    It has what strategies ask of `nas.space.Space`; no gene is ordered, so `bounds` is empty.
    """

    def __init__(self, operations: Sequence[str], *, places: int = 2, nodes: int = 4,
                 backward: bool = False, shared: bool = False) -> None:
        self.operations = tuple(sorted(operations, key=OPERATIONS.index))
        self.places, self.nodes, self.backward, self.shared = places, nodes, backward, shared
        self.bounds: dict[str, tuple[int, int]] = {}
        self.genes = [tuple(f"cell{place + 1}_{low}_{high}" for low, high in pairs(nodes))
                      for place in range(1 if shared else places)]

    @cached_property
    def choices(self) -> dict[str, list]:
        """Genes and their values; `turn_` before the name of an edge is its direction."""
        found: dict[str, list] = {}
        for genes in self.genes:
            found |= {name: list(self.operations) for name in genes}
            if self.backward:
                found |= {f"turn_{name}": [False, True] for name in genes}
        return found

    def size(self) -> int:
        """The exact number of different networks (genomes)."""
        zeroize = ZEROIZE in self.operations
        cells = distinct(len(self.operations) - zeroize, self.nodes, zeroize=zeroize,
                         backward=self.backward)
        return cells ** len(self.genes)

    def sample(self, rng: np.random.Generator, layers: int | None = None) -> dict[str, int]:
        """A random vector, every gene uniform; there are no layers to hold."""
        return {name: int(rng.integers(len(values))) for name, values in self.choices.items()}

    def genome(self, vector: dict[str, int]) -> Genome:
        """The canonical form of a vector."""
        return genome_of(self.cells(vector))

    def cells(self, vector: dict[str, int]) -> list[Cell]:
        """The cells of a vector, dead edges and all."""
        return [Cell(tuple(self.operations[vector[name]] for name in genes),
                     tuple(bool(vector.get(f"turn_{name}", 0)) for name in genes))
                for genes in self.genes]

    def smaller(self, vector: dict[str, int]) -> Iterator[dict[str, int]]:
        """Vectors with one operation in the place of another that has more weights."""
        sizes = [KERNELS.get(name, 0) for name in self.operations]
        for genes in self.genes:
            for name in genes:
                for index, size in enumerate(sizes):
                    if size < sizes[vector[name]]:
                        yield {**vector, name: index}

    def every(self, operations: Sequence[str] | None = None) -> Iterator[Cell]:
        """All cells of one place, of these operations or of all."""
        return every(tuple(operations or self.operations), self.nodes, self.backward)


def genome_of(cells: Sequence[Cell]) -> Genome:
    """The genome of a network of these cells."""
    texts = [str(cell.pruned()) for cell in cells]
    texts = texts[:1] if len(set(texts)) == 1 else texts
    return json.dumps({"cells": texts, "network": "cells"}, sort_keys=True, separators=(",", ":"))


def cells_of(genome: Genome) -> tuple[Cell, ...]:
    """The cells of a genome: one for each place, or one for all of them."""
    return tuple(map(parse, json.loads(genome)["cells"]))
