"""Parts of a `spatial` layer with a lane for each neuron (`hdl.spatial`), counted by structure.

Slots, streams and popcounts are what the gateware instantiates; the rest of a neuron is an estimate
by its kind and widths (`hdl.neurons`), and the control one rounded from Yosys's count per module of
one 64-32-10 design.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...hdl.popcount import adder_cells
from .cells import Block, Cells


@dataclass(frozen=True)
class Packed:
    """The slots of a layer. each: int [2 * out], of every neuron, positive ones first.

    distinct: how many (sign, slot) there are. ups, downs: the distinct counts of synapses that walk
    upwards and downwards; up_inputs, down_inputs: bool [in], the inputs that have such synapses.
    """

    each: np.ndarray
    distinct: int
    ups: np.ndarray
    downs: np.ndarray
    up_inputs: np.ndarray
    down_inputs: np.ndarray


def packed(weights: np.ndarray, length: int, max_shift: int = 0) -> Packed:
    """`hdl.packing.pack` of every neuron and sign at once; weights: int [out, in], counts."""
    magnitudes = np.concatenate([np.maximum(weights, 0), np.maximum(-weights, 0)])
    rows, inputs = magnitudes.shape
    order = np.argsort(magnitudes, axis=1, kind="stable")
    values = np.take_along_axis(magnitudes, order, 1)
    low = (values == 0).sum(1)
    slots = np.zeros(rows, np.int64)
    every = np.arange(rows)
    base = length + 1
    codes, ups, downs = [], [], []
    inputs_of = np.zeros((2, inputs), bool)
    for high in range(inputs - 1, -1, -1):
        active = low <= high
        if not active.any():
            break
        at = every[active]
        big, small = values[at, high], values[at, low[at]]
        beside = low[at] < high
        for h in range(max_shift + 1):
            beside &= -(-big >> h) + -(-small >> h) <= length >> h
        upper, lower = order[at, high], order[at, low[at]]
        inputs_of[0, upper] = True
        inputs_of[1, lower[beside]] = True
        up = upper * base + big
        down = np.where(beside, lower * base + small + 1, 0)
        negative = at >= rows // 2
        codes.append((up * (inputs * base + 1) + down) * 2 + negative)
        ups.append(big)
        downs.append(small[beside])
        slots[at] += 1
        low[at] += beside
    codes, ups, downs = (np.unique(np.concatenate(x)) if x else np.zeros(0, np.int64)
                         for x in (codes, ups, downs))
    return Packed(slots, len(codes), ups, downs, *inputs_of)


@lru_cache(maxsize=4096)
def _adders(slots: int) -> int:
    return adder_cells(slots)


def spatial_block(weights: np.ndarray, length: int, v_bits: np.ndarray, neuron, fires: bool,
                  max_shift: int) -> Block:
    """One layer with signed counts [out, in] and membranes of `v_bits` [out]."""
    size = len(weights)
    slots = packed(weights, length, max_shift)
    counts = slots.each.reshape(2, size).sum(0)
    adders = np.array([_adders(int(n)) for n in counts])
    widths = np.array([int(n).bit_length() for n in counts])
    sizes = list(zip(v_bits.tolist(), (np.maximum(widths, 1) + max_shift).tolist()))
    cells = {pair: neuron.cells(pair[0], fires, pair[1]) for pair in set(sizes)}
    luts, states = (np.array([cells[pair][k] for pair in sizes]) for k in (0, 1))
    kind = sum(neuron.extra_cells(int(bits), fires) for bits in v_bits)
    # a multiplexer of max_shift + 1 places for each bit of a count
    shifting = int((-(-2 * max_shift // 3) * (widths + max_shift)).sum())
    streams = len(slots.ups) + len(slots.downs)
    spikes = size if fires else 0
    bits = length.bit_length() - 1
    return Block({
        "slots": Cells(lc=slots.distinct, lut=slots.distinct),
        "streams": Cells(lc=streams, lut=streams, ff=streams),
        "popcounts": Cells(lc=int(adders.sum() + (widths // 2).sum()), lut=int(adders.sum()),
                           ff=int((widths + adders // 3).sum()),
                           carry=int((adders // 2).sum())),
        "neurons": Cells(lc=float(np.maximum(luts, states).sum()) - kind,
                         lut=float(luts.sum()) - kind, ff=int(states.sum()),
                         carry=int(np.sum(v_bits))),
        "kind": Cells(lc=kind + shifting, lut=kind + shifting),
        "spikes": Cells(lc=spikes, ff=spikes),
        "engine": Cells(lc=neuron.engine_cells, lut=neuron.engine_cells),
        "control": Cells(lc=25, lut=25, ff=20),
        "clocks": Cells(lc=2 * bits, lut=2 * bits),
    }, counted=int(counts.max()), ports=(slots.up_inputs, slots.down_inputs))
