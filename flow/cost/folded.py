# amaranth: UnusedElaboratable=no
"""Parts of a run of `folded` layers (`hdl.folded`), counted by the structure of its gateware.

Lanes, memories and widths are those of the gateware itself; what they cost in cells is rounded from
Yosys's count per module of 64-32-10 designs. Weights in LUTs are the least certain part: a ROM's
cells depend on what it holds.
"""

import numpy as np

from ...hdl.folded import FoldedRun
from ...hdl.words import WORD
from .. import ir
from ..fold import fold_run, order
from ..memories import blocks
from .cells import Cells, Parts

#: Multiplexers of a ROM's pages, beyond the LUTs of its pages: a LUT joins four in two levels.
PAGE_MUX = 0.75


def _mux(places: int) -> float:
    """LUTs of a bit of a multiplexer."""
    return max(0, -(-2 * (places - 1) // 3))


def folded_parts(graph: ir.Graph, indices: list[int]) -> tuple[Parts, int]:
    """Parts of one run of a scheduled graph, and the EBRs that it takes."""
    found = fold_run(graph, indices)
    run = FoldedRun(found.steps, found.lanes, inputs=found.inputs, streams=found.streams,
                    memory=found.memory, order=order(graph, indices[-1]))
    lanes, engine = run.lanes, run.engine
    rows = max(2, len(lanes.rows))
    width = lanes.operand_bits * lanes.lanes
    accumulators = sum(lanes.acc_bits)
    coded = lanes.code_bits * lanes.lanes if lanes.codes else 0
    unload = max(lanes.acc_bits) * _mux(lanes.lanes)
    address = (rows - 1).bit_length()
    count = (engine.total - 1).bit_length()
    several = len(run.layers) > 1
    wait = engine.wait_bits
    served = 5 * engine.v_bits + 4 * count + 12 + (6 * wait + 2 * engine.v_bits if wait else 0)
    chosen = 2 * engine.v_bits if several else 0
    taps = max(len(step.walk.taps) for step in run.steps)
    walk = 2 * taps.bit_length() + address + 12
    if not run.walker.flat:
        walk += 40 + sum(len(step.walk.taps) for step in run.steps)
    control = 45 + 8 * len(run.steps) + 2 * lanes.lanes.bit_length()
    words = 0
    if run.inputs is not None:
        words += 45
    if run.inner is not None:
        words += 30
    if run.inputs is not None or run.inner is not None:
        words += 3 * WORD  # the scanner
    streams = 0
    if run.streams is not None:
        streams = 35 + 3 * lanes.code_bits + 2 * len(run.streams.thresholds).bit_length()
    offered = run.sizes[-1]
    parts = {
        "lanes": Cells(lc=accumulators + lanes.lanes, lut=accumulators + lanes.lanes,
                       ff=accumulators, carry=accumulators),
        "codes": Cells(lc=coded + (lanes.lanes if coded else 0), lut=coded, carry=coded),
        "unload": Cells(lc=unload, lut=unload, ff=max(lanes.acc_bits)),
        "engine": Cells(lc=served + chosen, lut=served + chosen,
                        ff=4 * engine.v_bits + 3 * count + 8 + 3 * wait, carry=4 * engine.v_bits),
        "walk": Cells(lc=walk, lut=walk, ff=taps.bit_length() + address),
        "words": Cells(lc=words, lut=words, ff=words // 2),
        "streams": Cells(lc=streams, lut=streams, ff=streams // 2),
        "control": Cells(lc=control, lut=control, ff=control // 2),
        "spikes": Cells(lc=offered, ff=offered),
    }
    ebr = 0
    if lanes.memory == "lut":
        parts["weights"] = _rom(lanes.rows, width) + (
            _rom(lanes.codes, lanes.code_bits * lanes.lanes) if lanes.codes else Cells())
    else:
        ebr += blocks(rows, width)
        if lanes.codes:
            ebr += blocks(len(lanes.codes), lanes.code_bits * lanes.lanes)
    ebr += blocks(engine.total, engine.v_bits + wait) + blocks(engine.total, engine.constant_bits)
    if run.inputs is not None:
        ebr += blocks(2 << (run.inputs.count - 1).bit_length(), WORD)
    if run.inner is not None:
        ebr += blocks(run.inner.depth, WORD)
    if run.streams is not None:
        ebr += blocks(run.sizes[0], len(lanes.current))
    if indices[-1] == len(graph.layers) - 1:
        ebr += 1  # the scores
    return parts, ebr


def _rom(rows: list[int], width: int) -> Cells:
    """LUTs of a memory of constants: of each bit, the LUTs of 16 words that differ, and muxes."""
    if not rows or not width:
        return Cells()
    size = -(-width // 8)
    table = np.frombuffer(b"".join(int(row).to_bytes(size, "little") for row in rows), np.uint8)
    bits = np.unpackbits(table.reshape(len(rows), size), axis=1, bitorder="little")[:, :width]
    padded = np.zeros((-(-len(rows) // 16) * 16, width), np.uint8)
    padded[:len(rows)] = bits
    pages = np.packbits(padded.reshape(-1, 16, width).transpose(0, 2, 1), axis=2)
    pages = pages[..., 0].astype(np.int64) << 8 | pages[..., 1]
    own = sum(len(np.unique(page[(page != 0) & (page != 0xFFFF)])) for page in pages)
    muxes = int(sum((pages[:, bit] != 0).sum() - 1 for bit in range(width)
                    if (pages[:, bit] != 0).any()))
    return Cells(lc=own + PAGE_MUX * muxes, lut=own + PAGE_MUX * muxes, ff=width)
