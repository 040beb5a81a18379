"""Estimates for FPGAs beyond the iCE40: Yosys maps a network's core, and its cells are counted.

Nothing is placed and routed, so there is no clock and no energy, and a count of cells is not yet a
count of slices. What is mapped is the core alone, as `export` writes it, without the UART link that
an iCE40 build has. `spikeloom` builds no bitstream for these targets.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

import msgspec
from amaranth.back import rtlil

from . import cache, ir, tools
from .build import TIMEOUTS
from .errors import ConfigError, ToolError, unknown
from .export import core_ports
from .lower import core as lower_core
from .passes.compile import compile_graph

#: What every estimate says of itself.
BASIS = "synthesised by Yosys, not placed and routed: no clock, no energy"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A family that Yosys maps to, and one device of it.

    takes: what each kind of cell takes of the device, by a pattern of its name. bram_unit: how many
    of the blocks that `takes` counts make one of `capacity`. names: how messages call a resource.
    """

    name: str
    title: str
    device: str
    synth: str
    capacity: Mapping[str, int]
    names: Mapping[str, str]
    takes: Mapping[str, Mapping[str, int]]
    bram_unit: int
    source: str

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Resources that cells take; ToolError for a cell that nobody has said the price of."""
        found = dict.fromkeys(("luts", "ffs", "carry", "bram", "dsp"), 0)
        for kind, number in cells.items():
            price = next((price for pattern, price in self.takes.items()
                          if re.fullmatch(pattern, kind)), None)
            if price is None:
                raise ToolError(f"yosys mapped {number:,} cells to {kind}, of which spikeloom does "
                                f"not know what it takes of the {self.device}")
            for resource, each in price.items():
                found[resource] += each * number
        found["bram"] = ceil(found["bram"] / self.bram_unit)
        return found


# LUTs that are memories: UG474, "7 Series FPGAs Configurable Logic Block", tables 2-3 and 2-4.
# TRELLIS_DPR16X4: FPGA-TN-02204, "ECP5 and ECP5-5G Memory Usage Guide": two slices hold the bits,
# a third one writes. CCU2C: two LUT4s and their carry chain (FPGA-DS-02012, 2.2.1).
TARGETS: dict[str, Target] = {target.name: target for target in (
    Target(name="artix7", title="Xilinx Artix-7", device="XC7A35T",
           synth="synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top core",
           capacity={"luts": 20_800, "ffs": 41_600, "carry": 5_200, "bram": 50, "dsp": 90},
           names={"luts": "LUT6", "ffs": "flip-flops", "carry": "CARRY4", "bram": "BRAM36",
                  "dsp": "DSP48E1"},
           takes={r"LUT[1-6](_2)?|INV": {"luts": 1}, r"MUXF[78]|GND|VCC": {},
                  r"CARRY4": {"carry": 1}, r"FD[RSCP]E(_1)?|LD[CP]E": {"ffs": 1},
                  r"RAM(32|64)X1S|SRL(16|C32)E|SRLC16E": {"luts": 1},
                  r"RAM(32|64)X1D|RAM128X1S": {"luts": 2},
                  r"RAM128X1D|RAM256X1S|RAM32M|RAM64M": {"luts": 4},
                  r"RAMB18E1": {"bram": 1}, r"RAMB36E1": {"bram": 2}, r"DSP48E1": {"dsp": 1}},
           bram_unit=2, source="7 Series FPGAs Data Sheet: Overview, DS180"),
    Target(name="ecp5", title="Lattice ECP5", device="LFE5U-25F",
           synth="synth_ecp5 -top core",
           capacity={"luts": 24_288, "ffs": 24_288, "carry": 12_144, "bram": 56, "dsp": 28},
           names={"luts": "LUT4", "ffs": "flip-flops", "carry": "CCU2C", "bram": "EBR",
                  "dsp": "MULT18X18D"},
           takes={r"LUT4": {"luts": 1}, r"PFUMX|L6MUX21|VHI|VLO": {},
                  r"CCU2C": {"luts": 2, "carry": 1}, r"TRELLIS_FF": {"ffs": 1},
                  r"TRELLIS_DPR16X4": {"luts": 6}, r"DP16KD|PDPW16KD": {"bram": 1},
                  r"MULT18X18D": {"dsp": 1}, r"ALU54B": {}},
           bram_unit=1, source="ECP5 and ECP5-5G Family Data Sheet, FPGA-DS-02012"),
)}


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a network's core comes to on a target, by synthesis alone.

    luts: those of logic, of memories in LUTs and, on ECP5, of carry chains; LUTs that a placer
    could put two into one count as two. ffs, dsp: cells. carry: CARRY4 of four bits, or CCU2C of
    two. bram: BRAM36 (two RAMB18 are one), or EBR. cells: what Yosys counted, by kind. capacity:
    of `device`, by the names of these fields, from `source`. problem: what does not fit, empty
    where `fits`. seconds: of Yosys, when it ran. tool: which Yosys. design: the graph's digest.
    """

    target: str
    device: str
    luts: int
    ffs: int
    carry: int
    bram: int
    dsp: int
    capacity: dict[str, int]
    source: str
    fits: bool
    problem: str
    seconds: float
    tool: str
    design: str
    cells: dict[str, int]
    cached: bool
    basis: str = BASIS


class _Mapped(msgspec.Struct, frozen=True):
    """What the cache keeps."""

    cells: dict[str, int]
    seconds: float


def find(name: str) -> Target:
    """The target of that name; ConfigError with a suggestion for an unknown one."""
    if name not in TARGETS:
        raise ConfigError(unknown("target", name, TARGETS))
    return TARGETS[name]


def synthesise(graph: ir.Graph, target: str, *, use_cache: bool = True,
               note: Callable[[str], None] | None = None) -> Estimate:
    """Map the core of a graph with weights (stage `integer` or later) to a target's cells.

    The result is kept in the build cache, by what Yosys is given and which Yosys it is. Raises
    ConfigError for an unknown target, GraphError where the graph cannot be compiled, ToolError
    where Yosys is missing or fails. A network too large for the device is an estimate, too
    (`fits`, `problem`).
    """
    chosen = find(target)
    if graph.stage != "scheduled":
        graph = compile_graph(graph)
    core = lower_core(graph)
    ports = {name: (value, None) for name, (_, value) in core_ports(core).items()}
    text = rtlil.convert(core, name="core", ports=ports, emit_src=False)
    yosys, = tools.prepare(["yosys"], note)
    key = cache.key("estimate", sha256(text.encode()).hexdigest(), chosen.synth, yosys.identity)
    kept = cache.Cache()
    files = kept.get(key, note) if use_cache else None
    if files is None:
        mapped = _map(chosen, text, yosys, note)
        if use_cache:
            kept.put(key, {"mapped.json": msgspec.json.encode(mapped)})
    else:
        mapped = msgspec.json.decode(files["mapped.json"], type=_Mapped)
    used = chosen.count(mapped.cells)
    problem = _problem(chosen, used)
    return Estimate(target=target, device=chosen.device, **used, capacity=dict(chosen.capacity),
                    source=chosen.source, fits=not problem, problem=problem,
                    seconds=mapped.seconds, tool=yosys.identity, design=graph.digest(),
                    cells=mapped.cells, cached=files is not None)


def _map(target: Target, text: str, yosys: tools.Found, note) -> _Mapped:
    """Run Yosys on the core's RTLIL."""
    if note is not None:
        note(f"{target.name}: synthesis with {yosys.identity}")
    began = time.monotonic()
    found = tools.yosys(
        "core.il", text, f"read_rtlil core.il\n{target.synth}\ntee -q -o stat.json stat -json\n",
        "stat.json", what=f"synthesise the core for {target.name}", timeout=TIMEOUTS["yosys"],
        note=note)
    return _Mapped(read_cells(found), round(time.monotonic() - began, 3))


def read_cells(stat: bytes) -> dict[str, int]:
    """Cells by kind of a flat design, from what Yosys' ``stat -json`` printed.

    ToolError for anything else.
    """
    try:
        text = stat.decode()
        counts = msgspec.json.decode(text[text.index("{"):])["design"]["num_cells_by_type"]
        cells = msgspec.convert(counts, dict[str, int])
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError) as error:
        raise ToolError(f"yosys wrote statistics that cannot be read ({error}); spikeloom needs "
                        "Yosys 0.40 or later") from error
    return {kind: number for kind, number in sorted(cells.items()) if kind != "$scopeinfo"}


def _problem(target: Target, used: Mapping[str, int]) -> str:
    """What does not fit, and by how much; empty if all does."""
    parts = [f"{used[key]:,} {target.names[key]} do not fit the {target.device}'s {has:,} "
             f"({used[key] - has:,} too many)"
             for key, has in target.capacity.items() if used[key] > has]
    return " and ".join(parts)
