"""The reference model: integers only, vectorised over a batch; the specification of every rung.

Written from the arithmetic contract and not from the gateware. Matrix products run in float64 BLAS
where the largest possible sum is below 2**53, which is exact for integers.
"""

from dataclasses import dataclass, field

import numpy as np

from ..flow.errors import GraphError
from ..flow.ir import Dense, Graph
from ..hdl import sng
from . import neurons


@dataclass
class Trace:
    """What an inference computed; current, v, spikes: per layer int64 [T, batch, size].

    scores int64 [batch, classes]; classes int64 [batch]. crcs: per layer int64 [batch], what a
    proof build answers instead of v and spikes (`hdl.trace`). shipped: scores and classes of the
    build without that witness, where both ran.
    """

    scores: np.ndarray
    classes: np.ndarray
    current: list[np.ndarray] = field(default_factory=list)
    v: list[np.ndarray] = field(default_factory=list)
    spikes: list[np.ndarray] = field(default_factory=list)
    crcs: list[np.ndarray] = field(default_factory=list)
    shipped: "Trace | None" = None


def exact_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integer matrix product of `a` [..., n] and `b` [n, m], exact, through BLAS where it can."""
    bound = int(np.abs(a).max(initial=0)) * int(np.abs(b).max(initial=0)) * a.shape[-1]
    if bound < 1 << 53:
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return a.astype(np.int64) @ b.astype(np.int64)


def effective_weights(dense: Dense) -> np.ndarray:
    """What each synapse adds per spike: sign * w_eff[code], int64 [out, in]."""
    table = sng.weight_table(dense.sng, dense.bits, dense.weight_bits)
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


def stream_current(p8: np.ndarray, dense: Dense, x_kind: str) -> np.ndarray:
    """Current of a layer fed by `stream` input, the same in every timestep: int64 [batch, out]."""
    table = sng.count_table(x_kind, dense.sng, dense.bits, dense.weight_bits)
    codes = dense.weight.astype(np.int64)
    p = stream_codes(p8, dense.bits)
    current = np.zeros((p8.shape[0], dense.out_features), np.int64)
    for c in np.unique(np.abs(codes)):
        if c:
            signs = np.sign(codes) * (np.abs(codes) == c)
            current += exact_matmul(table[p, c], signs.T)
    return current


def delayed(spikes: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Spikes [T, ..., n], those of axon i as of delays[i] timesteps ago, zero before the first."""
    if not np.any(delays):
        return spikes
    out = np.zeros_like(spikes)
    steps = len(spikes)
    for delay in np.unique(delays):
        axons = np.flatnonzero(delays == delay)
        out[delay:, ..., axons] = spikes[:max(0, steps - delay), ..., axons]
    return out


def run(graph: Graph, inputs: np.ndarray, *, trace: bool = False) -> Trace:
    """Infer a batch on an integer graph.

    inputs: pixels 0..255 [batch, n] for `rate` and `stream`; spikes 0/1 [batch, T, n] for `spikes`.
    With `trace`, every current, membrane and spike is returned too. Raises GraphError for a graph
    without integer weights or inputs of another shape.
    """
    if graph.stage not in ("integer", "scheduled"):
        raise GraphError(f"the reference model runs integer graphs, not stage {graph.stage!r}; "
                         "run quantize first")
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
    if graph.input.encoder == "rate":
        spikes = rate_spikes(inputs, steps)
    elif graph.input.encoder == "spikes":
        spikes = inputs.astype(np.int64).transpose(1, 0, 2)
    else:
        spikes = None
    result = Trace(scores=np.zeros(0), classes=np.zeros(0))
    for index, (dense, population) in enumerate(graph.layers):
        fires = not (graph.readout.kind == "membrane" and index == len(graph.layers) - 1)
        if spikes is None:
            constant = stream_current(inputs, dense, graph.input.sng)
            current = np.broadcast_to(constant, (steps, *constant.shape))
        else:
            current = exact_matmul(delayed(spikes, dense.delays), effective_weights(dense).T)
        bias = dense.bias.astype(np.int64)
        state = neurons.KINDS[population.neuron.kind](population.neuron, batch, population.size)
        spikes = np.empty_like(current)
        v = np.empty_like(current) if trace else None
        for t in range(steps):
            spikes[t] = state.step(current[t], bias, fires)
            if trace:
                v[t] = state.v
        if trace:
            result.current.append(np.array(current))
            result.v.append(v)
            result.spikes.append(spikes)
    result.scores = state.v if graph.readout.kind == "membrane" else spikes.sum(0)
    result.classes = result.scores.argmax(1)
    return result
