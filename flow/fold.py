"""Fold: what the lanes of the `folded` lowering read, from integer layers.

A map is kept position by position, and within one in words of eight channels; a vector is a map of
one position. The words that a run reads from outside come first to last channel; those it makes
itself have a last word whose spikes are uppermost (`hdl.words.SpikeWords`).
"""

from dataclasses import dataclass, replace

import numpy as np

from ..hdl import sng
from ..hdl.engine import Served, refusal
from ..hdl.folded import FoldedPool
from ..hdl.lanes import FoldedLayer
from ..hdl.streams import Streams
from ..hdl.walk import Tap, Walk
from ..hdl.words import WORD, SpikeWords, words
from . import ir
from .errors import GraphError
from .passes.legalize import effective_weights, not_spatial

#: Lanes of a folded layer that names none.
LANES = 8
#: Weight bits up to which lanes choose from a table of what each code adds.
TABLED_BITS = 5


def lanes_of(synapses) -> int:
    """Lanes that a folded layer uses: neurons of a position that are computed at once."""
    return min(synapses.lanes or LANES, synapses.bias_shape[0])


def runs(graph: ir.Graph) -> list[list[int]]:
    """The layers in stages: each `spatial` layer alone, neighbouring `folded` ones in one run.

    A layer with delays begins a run, in front of which they are. The layers up to the last one that
    is no link of a chain are in one run.
    """
    stages: list[list[int]] = []
    for index, (dense, _) in enumerate(graph.layers):
        joins = index and dense.lowering == "folded" and not dense.max_delay
        if joins and graph.layers[index - 1][0].lowering == "folded":
            stages[-1].append(index)
        else:
            stages.append([index])
    return stages


def check(graph: ir.Graph) -> None:
    """GraphError for a layer that cannot be folded, or not together with its neighbours."""
    for indices in runs(graph):
        if graph.layers[indices[0]][0].lowering == "folded":
            memory_of(graph, indices)
    for index, (synapses, population) in enumerate(graph.layers):
        if synapses.lowering != "folded":
            continue
        if why := refusal(population.neuron):
            raise GraphError(f"{synapses.name}: lowering must be 'spatial' before "
                             f"{population.name}, not 'folded': {why}")
        if synapses.max_delay and (why := not_spatial(graph, index)):
            raise GraphError(f"{synapses.name}: delay must be 0 under 'folded' where {why}, not "
                             f"{synapses.delay}; delay a dense layer behind it")
        if len(synapses.out_shape) == 3 and index == len(graph.layers) - 1:
            raise GraphError(f"{synapses.name}: the last layer must be dense, not a conv2d, under "
                             "'folded'; add a dense layer that reads its map")
        skip, source = graph.skip(index), graph.source(synapses)
        if skip is None:
            continue
        if isinstance(synapses, ir.Dense):
            if _grid(graph, skip.src[1])[1:] != (1, 1):
                raise GraphError(f"{skip.name}: 'folded' takes a skip beside a dense layer from "
                                 f"one, not from {skip.src[1]}, which is a map")
            continue
        if (isinstance(source, ir.AvgPool2d) or synapses.stride != 1
                or _grid(graph, skip.src[1]) != _grid(graph, source.name)
                or _map_shape(graph, skip.src[1]) != tuple(synapses.out_shape)):
            raise GraphError(f"{skip.name}: 'folded' takes a skip beside a conv2d of stride 1 that "
                             "reads a map of spikes of the same rows, columns and words of "
                             f"{WORD} channels as the skipped one, and makes one of its shape; "
                             f"{synapses.name} does not")


@dataclass(frozen=True)
class _Map:
    """Spikes as words: where they are, whether outside the run, and how their last word is filled.
    """

    channels: int
    height: int
    width: int
    base: int
    outer: bool
    uppermost: bool

    @property
    def pitch(self) -> int:
        return words(self.channels)

    def taps(self, y: int = 0, x: int = 0) -> list[Tap]:
        """The words of a position."""
        at = self.base + (y * self.width + x) * self.pitch
        return [Tap(at + k, y, x, self.outer) for k in range(self.pitch)]

    def place(self, channel: int) -> tuple[int, int]:
        """The word, and the bit in it, of a channel."""
        at = SpikeWords.place(channel, self.channels) if self.uppermost else channel
        return divmod(at, WORD)

    def spread(self, columns: np.ndarray) -> np.ndarray:
        """Operands of each channel, [channels, ...], as those of each bit, [pitch, WORD, ...]."""
        out = np.zeros((self.pitch, WORD, *columns.shape[1:]), np.int64)
        for channel in range(self.channels):
            out[self.place(channel)] = columns[channel]
        return out


def _maps_input(graph: ir.Graph) -> bool:
    """Whether some convolution or pool reads the input as a map."""
    return any(not isinstance(node, ir.Dense) for node in graph.readers(graph.input.name))


def _grid(graph: ir.Graph, name: str) -> tuple[int, int, int]:
    """Words, rows and columns of what a node passes on."""
    shape = _map_shape(graph, name)
    return words(shape[0]), *shape[1:]


def _map_shape(graph: ir.Graph, name: str) -> tuple[int, int, int]:
    shape = graph.shape(name)
    if name == graph.input.name:
        if not _maps_input(graph):
            return int(np.prod(shape)), 1, 1
        return (1, *shape) if len(shape) == 2 else shape
    return tuple(shape) if len(shape) == 3 else (shape[0], 1, 1)


def order(graph: ir.Graph, index: int) -> np.ndarray:
    """Which neuron of layer `index` each one served is: int64 [size], position by position."""
    channels, rows, columns = _map_shape(graph, graph.layers[index][1].name)
    return np.arange(channels * rows * columns).reshape(channels, -1).T.reshape(-1)


def orders(graph: ir.Graph) -> list[np.ndarray]:
    """The `order` of every layer; dense ones, so the `spatial` ones, have them as they come."""
    return [order(graph, index) for index in range(len(graph.layers))]


def input_order(graph: ir.Graph) -> np.ndarray:
    """Which axon of the input each bit of its words is, -1 for none."""
    channels, rows, columns = _map_shape(graph, graph.input.name)
    out = np.full((rows * columns, words(channels) * WORD), -1)
    out[:, :channels] = np.arange(channels * rows * columns).reshape(channels, -1).T
    return out.reshape(-1)


def vector_order(n: int) -> np.ndarray:
    """Which of n axons each bit of a vector's words is, -1 for none."""
    return np.concatenate([np.arange(n), np.full(-n % WORD, -1)])


def serial_input(graph: ir.Graph) -> bool:
    """Whether the first run takes its words from the encoder as it makes them."""
    first, n = graph.layers[0][0], graph.input.size
    if first.lowering != "folded" or graph.input.encoder == "stream" or first.max_delay:
        return False
    return np.array_equal(input_order(graph), vector_order(n))


def stored_order(graph: ir.Graph, index: int) -> np.ndarray:
    """Which neuron of layer `index` each bit of its map's words is, -1 for none."""
    channels, rows, columns = _map_shape(graph, graph.layers[index][1].name)
    out = np.full((rows * columns, words(channels) * WORD), -1)
    neurons = np.arange(channels * rows * columns).reshape(channels, -1)
    for channel in range(channels):
        out[:, SpikeWords.place(channel, channels)] = neurons[channel]
    return out.reshape(-1)


@dataclass(frozen=True)
class Folded:
    """A run as `hdl.folded.FoldedRun` takes it."""

    steps: list[FoldedLayer | FoldedPool]
    lanes: int
    memory: str
    inputs: int
    streams: Streams | None
    listed: bool = False

    @property
    def layers(self) -> list[FoldedLayer]:
        return [step for step in self.steps if isinstance(step, FoldedLayer)]


def fold_run(graph: ir.Graph, indices: list[int]) -> Folded:
    """The steps of one run of an integer graph whose widths are known."""
    check(graph)
    first = graph.layers[indices[0]][0]
    source = graph.source(first)
    coded = indices[0] == 0 and graph.input.encoder == "stream"
    maps, steps, base = {}, [], 0
    inputs = graph.input.size
    if not coded:
        name, shape = graph.input.name, _map_shape(graph, graph.input.name)
        if indices[0]:
            name, shape = source.name, (source.size, 1, 1)
        maps[name] = outside = _Map(*shape, 0, True, False)
        inputs = outside.pitch * outside.height * outside.width
    inside = {name for k in indices for name in (graph.layers[k][0].name, graph.layers[k][1].name)}
    for node in graph.nodes:
        uppermost = True
        if isinstance(node, ir.MaxPool2d) and indices[0] == 0:
            step, uppermost = _pool(node, maps[node.src]), maps[node.src].uppermost
            name = node.name
        elif isinstance(node, ir.Population) and node.name in inside:
            index = next(k for k in indices if graph.layers[k][1] is node)
            table = tabled(graph, indices)
            step = _coded(graph, table) if coded and index == 0 else _layer(
                graph, index, maps, table)
            name = node.name
        else:
            continue
        steps.append(step)
        maps[name] = _Map(*_map_shape(graph, name), base, False, uppermost)
        base += step.stored
    streams = None
    if coded:
        streams = Streams.of(sng.sequence(graph.input.sng, first.bits),
                             sng.sequence(first.sng, first.bits), first.weight_bits)
        # lanes compare as many bits as their codes have
        largest = int(np.abs(first.weight).max())
        streams = replace(streams, thresholds=np.minimum(streams.thresholds, largest))
    lanes = max(lanes_of(graph.layers[k][0]) for k in indices)
    return Folded(steps, lanes, memory_of(graph, indices), inputs, streams,
                  indices[0] == 0 and listed(graph))


def memory_of(graph: ir.Graph, indices: list[int]) -> str:
    """Where the lanes of a run have their weights; GraphError if its layers do not agree.

    `spram` if some layer has them there: each of the run's is then where it says.
    """
    memories = {graph.layers[k][0].memory or "ebr" for k in indices}
    if "spram" in memories:
        return "spram"
    if len(memories) > 1:
        names = ", ".join(graph.layers[k][0].name for k in indices)
        raise GraphError(f"{names}: memory must be the same for folded layers that follow each "
                         "other, as they share their lanes")
    return memories.pop()


def listed(graph: ir.Graph) -> bool:
    """Whether the first layer visits the pixels that are not zero alone, those of a list.

    It is so for a dense one whose run has weights in SPRAM.
    """
    first = graph.layers[0][0]
    return (graph.input.encoder == "stream" and first.lowering == "folded"
            and isinstance(first, ir.Dense) and memory_of(graph, runs(graph)[0]) == "spram")


def tabled(graph: ir.Graph, indices: list[int]) -> bool:
    """Whether the lanes of a run look up what codes add (`hdl.loaded`): few, and no skip."""
    return memory_of(graph, indices) == "spram" and all(
        graph.layers[k][0].weight_bits <= TABLED_BITS and graph.skip(k) is None for k in indices)


def _pool(pool: ir.MaxPool2d, source: _Map) -> FoldedPool:
    k = pool.kernel_size
    taps = [source.taps(y, x)[word] for word in range(source.pitch)
            for y in range(k) for x in range(k)]
    _, rows, columns = pool.out_shape
    walk = Walk(tuple(taps), rows, columns, k, source.pitch, source.height, source.width,
                source.width)
    return FoldedPool(walk, k * k)


def _served(graph: ir.Graph, index: int) -> Served:
    synapses, population = graph.layers[index]
    places = population.size // len(synapses.bias)
    return Served(population.neuron, population.size, int(population.v_bits.max()),
                  np.tile(synapses.bias.astype(np.int64), places), graph.fires(index))


def _grouped(columns: np.ndarray, lanes: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Operands [..., outputs] as [groups, ..., lanes], and how many outputs each group has."""
    size = columns.shape[-1]
    count = -(-size // lanes)
    padded = np.zeros((*columns.shape[:-1], count * lanes), np.int64)
    padded[..., :size] = columns
    groups = tuple(min(lanes, size - g * lanes) for g in range(count))
    return np.moveaxis(padded.reshape(*columns.shape[:-1], count, lanes), -2, 0), groups


def _coded(graph: ir.Graph, table: bool) -> FoldedLayer:
    """The first layer under `stream` input: a tap a pixel."""
    synapses, _ = graph.layers[0]
    codes = synapses.weight.astype(np.int64)
    if isinstance(synapses, ir.Conv2d):
        channels, height, width = synapses.in_shape
        _, rows, columns = synapses.out_shape
        k, pad = synapses.kernel_size, synapses.padding
        taps = [Tap((c * height + y - pad) * width + x - pad, y - pad, x - pad)
                for c in range(channels) for y in range(k) for x in range(k)]
        walk = Walk(tuple(taps), rows, columns, synapses.stride, 1, height, width, width)
    else:
        walk = Walk(tuple(Tap(i) for i in range(synapses.in_features)))
    operands, groups = _grouped(codes.reshape(len(codes), -1).T, lanes_of(synapses))
    products = sng.count_table(graph.input.sng, synapses.sng, synapses.bits,
                               synapses.weight_bits) if table else None
    return FoldedLayer(_served(graph, 0), walk, operands, groups,
                       _reach(effective_weights(synapses)), 0, True, synapses.memory or "ebr",
                       products)


def _reach(*weights: np.ndarray) -> np.ndarray:
    """The lowest and the highest I of each channel, int64 [2, channels]."""
    rows = np.concatenate([w.reshape(len(w), -1) for w in weights], 1)
    return np.array([np.minimum(rows, 0).sum(1), np.maximum(rows, 0).sum(1)])


def _layer(graph: ir.Graph, index: int, maps: dict[str, _Map], table: bool) -> FoldedLayer:
    """A layer that reads maps of spikes; with a `table`, its operands are codes."""
    synapses, _ = graph.layers[index]
    source, skip = graph.source(synapses), graph.skip(index)
    weights = synapses.weight.astype(np.int64) if table else effective_weights(synapses)
    window = 1
    if isinstance(source, ir.AvgPool2d):
        window, source = source.kernel_size, graph.source(source)
    read = maps[source.name]
    if isinstance(synapses, ir.Conv2d):
        # a pooled position is each of its window's, with the same weight
        kernels = np.kron(weights, np.ones((1, 1, window, window), np.int64))
        k, pad = kernels.shape[2], synapses.padding * window
        _, rows, columns = synapses.out_shape
        height, width = (extent * window for extent in synapses.in_shape[1:])
        places = [(y, x) for y in range(k) for x in range(k)]
        taps = [tap for y, x in places for tap in read.taps(y - pad, x - pad)]
        walk = Walk(tuple(taps), rows, columns, synapses.stride * window, read.pitch,
                    height, width, read.width)
        parts = [read.spread(kernels[:, :, y, x].T) for y, x in places]
        summed = [kernels]
    else:
        kernels = weights.reshape(len(weights), read.channels, read.height // window,
                                  read.width // window)
        kernels = np.kron(kernels, np.ones((1, 1, window, window), np.int64))
        places = [(y, x) for y in range(kernels.shape[2]) for x in range(kernels.shape[3])]
        taps = [tap for y, x in places for tap in read.taps(y, x)]
        walk = Walk(tuple(taps), height=read.height, width=read.width, across=read.width)
        parts = [read.spread(kernels[:, :, y, x].T) for y, x in places]
        summed = [kernels]
    if skip is not None:
        other = maps[skip.src[1]]
        identity = int(skip.c_skip) * np.eye(other.channels, dtype=np.int64)
        walk = replace(walk, taps=(*walk.taps, *other.taps()))
        parts.append(other.spread(identity))
        summed.append(identity)
    columns = np.concatenate(parts)  # [taps, WORD, outputs]
    adds = sng.weight_table(synapses.sng, synapses.bits, synapses.weight_bits)
    if table:
        summed = [np.sign(kernels) * adds[np.abs(kernels)]]
    counts = adds if table else columns
    scale = 0
    # all counts are multiples of 2**scale, for most generators 2**(B - w + 1)
    while counts.any() and not (counts & 1).any():
        counts, scale = counts >> 1, scale + 1
    operands, groups = _grouped(columns if table else counts, lanes_of(synapses))
    return FoldedLayer(_served(graph, index), walk, operands, groups, _reach(*summed) >> scale,
                       scale, False, synapses.memory or "ebr", counts if table else None)
