"""From a design to a bitstream: Amaranth's build plan, Yosys, nextpnr and icepack, cached.

The plan is pure (`prepare`); its commands run here, without a shell, in a folder that is gone
afterwards. Two results are cached: the netlist, by what Yosys reads and Yosys, and what place and
route made of it, by plan, tools and seed; so another seed, or the same pins elsewhere on a device,
costs no second synthesis. What cannot fit is not placed.
"""

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock
from types import MappingProxyType

import msgspec

from ..boards import Board
from . import cache, targets, tools
from .block_memories import quick
from .errors import Cancelled, FitError, ToolError, ToolTimeout
from .files import write_atomic
from .netlist import count_cells, floor
from .nextpnr import CriticalPath, is_packed, read_timing, read_utilisation, routing_is_stuck
from .plan import CONSTRAINTS, SCRIPT, Plan, prepare
from .report import Report, decode_report, write_report

Note = Callable[[str], None]

BITSTREAM = "top.bin"
REPORT = "report.json"

#: In this order. router1, nextpnr's own default, gives circuits a few percent faster, but on dense
#: designs alternates for ever between two wires (YosysHQ/nextpnr issues 179 and 1341): three
#: seeds of four for a 64-16-10 network on a UP5K, where router2 routes all four.
ROUTERS = ("router2", "router1")

#: A tool is killed after so many seconds, whatever it does.
TIMEOUTS = {"yosys": 1800.0, "nextpnr-ice40": 1800.0, "icepack": 300.0}

# The timing is wanted as a number even where it misses the constraint, which `meets_clock` tells.
_NEXTPNR_OPTIONS = ("--timing-allow-fail", "--report", "top.report.json")


def flow_options() -> dict[str, str]:
    """What a plan does not say of how it is placed and routed."""
    return {"nextpnr": " ".join(_NEXTPNR_OPTIONS), "routers": ",".join(ROUTERS)}


@dataclass(frozen=True)
class Unmeasured:
    """A plan without a report: a tool `failed` on it or `timed-out`, or it was `cancelled`."""

    plan: str
    tools: dict[str, str]
    seed: int
    status: str
    problem: str


Outcome = Report | Unmeasured


def build(top, board: Board, *, design: str, seed: int = 1, **options) -> Report:
    """Place and route one design; writes top.bin, its top.pcf, report.json and logs to `out_dir`.

    options and errors: those of `build_seeds`.
    """
    return build_seeds(top, board, design=design, seeds=[seed], **options)[0]


def build_seeds(top, board: Board, *, design: str, seeds: Iterable[int],
                out_dir: Path | None = None, use_cache: bool = True, must_fit: bool = True,
                exact: bool = False, predicted_low: float | None = None, jobs: int = 1,
                logs_dir: Path | None = None, note: Note | None = None,
                record: Callable[[Outcome], None] | None = None) -> list[Report]:
    """One report per nextpnr seed, after one synthesis; the fastest goes to `out_dir`.

    jobs: so many seeds at once, whose reports do not depend on it. logs_dir: in whose `failed/` the
    log of a tool that failed is kept, `out_dir` by default, of the cache without one.

    Raises FitError if it does not fit (with must_fit=False returns a report of the counts, where
    `fits` is False, and writes nothing), ToolError if a tool is missing, fails or takes too long.

    exact: whether nextpnr counts even what cannot fit by its netlist; it takes a second or two, and
    without it such a report has a bound (`Report.bound`). predicted_low: the fewest LCs that a
    prediction gives it; if the device has fewer, no tool is run, and `Cancelled` is raised. record:
    told of every report, and of what there is instead before the error is raised.
    """
    plan = prepare(top, board, design=design)
    found = {item.tool.name: item for item in tools.prepare(TIMEOUTS, note)}
    # Without the cache, one of this call's own still saves synthesis for the other seeds.
    with nullcontext(None) if use_cache else TemporaryDirectory(prefix="spikeloom-") as path:
        builder = _Builder(plan, found, cache.Cache(path), logs_dir or out_dir,
                           note or (lambda text: None), exact, predicted_low)
        results = list(builder.all(seeds, jobs, record))
        reached = {str(report.seed): report.fmax_mhz for report, _ in results if report.fits}
        results = [(msgspec.structs.replace(report, seeds=reached), files)
                   for report, files in results]
        reports = [report for report, _ in results]
        best = fastest(reports)
        files = results[reports.index(best)][1]
        if not best.fits and must_fit:
            raise FitError(f"{board.name}: {best.problem}")
        if out_dir is not None and best.fits:
            for name, content in {CONSTRAINTS: plan.files[CONSTRAINTS], **files}.items():
                if name != REPORT:
                    write_atomic(Path(out_dir) / name, content)
            # Last, so that a report never speaks of a bitstream that is not there.
            write_report(best, Path(out_dir) / REPORT)
    return reports


def fastest(found: Sequence):
    """Of reports or measurements of one design the fastest, of equals the smallest; one that does
    not fit has no clock, or 0.
    """
    return max(found, key=lambda item: (item.fmax_mhz or 0.0, -(item.lc or 0)))


def spread(reports: Sequence[Report]) -> str:
    """How far the seeds of one design lie apart, in a line."""
    found = sorted(report.fmax_mhz for report in reports if report.fits)
    if not found:
        return f"none of {len(reports)} seeds was routed"
    low, high, mean = found[0], found[-1], sum(found) / len(found)
    return (f"{len(found)} of {len(reports)} seeds routed: {low:.1f} to {high:.1f} MHz, mean "
            f"{mean:.1f}, so the fastest is {high / mean - 1:.1%} above the mean")


def netlist(top, board: Board, *, design: str, note: Note | None = None) -> bytes:
    """The netlist (Yosys' JSON) that place and route would be given, from the cache if it is there.

    Raises ToolError as `build`.
    """
    plan = prepare(top, board, design=design)
    found = {item.tool.name: item for item in tools.prepare(["yosys"], note)}
    builder = _Builder(plan, found, cache.Cache(), None, note or (lambda text: None))
    return gzip.decompress(builder.netlist()["top.json.gz"])


@dataclass(frozen=True)
class _Builder:
    plan: Plan
    found: dict[str, tools.Found]
    cache: cache.Cache
    logs_dir: Path | None
    note: Note
    exact: bool = False
    predicted_low: float | None = None
    lock: Lock = field(default_factory=Lock)
    stopped: Event = field(default_factory=Event)

    @property
    def identities(self) -> dict[str, str]:
        return {name: item.identity for name, item in self.found.items()}

    def netlist(self) -> dict[str, bytes]:
        """The files of the netlist, from the cache or synthesised."""
        key = cache.key("netlist", self.plan.read_by_yosys, self.found["yosys"].identity)
        with self.lock:  # one of many seeds at once makes it for all
            files = self.cache.get(key, self.note)
            if files is None:
                files = self._synthesise()
                self.cache.put(key, files)
        return files

    def all(self, seeds: Iterable[int], jobs: int, record) -> Iterator:
        """`recorded` of each seed in order, `jobs` at once."""
        if jobs == 1:
            yield from (self.recorded(record, seed, partial(self.result, seed)) for seed in seeds)
            return
        with ThreadPoolExecutor(jobs) as pool:
            running = {seed: pool.submit(self.result, seed) for seed in seeds}
            try:
                for seed, future in running.items():
                    yield self.recorded(record, seed, future.result)
            except BaseException:  # tools that run are ended within a second
                self.stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    def recorded(self, record, seed: int, made) -> tuple[Report, dict[str, bytes]]:
        """What `made` gives for a seed, of which `record` is told, if there is such."""
        try:
            result = made()
        except (Cancelled, ToolError) as error:
            if record is not None:
                status = ("cancelled" if isinstance(error, Cancelled) else
                          "timed-out" if isinstance(error, ToolTimeout) else "failed")
                record(Unmeasured(self.plan.digest, self.identities, seed, status, str(error)))
            raise
        if record is not None:
            record(result[0])
        return result

    def _excess(self, used: Mapping[str, int]) -> dict[str, int]:
        return targets.device(self.plan.board.device).excess(used)

    def _check_prediction(self) -> None:
        board, low = self.plan.board, self.predicted_low
        has = targets.device(board.device).lc
        if low is not None and low > has:
            raise Cancelled(f"{board.name}: cancelled, for it is predicted to take at least "
                            f"{low:,.0f} LCs, and the {board.device} has {has:,}")

    def result(self, seed: int) -> tuple[Report, dict[str, bytes]]:
        """The report of one seed and the files that belong to it."""
        self._check_prediction()
        key = cache.key("routed", self.plan.digest, self.identities, _NEXTPNR_OPTIONS, ROUTERS,
                        seed)
        files = self.cache.get(key, self.note)
        cached = files is not None
        if files is None:
            netlist = self.netlist()
            data = gzip.decompress(netlist["top.json.gz"])
            bound = {} if self.exact else floor(data)
            if self._excess(bound):
                problem = targets.advice(self.plan.board.device, bound, at_least=True)
                return self._report(netlist, seed, used=bound, problem=problem, bound=True), {}
            files = self._route(netlist, data, seed)
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
        script, beside = quick(self.plan.files[SCRIPT], self.found["yosys"])
        with self.cache.workspace() as folder:
            for name, content in {**self.plan.files, SCRIPT: script, **beside}.items():
                data = content.encode() if isinstance(content, str) else content
                (folder / name).write_bytes(data)
            seconds = self._run("yosys", folder)
            netlist = (folder / "top.json").read_bytes()
            try:
                cells = count_cells(netlist)
            except (msgspec.DecodeError, KeyError) as error:
                raise ToolError(f"yosys wrote a netlist that cannot be read ({error}); spikeloom "
                                "needs Yosys 0.40 or later") from error
            return {
                "top.json.gz": gzip.compress(netlist, compresslevel=1, mtime=0),
                "cells.json": msgspec.json.encode(cells),
                "seconds.json": msgspec.json.encode({"elaborate": self.plan.seconds,
                                                     "yosys": seconds}),
                "yosys.log": (folder / "top.rpt").read_bytes(),
            }

    def _route(self, netlist: dict[str, bytes], data: bytes, seed: int) -> dict[str, bytes]:
        board = self.plan.board
        seconds: dict[str, float] = {}
        fmax, critical, bitstream, problem = 0.0, None, b"", ""
        start = time.monotonic()
        with self.cache.workspace() as folder:
            (folder / "top.json").write_bytes(data)
            (folder / CONSTRAINTS).write_text(self.plan.files[CONSTRAINTS])
            for router in ROUTERS:
                self.note(f"{board.name}: place and route, seed {seed}, {router}, with "
                          f"{self.found['nextpnr-ice40'].identity}")
                try:
                    self._run("nextpnr-ice40", folder,
                              [*_NEXTPNR_OPTIONS, "--seed", str(seed), "--router", router])
                    seconds["nextpnr"] = time.monotonic() - start
                    timing = read_timing((folder / "top.report.json").read_bytes())
                    used, fmax = timing.used(), timing.fmax_mhz(board.clock_hz)
                    critical = timing.critical_path()
                    seconds["icepack"] = self._run("icepack", folder)
                    bitstream = (folder / "top.bin").read_bytes()
                    problem = ""
                    break
                except _Unroutable as unroutable:
                    used, problem = unroutable.used, unroutable.problem
                    seconds["nextpnr"] = time.monotonic() - start
                    if not unroutable.retry:
                        break
            log = (folder / "top.tim").read_bytes()
        report = self._report(netlist, seed, used=used, problem=problem, router=router, fmax=fmax,
                              critical=critical, bitstream=bitstream, seconds=seconds)
        files = {REPORT: msgspec.json.encode(report), "yosys.log": netlist["yosys.log"],
                 "nextpnr.log": log}
        return {BITSTREAM: bitstream, **files} if bitstream else files

    def _report(self, netlist: dict[str, bytes], seed: int, *, used: dict[str, int], problem: str,
                bound: bool = False, router: str = "", fmax: float = 0.0,
                critical: CriticalPath | None = None, bitstream: bytes = b"",
                seconds: Mapping[str, float] = MappingProxyType({})) -> Report:
        board = self.plan.board
        seconds = {**json.loads(netlist["seconds.json"]), **seconds}
        return Report(
            design=self.plan.design, board=board.name, device=board.device,
            **used, **_primitives(json.loads(netlist["cells.json"])), bound=bound,
            fmax_mhz=round(fmax, 3), clock_mhz=board.clock_hz / 1e6, clock=board.source,
            tolerance=board.tolerance, meets_clock=fmax * 1e6 >= board.needed_hz,
            fits=not problem, problem=problem, router=router, tools=self.identities, seed=seed,
            seconds={name: round(value, 3) for name, value in seconds.items()},
            cached=False, plan=self.plan.digest, bitstream=BITSTREAM if bitstream else "",
            bitstream_bytes=len(bitstream),
            bitstream_sha256=sha256(bitstream).hexdigest() if bitstream else "",
            critical_path=critical)

    def _run(self, name: str, folder: Path, options: Iterable[str] = ()) -> float:
        """Run one command of the plan in `folder`; returns its seconds."""
        log = folder / f"{name}.out"
        detail = folder / {"yosys": "top.rpt", "nextpnr-ice40": "top.tim"}.get(name, log.name)
        detail.unlink(missing_ok=True)  # of the router before, which this one would be judged by

        route = name == "nextpnr-ice40"

        def hopeless() -> bool:
            if self.stopped.is_set() or not route:
                return self.stopped.is_set()
            text = detail.read_text(errors="replace") if detail.is_file() else ""
            over = is_packed(text) and self._excess(read_utilisation(text))
            return bool(over) or routing_is_stuck(text)

        ran = tools.run(self.found[name], [*self.plan.commands[name], *options], cwd=folder,
                        log=log, timeout=TIMEOUTS[name], hopeless=hopeless)
        if self.stopped.is_set():  # by another seed, whose error is told and whose log is kept
            raise ToolError(f"{name} was stopped, since another seed failed")
        text = (detail if detail.is_file() else log).read_bytes()
        problem = ran.problem
        if problem is None:
            missing = [output for output in _OUTPUTS[name] if not (folder / output).is_file()]
            problem = f"did not write {', '.join(missing)}" if missing else None
        if route:
            # A result that came after all, before anybody looked, is dropped too: what is built
            # must not depend on the speed of the machine.
            self._check_fit(text.decode(errors="replace"), problem)
        if problem is None:
            return ran.seconds
        if "call stack exhausted" in problem:
            problem += (": a chain of several thousand cells is too deep for the tool's "
                        "WebAssembly; shorten it, or name a native one in "
                        f"{tools.TOOLS[name].variable}")
        keep = (Path(self.logs_dir) if self.logs_dir else cache.root()) / "failed" / f"{name}.log"
        write_atomic(keep, text + b"\n" + (log.read_bytes() if detail != log else b""))
        kind = ToolTimeout if ran.timed_out else ToolError
        raise kind(f"{name} failed: {problem} (log: {keep})")

    def _check_fit(self, log: str, problem: str | None) -> None:
        """Raise _Unroutable if nextpnr's log says that the device cannot take the design."""
        name, used = self.plan.board.device, read_utilisation(log)
        if not used:  # it failed before it counted
            return
        if problem and self._excess(used):
            raise _Unroutable(used, targets.advice(name, used), retry=False)
        by_number = (f"{used.get('lc', 0):,} LCs fit the {name} by number, but nextpnr %s; try "
                     "another seed, or a smaller network")
        if routing_is_stuck(log):
            raise _Unroutable(used, by_number % "found no way to connect them", retry=True)
        if problem and re.search(r"(?i)unable to (place|find)|plac\w+ (design )?failed", problem):
            raise _Unroutable(used, by_number % f"found no place for all of them ({problem})",
                              retry=False)


_OUTPUTS = {"yosys": ("top.json", "top.rpt"),
            "nextpnr-ice40": ("top.asc", "top.report.json", "top.tim"), "icepack": ("top.bin",)}


class _Unroutable(Exception):
    """The device cannot take the design: what it uses and why; whether another router may help."""

    def __init__(self, used: dict[str, int], problem: str, *, retry: bool) -> None:
        super().__init__(problem)
        self.used = used
        self.problem = problem
        self.retry = retry


def _primitives(cells: dict[str, int]) -> dict[str, int]:
    return {"lut4": cells.get("SB_LUT4", 0), "carry": cells.get("SB_CARRY", 0),
            "ff": sum(count for kind, count in cells.items() if kind.startswith("SB_DFF"))}
