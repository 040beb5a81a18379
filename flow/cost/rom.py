"""Memories of constants: the LUTs or the block memories that Yosys makes of them."""

import numpy as np

from .cells import Cells

#: Bits of an EBR.
EBR_BITS = 4096
#: What an EBR costs Yosys' memory_libmap, and how many bits of a memory of constants in LUTs cost 1
#: (its techlibs/ice40/brams.txt; 256 words of 4 bits are the most beside one EBR, tried).
EBR_COST, BITS_A_UNIT = 64, 16
#: LUTs for each page of a bit of a ROM but the first: so many times the number of its pages, and at
#: most so many.
MUX, MOST_MUX = 0.15, 0.9


def mux_cells(places: int) -> int:
    """LUTs of a bit of a multiplexer."""
    return max(0, -(-2 * (places - 1) // 3))


def rom_blocks(depth: int, width: int) -> tuple[int, float]:
    """EBRs of a memory of constants, and the LUTs of the multiplexers behind them.

    Yosys' memory_libmap lays words of several depths of an EBR side by side, and multiplexes them;
    of the four shapes it takes the one that costs least, with half a unit for each bit of a
    multiplexer's further input (FACTOR_MUX).
    """
    _, count, muxes = _shape(depth, width)
    return count, muxes


def in_luts(depth: int, width: int) -> bool:
    """Whether a memory of constants that may be kept anywhere is in LUTs, which cost no more."""
    return depth * width / BITS_A_UNIT <= _shape(depth, width)[0]


def _shape(depth: int, width: int) -> tuple[float, int, float]:
    """What the best shape of EBRs costs, how many they are, and the LUTs behind them."""
    found = []
    for shape_width in (16, 8, 4, 2):
        pages = -(-depth * shape_width // EBR_BITS)
        count = -(-pages * width // shape_width)
        cost = EBR_COST * count + width * (pages - 1) / 2
        found.append((cost, count, width * mux_cells(pages)))
    return min(found)


def bits_of(rows: list[int], width: int) -> np.ndarray:
    """The bits of words: uint8 [words, width]."""
    size = -(-width // 8)
    table = np.frombuffer(b"".join(int(row).to_bytes(size, "little") for row in rows), np.uint8)
    return np.unpackbits(table.reshape(len(rows), size), axis=1, bitorder="little")[:, :width]


def varying(rows: list[int], width: int) -> int:
    """How many bits are not the same in all words; the others take no memory."""
    bits = bits_of(rows, width)
    return int((bits != bits[0]).any(0).sum())


def rom_cells(rows: list[int], width: int) -> Cells:
    """LUTs of a memory of constants with a register behind it.

    Bits that are the same in every word are built once. One that depends on one bit of the address,
    or none, takes no LUT, and one that depends on up to four takes one. Others share the LUTs of
    pages of 16 words that are equal, and multiplex their own: the more pages, the less of a
    multiplexer finds room in the LUTs of pages. 19 ROMs of folded layers come out 3 % above Yosys'
    count together.
    """
    depth = max(16, 1 << (len(rows) - 1).bit_length())
    table = np.zeros((depth, width), np.uint8)
    table[:len(rows)] = bits_of(rows, width)
    support = np.zeros(width, np.int64)
    for k in range(depth.bit_length() - 1):
        pairs = table.reshape(-1, 2, 1 << k, width)
        support += (pairs[:, 0] != pairs[:, 1]).any((0, 1))
    pages = np.packbits(table.reshape(-1, 16, width), axis=1).astype(np.int64)
    pages = pages[:, 0] << 8 | pages[:, 1]
    first = np.unique(pages, axis=1, return_index=True)[1]
    pages, support = pages[:, first], support[first]
    paged = pages[:, support > 4]
    shared = len(set(np.unique(paged).tolist()) - {0, 0xFFFF})
    kinds = 1 + (np.diff(np.sort(paged, axis=0), axis=0) != 0).sum(0)
    muxes = (np.minimum(MOST_MUX, MUX * kinds) * (kinds - 1)).sum()
    luts = float(((support > 1) & (support <= 4)).sum() + shared + muxes)
    return Cells(lc=luts, lut=luts, ff=int((support > 0).sum()))
