"""Sums of currents: networks in floating point, analog between their neurons, as integers.

Maps that are no spikes are integers X that stand for ``unit * X``, a unit a node. A convolution
counts codes, and its batch norm is a scale for each map and a bias (`ir.CurrentSum`). What is
rounded is scales, to so many bits, and biases. The reference model alone computes such graphs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from msgspec import Struct

from ..flow import ir
from ..flow.errors import GraphError
from ..sim import reference
from .cells import quantiser

#: Bits of the largest scale of a sum; fewer where currents would not fit 64 bits.
PRECISION = (14, 12, 10, 8)
#: Widest codes that the IR has, as no generator is wider than 9 bits.
MOST_BITS = 10
#: A term whose largest scale is smaller than the largest of its sum by more keeps fewer bits.
_SPREAD = 8
#: What the largest intermediate array of the reference model may take, in bytes.
_MEMORY = 1 << 28


class Exported(Struct, frozen=True):
    """A network in the IR, how many bits its codes have, and what was not exact in words."""

    graph: ir.Graph
    weight_bits: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Map:
    """Integers of a node that stand for unit * X."""

    name: str
    unit: Fraction


@dataclass(frozen=True)
class Term:
    """What a sum adds: ``factor * X + offset``, of a node X; factor and offset real numbers [C]."""

    name: str
    factor: np.ndarray
    offset: np.ndarray | float = 0.0
    delay: int = 0


@dataclass
class Sums:
    """Writes the nodes of a network, in order; a subclass says which, in `graph`.

    bits: of codes. codes: int64 by layer; steps: what a code of 1 is worth there.
    """

    precision: int
    bits: int = MOST_BITS
    nodes: list = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    codes: dict[str, np.ndarray] = field(default_factory=dict)
    steps: dict[str, Fraction] = field(default_factory=dict)

    def graph(self) -> ir.Graph:
        raise NotImplementedError

    def code(self, name: str, weight, step) -> None:
        """Take a layer's weights, tensors of floats, as codes that are worth `step` each."""
        codes = np.rint((weight.double() / step.double()).detach().cpu().numpy()).astype(np.int64)
        # the fixed format has one code more below zero, for which ten bits have no room
        self.codes[name] = codes.clip(-quantiser.top(MOST_BITS), quantiser.top(MOST_BITS))
        self.steps[name] = Fraction(float(step))

    def synapses(self, codes: np.ndarray) -> dict:
        """What Dense and Conv2d have in common; one spike counts the code itself."""
        bits = max(self.bits, int(np.abs(codes).max(initial=0)).bit_length() + 1)
        return {"weight_bits": bits, "bitstream_length": 1 << (bits - 1), "sng": "ramp",
                "weight": codes.astype(np.int16), "bias": np.zeros(len(codes), np.int32)}

    def conv(self, name: str, src: str, in_shape: tuple[int, ...], stride: int = 1) -> None:
        codes = self.codes[name]
        self.nodes.append(ir.Conv2d(
            name=name, src=src, in_shape=in_shape, out_channels=len(codes), stride=stride,
            kernel_size=codes.shape[-1], padding=codes.shape[-1] // 2, **self.synapses(codes)))

    def term(self, name: str, norm, full: int = 1) -> Term:
        """What a convolution adds, its batch norm included; an input of `full` is 1."""
        factor, offset = affine(norm)
        return Term(name, factor * float(self.steps[name]) / full, offset)

    def unit(self, terms: Sequence[Term]) -> Fraction:
        """A power of two in which each term's largest factor has `precision` bits."""
        largest = [float(np.abs(term.factor).max()) for term in terms]
        least = max(min(largest), max(largest) / 2 ** _SPREAD) or 1.0
        return Fraction(2) ** (math.frexp(least)[1] - 1 - self.precision)

    def sum(self, name: str, shape: tuple[int, ...], terms: Sequence[Term], unit: Fraction) -> Map:
        worth = float(unit)
        scale = np.stack([np.broadcast_to(np.rint(term.factor / worth), shape[:1])
                          for term in terms])
        bias = np.rint(sum(np.broadcast_to(term.offset, shape[:1]) for term in terms) / worth)
        self.nodes.append(ir.CurrentSum(
            name=name, src=tuple(term.name for term in terms), shape=shape,
            delay=tuple(term.delay for term in terms), scale=scale.astype(np.int64),
            bias=bias.astype(np.int64)))
        return Map(name, unit)

    def fires(self, name: str, found: Map, neuron) -> str:
        """Neurons that read a map, of that name and a kind; the name."""
        size = next(node.size for node in self.nodes if node.name == found.name)
        self.nodes.append(ir.Population(name=name, src=found.name, size=size, neuron=neuron))
        return name


def written(begin: Callable[[int], Sums], precisions: Sequence[int] = PRECISION) -> Exported:
    """The graph of the writer of the first precision, best first, with which currents fit."""
    for precision in precisions:
        writer = begin(precision)
        try:
            graph = writer.graph().verify()
        except GraphError as error:
            if precision == precisions[-1]:
                raise
            reason = str(error)
            continue
        break
    notes = list(writer.notes)
    if precision != precisions[0]:
        notes.append(f"scales are rounded to {precision} bits and not to {precisions[0]}: {reason}")
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


def affine(norm) -> tuple[np.ndarray, np.ndarray]:
    """What a batch norm of torch multiplies with and adds after training: float64 [C] each."""
    mean, var, gamma, beta = (part.detach().double().cpu().numpy() for part in (
        norm.running_mean, norm.running_var, norm.weight, norm.bias))
    factor = gamma / np.sqrt(var + norm.eps)
    return factor, beta - mean * factor
