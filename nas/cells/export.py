"""From a trained network of cells to the IR: integers alone, computed by the reference model.

Inside a cell, maps are analog: sums of normalised convolutions, of skips and of 3x3 averages. Here
they are integers (`nas.sums`), with one unit a node. An average is a sum of a window
(`ir.CurrentPool2d`), whose unit is a ninth; so the unit of a node is a power of two over 9**a,
where a is the largest number of averages in a row that lead to it since the last neurons, and skips
and averages are exact.

A LIF, ``v <- v / 4 + 3 / 4 x`` and 1 as its threshold, is a `FixedPointLif` with beta = 1, n = 2
that reads X and whose threshold is ``ceil(4 / (3 unit))``: the input gain is folded into it. The
voter is a sum of weights, and the mean over timesteps a membrane that does not leak; both are
exact, as the class with the largest mean is the one with the largest sum.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from ...flow import ir
from ...flow.errors import GraphError
from ...hdl.neurons import FixedPointLif, Lif
from ..datasets import Split
from ..sums import MOST_BITS, PRECISION, Exported, Map, Sums, Term, affine, classes, written
from . import quantiser
from .cell import KERNELS, SKIP, Cell
from .final import Compared
from .network import CellNetwork
from .pixels import maps
from .train import infer


def export(network: CellNetwork) -> Exported:
    """The integer graph of a network; its input is pixels p8 [n, C * S * S], as `pixels.maps`.

    Weights keep their codes. Those of more than MOST_BITS bits, or of floating point, are rounded
    to MOST_BITS, and `notes` says so. Raises GraphError for cells that have no integers: one that
    passes nothing on, and one with averages in a cycle without neurons.
    """
    check(network.cells)
    was = network.training
    network.eval()
    try:
        with torch.no_grad():
            return written(lambda precision: _Writer(network, precision), PRECISION)
    finally:
        network.train(was)


def compare(network: CellNetwork, graph: ir.Graph, split: Split, subset: str) -> Compared:
    """What export does to the accuracy on a split, which `subset` names."""
    p8 = maps(split.inputs, network.macro)
    before, _ = infer(network, p8)
    after = classes(graph, p8.reshape(len(p8), -1))
    return Compared(subset=subset, images=len(split),
                    before=float((before == split.labels).mean()),
                    after=float((after == split.labels).mean()),
                    agreement=float((after == before).mean()))


def check(cells: Sequence[Cell]) -> None:
    """Raise GraphError for the first cell that has no integers."""
    for place, cell in enumerate(cells, 1):
        where = f"cell {place} ({cell})"
        if not cell.connected:
            raise GraphError(f"{where}: something must get from its input to its output; this "
                             "network computes the same for every image and is not exported")
        _averages(cell, where)


def _averages(cell: Cell, where: str = "cell") -> list[int]:
    """Of each node: how many averages in a row lead to it, at most, since the last neurons."""
    found = [0] * cell.nodes
    for _ in range(cell.nodes + 1):
        before = list(found)
        for edge in cell.live:
            if edge.operation not in KERNELS:
                more = edge.operation != SKIP
                found[edge.target] = max(found[edge.target], found[edge.source] + more)
        if found == before:
            return found
    raise GraphError(f"{where}: a cycle must have neurons on it, not averages and skips alone; "
                     "every round would divide by nine once more, which no integers can")


class _Writer(Sums):
    """Writes the nodes of a network, in order."""

    def __init__(self, network: CellNetwork, precision: int) -> None:
        asked = network.weight_bits
        super().__init__(precision, min(asked or MOST_BITS, MOST_BITS))
        self.network, self.macro = network, network.macro
        kept = asked is not None and asked <= MOST_BITS
        weights = network.weights()
        for name, layer in network.layers.items():
            self.code(name, weights[name] if kept else quantiser.quantise(layer.weight, self.bits),
                      quantiser.step(layer.weight, self.bits,
                                     network.scale if kept else "power_of_two"))
        if not kept:
            width = f"{asked} bits" if asked else "floating point"
            self.notes.append(f"weights of {width} are rounded to codes of {self.bits} bits, the "
                              "widest that bitstreams carry")

    def graph(self) -> ir.Graph:
        macro = self.macro
        self.nodes.append(ir.Input(name="input", encoder=ir.DIRECT, shape=(
            macro.in_channels, macro.image_size, macro.image_size)))
        self.conv("stem", "input", (macro.in_channels, *2 * (macro.image_size,)))
        found = None
        for place, cell in enumerate(self.network.cells):
            if place:
                self._fires(f"wider{place}", self._normed(f"wider{place}", found, place - 1))
                self.conv(f"wider{place}", f"wider{place}_lif", self._shape(place - 1))
            found = self._cell(place, cell)
        last = macro.cells - 1
        self._fires("out", self._normed("out", found, last))
        self.nodes.append(ir.AvgPool2d(name="out_pool", src="out_lif", in_shape=self._shape(last),
                                       kernel_size=2))
        self._classifier("out_pool")
        return ir.Graph(num_steps=macro.num_steps, nodes=tuple(self.nodes))

    def _shape(self, place: int) -> tuple[int, int, int]:
        extent = self.macro.extent(place)
        return self.macro.width(place), extent, extent

    def _term(self, name: str) -> Term:
        """What a convolution adds, its batch norm included; a pixel of 255 is 1."""
        return self.term(name, self.network.layers[name].norm, 255 if name == "stem" else 1)

    def _normed(self, name: str, found: Map, place: int) -> Map:
        """A map behind the batch norm of that name."""
        factor, offset = affine(self.network.norms[name])
        term = Term(found.name, factor * float(found.unit), offset)
        return self.sum(f"{name}_norm", self._shape(place), [term], self.unit([term]))

    def _fires(self, name: str, found: Map) -> None:
        """The neurons that read a map."""
        threshold = math.ceil(4 / (3 * found.unit))
        self.fires(f"{name}_lif", found, FixedPointLif(v_threshold=threshold, beta=1, n=2,
                                                       reset="zero"))

    def _cell(self, place: int, cell: Cell) -> Map:
        """The nodes of a cell, in order, each with its neurons and with what reads them."""
        shape, label = self._shape(place), f"cell{place + 1}"
        averages = _averages(cell)
        convs = {edge: self._term(f"{label}_{edge.source}_{edge.target}")
                 for edge in cell.live if edge.operation in KERNELS}
        first = self._term(f"wider{place}" if place else "stem")
        unit = self.unit([first, *convs.values()])
        units = [unit / 9 ** count for count in averages]
        into: dict[int, list[Term]] = {node: [] for node in range(cell.nodes)}
        for edge in cell.live:
            if edge.operation in KERNELS:
                # what runs backward is zero at first, its bias too, so a sum of its own has that
                back = Term(f"{convs[edge].name}_back", np.array(float(units[edge.target])),
                             delay=1)
                into[edge.target].append(back if edge.backward else convs[edge])
            else:
                skips = edge.operation == SKIP
                worth = units[edge.source] / (1 if skips else 9)
                into[edge.target].append(Term(
                    f"{label}_{edge.source}" + ("" if skips else "_pool"),
                    np.array(float(worth)), delay=int(edge.backward)))
        if place:
            wide = self.sum(f"wider{place}_map", self._narrow(place), [first], 4 * unit)
            pool = ir.CurrentPool2d(name=f"wider{place}_pool", src=wide.name, kernel_size=2,
                                    in_shape=self._narrow(place), stride=2, padding=0)
            self.nodes.append(pool)
            first = Term(pool.name, np.array(float(unit)))
        into[0].insert(0, first)
        found = None
        for node in range(cell.nodes):
            if into[node]:
                found = self.sum(f"{label}_{node}", shape, into[node], units[node])
                self._leaving(label, cell, node, found, shape, convs, units)
        return found

    def _narrow(self, place: int) -> tuple[int, int, int]:
        """Shape of the maps that become those of a cell: its channels, not yet pooled."""
        return self.macro.width(place), *2 * (self.macro.extent(place - 1),)

    def _leaving(self, label: str, cell: Cell, node: int, found: Map,
                 shape: tuple[int, int, int], convs: dict, units: Sequence[Fraction]) -> None:
        """Neurons, convolutions and the pool of all edges that leave a node."""
        edges = [edge for edge in cell.live if edge.source == node]
        if any(edge in convs for edge in edges):
            self._fires(f"{label}_{node}", found)
        for edge in edges:
            if edge in convs:
                self.conv(convs[edge].name, f"{label}_{node}_lif", shape)
            if edge in convs and edge.backward:
                self.sum(f"{convs[edge].name}_back", shape, [convs[edge]], units[edge.target])
        if any(edge not in convs and edge.operation != SKIP for edge in edges):
            self.nodes.append(ir.CurrentPool2d(name=f"{label}_{node}_pool", src=found.name,
                                               in_shape=shape, kernel_size=3, stride=1, padding=1))

    def _classifier(self, src: str) -> None:
        """Both FC layers: the first one's currents are scaled so that its leak is exact, too."""
        macro, codes = self.macro, self.codes
        self.nodes.append(ir.Dense(name="fc1", src=src, in_features=macro.flat,
                                   out_features=macro.hidden, **self.synapses(codes["fc1"])))
        # a window of four neurons counts them, where a mean would divide by four
        worth = self.steps["fc1"] / 4
        finer = 2 ** min(2 * (macro.num_steps - 1), 16)
        term = Term("fc1", np.array(float(worth)))
        self._fires("fc1", self.sum("fc1_sum", (macro.hidden,), [term], worth / finer))
        votes = codes["fc2"].reshape(macro.num_classes, macro.voters, macro.hidden)
        parts = _groups(votes)
        for number, part in enumerate(parts, 1):
            self.nodes.append(ir.Dense(name=f"fc2_{number}", src="fc1_lif",
                                       in_features=macro.hidden, out_features=macro.num_classes,
                                       **self.synapses(part)))
        one = [Term(f"fc2_{number}", np.array(1.0)) for number in range(1, len(parts) + 1)]
        self.sum("votes", (macro.num_classes,), one, Fraction(1))
        self.nodes.append(ir.Population(name="mean", src="votes", size=macro.num_classes,
                                        neuron=Lif(v_threshold=1)))
        self.nodes.append(ir.Readout(name="readout", src="mean", size=macro.num_classes,
                                     kind="membrane"))


def _groups(votes: np.ndarray) -> list[np.ndarray]:
    """Codes [classes, voters, n] as sums [classes, n] over voters, as few as codes are wide enough.
    """
    top, groups = quantiser.top(MOST_BITS), []
    for voter in votes.transpose(1, 0, 2):
        if groups and np.abs(groups[-1] + voter).max() <= top:
            groups[-1] = groups[-1] + voter
        else:
            groups.append(voter)
    return groups
