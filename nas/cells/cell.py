"""Cells: nodes in a row, and one operation on the edge between each two of them.

Y. Kim et al., "Neural architecture search for spiking neural networks", ECCV 2022. Node 0 is the
input, the last node the output, and a node is the sum of what comes in along its edges. An edge may
run backward (the same paper, section 4): what it carries arrives one timestep later.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import permutations, product

from ...flow.errors import ConfigError, unknown

#: By their numbers in texts of cells; the first five are SNASNet's, the others of SpikeNAS's study.
OPERATIONS = ("zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3", "conv5x5", "conv7x7")
#: Rows and columns of the kernels of those that have weights.
KERNELS = {"conv1x1": 1, "conv3x3": 3, "conv5x5": 5, "conv7x7": 7}
MAX_NODES = 8
ZEROIZE, SKIP = OPERATIONS[:2]

#: Before an edge's number in a text: it runs backward.
_BACK = "~"
#: What stands for a cell's input and output among the terms of its canonical form.
_INPUT, _OUTPUT = -1, -2


@dataclass(frozen=True)
class Edge:
    """One edge: from node `source` to node `target`, backward where that is the lower one."""

    source: int
    target: int
    operation: str

    @property
    def backward(self) -> bool:
        return self.target < self.source


@lru_cache
def pairs(nodes: int) -> tuple[tuple[int, int], ...]:
    """Pairs of nodes in the order of `Cell.operations`: by the higher one, then by the lower."""
    return tuple((low, high) for high in range(1, nodes) for low in range(high))


@dataclass(frozen=True)
class Cell:
    """operations: one a pair of `pairs(nodes)`. backward: whether each runs from high to low; empty
    where none does.

    Raises ConfigError for an unknown operation or a number of them that no cell has.
    """

    operations: tuple[str, ...]
    backward: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        for name in self.operations:
            if name not in OPERATIONS:
                raise ConfigError("cell: " + unknown("operation", name, OPERATIONS))
        known = [len(pairs(nodes)) for nodes in range(2, MAX_NODES + 1)]
        if len(self.operations) not in known:
            raise ConfigError(f"cell: operations must be one a pair of 2..{MAX_NODES} nodes, so "
                              f"one of {known}, not {len(self.operations)}")
        if not any(self.backward):
            object.__setattr__(self, "backward", ())
        elif len(self.backward) != len(self.operations):
            raise ConfigError(f"cell: backward must be one an edge, {len(self.operations)}, not "
                              f"{len(self.backward)}")

    @property
    def nodes(self) -> int:
        """How many, the input's and the output's included."""
        return int((1 + (1 + 8 * len(self.operations)) ** 0.5) / 2)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges in the order of the operations, those of `zeroize` included."""
        turned = self.backward or (False,) * len(self.operations)
        return tuple(Edge(high, low, name) if back else Edge(low, high, name) for (low, high), name,
                     back in zip(pairs(self.nodes), self.operations, turned))

    @cached_property
    def live(self) -> tuple[Edge, ...]:
        """The edges that carry something from the input to the output."""
        carrying = [edge for edge in self.edges if edge.operation != ZEROIZE]
        reached = _closure({0}, [(edge.source, edge.target) for edge in carrying])
        leading = _closure({self.nodes - 1}, [(edge.target, edge.source) for edge in carrying])
        return tuple(edge for edge in carrying
                     if edge.source in reached and edge.target in leading)

    @property
    def connected(self) -> bool:
        """Whether anything gets from the input to the output."""
        return bool(self.live)

    def count(self, operation: str) -> int:
        """How many live edges have this operation."""
        return sum(edge.operation == operation for edge in self.live)

    def pruned(self) -> "Cell":
        """The same function with `zeroize` on every dead edge, forward."""
        live = set(self.live)
        kept = [edge in live for edge in self.edges]
        return Cell(tuple(name if keep else ZEROIZE for name, keep in zip(self.operations, kept)),
                    tuple(edge.backward and keep for edge, keep in zip(self.edges, kept)))

    @cached_property
    def canonical(self) -> tuple:
        """Equal for cells that are the same up to their dead edges and the names of their nodes.

        A skip makes a node a sum of other sums, so forward cells are compared by what their
        operations other than skips read; two operations are two even where they compute the same.
        """
        if not any(edge.backward for edge in self.live):
            return _by_terms(self)
        return min(_renamed(self, order) for order in permutations(range(1, self.nodes - 1)))

    def __str__(self) -> str:
        """Numbers of the operations by their higher node: ``3|01|2~34``; ~ is backward."""
        words = [(_BACK if edge.backward else "") + str(OPERATIONS.index(edge.operation))
                 for edge in self.edges]
        return "|".join("".join(words[pairs(self.nodes).index((0, high)):][:high])
                        for high in range(1, self.nodes))

    def replaced(self, old: str, new: str) -> "Cell":
        """This cell with one operation in the place of another."""
        return replace(self, operations=tuple(new if name == old else name
                                              for name in self.operations))


def parse(text: str) -> Cell:
    """The cell of a text such as ``3|01|2~34``; ConfigError with the rule that it breaks."""
    rule = (f"cell must be numbers of operations in 0..{len(OPERATIONS) - 1}, one for the second "
            "node, two for the third, and so on, with | between nodes, as in 3|01|234, not "
            f"{text!r}")
    names, back = [], []
    for count, part in enumerate(text.split("|"), 1):
        found = re.findall(rf"({_BACK}?)([0-{len(OPERATIONS) - 1}])", part)
        if len(found) != count or "".join(map("".join, found)) != part:
            raise ConfigError(rule)
        names += [OPERATIONS[int(number)] for _, number in found]
        back += [bool(turned) for turned, _ in found]
    return Cell(tuple(names), tuple(back))


def every(operations: tuple[str, ...], nodes: int = 4, backward: bool = False) -> Iterator[Cell]:
    """All cells of these operations, the last edge's changing fastest; first all forward."""
    turns = product((False, True), repeat=len(pairs(nodes))) if backward else [()]
    for turned in turns:
        for names in product(operations, repeat=len(pairs(nodes))):
            yield Cell(names, tuple(turned))


def _closure(found: set[int], steps: list[tuple[int, int]]) -> set[int]:
    """All that can be reached from `found`."""
    found = set(found)
    while more := {b for a, b in steps if a in found} - found:
        found |= more
    return found


def _by_terms(cell: Cell) -> tuple:
    """The canonical form of a forward cell: what each operation reads, under the least naming."""
    values = [Counter({_INPUT: 1})]  # of each node: which terms it sums
    terms: list[tuple[int, Counter]] = []
    for node in range(1, cell.nodes):
        total: Counter = Counter()
        for edge in cell.live:
            if edge.target == node and edge.operation == SKIP:
                total += values[edge.source]
            elif edge.target == node:
                total[len(terms)] = 1
                terms.append((OPERATIONS.index(edge.operation), values[edge.source]))
        values.append(total)
    best = None
    for order in _orders(terms, values[-1]):
        name = {term: place for place, term in enumerate(order)} | {_INPUT: _INPUT}
        form = (tuple((terms[term][0], _under(name, terms[term][1])) for term in order),
                _under(name, values[-1]))
        best = form if best is None else min(best, form)
    return best


def _orders(terms: list[tuple[int, Counter]], output: Counter) -> Iterator[list[int]]:
    """Orders of terms, the least form among them: all that agree with what tells terms apart.

    Terms are told apart by their operations, by what they read and by what reads them, each
    refined by the other; where that leaves some alike, each of them in turn is put first, which
    tells more apart. Those that read the same and are read by the same need no second order.
    """
    reads = [tuple(value.items()) for _, value in terms]
    readers = [tuple((k, value[term]) for k, (_, value) in enumerate(terms) if value[term])
               + (((_OUTPUT, output[term]),) if output[term] else ()) for term in range(len(terms))]

    def refined(colours: dict[int, int]) -> dict[int, int]:
        classes = 0
        while classes < len(set(colours.values())):
            classes = len(set(colours.values()))
            known = colours | {_INPUT: _INPUT, _OUTPUT: _OUTPUT}
            signs = {term: (colours[term], sorted((known[k], n) for k, n in reads[term]),
                            sorted((known[k], n) for k, n in readers[term])) for term in colours}
            ranks = sorted(signs.values())
            colours = {term: ranks.index(sign) for term, sign in signs.items()}
        return colours

    def orders(colours: dict[int, int]) -> Iterator[list[int]]:
        groups: dict[int, list[int]] = {}
        for term, colour in sorted(colours.items(), key=lambda item: item[1]):
            groups.setdefault(colour, []).append(term)
        alike = next((members for members in groups.values()
                      if len({(reads[term], readers[term]) for term in members}) > 1), None)
        if alike is None:
            yield [term for members in groups.values() for term in members]
            return
        for first in alike:
            yield from orders(refined({term: 2 * colour + (colour == colours[first]
                                                           and term != first)
                                       for term, colour in colours.items()}))

    yield from orders(refined({term: operation for term, (operation, _) in enumerate(terms)}))


def _under(name: dict[int, int], value: Counter) -> tuple:
    return tuple(sorted((name[term], count) for term, count in value.items()))


def _renamed(cell: Cell, order: tuple[int, ...]) -> tuple:
    """The live edges with inner nodes renamed; what would turn an edge round counts as no form."""
    name = {0: 0, cell.nodes - 1: cell.nodes - 1} | {node: place for place, node
                                                     in enumerate(order, 1)}
    edges = tuple(sorted((name[edge.source], name[edge.target], OPERATIONS.index(edge.operation))
                         for edge in cell.live))
    kept = all((name[edge.source] > name[edge.target]) == edge.backward for edge in cell.live)
    return (not kept, edges)

