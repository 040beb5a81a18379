"""Cells of a `spatial` layer with shared lanes (`hdl.shared`), counted by its structure.

Slots, bank, popcounts and accumulators are counted; what an unloading multiplexer, the engine and
the control take is linear in widths, with coefficients rounded from Yosys's count per module of
single designs and layers, and from what nextpnr adds to it: cells that only carry, and registers
whose LUT something else uses.
"""

import numpy as np

from ...hdl.engine import Served, Widths
from ...hdl.popcount import adder_cells
from ...hdl.shared import slots_of
from ...hdl.slots import PlaneSlots, StreamSlots
from .cells import Block, Cells

#: Cells of the bank for each signal: a quarter of the LUTs serves other signals, too, beside whose
#: registers they then do not stand (74 of 252 in that design).
BANK_CELLS = 1.25
#: Cells that begin and end the carry chain of each level of a popcount.
CHAIN_CELLS = 2
#: LUTs for each page but the first of a ROM of planes.
PLANE_MUX = 0.62
#: LUTs of a serial engine beside three for each bit of a membrane, its leak and its counters.
SERVING = 8


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


def plane_cells(slots: PlaneSlots) -> tuple[float, int, int]:
    """LUTs of the slots, cells beside them, and LUTs of what complements the counts.

    A slot is a ROM of a plane of each pass, of which equal ones are built once. So is each page of
    16 words that is neither all zeros nor all ones, and a ROM multiplexes its pages; it is counted
    as one of 16 passes where there are fewer. Beside LUTs, a register of which the ROM is another's
    takes a cell, and each input an inverter, which resets the slots of silence. Within 5 % on
    average of Yosys' counts of 41 layers by themselves.
    """
    passes, lanes, inputs = slots.weights.shape
    planes = 1 << (slots.clocks - 1).bit_length()
    shifts = np.arange(slots.clocks - 1, -1, -1)
    depth = max(16, 1 << (passes - 1).bit_length()) * planes
    words = np.zeros((lanes, inputs, depth // planes, planes), np.uint8)
    words[:, :, :passes, :slots.clocks] = np.moveaxis(
        slots.units[..., None] >> shifts & 1, 0, 2)
    pages = np.packbits(words.reshape(lanes * inputs, -1, 16), axis=2).astype(np.int64)
    pages = pages[..., 0] << 8 | pages[..., 1]
    pages = pages[pages.any(1)]
    roms = np.unique(pages, axis=0)
    kinds = (np.diff(np.sort(roms, axis=1), axis=1) != 0).sum()  # beside the first of each ROM
    own = len(set(np.unique(roms).tolist()) - {0, 0xFFFF}) + PLANE_MUX * float(kinds)
    used = slots.units.any(0)
    beside = len(pages) - len(roms) + int(used.any(0).sum())
    return own, beside, sum(int(n).bit_length() for n in used.sum(1))


def shared_block(weights: np.ndarray, bias: np.ndarray, lanes: int, length: int, columns: bool,
                 v_bits: int, neuron, fires: bool, banked: int) -> Block:
    """A layer with signed counts [out, in]; banked: signals that are in a memory."""
    size = len(weights)
    slots = slots_of(weights, lanes, length, columns, banked)
    used = slots.weights.any(0).sum(1)
    if columns:
        (own, common), beside = stream_cells(slots), 0
    else:
        own, beside, common = plane_cells(slots)
    adders = sum(adder_cells(int(n)) + CHAIN_CELLS * max(0, int(n).bit_length() - 2) for n in used)
    accumulators = lanes * slots.bits
    unload = slots.bits * -(-2 * (lanes - 1) // 3)
    index = size.bit_length()
    wait = neuron.refractory.bit_length() if fires else 0
    resting = 2 * v_bits + 6 * wait if wait else 0
    serving = 3 * v_bits + SERVING
    leak = neuron.leak_cells(v_bits)
    state = size if fires else 0
    constants = Widths.of([Served(neuron, size, v_bits, bias.astype(np.int64)
                                  - slots.less.reshape(-1)[:size], fires)]).constant_bits
    words = ((size, constants), (size + 1, slots.bits)) if columns else ((size, constants),)
    counts = sum(int(n).bit_length() for n in used)
    return Block({
        "slots" if columns else "planes": Cells(lc=own + beside, lut=own + beside,
                                                 ff=int(used.sum())),
        "bank": Cells(lc=common, lut=common, ff=common),
        "popcounts": Cells(lc=adders, lut=adders, ff=counts, carry=adders // 2),
        "lanes": Cells(lc=accumulators, lut=accumulators, ff=accumulators, carry=accumulators),
        "unload": Cells(lc=unload, lut=unload),
        "serving": Cells(lc=serving, lut=serving, ff=4 * v_bits, carry=3 * v_bits),
        "leak": Cells(lc=leak, lut=leak),
        "resting": Cells(lc=resting, lut=resting, ff=resting),
        "counters": Cells(lc=6 * index, lut=6 * index, ff=3 * index),
        "passes": Cells(lc=47, lut=47, ff=40),
        "columns": Cells(lc=30 if columns else 0, lut=30 if columns else 0),
        "spikes": Cells(lc=state, ff=state),
    }, words=words, counted=int(used.max()), cut=False, ports=(slots.weights.any((0, 1)),))
