"""The reference model: integers only, vectorised over a batch; the specification of every rung.

Written from the arithmetic contract and not from the gateware; `sim.operations` has its products.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..flow.errors import GraphError
from ..flow.ir import AvgPool2d, Conv2d, Dense, Graph, MaxPool2d, Population
from ..flow.lengths import check_shift
from ..hdl import sng
from . import neurons
from .operations import convolve, delayed, exact_matmul, pooled

#: Currents int64 [T, batch, out] of a node for what reaches it, int64 [T, batch, in].
Synapses = Callable[[Dense | Conv2d, np.ndarray], np.ndarray]


@dataclass
class Trace:
    """What an inference computed; current, v, spikes: per layer int64 [T, batch, size].

    scores int64 [batch, classes]; classes int64 [batch]. crcs: per layer int64 [batch], what a
    proof build answers instead of v and spikes (`hdl.trace`), and orders: int64 [size], the neurons
    as they enter them. shipped: scores and classes of the build without that witness, where both
    ran.
    """

    scores: np.ndarray
    classes: np.ndarray
    current: list[np.ndarray] = field(default_factory=list)
    v: list[np.ndarray] = field(default_factory=list)
    spikes: list[np.ndarray] = field(default_factory=list)
    crcs: list[np.ndarray] = field(default_factory=list)
    orders: list[np.ndarray] = field(default_factory=list)
    shipped: "Trace | None" = None


def effective_weights(dense: Dense | Conv2d, shift: int = 0) -> np.ndarray:
    """What each synapse adds per spike: sign * w_eff[code], int64 in the shape of the weights.

    With a shift h, w_eff counts the first L >> h clocks, and is shifted left by h.
    """
    table = sng.weight_table(dense.sng, dense.bits, dense.weight_bits, shift) << shift
    codes = dense.weight.astype(np.int64)
    return np.sign(codes) * table[np.abs(codes)]


def rate_spikes(p8: np.ndarray, num_steps: int) -> np.ndarray:
    """`rate` encoder: int64 [T, batch, n] from pixels p8 [batch, n] in 0..255.

    The 16-bit register starts at 0xACE1 with each image, is compared as it is, then stepped eight
    times per pixel, in index order, timestep after timestep.
    """
    n = p8.shape[1]
    thresholds = np.empty(num_steps * n, np.int64)
    state = 0xACE1
    for i in range(num_steps * n):
        thresholds[i] = state & 255
        for _ in range(8):
            state = sng.lfsr_step(state, 16)
    return (p8[None] > thresholds.reshape(num_steps, 1, n)).astype(np.int64)


def stream_codes(p8: np.ndarray, bits: int) -> np.ndarray:
    """Codes p in 0..2**B of pixels in 0..255: ``(p8 * 2**B + 127) // 255``."""
    return (p8.astype(np.int64) * (1 << bits) + 127) // 255


def product(x: np.ndarray, weights: np.ndarray, node: Dense | Conv2d) -> np.ndarray:
    """Integer sums of x [..., in] over the synapses of a node: int64 [..., out]."""
    if isinstance(node, Conv2d):
        return convolve(x, weights, node)
    return exact_matmul(x, weights.T)


def stream_current(p8: np.ndarray, dense: Dense | Conv2d, x_kind: str, shift: int = 0
                   ) -> np.ndarray:
    """Current of a layer fed by `stream` input, the same in every timestep: int64 [batch, out].

    The shift as for `effective_weights`.
    """
    table = sng.count_table(x_kind, dense.sng, dense.bits, dense.weight_bits, shift) << shift
    codes = dense.weight.astype(np.int64)
    p = stream_codes(p8, dense.bits)
    current = np.zeros((p8.shape[0], dense.out_features), np.int64)
    for c in np.unique(np.abs(codes)):
        if c:
            signs = np.sign(codes) * (np.abs(codes) == c)
            current += product(table[p, c], signs, dense)
    return current


def run(graph: Graph, inputs: np.ndarray, *, trace: bool = False, shift: int = 0,
        synapses: Synapses | None = None) -> Trace:
    """Infer a batch on an integer graph.

    inputs: pixels 0..255 [batch, n] for `rate` and `stream`; spikes 0/1 [batch, T, n] for `spikes`.
    With `trace`, every current, membrane and spike is returned too. shift: the h of a run-time
    length: bitstreams stop after L >> h clocks, and what synapses count is shifted left by h; bias,
    skips, thresholds and leaks stay. synapses: computes the currents in the place of the exact sums
    of layers that spikes feed; all else stays. Raises GraphError for a graph without integer
    weights, inputs of another shape, or a shift that its generators or lengths do not allow.
    """
    if graph.stage not in ("integer", "scheduled"):
        raise GraphError(f"the reference model runs integer graphs, not stage {graph.stage!r}; "
                         "run quantize first")
    check_shift(graph, shift)
    n, steps = graph.input.size, graph.num_steps
    shape = (steps, n) if graph.input.encoder == "spikes" else (n,)
    inputs = np.asarray(inputs)
    if inputs.ndim < 1 or inputs.shape[1:] != shape:
        raise GraphError(f"inputs must have shape [batch, {', '.join(map(str, shape))}], "
                         f"not {list(inputs.shape)}")
    top = 1 if graph.input.encoder == "spikes" else 255
    if inputs.size and (inputs.min() < 0 or inputs.max() > top):
        raise GraphError(f"inputs must be in 0..{top}, not {inputs.min()}..{inputs.max()}")
    batch = inputs.shape[0]
    #: What each node passes on, by name: int64 [T, batch, n].
    values: dict[str, np.ndarray] = {}
    if graph.input.encoder == "rate":
        values[graph.input.name] = rate_spikes(inputs, steps)
    elif graph.input.encoder == "spikes":
        values[graph.input.name] = inputs.astype(np.int64).transpose(1, 0, 2)
    result = Trace(scores=np.zeros(0), classes=np.zeros(0))
    layer = 0
    for node in graph.nodes[1:-1]:
        if isinstance(node, MaxPool2d | AvgPool2d):
            values[node.name] = pooled(values[node.src], node)
        if not isinstance(node, Population):
            continue
        dense, skip = graph.layers[layer][0], graph.skip(layer)
        if dense.src in values:
            x = delayed(values[dense.src], dense.delays)
            current = (product(x, effective_weights(dense, shift), dense) if synapses is None
                       else synapses(dense, x))
        else:
            constant = stream_current(inputs, dense, graph.input.sng, shift)
            current = np.broadcast_to(constant, (steps, *constant.shape))
        if skip:
            current = current + skip.c_skip * values[skip.src[1]]
        fires = not (graph.readout.kind == "membrane" and layer == len(graph.layers) - 1)
        state = neurons.KINDS[node.neuron.kind](node.neuron, batch, node.size)
        bias = np.repeat(dense.bias.astype(np.int64), node.size // len(dense.bias))
        spikes = values[node.name] = np.empty_like(current)
        v = np.empty_like(current) if trace else None
        for t in range(steps):
            spikes[t] = state.step(current[t], bias, fires)
            if trace:
                v[t] = state.v
        if trace:
            result.current.append(np.array(current))
            result.v.append(v)
            result.spikes.append(spikes)
        layer += 1
    result.scores = state.v if graph.readout.kind == "membrane" else spikes.sum(0)
    result.classes = result.scores.argmax(1)
    return result
