"""Packing synapses into slots: two weight streams that never overlap share one popcount input.

In rank order (`sng.rank_order`) the stream of a weight of effective count e is e ones followed by
L - e zeros. Read backwards it is L - e zeros followed by e ones. Two synapses of one neuron and one
sign with e_a + e_b <= L are therefore never active together when one of them walks the clocks
forwards and the other one backwards, and their OR loses nothing: two AND gates and the OR are one
LUT4, and the parallel counter shrinks by half.

Where streams may end early (`sng`), by shifts h up to max_shift, the counts are e / 2**h, rounded
up, of L >> h clocks. Two synapses must fit beside each other for each of them.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Slot:
    """One popcount input: `up` and `down` are (input index, count) or None."""

    up: tuple[int, int]
    down: tuple[int, int] | None = None


def fits(one: int, other: int, length: int, max_shift: int) -> bool:
    """Whether two counts fit beside each other, whatever the shift."""
    return all(-(-one >> h) + -(-other >> h) <= length >> h for h in range(max_shift + 1))


def pack(weights: np.ndarray, length: int, max_shift: int = 0) -> list[Slot]:
    """Pack the non-zero `weights` (int [in], counts in 0..length) of one neuron and one sign.

    The largest takes the smallest that still fits beside it, which gives the fewest slots that two
    synapses a slot allow. Deterministic: ties go to the lower input.
    """
    order = sorted((int(i) for i in np.flatnonzero(weights)), key=lambda i: (int(weights[i]), i))
    slots, low, high = [], 0, len(order) - 1
    while low <= high:
        big, small = order[high], order[low]
        high -= 1
        if low <= high and fits(int(weights[big]), int(weights[small]), length, max_shift):
            slots.append(Slot((big, int(weights[big])), (small, int(weights[small]))))
            low += 1
        else:
            slots.append(Slot((big, int(weights[big]))))
    return slots


def pack_neuron(weights: np.ndarray, length: int, max_shift: int = 0
                ) -> tuple[list[Slot], list[Slot]]:
    """Slots of one neuron's positive and negative synapses; weights int [in] in -length..length."""
    weights = np.asarray(weights, np.int64)
    return (pack(np.maximum(weights, 0), length, max_shift),
            pack(np.maximum(-weights, 0), length, max_shift))
