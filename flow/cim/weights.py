"""Weights in cells: the integers of a layer as digits that a cell can hold, by encoding.

A synapse adds ``sign * w_eff[code]`` per spike (`passes.legalize.effective_weights`). A layer's
are multiples of one unit, so the cells hold the quotients, of `magnitude_bits` bits and a sign.
Each encoding writes them as digits, least significant first, of `cell_bits` bits; a digit's scale
is what a count on its column is worth:

* `differential`: positive and negative parts on columns of their own;
* `offset`: ``w + 2**magnitude_bits`` is no longer negative; what that adds is taken off digitally,
  as many times as inputs spiked;
* `twos_complement`: the sign bit has a column of its own, whose scale is negative.
"""

from dataclasses import dataclass

import numpy as np

from ...hdl import sng
from ..ir import Conv2d, Dense
from ..passes.legalize import effective_weights
from .array import Array


@dataclass(frozen=True)
class Plane:
    """One digit of every weight: uint8 in the shape of the weights, and what one count is worth."""

    digits: np.ndarray
    scale: int


def integers(synapses: Dense | Conv2d) -> tuple[np.ndarray, int]:
    """What the cells of a layer hold, int64 in the shape of its weights, and their unit: the
    effective weights are their product.
    """
    weights = effective_weights(synapses)
    unit = int(np.gcd.reduce(np.abs(weights), axis=None)) or 1
    return weights // unit, unit


def magnitude_bits(values: np.ndarray) -> int:
    """Bits of the largest magnitude, 1 at least."""
    return max(1, int(np.abs(values).max(initial=0)).bit_length())


def most_bits(synapses: Dense | Conv2d) -> int:
    """The most bits that magnitudes in the cells can have, whatever the weights will be."""
    table = sng.weight_table(synapses.sng, synapses.bits, synapses.weight_bits)
    return magnitude_bits(table // (int(np.gcd.reduce(table)) or 1))


def columns_per_weight(bits: int, array: Array) -> int:
    """Columns that a weight of so many magnitude bits and a sign takes."""
    slices = -(-bits // array.cell_bits)
    return {"differential": 2 * slices, "offset": -(-(bits + 1) // array.cell_bits),
            "twos_complement": slices + 1}[array.encoding]


def planes(values: np.ndarray, bits: int, array: Array) -> tuple[list[Plane], int]:
    """Digits of integers whose magnitudes have `bits` bits, in the order of their columns, and the
    offset: a value is the sum of digits times scales, less the offset.
    """
    values = np.asarray(values, np.int64)
    if array.encoding == "differential":
        positive, negative = (_digits(np.maximum(sign * values, 0), bits, array.cell_bits)
                              for sign in (1, -1))
        return [plane for up, down in zip(positive, negative)
                for plane in (up, Plane(down.digits, -down.scale))], 0
    if array.encoding == "offset":
        return _digits(values + (1 << bits), bits + 1, array.cell_bits), 1 << bits
    low = _digits(values & ((1 << bits) - 1), bits, array.cell_bits)
    return [*low, Plane((values < 0).astype(np.uint8), -(1 << bits))], 0


def _digits(values: np.ndarray, bits: int, cell_bits: int) -> list[Plane]:
    return [Plane((values >> low & ((1 << cell_bits) - 1)).astype(np.uint8), 1 << low)
            for low in range(0, bits, cell_bits)]
