"""The longest path of live convolutions, ties by how many there are: what no paper compares with.

A closed form: no weights, no images, no seed. Over the cells of several places both are sums.
"""

from collections.abc import Sequence

from ..cells.cell import KERNELS, Cell, Edge
from . import ClosedForm


class Score(ClosedForm):
    """Integer part: convolutions on the longest path. The rest: live ones, as a share of edges."""

    WHAT = "longest path of live convolutions, ties by their number"

    def of(self, cells: Sequence[Cell]) -> float:
        live = sum(edge.operation in KERNELS for cell in cells for edge in cell.live)
        edges = sum(len(cell.operations) for cell in cells)
        return sum(map(longest, cells)) + live / (edges + 1)


def longest(cell: Cell) -> int:
    """Most convolutions on a path from input to output that meets no node twice."""
    return _most(cell.live, 0, cell.nodes - 1, frozenset())


def _most(live: tuple[Edge, ...], node: int, last: int, met: frozenset[int]) -> int:
    """Most convolutions from a node on; less than none where the last one is out of reach."""
    if node == last:
        return 0
    met |= {node}
    return max(((edge.operation in KERNELS) + _most(live, edge.target, last, met)
                for edge in live if edge.source == node and edge.target not in met),
               default=-len(live) - 1)
