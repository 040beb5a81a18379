"""The reference model: integers only, vectorised over a batch; the specification of every rung.

Written from the arithmetic contract and not from the gateware; `sim.operations` has its products.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..flow.errors import GraphError
from ..flow.ir import (
    DIRECT,
    AvgPool2d,
    Conv2d,
    CurrentPool2d,
    CurrentSum,
    Dense,
    Graph,
    MaxPool2d,
    Population,
    Sum,
    sources,
)
from ..flow.lengths import check_shift
from ..hdl import sng
from . import neurons
from .operations import convolve, delayed, exact_matmul, pooled, summed

#: Currents int64 [T, batch, out] of a node for what reaches it, int64 [T, batch, in].
Synapses = Callable[[Dense | Conv2d, np.ndarray], np.ndarray]
#: Values of all timesteps that the largest node of a network has at once, where nothing wants them.
PART = 1 << 21


@dataclass
class Trace:
    """What an inference computed; current, v, spikes: per layer int64 [T, batch, size].

    scores int64 [batch, classes]; classes int64 [batch]. fired: spikes of each layer over all
    timesteps, int64 [batch], with or without a trace. crcs: per layer int64 [batch], what a
    proof build answers instead of v and spikes (`hdl.trace`), and orders: int64 [size], the neurons
    as they enter them. shipped: scores and classes of the build without that witness, where both
    ran.
    """

    scores: np.ndarray
    classes: np.ndarray
    fired: list[np.ndarray] = field(default_factory=list)
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
    if isinstance(dense, Dense):  # a pixel that is zero in all images counts nothing
        lit = p.any(0)
        p, codes = p[:, lit], codes[:, lit]
    current = np.zeros((p8.shape[0], dense.out_features), np.int64)
    for c in np.unique(np.abs(codes)):
        if c:
            signs = np.sign(codes) * (np.abs(codes) == c)
            current += product(table[p, c], signs, dense)
    return current


def run(graph: Graph, inputs: np.ndarray, *, trace: bool = False, shift: int = 0,
        synapses: Synapses | None = None) -> Trace:
    """Infer a batch on an integer graph.

    inputs: pixels 0..255 [batch, n] for `rate`, `stream` and `direct`; spikes 0/1 [batch, T, n] for
    `spikes`.
    With `trace`, every current, membrane and spike is returned too. shift: the h of a run-time
    length: bitstreams stop after L >> h clocks, and what synapses count is shifted left by h; bias,
    skips, thresholds and leaks stay. synapses: computes the currents in the place of the exact sums
    of layers that spikes feed; all else stays. Raises GraphError for a graph without integer
    weights, inputs of another shape, or a shift that its generators or lengths do not allow.

    Without a trace and `synapses`, a large batch is computed in parts, whose arrays nearly fit the
    caches: 10,000 images of 784-256-10 with T = 4 take some 20 MB, not 240.
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
    size = len(inputs) if trace or synapses else _at_once(graph)
    parts = [_run(graph, inputs[start:start + size], shift, synapses, trace)
             for start in range(0, max(1, len(inputs)), max(1, size))]
    if len(parts) == 1:
        return parts[0]
    return Trace(scores=np.concatenate([part.scores for part in parts]),
                 classes=np.concatenate([part.classes for part in parts]),
                 fired=[np.concatenate(counts) for counts in zip(*(p.fired for p in parts))])


def _at_once(graph: Graph) -> int:
    """How many images to compute at once."""
    widest = max(graph.size(node.name) for node in graph.nodes[:-1])
    return max(1, PART // (graph.num_steps * widest))


def _run(graph: Graph, inputs: np.ndarray, shift: int, synapses: Synapses | None, trace: bool
         ) -> Trace:
    """`run`, of all images at once."""
    steps = graph.num_steps
    inference = _Inference(graph, inputs, shift, synapses, trace)
    spans = [range(t, t + 1) for t in range(steps)] if graph.recurrent else [range(steps)]
    counts = sum(inference.advance(span).sum(0) for span in spans)
    membrane = graph.readout.kind == "membrane"
    scores = inference.states[graph.readout.src].v if membrane else counts
    result = Trace(scores=scores, classes=scores.argmax(1), fired=list(inference.fired.values()))
    for node in graph.populations if trace else ():
        parts = zip(*inference.noted[node.name])
        for into, arrays in zip((result.current, result.v, result.spikes), parts):
            into.append(np.concatenate(arrays))
    return result


class _Inference:
    """An inference under way: the state of each neuron, and what waits for the next timestep.

    All timesteps of a node are computed at once, but of a network with a cycle one after the other.
    Arrays are int64 [T, batch, n] of the T timesteps at hand.
    """

    def __init__(self, graph: Graph, inputs: np.ndarray, shift: int, synapses: Synapses | None,
                 trace: bool) -> None:
        self.graph, self.inputs, self.shift, self.trace = graph, inputs, shift, trace
        self.product = synapses or (
            lambda node, x: product(x, effective_weights(node, shift), node))
        steps, batch = graph.num_steps, len(inputs)
        #: Of the input's spikes, or pixels, all timesteps; None of `stream` input.
        self.given = None
        if graph.input.encoder == "rate":
            self.given = rate_spikes(inputs, steps)
        elif graph.input.encoder == "spikes":
            self.given = inputs.astype(np.int64).transpose(1, 0, 2)
        elif graph.input.encoder == DIRECT:
            self.given = np.broadcast_to(inputs.astype(np.int64), (steps, *inputs.shape))
        self.states = {node.name: neurons.KINDS[node.neuron.kind](node.neuron, batch, node.size)
                       for node in graph.populations}
        #: Spikes of populations so far, int64 [batch].
        self.fired = {name: np.zeros(batch, np.int64) for name in self.states}
        #: (current, v, spikes) of populations, a tuple for each span.
        self.noted: dict[str, list[tuple]] = {name: [] for name in self.states}
        #: What was passed on in the timestep before this span, of those that a delay of 1 reads.
        self.waiting: dict[str, np.ndarray] = {
            name: np.zeros((batch, graph.size(name)), np.int64)
            for node in graph.nodes if isinstance(node, CurrentSum)
            for name, delay in zip(node.src, node.delay) if delay}
        last = {name: node.name for node in graph.nodes for name in sources(node)}
        #: What nothing reads any more, by the node that was the last to read it.
        self.read = {reader: [name for name in last if last[name] == reader
                              and name not in self.waiting] for reader in last.values()}

    def advance(self, span: range) -> np.ndarray:
        """The spikes of the last population in these timesteps."""
        values: dict[str, np.ndarray] = {}
        if self.given is not None:
            values[self.graph.input.name] = self.given[span.start:span.stop]
        for node in self.graph.nodes[1:-1]:
            values[node.name] = _STEPS[type(node)](self, node, values, len(span))
            for name in self.read.get(node.name, ()):
                values.pop(name, None)
        for name in self.waiting:
            self.waiting[name] = self._drive(name, values)[-1]
        return values[self.graph.readout.src]

    def _synapses(self, node: Dense | Conv2d, values: dict, steps: int) -> np.ndarray:
        if node.src not in values:
            constant = stream_current(self.inputs, node, self.graph.input.sng, self.shift)
            return np.broadcast_to(constant, (steps, *constant.shape))
        x = delayed(values[node.src], node.delays)
        return _once(lambda x: self.product(node, x), x)

    def _pool(self, node: MaxPool2d | AvgPool2d, values: dict, steps: int) -> np.ndarray:
        return pooled(values[node.src], node)

    def _skip(self, node: Sum, values: dict, steps: int) -> np.ndarray:
        return values[node.src[0]] + node.c_skip * values[node.src[1]]

    def _drive(self, name: str, values: dict) -> np.ndarray:
        """The current of a node, with the bias of synapses."""
        node = self.graph.node(name)
        if not isinstance(node, Dense | Conv2d) or not node.bias.any():
            return values[name]
        return values[name] + _per_neuron(node.bias, node.size)

    def _sum(self, node: CurrentSum, values: dict, steps: int) -> np.ndarray:
        terms = []
        for name, delay in zip(node.src, node.delay):
            x = None if delay and steps == 1 else self._drive(name, values)
            if delay:
                before = self.waiting[name][None]
                x = before if x is None else np.concatenate([before, x[:-1]])
            terms.append(x)
        scales = [_per_neuron(scale, node.size) for scale in node.scale]
        bias = _per_neuron(node.bias, node.size)
        return _once(lambda *terms: sum((x * scale for x, scale in zip(terms, scales)), bias),
                     *terms)

    def _current_pool(self, node: CurrentPool2d, values: dict, steps: int) -> np.ndarray:
        return _once(lambda x: summed(x, node), self._drive(node.src, values))

    def _population(self, node: Population, values: dict, steps: int) -> np.ndarray:
        source = self.graph.node(node.src)
        current = values[node.src]
        synapses = self.graph.source(source) if isinstance(source, Sum) else source
        bias = (_per_neuron(synapses.bias, node.size) if isinstance(synapses, Dense | Conv2d)
                else 0)
        fires = not (self.graph.readout.kind == "membrane"
                     and node.name == self.graph.readout.src)
        state = self.states[node.name]
        spikes = np.empty(current.shape, np.int64)
        v = np.empty_like(spikes) if self.trace else None
        for t in range(steps):
            spikes[t] = state.step(current[t], bias, fires)
            if self.trace:
                v[t] = state.v
        if fires:
            self.fired[node.name] += spikes.sum((0, 2))
        if self.trace:
            self.noted[node.name].append((current, v, spikes))
        return spikes


_STEPS = {Dense: _Inference._synapses, Conv2d: _Inference._synapses, MaxPool2d: _Inference._pool,
          AvgPool2d: _Inference._pool, Sum: _Inference._skip, CurrentSum: _Inference._sum,
          CurrentPool2d: _Inference._current_pool, Population: _Inference._population}


def _per_neuron(values: np.ndarray, size: int) -> np.ndarray:
    """Values of maps, or of neurons, for each neuron: int64 [size]."""
    return np.repeat(values.astype(np.int64), size // len(values))


def _once(what: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """what(*arrays), computed for one timestep where the arrays are the same in all of them."""
    if len(arrays[0]) > 1 and not any(array.strides[0] for array in arrays):
        found = what(*(array[:1] for array in arrays))
        return np.broadcast_to(found, (len(arrays[0]), *found.shape[1:]))
    return what(*arrays)
