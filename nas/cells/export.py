"""From a trained network of cells to the IR: integers alone, computed by the reference model.

Inside a cell, maps are analog: sums of normalised convolutions, of skips and of 3x3 averages. Here
they are integers X that stand for ``unit * X``, with one unit a node. A convolution counts codes,
and its batch norm is a scale for each map and a bias (`ir.CurrentSum`). An average is a sum of a
window (`ir.CurrentPool2d`), whose unit is a ninth; so the unit of a node is a power of two over
9**a, where a is the largest number of averages in a row that lead to it since the last neurons, and
skips and averages are exact. What is rounded is the scales, to `PRECISION` bits, and the biases.

A LIF, ``v <- v / 4 + 3 / 4 x`` and 1 as its threshold, is a `FixedPointLif` with beta = 1, n = 2
that reads X and whose threshold is ``ceil(4 / (3 unit))``: the input gain is folded into it. The
voter is a sum of weights, and the mean over timesteps a membrane that does not leak; both are
exact, as the class with the largest mean is the one with the largest sum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import torch
from msgspec import Struct
from torch import nn

from ...flow import ir
from ...flow.errors import GraphError
from ...hdl.neurons import FixedPointLif, Lif
from ...sim import reference
from ..datasets import Split
from . import quantiser
from .cell import KERNELS, SKIP, Cell
from .final import Compared
from .network import CellNetwork
from .pixels import maps
from .train import infer

#: Bits of the largest scale of a sum; fewer where currents would not fit 64 bits.
PRECISION = (14, 12, 10, 8)
#: Widest codes that the IR has, as no generator is wider than 9 bits.
MOST_BITS = 10
#: A convolution whose largest scale is smaller than the cell's largest by more keeps fewer bits.
_SPREAD = 8
#: What the largest intermediate array of the reference model may take, in bytes.
_MEMORY = 1 << 28


class Exported(Struct, frozen=True):
    """A network in the IR, how many bits its codes have, and what was not exact in words."""

    graph: ir.Graph
    weight_bits: int
    notes: tuple[str, ...]


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
            for precision in PRECISION:
                writer = _Writer(network, precision)
                try:
                    graph = writer.graph().verify()
                except GraphError as error:
                    if precision == PRECISION[-1]:
                        raise
                    reason = str(error)
                    continue
                break
    finally:
        network.train(was)
    notes = list(writer.notes)
    if precision != PRECISION[0]:
        notes.append(f"scales are rounded to {precision} bits and not to {PRECISION[0]}: {reason}")
    return Exported(graph, writer.bits, tuple(notes))


def classes(graph: ir.Graph, p8: np.ndarray) -> np.ndarray:
    """Classes int64 [n] of pixels by the reference model, as many images at once as memory holds.
    """
    most = max(node.in_features * (node.kernel_size ** 2 if isinstance(node, ir.Conv2d) else 1)
               for node in graph.synapses)
    steps = 1 if graph.recurrent else graph.num_steps
    batch = max(1, _MEMORY // (8 * steps * most))
    return np.concatenate([reference.run(graph, p8[start:start + batch]).classes
                           for start in range(0, len(p8), batch)])


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


@dataclass(frozen=True)
class _Map:
    """Integers of a node that stand for unit * X."""

    name: str
    unit: Fraction


@dataclass(frozen=True)
class _Term:
    """What a sum adds: ``factor * X + offset``, of a node X; factor and offset real numbers [C]."""

    name: str
    factor: np.ndarray
    offset: np.ndarray | float = 0.0
    delay: int = 0


@dataclass
class _Writer:
    """Writes the nodes of a network, in order."""

    network: CellNetwork
    precision: int
    nodes: list = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        network, asked = self.network, self.network.weight_bits
        self.macro = network.macro
        self.bits = min(asked or MOST_BITS, MOST_BITS)
        #: Codes int64 by layer, and what a code of 1 is worth.
        self.codes: dict[str, np.ndarray] = {}
        self.steps: dict[str, Fraction] = {}
        kept = asked is not None and asked <= MOST_BITS
        weights = network.weights()
        for name, layer in network.layers.items():
            weight = weights[name] if kept else quantiser.quantise(layer.weight, self.bits)
            step = quantiser.step(layer.weight, self.bits,
                                  network.scale if kept else "power_of_two")
            codes = np.rint((weight.double() / step.double()).cpu().numpy()).astype(np.int64)
            # the fixed format has one code more below zero, for which ten bits have no room
            self.codes[name] = codes.clip(-quantiser.top(MOST_BITS), quantiser.top(MOST_BITS))
            self.steps[name] = Fraction(float(step))
        if not kept:
            width = f"{asked} bits" if asked else "floating point"
            self.notes.append(f"weights of {width} are rounded to codes of {self.bits} bits, the "
                              "widest that bitstreams carry")

    def graph(self) -> ir.Graph:
        macro = self.macro
        self.nodes.append(ir.Input(name="input", encoder=ir.DIRECT, shape=(
            macro.in_channels, macro.image_size, macro.image_size)))
        self._conv("stem", "input", (macro.in_channels, *2 * (macro.image_size,)))
        found = None
        for place, cell in enumerate(self.network.cells):
            if place:
                self._fires(f"wider{place}", self._normed(f"wider{place}", found, place - 1))
                self._conv(f"wider{place}", f"wider{place}_lif", self._shape(place - 1))
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

    def _synapses(self, codes: np.ndarray) -> dict:
        """What Dense and Conv2d have in common; one spike counts the code itself."""
        bits = max(self.bits, int(np.abs(codes).max(initial=0)).bit_length() + 1)
        return {"weight_bits": bits, "bitstream_length": 1 << (bits - 1), "sng": "ramp",
                "weight": codes.astype(np.int16), "bias": np.zeros(len(codes), np.int32)}

    def _conv(self, name: str, src: str, in_shape: tuple[int, int, int]) -> None:
        codes = self.codes[name]
        self.nodes.append(ir.Conv2d(
            name=name, src=src, in_shape=in_shape, out_channels=len(codes),
            kernel_size=codes.shape[-1], padding=codes.shape[-1] // 2, **self._synapses(codes)))

    def _term(self, name: str, delay: int = 0) -> _Term:
        """What a convolution adds, its batch norm included; a pixel of 255 is 1."""
        factor, offset = _affine(self.network.layers[name].norm)
        full = 255 if name == "stem" else 1
        return _Term(name, factor * float(self.steps[name]) / full, offset, delay)

    def _sum(self, name: str, shape: tuple[int, ...], terms: Sequence[_Term], unit: Fraction
             ) -> _Map:
        worth = float(unit)
        scale = np.stack([np.broadcast_to(np.rint(term.factor / worth), shape[:1])
                          for term in terms])
        bias = np.rint(sum(np.broadcast_to(term.offset, shape[:1]) for term in terms) / worth)
        self.nodes.append(ir.CurrentSum(
            name=name, src=tuple(term.name for term in terms), shape=shape,
            delay=tuple(term.delay for term in terms), scale=scale.astype(np.int64),
            bias=bias.astype(np.int64)))
        return _Map(name, unit)

    def _unit(self, terms: Sequence[_Term]) -> Fraction:
        """A power of two in which each term's largest factor has `precision` bits."""
        largest = [float(np.abs(term.factor).max()) for term in terms]
        least = max(min(largest), max(largest) / 2 ** _SPREAD) or 1.0
        return Fraction(2) ** (math.frexp(least)[1] - 1 - self.precision)

    def _normed(self, name: str, found: _Map, place: int) -> _Map:
        """A map behind the batch norm of that name."""
        factor, offset = _affine(self.network.norms[name])
        term = _Term(found.name, factor * float(found.unit), offset)
        return self._sum(f"{name}_norm", self._shape(place), [term], self._unit([term]))

    def _fires(self, name: str, found: _Map) -> None:
        """The neurons that read a map."""
        size = next(node.size for node in self.nodes if node.name == found.name)
        neuron = FixedPointLif(v_threshold=math.ceil(4 / (3 * found.unit)), beta=1, n=2,
                               reset="zero")
        self.nodes.append(ir.Population(name=f"{name}_lif", src=found.name, size=size,
                                        neuron=neuron))

    def _cell(self, place: int, cell: Cell) -> _Map:
        """The nodes of a cell, in order, each with its neurons and with what reads them."""
        shape, label = self._shape(place), f"cell{place + 1}"
        averages = _averages(cell)
        convs = {edge: self._term(f"{label}_{edge.source}_{edge.target}")
                 for edge in cell.live if edge.operation in KERNELS}
        first = self._term(f"wider{place}" if place else "stem")
        unit = self._unit([first, *convs.values()])
        units = [unit / 9 ** count for count in averages]
        into: dict[int, list[_Term]] = {node: [] for node in range(cell.nodes)}
        for edge in cell.live:
            if edge.operation in KERNELS:
                # what runs backward is zero at first, its bias too, so a sum of its own has that
                back = _Term(f"{convs[edge].name}_back", np.array(float(units[edge.target])),
                             delay=1)
                into[edge.target].append(back if edge.backward else convs[edge])
            else:
                skips = edge.operation == SKIP
                worth = units[edge.source] / (1 if skips else 9)
                into[edge.target].append(_Term(
                    f"{label}_{edge.source}" + ("" if skips else "_pool"),
                    np.array(float(worth)), delay=int(edge.backward)))
        if place:
            wide = self._sum(f"wider{place}_map", self._narrow(place), [first], 4 * unit)
            pool = ir.CurrentPool2d(name=f"wider{place}_pool", src=wide.name, kernel_size=2,
                                    in_shape=self._narrow(place), stride=2, padding=0)
            self.nodes.append(pool)
            first = _Term(pool.name, np.array(float(unit)))
        into[0].insert(0, first)
        found = None
        for node in range(cell.nodes):
            if into[node]:
                found = self._sum(f"{label}_{node}", shape, into[node], units[node])
                self._leaving(label, cell, node, found, shape, convs, units)
        return found

    def _narrow(self, place: int) -> tuple[int, int, int]:
        """Shape of the maps that become those of a cell: its channels, not yet pooled."""
        return self.macro.width(place), *2 * (self.macro.extent(place - 1),)

    def _leaving(self, label: str, cell: Cell, node: int, found: _Map,
                 shape: tuple[int, int, int], convs: dict, units: Sequence[Fraction]) -> None:
        """Neurons, convolutions and the pool of all edges that leave a node."""
        edges = [edge for edge in cell.live if edge.source == node]
        if any(edge in convs for edge in edges):
            self._fires(f"{label}_{node}", found)
        for edge in edges:
            if edge in convs:
                self._conv(convs[edge].name, f"{label}_{node}_lif", shape)
            if edge in convs and edge.backward:
                self._sum(f"{convs[edge].name}_back", shape, [convs[edge]], units[edge.target])
        if any(edge not in convs and edge.operation != SKIP for edge in edges):
            self.nodes.append(ir.CurrentPool2d(name=f"{label}_{node}_pool", src=found.name,
                                               in_shape=shape, kernel_size=3, stride=1, padding=1))

    def _classifier(self, src: str) -> None:
        """Both FC layers: the first one's currents are scaled so that its leak is exact, too."""
        macro, codes = self.macro, self.codes
        self.nodes.append(ir.Dense(name="fc1", src=src, in_features=macro.flat,
                                   out_features=macro.hidden, **self._synapses(codes["fc1"])))
        # a window of four neurons counts them, where a mean would divide by four
        worth = self.steps["fc1"] / 4
        finer = 2 ** min(2 * (macro.num_steps - 1), 16)
        term = _Term("fc1", np.array(float(worth)))
        self._fires("fc1", self._sum("fc1_sum", (macro.hidden,), [term], worth / finer))
        votes = codes["fc2"].reshape(macro.num_classes, macro.voters, macro.hidden)
        parts = _groups(votes)
        for number, part in enumerate(parts, 1):
            self.nodes.append(ir.Dense(name=f"fc2_{number}", src="fc1_lif",
                                       in_features=macro.hidden, out_features=macro.num_classes,
                                       **self._synapses(part)))
        one = [_Term(f"fc2_{number}", np.array(1.0)) for number in range(1, len(parts) + 1)]
        self._sum("votes", (macro.num_classes,), one, Fraction(1))
        self.nodes.append(ir.Population(name="mean", src="votes", size=macro.num_classes,
                                        neuron=Lif(v_threshold=1)))
        self.nodes.append(ir.Readout(name="readout", src="mean", size=macro.num_classes,
                                     kind="membrane"))


def _affine(norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm multiplies with and adds after training: float64 [C] each."""
    mean, var, gamma, beta = (part.detach().double().cpu().numpy() for part in (
        norm.running_mean, norm.running_var, norm.weight, norm.bias))
    factor = gamma / np.sqrt(var + norm.eps)
    return factor, beta - mean * factor


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
