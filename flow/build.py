"""From a design to a bitstream: Amaranth's build plan, Yosys, nextpnr and icepack, cached.

The plan is pure (`prepare`); its commands run here, without a shell, in a folder that is gone
afterwards. Two results are cached: the netlist, by plan and Yosys, and what place and route made of
it, by netlist, nextpnr, icepack and seed; so another seed costs no second synthesis.
"""

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ..boards import Board
from . import cache, targets, tools
from .errors import FitError, ToolError
from .files import write_atomic
from .ir import Graph
from .report import Report, decode_report, write_report

Note = Callable[[str], None]

BITSTREAM = "top.bin"
REPORT = "report.json"

#: A tool is killed after so many seconds; a router that has not ended by then does not converge.
TIMEOUTS = {"yosys": 1800.0, "nextpnr-ice40": 1800.0, "icepack": 300.0}

# The timing is wanted as a number even where it misses the constraint, which `meets_clock` tells.
_NEXTPNR_OPTIONS = ("--timing-allow-fail", "--report", "top.report.json")


@dataclass(frozen=True)
class Plan:
    """What is to be built: the files and commands of Amaranth's plan for one board."""

    board: Board
    design: str
    digest: str
    files: dict[str, str | bytes]
    seconds: float

    @property
    def commands(self) -> dict[str, list[str]]:
        """The arguments of each tool, by its name."""
        commands = json.loads(self.files["build_top.json"])["commands"]
        return {argv[0]: argv[1:] for argv in commands}


def prepare(top, board: Board, *, design: str) -> Plan:
    """Elaborate `top` (signals rx, tx, busy, cls) on the board's pins; runs no tool.

    design: the hash of the network, which the report repeats. The same design gives the same plan,
    wherever the sources lie.
    """
    start = time.monotonic()
    plan = board.platform().build(board.pins(top), do_build=False, emit_src=False)
    return Plan(board, design, plan.digest(32).hex(), dict(plan.files), time.monotonic() - start)


def build(top, board: Board, *, design: str, seed: int = 1, out_dir: Path | None = None,
          use_cache: bool = True, must_fit: bool = True, note: Note | None = None) -> Report:
    """Place and route one design; writes top.bin, report.json and logs to `out_dir` if given.

    Raises FitError if it does not fit (with must_fit=False returns a report of the counts, where
    `fits` is False, and writes nothing), ToolError if a tool is missing, fails or takes too long.
    """
    return build_seeds(top, board, design=design, seeds=[seed], out_dir=out_dir,
                       use_cache=use_cache, must_fit=must_fit, note=note)[0]


def build_seeds(top, board: Board, *, design: str, seeds: Iterable[int],
                out_dir: Path | None = None, use_cache: bool = True, must_fit: bool = True,
                note: Note | None = None) -> list[Report]:
    """One report per nextpnr seed, after one synthesis; the fastest goes to `out_dir`."""
    plan = prepare(top, board, design=design)
    found = {item.tool.name: item for item in tools.prepare(TIMEOUTS, note)}
    # Without the cache, one of this call's own still saves synthesis for the other seeds.
    with nullcontext(None) if use_cache else TemporaryDirectory(prefix="spikeloom-") as path:
        builder = _Builder(plan, found, cache.Cache(path), out_dir, note or (lambda text: None))
        results = [builder.result(seed) for seed in seeds]
        reports = [report for report, _ in results]
        best, files = max(results, key=lambda result: result[0].fmax_mhz)
        if not best.fits and must_fit:
            raise FitError(f"{board.name}: {best.advice}")
        if out_dir is not None and best.fits:
            for name, content in files.items():
                if name != REPORT:
                    write_atomic(Path(out_dir) / name, content)
            # Last, so that a report never speaks of a bitstream that is not there.
            write_report(best, Path(out_dir) / REPORT)
    return reports


def build_graph(graph: Graph, board: Board, **options) -> Report:
    """`build` of a scheduled graph's gateware with its UART link; its digest is the design."""
    from .lower import top

    return build(top(graph), board, design=graph.digest(), **options)


@dataclass(frozen=True)
class _Builder:
    plan: Plan
    found: dict[str, tools.Found]
    cache: cache.Cache
    out_dir: Path | None
    note: Note

    def result(self, seed: int) -> tuple[Report, dict[str, bytes]]:
        """The report of one seed and the files that belong to it."""
        identities = {name: item.identity for name, item in self.found.items()}
        netlist_key = cache.key("netlist", self.plan.digest, identities["yosys"])
        key = cache.key("routed", netlist_key, identities["nextpnr-ice40"], identities["icepack"],
                        _NEXTPNR_OPTIONS, seed)
        files = self.cache.get(key, self.note)
        cached = files is not None
        if files is None:
            netlist = self.cache.get(netlist_key, self.note)
            if netlist is None:
                netlist = self._synthesise()
                self.cache.put(netlist_key, netlist)
            files = self._route(netlist, seed, identities)
            self.cache.put(key, files)
        else:
            self.note(f"{self.plan.board.name}, seed {seed}: from the cache")
        report = decode_report(files[REPORT], self.cache.entry(key) / REPORT)
        # A plan says nothing about who asked for it.
        report = msgspec.structs.replace(report, design=self.plan.design,
                                         board=self.plan.board.name, cached=cached)
        return report, files

    def _synthesise(self) -> dict[str, bytes]:
        self.note(f"{self.plan.board.name}: synthesis with {self.found['yosys'].identity}")
        with self.cache.workspace() as folder:
            for name, content in self.plan.files.items():
                data = content.encode() if isinstance(content, str) else content
                (folder / name).write_bytes(data)
            seconds = self._run("yosys", folder)
            netlist = (folder / "top.json").read_bytes()
            cells = count_cells(netlist)
            return {
                "top.json.gz": gzip.compress(netlist, compresslevel=1, mtime=0),
                "cells.json": msgspec.json.encode(cells),
                "seconds.json": msgspec.json.encode({"elaborate": self.plan.seconds,
                                                     "yosys": seconds}),
                "yosys.log": (folder / "top.rpt").read_bytes(),
            }

    def _route(self, netlist: dict[str, bytes], seed: int, identities: dict[str, str]
               ) -> dict[str, bytes]:
        board = self.plan.board
        self.note(f"{board.name}: place and route, seed {seed}, with "
                  f"{self.found['nextpnr-ice40'].identity}")
        seconds = json.loads(netlist["seconds.json"])
        fmax, bitstream = 0.0, b""
        with self.cache.workspace() as folder:
            (folder / "top.json").write_bytes(gzip.decompress(netlist["top.json.gz"]))
            (folder / "top.pcf").write_text(self.plan.files["top.pcf"])
            try:
                seconds["nextpnr"] = self._run("nextpnr-ice40", folder,
                                               ["--seed", str(seed), *_NEXTPNR_OPTIONS])
                timing = read_timing((folder / "top.report.json").read_bytes())
                used, fmax = timing.used(), timing.fmax_mhz(board.clock_hz)
                seconds["icepack"] = self._run("icepack", folder)
                bitstream = (folder / "top.bin").read_bytes()
            except _Overfull as overfull:
                used = overfull.used
            log = (folder / "top.tim").read_bytes()
        report = Report(
            design=self.plan.design, board=board.name, device=board.device,
            **used, **_primitives(json.loads(netlist["cells.json"])),
            fmax_mhz=round(fmax, 3), clock_mhz=board.clock_hz / 1e6,
            meets_clock=fmax * 1e6 >= board.clock_hz, fits=bool(bitstream), tools=identities,
            seed=seed, seconds={name: round(value, 3) for name, value in seconds.items()},
            cached=False, plan=self.plan.digest, bitstream=BITSTREAM if bitstream else "",
            bitstream_bytes=len(bitstream),
            bitstream_sha256=sha256(bitstream).hexdigest() if bitstream else "")
        files = {REPORT: msgspec.json.encode(report), "yosys.log": netlist["yosys.log"],
                 "nextpnr.log": log}
        return {BITSTREAM: bitstream, **files} if bitstream else files

    def _run(self, name: str, folder: Path, options: Iterable[str] = ()) -> float:
        """Run one command of the plan in `folder`; returns its seconds."""
        log = folder / f"{name}.out"
        ran = tools.run(self.found[name], [*self.plan.commands[name], *options], cwd=folder,
                        log=log, timeout=TIMEOUTS[name])
        if ran.problem is None:
            missing = [output for output in _OUTPUTS[name] if not (folder / output).is_file()]
            if not missing:
                return ran.seconds
            problem = f"did not write {', '.join(missing)}"
        else:
            problem = ran.problem
        detail = folder / {"yosys": "top.rpt", "nextpnr-ice40": "top.tim"}.get(name, log.name)
        text = (detail if detail.is_file() else log).read_bytes()
        if name == "nextpnr-ice40":
            used = read_utilisation(text.decode(errors="replace"))
            if targets.device(self.plan.board.device).excess(used):
                raise _Overfull(used)
            if re.search(r"(?i)unable to (place|find)|plac\w+ (design )?failed", problem):
                raise FitError(
                    f"{self.plan.board.name}: {used.get('lc', 0):,} LCs fit the "
                    f"{self.plan.board.device} by number, but nextpnr found no place for all of "
                    f"them ({problem}); try another --seed, or a smaller network")
        keep = (Path(self.out_dir) if self.out_dir else cache.root()) / "failed" / f"{name}.log"
        write_atomic(keep, text + b"\n" + (log.read_bytes() if detail != log else b""))
        raise ToolError(f"{name} failed: {problem} (log: {keep})")


_OUTPUTS = {"yosys": ("top.json", "top.rpt"),
            "nextpnr-ice40": ("top.asc", "top.report.json", "top.tim"), "icepack": ("top.bin",)}


class _Overfull(Exception):
    """nextpnr packed more of a resource than the device has."""

    def __init__(self, used: dict[str, int]) -> None:
        super().__init__(used)
        self.used = used


class _Cell(msgspec.Struct):
    type: str


class _Module(msgspec.Struct):
    cells: dict[str, _Cell] = {}


class _Netlist(msgspec.Struct):
    modules: dict[str, _Module]


def count_cells(netlist: bytes, module: str = "top") -> dict[str, int]:
    """How often each primitive occurs in a flat Yosys netlist (JSON)."""
    counts: dict[str, int] = {}
    for cell in msgspec.json.decode(netlist, type=_Netlist).modules[module].cells.values():
        counts[cell.type] = counts.get(cell.type, 0) + 1
    return counts


def _primitives(cells: dict[str, int]) -> dict[str, int]:
    return {"lut4": cells.get("SB_LUT4", 0), "carry": cells.get("SB_CARRY", 0),
            "ff": sum(count for kind, count in cells.items() if kind.startswith("SB_DFF"))}


class _Clock(msgspec.Struct):
    achieved: float
    constraint: float


class _Used(msgspec.Struct):
    used: int


class Timing(msgspec.Struct):
    """What this flow reads of nextpnr's report."""

    fmax: dict[str, _Clock]
    utilization: dict[str, _Used]

    def used(self) -> dict[str, int]:
        """Counts by resource; 0 for what the device lacks."""
        return {key: self.utilization[cell].used if cell in self.utilization else 0
                for cell, key in targets.CELLS.items()}

    def fmax_mhz(self, clock_hz: int) -> float:
        """The slowest clock constrained to `clock_hz` (to 0.1 %: nextpnr rounds its periods)."""
        own = [clock.achieved for clock in self.fmax.values()
               if abs(clock.constraint * 1e6 - clock_hz) <= 1e-3 * clock_hz]
        if not own:
            raise ToolError(f"nextpnr reported no clock of {clock_hz / 1e6:g} MHz, only "
                            f"{', '.join(self.fmax) or 'none'}; the design must use domain 'sync'")
        return min(own)


def read_timing(data: bytes) -> Timing:
    """nextpnr's --report; ToolError if it is not one."""
    try:
        return msgspec.json.decode(data, type=Timing)
    except msgspec.DecodeError as error:
        raise ToolError(f"nextpnr wrote a report that cannot be read ({error}); spikeloom needs "
                        "nextpnr 0.7 or later") from error


def read_utilisation(log: str) -> dict[str, int]:
    """Counts by resource from nextpnr's log, as known before placement; empty if not packed."""
    counts = dict(re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*\d+\s+\d+%", log, re.MULTILINE))
    if not counts:
        return {}
    return {key: int(counts.get(cell, 0)) for cell, key in targets.CELLS.items()}
