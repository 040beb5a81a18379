"""What each block of a design costs: Yosys' count of every module, without place and route."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from . import tools
from .block_memories import quick
from .netlist import Netlist
from .plan import script

TIMEOUT = 1800.0
#: The clock that the mapper aims at, that of most boards.
CLOCK_HZ = 12_000_000


class Largest:
    """What a design is told of the device: the one with every kind of primitive."""

    device = "iCE40UP5K"


@dataclass(frozen=True)
class Count:
    """Primitives of a module and all that is in it."""

    lut4: int = 0
    ff: int = 0
    carry: int = 0
    ebr: int = 0
    spram: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.lut4 + other.lut4, self.ff + other.ff, self.carry + other.carry,
                     self.ebr + other.ebr, self.spram + other.spram)


def count(design, ports: list, *, flatten: bool = True,
          note: Callable[[str], None] | None = None) -> dict[str, Count]:
    """Primitives of each module of an Amaranth design, by its path below the top, "" for the top.

    Each count includes the modules within. With `flatten` there is only the top, optimised as a
    whole, as in `build`; else every module keeps to itself, which costs some more. Raises ToolError
    if Yosys is missing or fails.
    """
    from amaranth.back import rtlil

    whole = "" if flatten else "-noflatten"
    found, = tools.prepare(["yosys"], note)
    commands, files = quick(f"read_rtlil top.il\n{script(CLOCK_HZ)}\nsynth_ice40 {whole} -top top\n"
                            "write_json top.json\n", found)
    netlist = msgspec.json.decode(tools.yosys(
        "top.il", rtlil.convert(design, name="top", ports=ports, platform=Largest(),
                                emit_src=False), commands,
        "top.json", beside=files, what="synthesise the design", timeout=TIMEOUT, note=note),
        type=Netlist)
    totals: dict[str, Count] = {}

    def total(module: str) -> Count:
        found = Count()
        for cell in netlist.modules[module].cells.values():
            # A module that occurs twice counts twice.
            found += total(cell.type) if cell.type == "top" or cell.type.startswith("top.") \
                else _primitive(cell.type)
        totals[module.removeprefix("top").removeprefix(".")] = found
        return found

    total("top")
    return dict(sorted(totals.items()))


def _primitive(kind: str) -> Count:
    return Count(lut4=kind == "SB_LUT4", ff=kind.startswith("SB_DFF"), carry=kind == "SB_CARRY",
                 ebr=kind.startswith("SB_RAM40"), spram=kind == "SB_SPRAM256KA")


def of_top(top, note: Callable[[str], None] | None = None) -> dict[str, Count]:
    """Every block of a `hdl.top.Top`: encoder, delays, layers, read-out, link, UART; "" is all."""
    found = count(top, top.ports, flatten=False, note=note)
    return {path: value for path, value in found.items()
            if path.count(".") <= (1 if path.startswith("core") else 0) or path.endswith(".engine")}
