"""A netlist as Yosys writes it (JSON): its primitives, and the fewest cells that hold them."""

from collections import Counter

import msgspec

from .targets import CELLS

#: Primitives of the blocks that are no logic cells; each takes a block of its own.
_BLOCKS = {"SB_RAM40_4K": "ICESTORM_RAM", "SB_RAM40_4KNR": "ICESTORM_RAM",
           "SB_RAM40_4KNW": "ICESTORM_RAM", "SB_RAM40_4KNRNW": "ICESTORM_RAM",
           "SB_SPRAM256KA": "ICESTORM_SPRAM", "SB_MAC16": "ICESTORM_DSP"}

Bit = int | str


class Cell(msgspec.Struct):
    """One instance; a bit is the number of a net, or a constant."""

    type: str
    port_directions: dict[str, str] = {}
    connections: dict[str, list[Bit]] = {}


class Port(msgspec.Struct):
    direction: str
    bits: list[Bit]


class Module(msgspec.Struct):
    ports: dict[str, Port] = {}
    cells: dict[str, Cell] = {}


class Netlist(msgspec.Struct):
    modules: dict[str, Module]


def count_cells(netlist: bytes, module: str = "top") -> dict[str, int]:
    """How often each primitive occurs in a flat netlist."""
    cells = msgspec.json.decode(netlist, type=Netlist).modules[module].cells
    return dict(Counter(cell.type for cell in cells.values()))


def floor(netlist: bytes, module: str = "top") -> dict[str, int]:
    """The fewest cells of a device, by resource, that a flat netlist takes; blocks are exact.

    Never above what nextpnr counts after packing, and known without it.

    A logic cell holds a LUT4, a carry and a flip-flop, and has one output (FPGA-DS-02029, "PLB").
    So each of these takes a cell of its own, as nextpnr's `pack.cc` says, too:

    - a LUT4;
    - a flip-flop, unless its D is a LUT4's output that goes nowhere else;
    - a carry, unless there is a LUT4 for it whose I1 and I2 are its two operands. Where an operand
      is a constant, any LUT4 with the other one counts as such.

    What packing adds (a cell of constant one, entries and exits of carry chains) is not counted.
    """
    found = msgspec.json.decode(netlist, type=Netlist).modules[module]
    cells = list(found.cells.values())
    users = Counter(bit for port in found.ports.values() if port.direction != "input"
                    for bit in port.bits)
    for cell in cells:
        for port, bits in cell.connections.items():
            if cell.port_directions.get(port) != "output":
                users.update(bits)
    luts = [cell.connections for cell in cells if cell.type == "SB_LUT4"]
    outputs = {bit for lut in luts for bit in lut["O"]}
    flip_flops = [_bit(cell, "D") for cell in cells if cell.type.startswith("SB_DFF")]
    alone = sum(bit not in outputs or users[bit] > 1 for bit in flip_flops)
    counts = dict.fromkeys(CELLS.values(), 0)
    counts["lc"] = len(luts) + alone + _lone_carries(cells, luts)
    for cell in cells:
        if cell.type in _BLOCKS:
            counts[CELLS[_BLOCKS[cell.type]]] += 1
    return counts


def _bit(cell: Cell, port: str) -> Bit:
    (bit,) = cell.connections.get(port) or ["x"]
    return bit


def _lone_carries(cells: list[Cell], luts: list[dict[str, list[Bit]]]) -> int:
    """Carries for which there is no LUT4 on the same operands, each LUT4 taking one."""
    places: Counter = Counter()
    for lut in luts:
        operands = _nets(lut["I1"] + lut["I2"])
        places.update({operands, *(frozenset([net]) for net in operands)})
    wanted = Counter(_nets([_bit(cell, "I0"), _bit(cell, "I1")])
                     for cell in cells if cell.type == "SB_CARRY")
    return sum(max(0, count - places[operands]) for operands, count in wanted.items() if operands)


def _nets(bits: list[Bit]) -> frozenset[int]:
    """The nets among some bits, which are numbers; constants are texts."""
    return frozenset(bit for bit in bits if isinstance(bit, int))
