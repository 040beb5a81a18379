"""SQLite files that are never emptied: opened, checked, migrated, and written one batch at a time.

Write-ahead logging lets others read while one process writes; a second writer waits its turn, and
whoever is killed loses the transaction in hand and nothing before it.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from .errors import RunError, SpikeloomError

#: Seconds for which a writer waits until another one has finished.
PATIENCE = 30.0


class Database:
    """An open SQLite file; a context manager that closes it. A store is a subclass."""

    #: What makes version n + 1 of version n, in order; a new file takes all steps.
    STEPS: tuple[str, ...] = ()
    #: A table that every version has, by which the file of another program is told.
    TABLE = ""
    #: What to do about a file that cannot be used, for messages.
    AGAIN = "run the command again"
    BUSY = "wait for the other process"
    OTHER = "use another one"
    DAMAGED = "use another one"

    def __init__(self, path: Path) -> None:
        """Open or make the file, and bring it to this version.

        Raises Damaged if it is damaged, RunError if it is another program's or of a later version;
        such a file is left as it is.
        """
        self.path = Path(path)
        with self.errors(), contextlib.ExitStack() as undo:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(self.path, isolation_level=None, timeout=PATIENCE)
            undo.callback(self.db.close)
            version = self._version()
            problem = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError(problem.splitlines()[-1])
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
            if version < len(self.STEPS):
                with self.transaction():
                    self._migrate(self._version())  # another process may have been faster
            undo.pop_all()

    def _version(self) -> int:
        """How many of the steps the file has taken."""
        # in one statement, between whose parts nobody can write
        version, tables, own = self.db.execute(
            "SELECT user_version, (SELECT count(*) FROM sqlite_master), "
            "(SELECT count(*) FROM sqlite_master WHERE name = ?) FROM pragma_user_version",
            (self.TABLE,)).fetchone()
        if version > len(self.STEPS):
            raise RunError(f"{self.path}: has version {version}, this version of spikeloom reads "
                           f"up to {len(self.STEPS)}; {self.OTHER}")
        if bool(version) != bool(own) or bool(tables) != bool(own):
            raise RunError(f"{self.path}: is a database of another program, without a table "
                           f"{self.TABLE!r}; {self.OTHER}")
        return version

    def _migrate(self, version: int) -> None:
        if version < len(self.STEPS):
            for statement in _statements("\n".join(self.STEPS[version:])):
                self.db.execute(statement)
            self.db.execute(f"PRAGMA user_version={len(self.STEPS)}")

    def __enter__(self):
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    def close(self) -> None:
        self.db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is written inside, or on any failure nothing."""
        with self.errors():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors as ours: a damaged file is RunError, all else SpikeloomError."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "full" in text:
                raise SpikeloomError(f"{self.path}: no space left on the device; what was stored "
                                     f"is kept, free some space and {self.AGAIN}") from error
            if "locked" in text:
                raise RunError(f"{self.path}: is in use by another process; {self.BUSY}"
                               ) from error
            raise SpikeloomError(f"{self.path}: cannot be used ({text})") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(f"{self.path}: is damaged ({error}); {self.DAMAGED}") from error
        except OSError as error:
            raise SpikeloomError(f"{self.path}: cannot be used ({error.strerror})") from error


def _statements(script: str) -> Iterator[str]:
    """Statements, each ending its line; `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


class Damaged(RunError):
    """The file is no database, or not a whole one."""


def set_aside(path: Path) -> Path | None:
    """Rename a database and its journal files out of the way, keeping them; the new name, if any.
    """
    path = Path(path)
    if not path.exists():
        return None
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    try:
        path.rename(kept)
        for suffix in ("-wal", "-shm"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                beside.rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise RunError(f"{path}: cannot be renamed ({error.strerror})") from error
    return kept
