"""A netlist as Yosys writes it (JSON): its primitives."""

from collections import Counter

import msgspec

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
