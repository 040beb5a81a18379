"""A flat netlist as Yosys writes it in JSON: cells, ports and names."""

import msgspec

_CONSTANTS = {"0": 0, "1": 1, "x": 0, "z": 0}


class Cell(msgspec.Struct):
    """A cell of Yosys' JSON; bits are numbers of nets from 2 on, or constants."""

    type: str
    connections: dict[str, list[int | str]]
    parameters: dict[str, str] = {}
    port_directions: dict[str, str] = {}


class Net(msgspec.Struct):
    """A name of a design's, and its nets; so are its ports."""

    bits: list[int | str]


class Module(msgspec.Struct):
    """A flat module of Yosys' JSON."""

    ports: dict[str, Net]
    cells: dict[str, Cell]
    netnames: dict[str, Net] = {}


class _Netlist(msgspec.Struct):
    modules: dict[str, Module]


def read_netlist(netlist: bytes, module: str = "top") -> Module:
    """A module of a netlist that Yosys wrote."""
    return msgspec.json.decode(netlist, type=_Netlist).modules[module]


def binary(text: str) -> int:
    """A parameter in binary; what is unknown is 0."""
    return int(text.replace("x", "0"), 2)


def net_of(bit: int | str) -> int:
    """The number of a net; a constant's is its value, and what is unknown is 0."""
    return _CONSTANTS[bit] if isinstance(bit, str) else bit
