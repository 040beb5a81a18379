"""Salvage: a damaged store is set aside, and what can still be read of it goes into a new one."""

import contextlib
import fcntl
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .. import ir
from ..database import Damaged, set_aside
from ..errors import RunError, SpikeloomError
from .measured import Measurement
from .store import FIELDS, MeasurementStore, default_path, from_row

#: No store has a row of this number.
LAST = 1 << 40


def open_store(path: Path | None = None, note: Callable[[str], None] | None = None
               ) -> MeasurementStore:
    """The store, or, if it is damaged, a new one with what could be saved of it.

    note: told what was saved, and where the damaged file is kept.
    """
    path = default_path() if path is None else Path(path)
    try:
        return MeasurementStore(path)
    except Damaged:
        pass
    with _alone(path):
        try:
            return MeasurementStore(path)  # another process has been here
        except Damaged as error:
            problem = str(error)
        kept = set_aside(path)
        items, networks = _readable(kept)
        store = MeasurementStore(path)
        store.fill(items, networks)
    if note is not None:
        note(f"{problem.split(';')[0]}: {len(items)} measurements and {len(networks)} networks "
             f"could be read and go on in a new store; the damaged one is kept as {kept}")
    return store


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock beside the store, so that one process alone salvages it."""
    try:
        file = path.with_name(path.name + ".lock").open("a")
    except OSError as error:
        raise SpikeloomError(f"{path}: cannot be mended ({error.strerror})") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _readable(path: Path) -> tuple[list[Measurement], list[tuple]]:
    """The measurements and networks of a damaged file that can be read."""
    items, networks = [], []
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as db:
        there = {row[1] for row in db.execute("PRAGMA table_info(measurement)")}
        names = [name for name in FIELDS if name in there]  # an older store has fewer
        for row in _rows(db, "measurement", names):
            with contextlib.suppress(ValueError, TypeError):
                items.append(from_row(row, names))
        for design, data in _rows(db, "network", ("design", "graph")):
            with contextlib.suppress(ValueError, TypeError, RunError, zlib.error):
                if ir.from_bytes(zlib.decompress(data), design).digest() == design:
                    networks.append((design, data))
    return items, networks


def _rows(db: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[tuple]:
    """The rows that can be read: where one cannot, ever larger steps lead past it."""
    found, after, step = [], 0, 1
    while after < LAST:
        try:
            for number, *row in db.execute(
                    f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid > ? "
                    "ORDER BY rowid", (after,)):
                found.append(tuple(row))
                after, step = number, 1
            break
        except sqlite3.DatabaseError:
            after, step = after + step, 2 * step
    return found
