"""Where in a design each cell of its netlist is: in the link, the encoder, a layer, the read-out.

Synthesis flattens a design, but keeps names: of registers, of what crosses modules, and from them
names of what it makes. A cell whose names say nothing belongs where most of what it drives does.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from .flat_netlist import Cell, Module

LINK, OTHER = "link", "other"
#: What `hdl.top` has beside the core, all of which serves the line, or loads weights.
_OUTER = ("link", "uart", "images", "stored", "divisor", "tx", "rx", "boot", "flash")
#: What Yosys puts between a name of the design and what it tells of a cell that it made.
_MADE = "_SB_"


def places(module: Module, core: Iterable[str]) -> dict[str, str]:
    """The component of each cell; core: the names of the core's parts (`parts_of`)."""
    core = set(core)
    cells = {name: cell for name, cell in module.cells.items() if cell.type.startswith("SB_")}
    public: dict[int, list[str]] = defaultdict(list)
    for name, net in module.netnames.items():
        if _MADE not in name:
            for bit in net.bits:
                if isinstance(bit, int):
                    public[bit].append(name)
    readers: dict[int, list[str]] = defaultdict(list)
    drives: dict[str, list[int]] = {}
    reads: dict[str, list[int]] = {}
    for name, cell in cells.items():
        drives[name] = _bits(cell, "output")
        reads[name] = _bits(cell, "input")
        for bit in reads[name]:
            readers[bit].append(name)
    driver = {bit: name for name, bits in drives.items() for bit in bits}
    found: dict[str, str] = {}
    for name in cells:
        names = [alias for bit in drives[name] for alias in public[bit]] + [name.split(_MADE)[0]]
        known = [place for place in (_named(item, core) for item in names) if place]
        if known:
            # a part of the core before the link, where a net has names in both
            found[name] = min(known, key=lambda place: (place == LINK, known.index(place)))
    while True:
        votes = {}
        for name in cells.keys() - found.keys():
            ahead = Counter(found[reader] for bit in drives[name] for reader in readers[bit]
                            if reader in found)
            behind = Counter(found[driver[bit]] for bit in reads[name]
                             if driver.get(bit) in found)
            best = sorted((ahead or behind).items(), key=lambda item: (-item[1], item[0]))
            if best:
                votes[name] = best[0][0]
        if not votes:
            break
        found |= votes
    return {name: found.get(name, OTHER) for name in cells}


def parts_of(core) -> list[str]:
    """Names of the parts of a core (`hdl.core.Core`) as they are in a netlist."""
    layers = [f"layer{index}" for index in range(1, len(core.layers) + 1)]
    return ["encoder", *core.row, *layers, "readout", "unpacker", "counters"]


def groups(components: Iterable[str]) -> dict[str, str]:
    """Which of `flow.cost.actions.GROUPS` a component belongs to."""
    return {name: name if name in (LINK, OTHER) else "compute" for name in components}


def _named(name: str, core: set[str]) -> str | None:
    """What a name of the design says."""
    path = [part.split("$")[0] for part in name.split(".")]
    if path[0] == "top" and len(path) > 1:
        if path[1] == "core":
            return path[2] if len(path) > 2 and path[2] in core else None
        return LINK if path[1] in _OUTER else None
    if path[0] in ("rx", "tx"):
        return LINK
    return OTHER if path[0] == "cd_sync" else None


def _bits(cell: Cell, direction: str) -> list[int]:
    """Nets of a cell's ports of one direction, without its clocks."""
    ports: Mapping[str, str] = cell.port_directions
    return [bit for port, bits in cell.connections.items()
            if ports.get(port) == direction and port not in ("C", "RCLK", "WCLK", "CLOCK")
            for bit in bits if isinstance(bit, int)]
