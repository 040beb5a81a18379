"""Generators: what a pair of number generators is worth, and the best one for a `stream` layer.

Where `stream` input meets weights, a synapse counts C[p, c] (`hdl.sng.count_table`) and not the
product of its two values. The table is exact arithmetic, so training takes it as it is and nothing
is lost afterwards; but the nearer to the product, the more of the pixels' and the weights'
precision is of use. Everything here is computed from the tables, nothing is assumed of a kind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...hdl import sng

#: The name that stands for the best choice, wherever a graph is built (`ir.chain`).
AUTO = "auto"
#: A pair is called correlated if its worst error is more than this many times the best pair's.
CORRELATED = 2.0


@dataclass(frozen=True, order=True)
class PairError:
    """Largest and mean |C[p, c] / L - product| over all p and c; 1 is full scale."""

    worst: float
    mean: float
    x: str
    w: str

    def __str__(self) -> str:
        return f"{self.x} x {self.w}: worst {self.worst:.4f}, mean {self.mean:.4f}"


@lru_cache(maxsize=64)
def pair_errors(bits: int, weight_bits: int) -> tuple[PairError, ...]:
    """All pairs of input and weight generators, best first: by worst error, then mean, then name.

    A second for the largest tables; C is a product of matrices of bits, which float32 holds.
    """
    length = 1 << bits
    numbers = sng.stream_number(np.arange(1 << (weight_bits - 1)), bits, weight_bits)
    product = np.outer(np.arange(length + 1) / length, numbers / length)
    inputs = {k: _streams(k, bits, np.arange(length + 1)) for k in sng.KINDS}
    weights = {k: _streams(k, bits, numbers).T.copy() for k in sng.KINDS}
    found = []
    for x, streams in inputs.items():
        for w, bank in weights.items():
            error = np.abs((streams @ bank).astype(np.float64) / length - product)
            found.append(PairError(float(error.max()), float(error.mean()), x, w))
    return tuple(sorted(found))


def _streams(kind: str, bits: int, numbers: np.ndarray) -> np.ndarray:
    return sng.stream_bits(kind, bits, numbers).astype(np.float32)


def best_pair(x: str, w: str, bits: int, weight_bits: int) -> PairError:
    """The best pair for a `stream` layer; `x` and `w` are names, or `auto` for any."""
    return next(pair for pair in pair_errors(bits, weight_bits)
                if x in (AUTO, pair.x) and w in (AUTO, pair.w))


@lru_cache(maxsize=64)
def best_weights(bits: int, weight_bits: int) -> str:
    """The generator for weights that meet spikes: least error of w_eff, `sobol1` among equals.

    All that take every value once are exact, and cost the same.
    """
    numbers = sng.stream_number(np.arange(1 << (weight_bits - 1)), bits, weight_bits)
    kinds = sorted(sng.KINDS, key=lambda kind: kind != "sobol1")
    return min(kinds, key=lambda k: np.abs(sng.weight_table(k, bits, weight_bits) - numbers).max())


def choose(encoder: str, input_sng: str | None, layers: list[dict]) -> tuple[str | None, list]:
    """The input's generator and the layers (as `ir.chain` takes them) with every `auto` replaced.

    Sizes that break a rule are left as they are, for `verify` to name.
    """
    out = []
    for index, layer in enumerate(layers):
        length, width = layer["bitstream_length"], layer["weight_bits"]
        names = (input_sng if index == 0 and encoder == "stream" else None, layer["sng"])
        if AUTO in names and _sound(length, width) and {*names} <= {AUTO, None, *sng.KINDS}:
            bits = length.bit_length() - 1
            if names[0] is None:
                layer = {**layer, "sng": best_weights(bits, width)}
            else:
                pair = best_pair(*names, bits, width)
                input_sng, layer = pair.x, {**layer, "sng": pair.w}
        out.append(layer)
    return input_sng, out


def _sound(length: object, weight_bits: object) -> bool:
    if not (isinstance(length, int) and isinstance(weight_bits, int)):
        return False
    bits = length.bit_length() - 1
    return (length > 0 and length == 1 << bits and sng.MIN_BITS <= bits <= sng.MAX_BITS
            and 2 <= weight_bits <= bits + 1)


def advise(graph, note: Callable[[str], object]) -> None:
    """Tell what the pair of a `stream` layer is worth, in one line: a warning if correlated.

    graph: an `ir.Graph`, whose module imports this one.
    """
    if graph.input.encoder != "stream":
        return
    dense = graph.layers[0][0]
    ours = best_pair(graph.input.sng, dense.sng, dense.bits, dense.weight_bits)
    best = best_pair(AUTO, AUTO, dense.bits, dense.weight_bits)
    text = f"{dense.name}: counts of stream input are off the product, at L = {1 << dense.bits}"
    if ours.worst > CORRELATED * best.worst:
        note(f"warning: {text}, for the correlated {ours}; better: {best}")
    elif ours.worst > best.worst:
        note(f"{text}, for {ours}; the best pair: {best}")
    else:
        note(f"{text}, for {ours}; no pair does better")
