"""Parts of a run of `folded` layers (`hdl.folded`), counted by the structure of its gateware.

Lanes, memories and widths are those of the gateware itself; what they cost in cells is rounded from
Yosys's count per module of 64-32-10 designs. Weights in LUTs are the least certain part: a ROM's
cells depend on what it holds.
"""

from dataclasses import replace

import numpy as np

from ...hdl.engine import Widths
from ...hdl.lanes import Contents, FoldedLayer
from ...hdl.walk import flat
from ...hdl.words import WORD
from .. import ir
from ..fold import fold_run
from ..memories import EBR_BITS, blocks
from .cells import Block, Cells
from .memories import forgets

#: Bits of a memory of constants that may be kept anywhere, up to which Yosys' memory_libmap takes
#: LUTs: at 16 bits of logic a unit, an EBR costs 64 (256 words of 4 bits are the most, tried).
MOST_IN_LUTS = 1024
#: Multiplexers of a ROM's pages, beyond the LUTs of its pages: a LUT joins four in two levels.
PAGE_MUX = 0.75


def _mux(places: int) -> float:
    """LUTs of a bit of a multiplexer."""
    return max(0, -(-2 * (places - 1) // 3))


def folded_block(graph: ir.Graph, indices: list[int]) -> Block:
    """One run of a scheduled graph."""
    run = fold_run(graph, indices)
    layers = [step for step in run.steps if isinstance(step, FoldedLayer)]
    lanes = Contents.of(layers, run.lanes)
    engine = Widths.of([replace(layer.served, constants=layer.served.constants - np.tile(
        lanes.less(k), layer.walk.positions)) for k, layer in enumerate(layers)])
    stored = sum(step.stored for step in run.steps[:-1])
    rows = max(2, len(lanes.rows))
    width = lanes.operand_bits * lanes.lanes
    accumulators = sum(lanes.acc_bits)
    coded = _varying(lanes.codes, lanes.code_bits * lanes.lanes) if lanes.codes else 0
    unload = max(lanes.acc_bits) * _mux(lanes.lanes)
    address = (rows - 1).bit_length()
    count = (engine.total - 1).bit_length()
    wait = engine.wait_bits
    resting = 6 * wait + 2 * engine.v_bits if wait else 0
    chosen = 2 * engine.v_bits if len(layers) > 1 else 0
    leak = sum(graph.layers[k][1].neuron.extra_cells(int(graph.layers[k][1].v_bits.max()))
               for k in indices)
    taps = max(len(step.walk.taps) for step in run.steps)
    walk = 2 * taps.bit_length() + address + 12
    if not all(flat(step.walk) for step in run.steps):
        walk += 40 + sum(len(step.walk.taps) for step in run.steps)
    steps = 8 * len(run.steps) + 2 * lanes.lanes.bit_length()
    words = 0
    if run.streams is None:
        words += 45
    if stored:
        words += 30
    if run.streams is None or stored:
        words += 3 * WORD  # the scanner
    streams = 0
    if run.streams is not None:
        streams = 35 + 3 * lanes.code_bits + 2 * len(run.streams.thresholds).bit_length()
    offered = layers[-1].served.size
    parts = {
        "lanes": Cells(lc=accumulators + lanes.lanes, lut=accumulators + lanes.lanes,
                       ff=accumulators, carry=accumulators),
        "codes": Cells(lc=coded + (lanes.lanes if coded else 0), lut=coded, carry=coded),
        "unload": Cells(lc=unload, lut=unload, ff=max(lanes.acc_bits)),
        "serving": Cells(lc=5 * engine.v_bits, lut=5 * engine.v_bits, ff=4 * engine.v_bits + 8,
                         carry=4 * engine.v_bits),
        "counters": Cells(lc=4 * count, lut=4 * count, ff=3 * count),
        "leak": Cells(lc=leak, lut=leak),
        "resting": Cells(lc=resting, lut=resting, ff=3 * wait),
        "chosen": Cells(lc=chosen, lut=chosen),
        "walk": Cells(lc=walk, lut=walk, ff=taps.bit_length() + address),
        "words": Cells(lc=words, lut=words, ff=words // 2),
        "streams": Cells(lc=streams, lut=streams, ff=streams // 2),
        "folded": Cells(lc=57, lut=57, ff=22),
        "steps": Cells(lc=steps, lut=steps, ff=steps // 2),
        "spikes": Cells(lc=offered, ff=offered),
    }
    ebr, parts["weights"] = 0, Cells()
    for content, bits in ((lanes.rows, width), (lanes.codes, lanes.code_bits * lanes.lanes)):
        if not content:
            continue
        if run.memory == "lut":
            parts["weights"] += _rom(content, bits)
            continue
        count, muxes = rom_blocks(len(content), _varying(content, bits))
        ebr += count
        parts["weights"] += Cells(lc=muxes, lut=muxes)
    if not all(forgets(layer.served.neuron, layer.served.fires) for layer in layers):
        ebr += blocks(engine.total, engine.v_bits + wait)
    ebr += blocks(engine.total, engine.constant_bits)
    if run.streams is None:
        ebr += blocks(2 << (run.inputs - 1).bit_length(), WORD)
    else:
        ebr += blocks(layers[0].served.size, lanes.current_bits)
        words_of = [int(value) for value in run.streams.thresholds]
        bits = max(1, max(words_of).bit_length())
        if len(words_of) * bits > MOST_IN_LUTS:
            ebr += rom_blocks(len(words_of), _varying(words_of, bits))[0]
        else:
            parts["thresholds"] = _rom(words_of, bits)
    if stored:
        ebr += blocks(stored, WORD)
    if indices[-1] == len(graph.layers) - 1:
        ebr += 1  # the scores
    return Block(parts, ebr)


def rom_blocks(depth: int, width: int) -> tuple[int, float]:
    """EBRs of a memory of constants, and the LUTs of the multiplexers behind them.

    Yosys' memory_libmap lays words of several depths of an EBR side by side, and multiplexes them;
    of the four shapes it takes the one that costs least, with 64 for an EBR and half a unit for
    each bit of a multiplexer's further input (its techlibs/ice40/brams.txt and FACTOR_MUX).
    """
    found = []
    for shape_width in (16, 8, 4, 2):
        pages = -(-depth * shape_width // EBR_BITS)
        count = -(-pages * width // shape_width)
        found.append((64 * count + width * (pages - 1) / 2, count, width * _mux(pages)))
    _, count, muxes = min(found)
    return count, muxes


def _bits(rows: list[int], width: int) -> np.ndarray:
    """The bits of words: uint8 [words, width]."""
    size = -(-width // 8)
    table = np.frombuffer(b"".join(int(row).to_bytes(size, "little") for row in rows), np.uint8)
    return np.unpackbits(table.reshape(len(rows), size), axis=1, bitorder="little")[:, :width]


def _varying(rows: list[int], width: int) -> int:
    """How many bits are not the same in all words; the others take no memory."""
    bits = _bits(rows, width)
    return int((bits != bits[0]).any(0).sum())


def _rom(rows: list[int], width: int) -> Cells:
    """LUTs of a memory of constants: of each bit, the LUTs of 16 words that differ, and muxes."""
    bits = _bits(rows, width)
    padded = np.zeros((-(-len(rows) // 16) * 16, width), np.uint8)
    padded[:len(rows)] = bits
    pages = np.packbits(padded.reshape(-1, 16, width).transpose(0, 2, 1), axis=2)
    pages = pages[..., 0].astype(np.int64) << 8 | pages[..., 1]
    own = sum(len(np.unique(page[(page != 0) & (page != 0xFFFF)])) for page in pages)
    muxes = int(sum((pages[:, bit] != 0).sum() - 1 for bit in range(width)
                    if (pages[:, bit] != 0).any()))
    return Cells(lc=own + PAGE_MUX * muxes, lut=own + PAGE_MUX * muxes, ff=width)
