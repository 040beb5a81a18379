"""Shapes: what the mapper and its prices need to know of a network's layers.

They come from a graph (`of_graph`), or from a plain table of somebody's published network.
"""

from math import prod

from msgspec import Struct, structs

from .. import ir
from ..errors import GraphError
from .weights import integers, magnitude_bits, most_bits

#: Why a layer that `stream` input feeds cannot be on crossbars.
STREAMED = ("its input is streams of bits that meet the weights' streams bit by bit, not spikes "
            "that a word line could carry; use the rate encoder to map it")
#: What a layer's `source` is called that is no layer: the pixels.
INPUT = "input"


class Layer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Synapses and the neurons that they feed; a dense layer is a 1 x 1 kernel at one place.

    in_size, out_size: rows and columns of the maps. magnitude_bits: of a stored weight, beside its
    sign. input_bits: of what comes in, 1 of spikes, more behind an average pool. pool: extent of
    the window that reads the outputs, 1 if none does. skip: a sum adds spikes of another layer.
    source, skip_source: whose spikes come in and are added, a layer's name or `INPUT`; an empty
    source is the layer before. digital: why it is not on crossbars, empty if it is.
    """

    name: str
    kind: str
    in_channels: int
    out_channels: int
    magnitude_bits: int
    kernel_size: int = 1
    in_size: tuple[int, int] = (1, 1)
    out_size: tuple[int, int] = (1, 1)
    input_bits: int = 1
    pool: int = 1
    skip: bool = False
    source: str = ""
    skip_source: str = ""
    digital: str = ""

    @property
    def places(self) -> int:
        """Places at which the kernel is read, one after the other."""
        return prod(self.out_size)

    @property
    def inputs(self) -> int:
        return self.in_channels * prod(self.in_size)

    @property
    def neurons(self) -> int:
        return self.out_channels * self.places

    @property
    def weights(self) -> int:
        return self.in_channels * self.out_channels * self.kernel_size ** 2


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Layers in order, and the timesteps of an inference."""

    name: str
    num_steps: int
    layers: tuple[Layer, ...]


def of_graph(graph: ir.Graph, name: str = "network") -> Network:
    """The shapes of a graph of any stage; without weights their bits are the most there can be."""
    layers, feeds = [], {population.name: synapses.name for synapses, population in graph.layers}
    for index, (synapses, population) in enumerate(graph.layers):
        known = graph.stage in ("integer", "scheduled")
        bits = magnitude_bits(integers(synapses)[0]) if known else most_bits(synapses)
        skip = graph.skip(index)
        layer = Layer(name=synapses.name, kind=synapses.op, magnitude_bits=bits,
                      in_channels=synapses.in_features, out_channels=synapses.out_features,
                      input_bits=_input_bits(graph, synapses),
                      pool=_pool(graph, population.name), skip=skip is not None,
                      source=_source(graph, synapses.src, feeds),
                      skip_source=_source(graph, skip.src[1], feeds) if skip else "",
                      digital=STREAMED if synapses.src == graph.input.name
                      and graph.input.encoder == "stream" else "")
        if isinstance(synapses, ir.Conv2d):
            layer = structs.replace(
                layer, in_channels=synapses.in_shape[0], out_channels=synapses.out_channels,
                kernel_size=synapses.kernel_size, in_size=tuple(synapses.in_shape[1:]),
                out_size=tuple(synapses.out_shape[1:]))
        elif not isinstance(synapses, ir.Dense):
            raise GraphError(f"{synapses.name}: {synapses.op} cannot be mapped onto crossbars")
        layers.append(layer)
    return Network(name=name, num_steps=graph.num_steps, layers=tuple(layers))


def _source(graph: ir.Graph, name: str, feeds: dict[str, str]) -> str:
    """The layer whose spikes a node passes on, through pools or not."""
    while isinstance(node := graph.node(name), ir.MaxPool2d | ir.AvgPool2d):
        name = node.src
    return feeds.get(name, INPUT)


def _input_bits(graph: ir.Graph, synapses: ir.Dense | ir.Conv2d) -> int:
    source, most = graph.node(synapses.src), 1
    while isinstance(source, ir.MaxPool2d | ir.AvgPool2d):
        if isinstance(source, ir.AvgPool2d):
            most *= source.kernel_size ** 2
        source = graph.node(source.src)
    return most.bit_length()


def _pool(graph: ir.Graph, name: str) -> int:
    return max((node.kernel_size for node in graph.readers(name)
                if isinstance(node, ir.MaxPool2d | ir.AvgPool2d)), default=1)
