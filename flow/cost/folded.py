"""Parts of a run of `folded` layers (`hdl.folded`), counted by the structure of its gateware.

Lanes, memories and widths are those of the gateware itself; what they cost in cells is rounded from
Yosys's count per module of 64-32-10 designs. Weights in LUTs are the least certain part: a ROM's
cells depend on what it holds.
"""

from dataclasses import replace

import numpy as np

from ...hdl.engine import Widths
from ...hdl.lanes import Contents, FoldedLayer
from ...hdl.loaded import LoadedContents
from ...hdl.products import Products
from ...hdl.walk import flat
from ...hdl.words import WORD
from .. import ir
from ..fold import fold_run, serial_input
from ..memories import blocks
from .cells import Block, Cells, Parts
from .memories import forgets
from .rom import in_luts, mux_cells, rom_blocks, rom_cells, varying
from .shared import SERVING

#: LUTs for each of more than seven signals from which a lane chooses a bit.
FAR_CHOICE = 1.3


def folded_block(graph: ir.Graph, indices: list[int]) -> Block:
    """One run of a scheduled graph."""
    run = fold_run(graph, indices)
    layers = [step for step in run.steps if isinstance(step, FoldedLayer)]
    loaded = run.memory == "spram"
    lanes = LoadedContents.of(layers, run.lanes) if loaded else Contents.of(layers, run.lanes)
    engine = Widths.of([replace(layer.served, constants=layer.served.constants - np.tile(
        lanes.less(k), layer.walk.positions)) for k, layer in enumerate(layers)])
    stored = sum(step.stored for step in run.steps[:-1])
    rows = max(2, *map(len, lanes.rows.values())) if loaded else max(2, len(lanes.rows))
    accumulators = sum(lanes.acc_bits)
    coded = 0
    if loaded:
        coded = lanes.code_bits * lanes.lanes
    elif lanes.codes:
        coded = varying(lanes.codes, lanes.code_bits * lanes.lanes)
    unload = max(lanes.acc_bits) * mux_cells(lanes.lanes)
    address = (rows - 1).bit_length()
    count = (engine.total - 1).bit_length()
    wait = engine.wait_bits
    resting = 6 * wait + 2 * engine.v_bits if wait else 0
    chosen = 2 * engine.v_bits if len(layers) > 1 else 0
    leaks = {replace(graph.layers[k][1].neuron, v_threshold=1, refractory=0, reset="zero")
             for k in indices}
    leak = sum(neuron.leak_cells(engine.v_bits) for neuron in leaks)
    serving = 3 * engine.v_bits + SERVING
    taps = max(len(step.walk.taps) for step in run.steps)
    walk = 2 * taps.bit_length() + address + 12
    if not all(flat(step.walk) for step in run.steps):
        walk += 40 + sum(len(step.walk.taps) for step in run.steps)
    steps = 8 * len(run.steps) + 2 * lanes.lanes.bit_length()
    words = 0
    if run.streams is None and not (indices[0] == 0 and serial_input(graph)):
        words += run.inputs * 3 // 4  # a vector's words, one after the other
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
        "serving": Cells(lc=serving, lut=serving, ff=4 * engine.v_bits + 8,
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
    if loaded:
        ebr, more = _loaded_weights(lanes)
    else:
        ebr, more = _weights(lanes, run.memory)
    parts |= more
    if not all(forgets(layer.served.neuron, layer.served.fires) for layer in layers):
        ebr += blocks(engine.total, engine.v_bits + wait)
    ebr += blocks(engine.total, engine.constant_bits)
    if run.streams is None:
        ebr += blocks(2 << (run.inputs - 1).bit_length(), WORD)
    else:
        ebr += blocks(layers[0].served.size, lanes.current_bits)
        words_of = [int(value) for value in run.streams.thresholds]
        bits = max(1, max(words_of).bit_length())
        if layers[0].table is not None:
            products = Products(layers[0].table)
            words_of, bits = products.rows, products.width
        if in_luts(len(words_of), varying(words_of, bits)):
            parts["thresholds"] = rom_cells(words_of, bits)
        else:
            ebr += rom_blocks(len(words_of), varying(words_of, bits))[0]
    if stored:
        ebr += blocks(stored, WORD)
    if indices[-1] == len(graph.layers) - 1:
        ebr += 1  # the scores
    return Block(parts, ebr, spram=lanes.shape.count if loaded else 0)


def _weights(lanes: Contents, memory: str) -> tuple[int, Parts]:
    """EBRs of the weights, and the cells of the memories they are in."""
    ebr, cells = 0, Cells()
    for content, bits in ((lanes.rows, lanes.operand_bits * lanes.lanes),
                          (lanes.codes, lanes.code_bits * lanes.lanes)):
        if not content:
            continue
        if memory == "lut":
            cells += rom_cells(content, bits)
            continue
        count, muxes = rom_blocks(len(content), varying(content, bits))
        ebr += count
        cells += Cells(lc=muxes, lut=muxes)
    return ebr, {"weights": cells}


def _loaded_weights(lanes: LoadedContents) -> tuple[int, Parts]:
    """As `_weights`: of SPRAMs, and of other memories beside them.

    The address is that of the loader or of the lanes; rows of several memories or banks meet in a
    multiplexer. A lane chooses what its code adds, and takes a cell more for the sign.
    """
    width, shape = lanes.field_bits * lanes.lanes, lanes.shape
    muxes = (shape.rows - 1).bit_length() + width * mux_cells(shape.banks)
    muxes += width * mux_cells(len(lanes.rows))
    ebr, cells = 0, Cells(lc=muxes, lut=muxes)
    for memory, content in lanes.rows.items():
        if memory == "lut":
            cells += rom_cells(content, width)
        elif memory == "ebr":
            count, more = rom_blocks(len(content), varying(content, width))
            ebr, cells = ebr + count, cells + Cells(lc=more, lut=more)
    choices = lanes.lanes * (1 + lanes.field_bits) if lanes.code_bits else 0
    if lanes.tables is not None:
        own, common = choice_cells(lanes.tables, lanes.field_bits - 1)
        choices = lanes.lanes * (1 + own) + common
    return ebr, {"weights": cells, "choices": Cells(lc=choices, lut=choices)}


def choice_cells(tables: tuple[np.ndarray, ...], code_bits: int) -> tuple[int, int]:
    """LUTs of the number that a lane adds, with its sign, and of what all lanes choose from.

    A bit of it is a function of the code, the sign, and those signals that are not the same in
    every layer and for every pixel: a multiplexer if they are many, and of more than seven one that
    takes `FAR_CHOICE` for each. Within 12 % of Yosys' count of the lanes of eleven networks.
    """
    most = max(table.shape[-1] for table in tables)
    bits = max(1, max(int(table.max()).bit_length() for table in tables))
    own, common = 0, set()
    for k in range(bits):
        signals, ones = set(), [0] * most  # code 0 adds nothing
        for code in range(1, most):
            levels = tuple(_level(table, code, k) for table in tables)
            if None in levels:
                signals.add((code, k))
                if len(tables) > 1:
                    common.add((code, k))
            elif len(set(levels)) > 1:
                signals.add(levels)
                if len(tables) > 2:
                    common.add(levels)
            else:
                ones[code] = levels[0]
        count = len(signals)
        if count > 7:
            own += round(FAR_CHOICE * count)
        elif count:
            own += max(-(-(code_bits + count) // 3), mux_cells(1 + count) + (count > 2))
        elif any(ones):  # else it is the sign itself
            reads = sum(any(one != ones[code ^ 1 << b] for code, one in enumerate(ones)
                            if code ^ 1 << b < most) for b in range(code_bits))
            own += 1 if reads < 4 else 2
    return own, len(common)


def _level(table: np.ndarray, code: int, k: int) -> int | None:
    """Bit k of what a code adds in a layer; None if it depends on the pixel, which is not zero."""
    if code >= table.shape[-1]:
        return 0
    counts = table[1:, code] if table.ndim > 1 else table[code:code + 1]
    levels = set((counts >> k & 1).tolist())
    return levels.pop() if len(levels) == 1 else None
