"""The weights image: words of the weights that a design keeps in SPRAM, by flat address.

The map is that of the schedule: runs of layers in order, each with the rows of its layers in
order, each row in a stride of words (`hdl.spram.Shape`).
"""

from dataclasses import dataclass

import numpy as np

from ..boards import Board
from ..hdl.loaded import LoadedContents
from ..hdl.spram import DEPTH, MOST, WIDTH, Shape
from . import fold, ir, targets
from .errors import FitError, GraphError


@dataclass(frozen=True)
class Section:
    """The rows of run `run` (`lower`) from word `base` on, those of each layer from row `rows` on.

    layers: names of those that are loaded.
    """

    run: str
    base: int
    shape: Shape
    layers: tuple[str, ...]
    rows: tuple[int, ...]
    contents: LoadedContents

    def memories(self) -> list[np.ndarray]:
        """What each SPRAM holds in the end, bank by bank: uint16, from its first word on."""
        table = self.contents.words.reshape(self.shape.rows, self.shape.stride)
        return [table[first:first + DEPTH, column]
                for first in range(0, self.shape.rows, DEPTH)
                for column in range(self.shape.columns)]


def sections(graph: ir.Graph) -> list[Section]:
    """Of a graph whose widths are known; empty if it keeps no weights in SPRAM.

    GraphError where a row is wider than all SPRAMs, or they are too small.
    """
    found: list[Section] = []
    base = 0
    for indices in fold.runs(graph):
        first = graph.layers[indices[0]][0]
        if first.lowering != "folded" or fold.memory_of(graph, indices) != "spram":
            continue
        run = fold.fold_run(graph, indices)
        contents = LoadedContents.of(run.layers, run.lanes)
        loaded = [(graph.layers[k][0].name, row) for k, row in zip(indices, contents.bases)
                  if graph.layers[k][0].memory == "spram"]
        names, rows = zip(*loaded)
        if contents.shape.bits > MOST * WIDTH:
            most = MOST * WIDTH // contents.field_bits
            raise GraphError(f"{', '.join(names)}: lanes must be at most {most} with weights of "
                             f"{contents.field_bits} bits in SPRAM, which gives {MOST * WIDTH} "
                             f"bits a clock, not {run.lanes}")
        found.append(Section(f"run{indices[0] + 1}", base, contents.shape, names, rows, contents))
        base += contents.shape.words
    taken = sum(section.shape.count for section in found)
    if taken > MOST:
        parts = " and ".join(
            f"{', '.join(x.layers)} {x.shape.count} ({x.shape.rows:,} rows of {x.shape.bits} bits)"
            for x in found)
        raise GraphError(f"weights must fit {MOST} SPRAMs of 16,384 words of {WIDTH} bits, not "
                         f"take {taken}: {parts}; use fewer neurons or weight_bits, other lanes, "
                         "or memory 'ebr' for some layers")
    return found


def sprams(graph: ir.Graph) -> int:
    """How many SPRAMs the weights of a graph take."""
    return sum(section.shape.count for section in sections(graph))


def check_board(graph: ir.Graph, board: Board) -> None:
    """FitError if a graph keeps its weights in more SPRAMs than a board's device has."""
    used = {"spram": sprams(graph)}
    if targets.device(board.device).excess(used):
        raise FitError(f"{board.name}: {targets.advice(board.device, used)}; or keep the weights "
                       "in memory 'ebr' or 'lut'")


def weights_image(graph: ir.Graph) -> np.ndarray:
    """What a loader writes before the first inference: uint16 by address; empty without SPRAM."""
    words = [section.contents.words for section in sections(graph)]
    return np.concatenate([np.zeros(0, np.uint16), *words])
