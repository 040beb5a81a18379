"""The manifest of a run: what made it, and with what, command by command.

`manifest.json` in the run directory. Commands are added and never taken away: their arguments, when
they began and how long they took, the seeds and the data that they named, the tools that they ran
and what they left in the run, by SHA-256; and the program and the packages that they ran with. What
was killed outright has left no line.
"""

import fcntl
import hashlib
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec import Struct

from .errors import SpikeloomError
from .files import read_json, write_atomic

FILE = "manifest.json"
FORMAT = 1
AGAIN = "rename it; the next command begins a new one"
#: What a command may leave in a run that results depend on.
KEPT = ("experiment.toml", "graph.safetensors", "samples.safetensors", "calibration.safetensors",
        "events.json", "network.safetensors", "search.json", "cells.json", "blocks.json")
SPLITS = ("train", "validation", "test")


class Environment(Struct, frozen=True, kw_only=True):
    """commit: of the checkout that the package is, None where it is none; modified: whether files
    that it tracks differed from it.
    """

    spikeloom: str
    commit: str | None
    modified: bool | None
    python: str
    platform: str
    packages: dict[str, str]


class Subset(Struct, frozen=True, kw_only=True):
    """A split of a data set; sha256: of its inputs and labels with their types and shapes."""

    samples: int
    sha256: str


class Command(Struct, frozen=True, kw_only=True):
    """One command. began: UTC; exit: its code; seeds: by what they are of; data: by name and split;
    files: SHA-256 of the run's, as it left them; environment: a key of the manifest's.
    """

    command: str
    arguments: list[str]
    began: str
    seconds: float
    exit: int
    environment: str
    seeds: dict[str, list[int]] = {}
    data: dict[str, dict[str, Subset]] = {}
    tools: dict[str, str] = {}
    files: dict[str, str] = {}


class Manifest(Struct, frozen=True, kw_only=True):
    """Of a run; commands in the order in which they ended."""

    format: int = FORMAT
    commands: list[Command] = []
    environments: dict[str, Environment] = {}


class Facts:
    """What a command says of itself while it runs (`Output.record`)."""

    def __init__(self) -> None:
        self.seeds: dict[str, list[int]] = {}
        self.data: dict[str, dict[str, Subset]] = {}
        self.tools: dict[str, str] = {}

    def add(self, *, seeds: Mapping[str, Iterable[int]] = {}, data: object = None,
            tools: Mapping[str, str] = {}) -> None:
        """data: a data set with a `name` and `SPLITS`, each with inputs and labels."""
        self.seeds |= {name: list(values) for name, values in seeds.items()}
        self.tools |= tools
        if data is not None:
            self.data[data.name] = {split: _subset(getattr(data, split)) for split in SPLITS}


def recorded(run: Callable[[], int | None], command: str, arguments: Sequence[str], folder: Path,
             facts: Facts, note: Callable[[str], None]) -> int | None:
    """run(), which is then written down in the manifest of the run in `folder`, if there is one.

    Bad input, exit code 2, is not. note: told where the manifest cannot be written.
    """
    from .run import Run  # not where a command's help is printed: it loads the IR

    began, code = time.perf_counter(), 1
    try:
        found = run()
        code = found or 0
        return found
    except SpikeloomError as error:
        code = error.exit_code
        raise
    except KeyboardInterrupt:
        code = 130
        raise
    finally:
        if code != 2 and Run(folder).manifest.exists():
            try:
                ended(folder, command, arguments, facts, time.perf_counter() - began, code)
            except (SpikeloomError, OSError) as error:
                note(f"this command is not in the manifest: {error}")


def ended(folder: Path, command: str, arguments: Sequence[str], facts: Facts, seconds: float,
          code: int = 0) -> None:
    """Add a command that ends now, with what it leaves in the run."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    add(folder, Command(
        command=command, arguments=list(arguments), exit=code, environment="",
        began=began.isoformat(timespec="seconds"), seconds=round(seconds, 2),
        seeds=facts.seeds, data=facts.data, tools=facts.tools, files=_files(folder)))


def read(folder: Path) -> Manifest:
    """The manifest of a run directory, empty where there is none yet; RunError if it is damaged."""
    path = Path(folder) / FILE
    if not path.exists():
        return Manifest()
    return read_json(path, Manifest, FORMAT, "manifest", AGAIN)


def add(folder: Path, command: Command) -> None:
    """Add a command, run with the program and the packages that are here."""
    here = environment()
    key = hashlib.sha256(msgspec.json.encode(here, order="sorted")).hexdigest()[:12]
    with _alone(folder):
        before = read(folder)
        after = Manifest(
            commands=[*before.commands, msgspec.structs.replace(command, environment=key)],
            environments={**before.environments, key: here})
        write_atomic(Path(folder) / FILE,
                     msgspec.json.format(msgspec.json.encode(after), indent=1) + b"\n")


def environment() -> Environment:
    """The program and the packages that run here."""
    commit, modified = checkout(Path(__file__).resolve().parents[1])
    return Environment(
        spikeloom=metadata.version("spikeloom"), commit=commit, modified=modified,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        platform=f"{platform.system()} {platform.machine()}", packages=_packages())


def checkout(root: Path) -> tuple[str | None, bool | None]:
    """The commit of a working tree, and whether tracked files differ from it; None where it is
    none, or there is no git.
    """
    if not (root / ".git").exists():
        return None, None
    words = [_git(root, "rev-parse", "HEAD"),
             _git(root, "status", "--porcelain", "--untracked-files=no")]
    return (None, None) if None in words else (words[0], bool(words[1]))


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _packages() -> dict[str, str]:
    """Versions of what spikeloom asks for, extras too, as far as it is installed."""
    found = {}
    for wanted in metadata.requires("spikeloom") or ():
        name = re.match(r"[\w.-]+", wanted)[0].lower()
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def _subset(split) -> Subset:
    held = hashlib.sha256()
    for array in (split.inputs, split.labels):
        held.update(f"{array.dtype.str} {list(array.shape)} ".encode())
        held.update(array.tobytes())
    return Subset(samples=len(split.labels), sha256=held.hexdigest())


def _files(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name in KEPT
            if (path := Path(folder) / name).is_file()}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Commands that end at the same time add theirs one after the other."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
