"""Folding: the clocks that runs of `folded` layers take, from what their words hold."""

from dataclasses import dataclass

import numpy as np

from ...hdl.folded import DRAIN, START, WAIT, FoldedPool
from ...hdl.words import WORD
from .. import fold, ir


def event_driven(graph: ir.Graph) -> bool:
    """Whether the clocks of an inference depend on its spikes."""
    return any(synapses.lowering == "folded" for synapses, _ in graph.layers)


@dataclass(frozen=True)
class Clocks:
    """Clocks of a run, int64 [T] each: from the start of a timestep to that of its last layer, and
    of that layer. words: of its input, 0 where it reads pixels itself. adding: clocks in which
    the lanes add, int64 [layers, T]. each: clocks of each layer in an inference, int64 [layers].
    """

    before: np.ndarray
    last: np.ndarray
    words: int
    adding: np.ndarray
    each: np.ndarray


def run_clocks(graph: ir.Graph, indices: list[int], seen: "Seen | None") -> Clocks:
    """What the run of these layers takes for the image that was `seen`, or at most, for None."""
    run = fold.fold_run(graph, indices)
    steps = graph.num_steps
    outer, inner = _memories(graph, run, indices, seen)
    clocks = np.zeros((len(run.steps), steps), np.int64)
    adding, each, prepared = [], [], 0
    for k, step in enumerate(run.steps):
        if isinstance(step, FoldedPool):
            clocks[k] = step.walk.positions * (1 + len(step.walk.taps))
            continue
        per_group = len(step.groups) * START * step.walk.positions + step.served.size
        if step.codes:
            ones = _pixels(graph, run, seen)
            if step.table is not None:
                ones = np.minimum(ones, 1)
            if run.listed:
                added = np.array([ones.sum() * len(step.groups)])
                scanned = np.maximum(added, len(step.groups))
            else:
                scanned, added = _scan(step, ones[None], ones[None])
            prepared = per_group + int(scanned[0]) + DRAIN
            clocks[k] = step.served.size + DRAIN
            if run.memory == "spram":
                clocks[k, 0] = 0  # served while it prepares
            adding.append(np.eye(1, steps, dtype=np.int64)[0] * added[0])
            each.append(prepared + clocks[k].sum())
            continue
        scanned, added = _scan(step, outer, inner)
        clocks[k] = per_group + scanned + DRAIN
        adding.append(added)
        each.append(clocks[k].sum())
    before = WAIT + clocks[:-1].sum(0)
    last = clocks[-1].copy()
    before[0] += prepared
    words = 0 if run.streams else run.inputs
    return Clocks(before, last, words, np.array(adding), np.array(each))


@dataclass(frozen=True)
class Seen:
    """One inference: p8 of the pixels, or the input's spikes [T, n]; spikes [T, size] of layers."""

    inputs: np.ndarray
    spikes: list[np.ndarray]


def _scan(step, outer: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clocks of the words of all positions and groups, and those in which the lanes add: [T]."""
    walk = step.walk
    scanned = np.zeros(len(outer), np.int64)
    added = np.zeros(len(outer), np.int64)
    for row in range(walk.rows):
        for column in range(walk.columns):
            origin = (row * walk.across + column) * walk.stride * walk.pitch
            for tap in walk.taps:
                if not walk.inside(row, column, tap):
                    scanned += 1
                    continue
                ones = (outer if tap.outer or step.codes else inner)[:, origin + tap.address]
                scanned += np.maximum(1, ones)
                added += ones
    return scanned * len(step.groups), added * len(step.groups)


def _pixels(graph: ir.Graph, run: fold.Folded, seen: Seen | None) -> np.ndarray:
    """Ones in each pixel's stream: int64 [n]."""
    length = len(run.streams.thresholds)
    if seen is None:
        return np.full(graph.input.size, length)
    codes = (seen.inputs.astype(np.int64).reshape(-1) * length + 127) // 255
    return np.array([run.streams.ones(int(code)) for code in codes])


def _memories(graph: ir.Graph, run: fold.Folded, indices: list[int], seen: Seen | None) -> tuple:
    """Ones of each word from outside and of the run's own: int64 [T, words] each."""
    steps, first = graph.num_steps, indices[0]
    outer = np.zeros((steps, 0), np.int64)
    if run.streams is None:
        order = fold.input_order(graph) if first == 0 else \
            fold.vector_order(graph.layers[first][0].in_features)
        source = None
        if seen is not None:
            source = seen.inputs if first == 0 else seen.spikes[first - 1]
            if first or graph.is_chain:  # what is no chain has no delays in front
                source = _delayed(source, graph.layers[first][0].delays)
        outer = _words(order, source, steps).sum(2)
    maps = []  # bits [T, words, WORD]
    layers = iter(indices)
    for step in run.steps[:-1]:
        if isinstance(step, FoldedPool):
            maps.append(_pooled(step, maps, _words(fold.input_order(graph), seen and seen.inputs,
                                                   steps) if first == 0 and not run.streams
                                else None))
            continue
        index = next(layers)
        maps.append(_words(fold.stored_order(graph, index), seen and seen.spikes[index], steps))
    inner = np.concatenate(maps, 1).sum(2) if maps else np.zeros((steps, 0), np.int64)
    return outer, inner


def _delayed(spikes: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Spikes [T, n] as they arrive."""
    out = np.zeros_like(spikes)
    for axon, delay in enumerate(delays):
        out[delay:, axon] = spikes[:len(spikes) - delay, axon]
    return out


def _words(order: np.ndarray, spikes: np.ndarray | None, steps: int) -> np.ndarray:
    """Bits of words, [T, words, WORD]: of these spikes [T, n], or of all that may be."""
    bits = np.broadcast_to(order >= 0, (steps, len(order))).astype(np.int64)
    if spikes is not None:
        bits = bits * np.asarray(spikes, np.int64)[:, order]
    return bits.reshape(steps, -1, WORD)


def _pooled(pool: FoldedPool, maps: list, outer: np.ndarray | None) -> np.ndarray:
    """Bits of the words that a pool makes."""
    inner = np.concatenate(maps, 1) if maps else outer
    walk, out = pool.walk, []
    for row in range(walk.rows):
        for column in range(walk.columns):
            origin = (row * walk.across + column) * walk.stride * walk.pitch
            for at in range(0, len(walk.taps), pool.window):
                read = [(outer if tap.outer else inner)[:, origin + tap.address]
                        for tap in walk.taps[at:at + pool.window]]
                out.append(np.maximum.reduce(read))
    return np.stack(out, 1)
