"""Cells of a `spatial` layer with shared lanes (`hdl.shared`), counted by its structure.

Slots, bank, popcounts and accumulators are counted; what an unloading multiplexer, the engine and
the control take is linear in widths, with coefficients rounded from Yosys's count per module of a
64-32-10 design with 4 and 3 lanes, and from what nextpnr adds to it: cells that only carry, and
registers whose LUT something else uses.
"""

import numpy as np

from ...hdl.popcount import adder_cells
from ...hdl.shared import slots_of
from ...hdl.slots import PlaneSlots, StreamSlots
from .cells import Block, Cells
from .rom import PAGE_MUX

#: Cells of the bank for each signal: a quarter of the LUTs serves other signals, too, beside whose
#: registers they then do not stand (74 of 252 in that design).
BANK_CELLS = 1.25
#: Cells that begin and end the carry chain of each level of a popcount.
CHAIN_CELLS = 2


def rom_cells(address_bits: int) -> int:
    """LUTs of a ROM of one bit: a LUT for 16 words, and the multiplexers behind them."""
    roms = 1 << max(0, address_bits - 4)
    return roms + (roms - 1 + 1) // 2


def gate_cells(inputs: int) -> int:
    """LUTs of a gate: each further one takes three inputs more."""
    return 1 + max(0, -(-(inputs - 4) // 3))


def stream_cells(slots: StreamSlots) -> tuple[int, int]:
    """LUTs of the slots, and of what they share, all with a register."""
    own = 0
    for p, inputs in enumerate(slots.used):
        for i in inputs:
            masks = [mask for mask in slots.signs[p, i] if mask != slots.everywhere]
            own += gate_cells(1 + len(slots.pairs(p, i)) + len(masks))
    signals = slots.signals()[slots.banked:]
    bank = [key[1:] for key in signals if len(key) > 1]
    counts = {count for pair in bank for count in pair if 0 < count < slots.clocks}
    passes = (len(slots.weights) - 1).bit_length()
    common = len(counts) + (len(signals) - len(bank)) * rom_cells(passes)
    return own, common + round(BANK_CELLS * len(bank))


def plane_cells(slots: PlaneSlots) -> tuple[float, int]:
    """LUTs of the slots, and of what complements the counts.

    A slot is a ROM of a plane of each pass. A page of 16 words is a LUT where it is neither all
    zeros nor all ones, once for equal ones, and pages are multiplexed.
    """
    passes, lanes, inputs = slots.weights.shape
    planes = 1 << (slots.clocks - 1).bit_length()
    shifts = np.arange(slots.clocks - 1, -1, -1)
    depth = max(16, 1 << (passes - 1).bit_length()) * planes
    words = np.zeros((lanes, inputs, depth // planes, planes), np.uint8)
    words[:, :, :passes, :slots.clocks] = np.moveaxis(
        slots.units[..., None] >> shifts & 1, 0, 2)
    pages = np.packbits(words.reshape(lanes * inputs, -1, 16), axis=2).astype(np.int64)
    pages = np.sort(pages[..., 0] << 8 | pages[..., 1], axis=1)
    new = np.diff(pages, axis=1, prepend=-1) != 0
    own = (new & (pages != 0) & (pages != 0xFFFF)).sum(1)
    kinds = new.sum(1)  # pages to choose from, all zeros among them
    used = slots.units.any(0).sum(1)
    muxes = PAGE_MUX * np.maximum(kinds - 1, 0)
    return float((own + muxes)[pages.any(1)].sum()), sum(int(n).bit_length() for n in used)


def shared_block(weights: np.ndarray, lanes: int, length: int, columns: bool, v_bits: int,
                 neuron, fires: bool, banked: int) -> Block:
    """A layer with signed counts [out, in]; banked: signals that are in a memory."""
    size = len(weights)
    slots = slots_of(weights, lanes, length, columns, banked)
    used = slots.weights.any(0).sum(1)
    own, common = (stream_cells if columns else plane_cells)(slots)
    adders = sum(adder_cells(int(n)) + CHAIN_CELLS * max(0, int(n).bit_length() - 2) for n in used)
    accumulators = lanes * slots.bits
    unload = slots.bits * -(-2 * (lanes - 1) // 3)
    index = size.bit_length()
    wait = neuron.refractory.bit_length() if fires else 0
    resting = 2 * v_bits + 6 * wait if wait else 0
    leak = neuron.extra_cells(v_bits)
    state = size if fires else 0
    counts = sum(int(n).bit_length() for n in used)
    return Block({
        "slots" if columns else "planes": Cells(lc=own, lut=own, ff=int(used.sum())),
        "bank": Cells(lc=common, lut=common, ff=common),
        "popcounts": Cells(lc=adders, lut=adders, ff=counts, carry=adders // 2),
        "lanes": Cells(lc=accumulators, lut=accumulators, ff=accumulators, carry=accumulators),
        "unload": Cells(lc=unload, lut=unload),
        "serving": Cells(lc=5 * v_bits, lut=5 * v_bits, ff=4 * v_bits, carry=3 * v_bits),
        "leak": Cells(lc=leak, lut=leak),
        "resting": Cells(lc=resting, lut=resting, ff=resting),
        "counters": Cells(lc=6 * index, lut=6 * index, ff=3 * index),
        "passes": Cells(lc=47, lut=47, ff=40),
        "columns": Cells(lc=30 if columns else 0, lut=30 if columns else 0),
        "spikes": Cells(lc=state, ff=state),
    }, counted=int(used.max()), cut=False, ports=(slots.weights.any((0, 1)),))
