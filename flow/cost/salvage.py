"""Salvage: a damaged store is set aside, and what can still be read of it goes into a new one.

Whoever uses the store holds a lock beside it, which all of them share and salvage has alone;
so nothing is added to a file that is being replaced. The damaged file is copied, and then replaced
by the whole new store in one step: a kill on the way costs nothing that could be read.
"""

import contextlib
import fcntl
import os
import random
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import ir
from ..database import Damaged
from ..errors import RunError, SpikeloomError
from ..files import write_atomic
from ..pages import Pages
from .measured import Measurement
from .store import COLUMNS, MeasurementStore, default_path, from_row

LOCK = ".lock"
#: Seconds, more or less, after which a process looks again at a damaged store that others use.
AGAIN = 0.1
Note = Callable[[str], None]


@contextlib.contextmanager
def open_store(path: Path | None = None, note: Note | None = None) -> Iterator[MeasurementStore]:
    """The store to write to, or, if it is damaged, a new one with what could be saved of it.

    note: told what was saved, and where the damaged file is kept. Raises as `MeasurementStore`;
    Damaged for another file than the user's store alone, if nothing in it is a measurement.
    """
    path = default_path() if path is None else Path(path)
    with contextlib.ExitStack() as held:
        held.enter_context(_lock(path, fcntl.LOCK_SH))
        mended = False
        while True:
            try:
                store = MeasurementStore(path)
                break
            except Damaged:
                if mended:
                    raise
                held.close()
                try:
                    _mend(path, note)
                    mended = True
                except BlockingIOError:
                    time.sleep(random.uniform(0.5, 1.5) * AGAIN)
                held.enter_context(_lock(path, fcntl.LOCK_SH))
        with store:
            yield store


@contextlib.contextmanager
def read_store(path: Path | None = None) -> Iterator[MeasurementStore | None]:
    """The store to read from, None if there is none yet; makes no file, and mends none."""
    path = default_path() if path is None else Path(path)
    with contextlib.ExitStack() as held:
        if not path.exists() or (path.is_file() and not path.stat().st_size):
            yield None
            return
        if path.with_name(path.name + LOCK).exists():
            held.enter_context(_lock(path, fcntl.LOCK_SH))
        yield held.enter_context(MeasurementStore(path))


@contextlib.contextmanager
def _lock(path: Path, kind: int) -> Iterator[None]:
    """Hold a lock of fcntl's kind beside the store."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(path.name + LOCK).open("a")
    except OSError as error:
        raise SpikeloomError(f"{path}: cannot be used ({error.strerror})") from error
    with file:
        fcntl.flock(file, kind)
        yield


def _mend(path: Path, note: Note | None) -> None:
    """Mend a store that nobody uses; BlockingIOError if it is used.

    It does not wait: once another process has mended the store, users come and go without end, and
    a moment without any of them may never come.
    """
    with _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
        try:
            MeasurementStore(path).close()
            return  # another process has been here
        except Damaged as error:
            items, networks = _readable(path)
            if not items and path != default_path():
                raise  # it may be no store at all
            problem = str(error).split(";")[0]
        try:
            with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                with MeasurementStore(Path(folder) / path.name) as store:
                    store.fill(items, networks)
                kept = _keep(path)
                for suffix in ("-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                os.replace(store.path, path)
        except OSError as error:
            raise SpikeloomError(f"{problem}, and cannot be mended ({error.strerror}); free some "
                                 "space and run the command again") from error
    if note is not None:
        note(f"{problem}: {len(items)} measurements and {len(networks)} networks could be read and "
             f"go on in a new store; the damaged one is kept as {kept}")


def _keep(path: Path) -> Path:
    """Copy a database and its journal under a name that is free; the name."""
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    for suffix in ("-wal", ""):
        source = path.with_name(path.name + suffix)
        if source.exists():
            write_atomic(kept.with_name(kept.name + suffix), source.read_bytes())
    return kept


def _readable(path: Path) -> tuple[list[Measurement], list[tuple[str, bytes]]]:
    """The measurements and networks of a damaged file that are whole."""
    items, networks = [], []
    pages = Pages(path)
    for count in (len(COLUMNS), len(COLUMNS) - 1):  # rows of version 2 have one less
        for row in pages.rows(count):
            with contextlib.suppress(ValueError, TypeError):
                items.append(from_row(row, COLUMNS[:count]))
    for design, data in pages.rows(2):
        with contextlib.suppress(ValueError, TypeError, RunError, zlib.error):
            if ir.from_bytes(zlib.decompress(data), design).digest() == design:
                networks.append((design, data))
    return items, networks
