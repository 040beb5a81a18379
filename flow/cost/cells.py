"""Cells: what a part of a design takes of each kind of primitive, before any tool runs."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cells:
    """Logic cells, and the LUT4s, flip-flops and carries in them; counts or estimates of them."""

    lc: float = 0
    lut: float = 0
    ff: float = 0
    carry: float = 0

    def __add__(self, other: "Cells") -> "Cells":
        return Cells(self.lc + other.lc, self.lut + other.lut, self.ff + other.ff,
                     self.carry + other.carry)


#: Parts of a design by name.
Parts = dict[str, Cells]


@dataclass(frozen=True)
class Block:
    """A layer, or a run of folded ones: its parts, and what their sizes do not show.

    ebr: block memories beside those of image, neurons and delays. counted: the most bits that one
    popcount adds up; 0 without any. cut: whether it has a register within. ports: for each way in
    which columns are read, which inputs are, bool [in]. words: depth and width of memories of which
    `flow.memories.neuron_blocks` takes words of 16 bits for granted. spram: SPRAMs of its weights.
    """

    parts: Parts
    ebr: int = 0
    counted: int = 0
    cut: bool = True
    ports: tuple[np.ndarray, ...] = ()
    words: tuple[tuple[int, int], ...] = ()
    spram: int = 0


def total(parts: Parts) -> Cells:
    """All parts together."""
    return sum(parts.values(), Cells())


def merge(*several: Parts) -> Parts:
    """Parts of several blocks, those of the same name added."""
    out: Parts = {}
    for parts in several:
        for name, cells in parts.items():
            out[name] = out.get(name, Cells()) + cells
    return out
