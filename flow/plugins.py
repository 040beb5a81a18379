"""Plug-ins: a user's own strategies, scores, neurons and data sets, from files and from packages.

A plug-in is a Python file that is named (`--plugin FILE`, or `SPIKELOOM_PLUGINS`, files separated
as in PATH), or a module of an installed package, under an entry point of the group `GROUP`. It is
imported, as a module of a name of its own, and registers what it has with

* `spikeloom.nas.strategies.register(name)`, `spikeloom.nas.scores.register(name)`: decorators of a
  class;
* `spikeloom.nas.datasets.register(name)`: decorator of a function that returns the `Dataset`;
* `spikeloom.nas.neurons.register(...)`: a call with the classes of a neuron.

An import runs the file: it can do all that its user can, and nobody but its user says that it is
run. An experiment or a run directory cannot name one to be imported; a run remembers its plug-ins
(`Record`) only to ask for those that are not there. Worker processes, which may be elsewhere, are
given the very texts that this process imported (`named`, `adopt`).
"""

import hashlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

import msgspec
from msgspec import Struct

from .errors import ConfigError, RunError, SpikeloomError
from .files import read_json, write_atomic

GROUP = "spikeloom.plugins"
VARIABLE = "SPIKELOOM_PLUGINS"
FORMAT = 1
FILE = "plugins.json"

#: Names that configurations can use without quotes.
_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)


class Plugin(Struct, frozen=True):
    """One that is imported. name: of its file, or of its entry point and package.

    digest: of the file's content; the version of a package.
    """

    name: str
    digest: str


class Record(Struct, frozen=True):
    """What a run directory keeps: the plug-ins that it was made with."""

    format: int
    plugins: list[Plugin]


#: What is imported, by path or by the value of an entry point; the texts of files, by path; and
#: what was registered, to be taken back: the registry and the name.
_loaded: dict[str, Plugin] = {}
_texts: dict[str, bytes] = {}
_added: list[tuple[dict, str]] = []


def add(kind: str, registry: dict, name: str, item: object, taken: Iterable[str] = ()) -> None:
    """Register `item`; ConfigError if something of that name is there, or in `taken`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"the name of a {kind} must be a letter, then letters, digits, '_', '.' "
                          f"or '-', at most 64, not {name!r}")
    if name in registry or name in taken:
        raise ConfigError(f"{kind} {name!r} is there already; its plug-in must choose another name")
    registry[name] = item
    _added.append((registry, name))


def load(files: Sequence[str | Path] = ()) -> None:
    """Import every installed plug-in, those of `SPIKELOOM_PLUGINS`, and `files`; none twice.

    Raises ConfigError, one line with file, line and error, for the first that does not import;
    what it had registered is taken back.
    """
    _installed()
    always = os.environ.get(VARIABLE, "").split(os.pathsep)
    for path in (*filter(None, always), *files):
        where = str(Path(path).resolve())
        if where not in _loaded:
            try:
                text = Path(where).read_bytes()
            except OSError as error:
                raise ConfigError(f"plug-in {path}: cannot be read ({error.strerror})") from error
            _file(where, text, str(path))


def named() -> list[tuple[str, bytes]]:
    """The files that are imported, and their texts, for another process to `adopt`."""
    return list(_texts.items())


def adopt(files: Iterable[tuple[str, bytes]]) -> None:
    """Import what another process has `named`, from its texts, and installed plug-ins.

    A worker may outlive the process that it worked for: other files than these are forgotten.
    """
    files = dict(files)
    if _texts and files != _texts:
        forget()
    _installed()
    for path, text in files.items():
        if path not in _loaded:
            _file(path, text, path)


def _installed() -> None:
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.value):
        if point.value not in _loaded:
            _import(f"{point.name} of {point.dist.name} {point.dist.version}", point.load)
            _loaded[point.value] = Plugin(f"{point.name} of {point.dist.name}", point.dist.version)


def _file(path: str, text: bytes, shown: str) -> None:
    _import(shown, lambda: _run(path, text), path)
    _loaded[path] = Plugin(Path(path).name, hashlib.sha256(text).hexdigest())
    _texts[path] = text


def forget() -> None:
    """Take back all that plug-ins registered, as if none had been imported."""
    _take_back(0)
    for path in _texts:
        sys.modules.pop(_module(path), None)
    _loaded.clear()
    _texts.clear()


def record(folder: Path) -> None:
    """Keep in a run directory which plug-ins there are; no file where there are none."""
    path = Path(folder) / FILE
    if _loaded or path.exists():
        kept = Record(FORMAT, sorted(_loaded.values(), key=lambda plugin: plugin.name))
        write_atomic(path, json.dumps(msgspec.to_builtins(kept), indent=1) + "\n")


def missing(folder: Path) -> list[Plugin]:
    """The plug-ins of a run directory of whose names none is imported."""
    here = {plugin.name for plugin in _loaded.values()}
    return [plugin for plugin in _recorded(folder) if plugin.name not in here]


def require(folder: Path, note: Callable[[str], None]) -> None:
    """Raise RunError if a plug-in of a run is not imported; note(text) for one that has changed."""
    if gone := missing(folder):
        raise RunError(f"{folder}: was begun with {listed(gone)}, which is not here; name "
                       "it again with --plugin")
    here = {plugin.name: plugin for plugin in _loaded.values()}
    for plugin in _recorded(folder):
        if here[plugin.name].digest != plugin.digest:
            note(f"plug-in {plugin.name} is not what it was when {folder} was begun; what is "
                 "stored there came of the older one")


def listed(plugins: Iterable[Plugin]) -> str:
    """Names in a sentence: ``plug-in hill.py``."""
    return " and ".join(f"plug-in {plugin.name}" for plugin in plugins)


def _recorded(folder: Path) -> list[Plugin]:
    path = Path(folder) / FILE
    if not path.exists():
        return []
    return read_json(path, Record, FORMAT, "plug-in", "make the run again").plugins


def _module(path: str) -> str:
    """The name of a file's module: the same in every process, another for every path."""
    stem = re.sub(r"\W", "_", Path(path).stem)
    return f"spikeloom_plugin_{stem}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def _run(path: str, text: bytes) -> None:
    name = _module(path)
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module  # as an import does, so that what it defines can be pickled
    try:
        exec(compile(text, path, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise


def _import(name: str, run: Callable, path: str | None = None) -> None:
    """Import one plug-in; ConfigError with its line where it does not."""
    mark = len(_added)
    try:
        made = run()
        if callable(made):
            made()
    except (Exception, SystemExit) as error:
        _take_back(mark)
        at = _line(error, path)
        what = str(error) if isinstance(error, SpikeloomError) else _what(error)
        raise ConfigError(f"plug-in {name}: {f'line {at}: ' if at else ''}{what}") from error
    except BaseException:
        _take_back(mark)
        raise


def _take_back(mark: int) -> None:
    while len(_added) > mark:
        registry, name = _added.pop()
        registry.pop(name, None)


def _what(error: BaseException) -> str:
    """Kind and text of an error, in one line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}" if text else type(error).__name__


def _line(error: BaseException, path: str | None) -> int | None:
    """The line of the plug-in's own file from which the error came."""
    if isinstance(error, SyntaxError) and (path is None or error.filename == path):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
             if frame.filename == path]
    return lines[-1] if lines else None
