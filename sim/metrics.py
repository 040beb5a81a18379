"""Metrics of a network on images by NeuroBench's definitions, counted on the reference model.

J. Yik et al., "The neurobench framework for benchmarking neuromorphic computing algorithms and
systems", Nature Communications 16, 1545, 2025, and its package `neurobench` 2.3. Where the package
looks at the values of a batch to tell MACs from ACs, here what feeds a layer tells: spikes are
accumulated, pixels and counts of pooled spikes are multiplied. All is exact: integers over images.
"""

from collections import Counter

import numpy as np
from msgspec import Struct

from ..flow import ir
from ..flow.errors import ConfigError, GraphError
from ..flow.passes.legalize import membrane_ranges, signed_bits
from ..flow.run import Run
from ..hdl.neurons.izhikevich import V_BITS
from . import reference
from .images import shaped

#: What each metric is, as it is printed beside it.
DEFINITIONS = {
    "footprint": "bytes of what is stored: weights at weight_bits each, zeros too, biases and "
                 "scales at the width of the widest of their layer, and state: membranes as wide "
                 "as proven (32 bits where nothing is), counters, adaptive thresholds, delay lines",
    "connection_sparsity": "share of weights that are zero; a weight of a convolution counts once",
    "activation_sparsity": "share of zeros in what neurons that fire give, over neurons, timesteps "
                           "and images",
    "synaptic_operations": "of an image: products of an input and a weight; effective ones have "
                           "neither zero, dense ones are all, without a convolution's border; ACs "
                           "where spikes feed the layer, else MACs; bias, skips and pools are none "
                           "of them. A layer that reads pixels is computed once an image, any "
                           "other in each timestep",
    "spikes_per_image": "spikes of all neurons in all timesteps of an inference, the input's "
                        "events aside; mean over images",
}
#: Of a membrane whose width is not proven.
ASSUMED_BITS = 32
#: Values of one array of an inference.
_HELD = 1 << 23


class Footprint(Struct, frozen=True, kw_only=True):
    """Bits of what a network keeps; count: of its weights, biases and scales."""

    count: int
    weights: int
    biases: int
    state: int

    @property
    def bytes(self) -> int:
        return -(-(self.weights + self.biases + self.state) // 8)


class Operations(Struct, frozen=True, kw_only=True):
    """Of a layer of synapses: weights, and operations an image. kind: MAC or AC."""

    name: str
    kind: str
    weights: int
    zeros: int
    dense: float
    effective: float


class Activity(Struct, frozen=True, kw_only=True):
    """Of a population that fires: spikes an image, and the share of zeros."""

    name: str
    neurons: int
    spikes: float
    sparsity: float


class Metrics(Struct, frozen=True, kw_only=True):
    """Of one network on some images; each metric as `DEFINITIONS` has it.

    input_events: of the input, that reach a layer, of an image; None where no layer reads events.
    """

    images: int
    footprint_bytes: int
    footprint: Footprint
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float
    spikes_per_image: float
    input_events: float | None
    layers: tuple[Operations, ...]
    populations: tuple[Activity, ...]

    def sentence(self) -> str:
        """One line for reports."""
        return (f"NeuroBench metrics over {self.images:,} test images: {self.footprint_bytes:,} "
                f"bytes, connection sparsity {self.connection_sparsity:.3f}, activation sparsity "
                f"{self.activation_sparsity:.3f}, {self.effective_macs:,.0f} MACs and "
                f"{self.effective_acs:,.0f} ACs effective of {self.dense:,.0f} dense operations, "
                f"{self.spikes_per_image:,.1f} spikes an image; 'spikeloom metrics' has each layer "
                "and definition")


def of_run(opened: Run, graph: ir.Graph) -> Metrics | None:
    """Over the test images that a run keeps, None without any."""
    if not opened.samples_file.exists():
        return None
    images, _ = opened.samples()
    return metrics(graph, shaped(graph, images, str(opened.samples_file)))


def metrics(graph: ir.Graph, inputs: np.ndarray) -> Metrics:
    """Run an integer graph on inputs as `reference.run` takes them, and count.

    Raises GraphError as that does, and ConfigError without any input.
    """
    if graph.stage not in ("integer", "scheduled"):
        raise GraphError(f"metrics are of integer graphs, not of stage {graph.stage!r}; train "
                         "first")
    if not len(inputs):
        raise ConfigError("metrics must be over at least 1 image, not 0")
    fans = {node.name: fan_out(node) for node in graph.synapses}
    effective, calls, arrived = Counter(), Counter(), Counter()

    def synapses(node, x: np.ndarray) -> np.ndarray:
        if node.name not in pixels:
            seen = np.count_nonzero(x, axis=(0, 1))
            effective[node.name] += int(seen @ fans[node.name])
            calls[node.name] += x.shape[0] * x.shape[1]
            if node.src == graph.input.name:
                arrived[node.name] += int(seen.sum())
        return reference.product(x, weights[node.name], node)

    pixels = {node.name for node in graph.synapses
              if node.src == graph.input.name and graph.input.encoder in ("stream", ir.DIRECT)}
    weights = {node.name: reference.effective_weights(node) for node in graph.synapses}
    fired, size = None, _batch(graph)
    for start in range(0, len(inputs), size):
        part = inputs[start:start + size]
        found = reference.run(graph, part, synapses=synapses)
        counts = np.array([layer.sum() for layer in found.fired], np.int64)
        fired = counts if fired is None else fired + counts
        for node in graph.synapses:
            if node.name in pixels:
                codes = (reference.stream_codes(np.asarray(part), node.bits)
                         if graph.input.encoder == "stream" else np.asarray(part))
                effective[node.name] += int(np.count_nonzero(codes, axis=0) @ fans[node.name])
                calls[node.name] += len(part)
    images = len(inputs)
    layers = tuple(Operations(
        name=node.name, kind="AC" if node.name not in pixels and _binary(graph, node.src)
        else "MAC", weights=node.weight.size, zeros=int((node.weight == 0).sum()),
        dense=calls[node.name] * node.synapses / images,
        effective=effective[node.name] / images) for node in graph.synapses)
    return summed(
        images, footprint(graph), layers, _activities(graph, fired, images),
        max(arrived.values()) / images if arrived else None)


def summed(images: int, stored: Footprint, layers: tuple[Operations, ...],
           populations: tuple[Activity, ...], input_events: float | None) -> Metrics:
    """The metrics of a network from those of its parts."""
    neurons = sum(item.neurons for item in populations)
    silent = sum(item.neurons * item.sparsity for item in populations)
    return Metrics(
        images=images, footprint_bytes=stored.bytes, footprint=stored,
        connection_sparsity=sum(item.zeros for item in layers) / sum(
            item.weights for item in layers),
        activation_sparsity=silent / neurons if neurons else 0.0,
        effective_macs=sum(item.effective for item in layers if item.kind == "MAC"),
        effective_acs=sum(item.effective for item in layers if item.kind == "AC"),
        dense=sum(item.dense for item in layers),
        spikes_per_image=sum(item.spikes for item in populations),
        input_events=input_events, layers=layers, populations=populations)


def fan_out(node: ir.Dense | ir.Conv2d) -> np.ndarray:
    """How many weights that are not zero each input meets: int64 [in_features]."""
    mask = (node.weight != 0).astype(np.int64)
    if isinstance(node, ir.Dense):
        return mask.sum(0)
    return fans_of_kernels(mask.sum(0), node.in_shape, node.out_shape[1:], node.stride,
                           node.padding).ravel()


def fans_of_kernels(taps: np.ndarray, in_shape: tuple[int, ...], outputs: tuple[int, int],
                    stride: int, padding: int) -> np.ndarray:
    """`fan_out` [C, H, W] of a convolution; taps: weights of each map and tap that are not zero,
    [C, k, k].
    """
    channels, *extent = in_shape
    fans = np.zeros((channels, *(size + 2 * padding for size in extent)), np.int64)
    rows, columns = (slice(0, stride * (count - 1) + 1, stride) for count in outputs)
    for i in range(taps.shape[1]):
        for j in range(taps.shape[2]):
            fans[:, i:][:, rows, j:][:, :, columns] += taps[:, i, j, None, None]
    return fans[:, padding:padding + extent[0], padding:padding + extent[1]]


def footprint(graph: ir.Graph) -> Footprint:
    """What an integer graph stores, by its own widths."""
    weights = sum(node.weight.size * node.weight_bits for node in graph.synapses)
    arrays = [node.bias for node in graph.synapses]
    for node in graph.nodes:
        if isinstance(node, ir.CurrentSum):
            arrays += [node.scale, node.bias]
        elif isinstance(node, ir.Sum):
            arrays.append(np.array([node.c_skip], np.int64))
    count = sum(node.weight.size for node in graph.synapses) + sum(map(np.size, arrays))
    return Footprint(count=count, weights=weights, biases=sum(map(_wide, arrays)),
                     state=_state(graph))


def _wide(array: np.ndarray) -> int:
    """Bits of integers as wide as the widest of them; none for zeros alone."""
    return array.size * signed_bits(int(array.min()), int(array.max())) if array.any() else 0


def _state(graph: ir.Graph) -> int:
    """Bits of what neurons and axons remember from one timestep to the next."""
    proven = {} if graph.sums or graph.input.encoder == ir.DIRECT else membrane_ranges(graph)
    bits = sum(int(node.delays.sum()) for node in graph.synapses)
    bits += sum(ASSUMED_BITS * node.size for node in graph.sums if isinstance(node, ir.CurrentSum)
                for delay in node.delay if delay)
    for node in graph.populations:
        neuron = node.neuron
        wide = node.v_bits if node.v_bits is not None else proven.get(node.name)
        bits += node.size * ASSUMED_BITS if wide is None else int(np.sum(wide))
        bits += node.size * getattr(neuron, "refractory", 0).bit_length()
        if neuron.kind == "homeostatic":
            bits += node.size * neuron.thresholds[1].bit_length()
        elif neuron.kind == "izhikevich":
            bits += node.size * V_BITS  # u
    return bits


def _binary(graph: ir.Graph, name: str) -> bool:
    """Whether a node passes on spikes, and nothing else."""
    node = graph.node(name)
    if isinstance(node, ir.MaxPool2d):
        return _binary(graph, node.src)
    return isinstance(node, ir.Population) or (
        isinstance(node, ir.Input) and node.encoder in ("rate", "spikes"))


def _activities(graph: ir.Graph, fired: np.ndarray, images: int) -> tuple[Activity, ...]:
    silent = graph.readout.src if graph.readout.kind == "membrane" else None
    return tuple(Activity(
        name=node.name, neurons=node.size, spikes=int(count) / images,
        sparsity=1 - int(count) / (images * graph.num_steps * node.size))
        for node, count in zip(graph.populations, fired) if node.name != silent)


def _batch(graph: ir.Graph) -> int:
    """Images that run at once; a convolution spreads out the windows of its maps."""
    widest = max(graph.size(node.name) * (
        node.in_shape[0] * node.kernel_size ** 2 // node.out_channels + 1
        if isinstance(node, ir.Conv2d) else 1) for node in graph.nodes)
    return max(1, _HELD // (graph.num_steps * widest))
