"""How many different cells there are, without looking at each.

Cells that differ in dead edges alone count once, and all that connect nothing count as one. What is
counted are graphs on the nodes in use, all of whose edges are live, weighted by what an edge may
do; a node is in use if the input reaches it and it reaches the output.
"""

from functools import lru_cache
from itertools import product
from math import comb, factorial


def distinct(kinds: int, nodes: int, *, zeroize: bool, backward: bool) -> int:
    """Different cells with `kinds` operations that carry something, and with or without one that
    does not; the order of a pair of nodes is free if backward.
    """
    inner = nodes - 2
    if backward:
        found = _Turning(kinds, int(zeroize))
        return ((found.lost(inner) > 0)
                + sum(comb(inner, used) * found.live(used) for used in range(inner + 1)))
    if not zeroize:
        return kinds ** comb(nodes, 2)  # with every edge there, all of them are live
    return sum(comb(inner, used) * _forward(kinds, used) for used in range(inner + 1))


def _forward(kinds: int, used: int) -> int:
    """Forward cells on `used` inner nodes, each with an edge in and an edge out.

    By inclusion and exclusion over which nodes have none in, and which none out. With no inner node
    the edge from the input to the output may be missing: that is the cell which connects nothing.
    """
    total = 0
    for lacks in product((0, 1, 2, 3), repeat=used):  # bit 0: none in, bit 1: none out
        into = [True, *(not lack & 1 for lack in lacks), True]
        out = [True, *(not lack & 2 for lack in lacks), True]
        free = sum(out[low] and into[high] for high in range(used + 2) for low in range(high))
        total += (-1) ** sum(lack.bit_count() for lack in lacks) * (1 + kinds) ** free
    return total


class _Turning:
    """Counts of graphs in which each pair of nodes has one edge, this way or that, or none.

    Nodes but the input and the output are alike, so counts depend on how many there are. A pair
    whose edge may run one way alone has `one` possibilities, any other pair `two`, and one whose
    edge would contradict what is counted `none`.
    """

    def __init__(self, kinds: int, none: int) -> None:
        self.none, self.one, self.two = none, none + kinds, none + 2 * kinds
        self.live = lru_cache(self._live)
        self.reached = lru_cache(self._reached)
        self.hung = lru_cache(self._hung)

    def _pairs(self, nodes: int) -> int:
        """Graphs on so many nodes without any condition."""
        return self.two ** comb(nodes, 2)

    def _reached(self, others: int) -> int:
        """Graphs of the input and `others`, all of which it reaches."""
        return self._pairs(others + 1) - sum(
            comb(others, some) * self.reached(some) * self.one ** ((some + 1) * (others - some))
            * self._pairs(others - some) for some in range(others))

    def lost(self, inner: int) -> int:
        """Graphs in which the input does not reach the output."""
        return sum(comb(inner, some) * self.reached(some)
                   * self.one ** ((some + 1) * (inner - some + 1)) * self._pairs(inner - some + 1)
                   for some in range(inner + 1))

    def _hung(self, nodes: int, roots: int) -> int:
        """Graphs of `nodes`, and their edges from `roots`, which reach them all."""
        return self.one ** (roots * nodes) * self._pairs(nodes) - sum(
            comb(nodes, some) * self.hung(some, roots) * self.none ** (roots * (nodes - some))
            * self.one ** (some * (nodes - some)) * self._pairs(nodes - some)
            for some in range(nodes))

    def _live(self, inner: int) -> int:
        """Graphs in which all of `inner` nodes are in use, and the input reaches the output.

        Those that connect them, less those in which some nodes are out of use: x of them are only
        reached, y only reach the output, z neither.
        """
        total = self._pairs(inner + 2) - self.lost(inner)
        for x, y, z in product(range(inner + 1), repeat=3):
            used = inner - x - y - z
            if used < 0 or used == inner:
                continue
            ways = factorial(inner) // (factorial(used) * factorial(x) * factorial(y)
                                        * factorial(z))
            total -= (ways * self.live(used) * self.hung(x, used + 2) * self.hung(y, used + 2)
                      * self.none ** ((used + 2) * z) * self.one ** (x * y + x * z + y * z)
                      * self._pairs(z))
        return total
