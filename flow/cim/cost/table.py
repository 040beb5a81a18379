"""Figures of a technology, as data: `spikesim65.toml`, or a user's own table laid over it.

A figure is the energy of an action in pJ, an area in um2 or a leakage in W, with the technology
node it was given for, in nm, and its source. Counts are elsewhere (`actions`), so that any table
prices any counts.
"""

import math
import tomllib
from bisect import bisect_left
from functools import cache
from importlib import resources
from pathlib import Path

from msgspec import Struct, field, structs

from ...config import section
from ...errors import ConfigError, unknown
from ...files import read_toml

FORMAT = 1
#: Tables of figures, and the unit of each.
UNITS = {"energy": "pJ", "area": "um2", "power": "W"}
#: What scales a figure to another node: its exponents by quantity, and the rule in words.
SCALINGS = {
    "none": ({}, "figures of other nodes are taken as they are"),
    "constant_field": (
        {"energy": 1, "area": 2, "power": 0},
        "figures of other nodes are scaled to the table's: areas with the square of the length, "
        "energies with the length, as capacitances do at one voltage, leakage not at all "
        "(R. H. Dennard et al., JSSC 9(5), 1974, with voltages left as they are)"),
}


class Figure(Struct, frozen=True, forbid_unknown_fields=True):
    """One figure, in the unit of its quantity."""

    value: float
    node: float
    source: str = ""

    def rules(self):
        yield "value", 0 <= self.value < math.inf, "0 or more, and finite"
        yield "node", 0 < self.node < math.inf, "more than 0 nm"


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """A memory: pJ to read and to write a word of `WORD_BITS`, um2, and W."""

    read: float
    write: float
    area: float
    leakage: float
    node: float
    source: str = ""

    def rules(self):
        for key in ("read", "write", "area", "leakage"):
            yield key, 0 <= getattr(self, key) < math.inf, "0 or more, and finite"
        yield "node", 0 < self.node < math.inf, "more than 0 nm"


class Chip(Struct, frozen=True, forbid_unknown_fields=True):
    """The chip around crossbars: bytes of buffers, and clocks of a PE cycle of so many turns."""

    pe_input_bytes: int
    pe_output_bytes: int
    tile_input_bytes: int
    tile_output_bytes: int
    global_bytes: int
    mesh_bits: int
    pe_cycle_clocks: int
    pe_cycle_turns: int
    source: str = ""

    def rules(self):
        for key in self.__struct_fields__[:-1]:
            yield key, 1 <= getattr(self, key) <= 1 << 30, "in 1..2**30"


class Table(Struct, frozen=True, kw_only=True):
    """All figures: figures[quantity][name]; memories by bytes."""

    name: str
    node: float
    figures: dict[str, dict[str, Figure]]
    memories: dict[int, Memory]
    chip: Chip
    unpriced: dict[str, str] = field(default_factory=dict)

    def memory(self, size: int) -> int:
        """Bytes of the smallest memory that holds so many, of the largest if none does."""
        sizes = sorted(self.memories)
        return sizes[min(bisect_left(sizes, size), len(sizes) - 1)]

    def figure(self, quantity: str, name: str) -> Figure:
        """A figure; ConfigError if there is none. ``sram.BYTES.read`` names one of a memory."""
        if name.startswith("sram."):
            size, what = name.split(".")[1:]
            memory = self.memories.get(int(size))
            if memory is None:
                raise ConfigError(f"{self.name}: " + unknown("memory", name, [
                    f"sram.{item}" for item in self.memories]))
            return Figure(getattr(memory, what), memory.node, memory.source)
        found = self.figures[quantity].get(name)
        if found is None:
            raise ConfigError(f"{self.name}: " + unknown(f"{quantity} figure", name,
                                                         self.figures[quantity]))
        return found

    def value(self, quantity: str, name: str, scaling: str = "none") -> float:
        """A figure in its unit, scaled to the table's node by one of `SCALINGS`."""
        found = self.figure(quantity, name)
        power = SCALINGS[scaling][0].get(quantity, 0)
        return found.value * (self.node / found.node) ** power


@cache
def shipped(name: str = "spikesim65") -> Table:
    """A table that ships; ConfigError for another name."""
    folder = resources.files(__package__)
    known = [item.name.removesuffix(".toml") for item in folder.iterdir()
             if item.name.endswith(".toml")]
    if name not in known:
        raise ConfigError(unknown("technology", name, known) + "; --prices takes a table of yours")
    return _parse(tomllib.loads((folder / f"{name}.toml").read_text()), f"{name}.toml", None)


def load(path: Path, base: str = "spikesim65") -> Table:
    """A user's table over one that ships; ConfigError with file, key, rule and value."""
    return _parse(read_toml(path), str(path), shipped(base))


def _parse(data: dict, source: str, base: Table | None) -> Table:
    known = ("format", "name", "node", *UNITS, "sram", "chip", "unpriced")
    for key in data:
        if key not in known:
            raise ConfigError(f"{source}: " + unknown("section", key, known))
    if data.get("format") != FORMAT:
        raise ConfigError(f"{source}: format must be {FORMAT}, not {data.get('format')!r}; see "
                          "flow/cim/cost/spikesim65.toml for the table that ships")
    figures = {quantity: dict(base.figures[quantity]) if base else {} for quantity in UNITS}
    for quantity, items in figures.items():
        for name, item in _table(data, quantity, source):
            if base is not None and name not in items:
                raise ConfigError(f"{source}: " + unknown(f"{quantity} figure", name, items))
            items[name] = _over(Figure, items.get(name), item, source, f"{quantity}.{name}")
    memories = dict(base.memories) if base else {}
    for name, item in _table(data, "sram", source):
        if not name.isdecimal() or not 1 <= int(name) <= 1 << 30:
            raise ConfigError(f"{source}: sram.{name} must be bytes in 1..2**30")
        memories[int(name)] = _over(Memory, memories.get(int(name)), item, source, f"sram.{name}")
    chip = base and base.chip
    if "chip" in data:
        chip = _over(Chip, chip, data["chip"], source, "chip")
    unpriced = dict(base.unpriced if base else _table(data, "unpriced", source))
    node = data.get("node", base and base.node)
    if isinstance(node, bool) or not isinstance(node, int | float) or not 0 < node < math.inf:
        raise ConfigError(f"{source}: node must be the nm that prices are scaled to, not {node!r}")
    return Table(name=str(data.get("name", source)), node=node,
                 figures=figures, memories=memories, chip=chip, unpriced=unpriced)


def _table(data: dict, key: str, source: str) -> list[tuple[str, object]]:
    table = data.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: {key} must be a table, not {table!r}")
    return list(table.items())


def _over(cls: type, old, item: object, source: str, name: str):
    """An item that was given, over an older one: what it leaves out stays, but for the source."""
    if not isinstance(item, dict):
        raise ConfigError(f"{source}: {name} must be a table, not {item!r}")
    values = {**(structs.asdict(old) if old is not None else {}), "source": source, **item}
    missing = [f.name for f in structs.fields(cls) if f.required and f.name not in values]
    if missing:
        raise ConfigError(f"{source}: {name} must have {missing[0]}, not only {', '.join(item)}")
    return section(cls, values, source, name)
