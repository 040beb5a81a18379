"""Everything a search has paid for, in one SQLite file of its run directory.

Evaluations (one trained candidate each) and syntheses (one place and route each) are added as they
end and never changed, so a search that was killed goes on where it was. The file is never emptied:
one that is damaged or of another version is refused, and starting afresh sets it aside.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from ..flow import ir
from ..flow.errors import RunError, SpikeloomError

FILE = "search.sqlite"
VERSION = 1

_SCHEMA = """
CREATE TABLE evaluation (
    genome TEXT NOT NULL,       -- canonical JSON of the candidate
    seed INTEGER NOT NULL,      -- of its training
    settings TEXT NOT NULL,     -- digest of data, split and training settings
    id TEXT NOT NULL,           -- short name of the genome
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL,  -- in the generation
    accuracy REAL,              -- on the validation split; NULL where none was held out
    epochs INTEGER NOT NULL,
    stopped TEXT,               -- why training ended early
    seconds REAL NOT NULL,      -- its share of the batch
    estimate TEXT NOT NULL,     -- JSON: the columns priced from the trained graph, estimates all
    graph BLOB,                 -- the integer graph, as in a .safetensors file
    finished REAL NOT NULL,     -- Unix time
    PRIMARY KEY (genome, seed, settings)
) WITHOUT ROWID;
CREATE TABLE synthesis (
    design TEXT NOT NULL,       -- digest of the graph
    board TEXT NOT NULL,
    seed INTEGER NOT NULL,      -- of place and route
    tools TEXT NOT NULL,        -- JSON: name and version of each
    status TEXT NOT NULL,       -- 'routed', 'over-full' or 'failed'
    reason TEXT,                -- why not routed
    lc INTEGER, lut4 INTEGER, ff INTEGER, carry INTEGER, ebr INTEGER, spram INTEGER, dsp INTEGER,
    fmax_mhz REAL, meets_clock INTEGER, seconds REAL,
    estimate TEXT NOT NULL,     -- JSON: the structural estimate beside the measurement
    report TEXT,                -- JSON: the whole report
    finished REAL NOT NULL,
    PRIMARY KEY (design, board, seed, tools)
) WITHOUT ROWID;
"""


class Evaluation(Struct, frozen=True):
    """One trained candidate. `estimate` holds columns priced from its integer graph."""

    genome: str
    seed: int
    settings: str
    id: str
    generation: int
    position: int
    accuracy: float | None
    epochs: int
    stopped: str | None
    seconds: float
    estimate: dict[str, float]


class Synthesis(Struct, frozen=True):
    """One place and route: measured numbers, and the structural estimate beside them."""

    design: str
    board: str
    seed: int
    tools: dict[str, str]
    status: str
    reason: str | None
    lc: int | None
    lut4: int | None
    ff: int | None
    carry: int | None
    ebr: int | None
    spram: int | None
    dsp: int | None
    fmax_mhz: float | None
    meets_clock: bool | None
    seconds: float
    estimate: dict[str, float]
    report: dict | None


class Store:
    """The opened store of one run directory; a context manager that closes it."""

    def __init__(self, path: Path) -> None:
        """Open or make the store. RunError if it is damaged or of another version."""
        self.path = Path(path)
        with self._errors(), contextlib.ExitStack() as undo:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            undo.callback(self.db.close)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            if self.db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._check()
            else:
                self.db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            undo.pop_all()

    def _check(self) -> None:
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        problem = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem.splitlines()[-1])
        if version != VERSION:
            raise RunError(f"{self.path}: has store version {version}, this version of spikeloom "
                           f"reads {VERSION}; use another --run, or --fresh to set it aside")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    def close(self) -> None:
        self.db.close()

    def add(self, rows: Iterable[tuple[Evaluation, ir.Graph | None]]) -> None:
        """Store the evaluations of one batch: all of them, or on any failure none."""
        with self._transaction():
            for row, graph in rows:
                blob = None if graph is None else ir.to_bytes(graph)
                self.db.execute(
                    "INSERT OR REPLACE INTO evaluation VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (row.genome, row.seed, row.settings, row.id, row.generation, row.position,
                     row.accuracy, row.epochs, row.stopped, row.seconds,
                     json.dumps(row.estimate, sort_keys=True), blob, time.time()))

    def find(self, genome: str, seed: int, settings: str) -> Evaluation | None:
        """The evaluation stored under this key."""
        with self._errors():
            row = self.db.execute(
                f"SELECT {_EVALUATION} FROM evaluation WHERE genome=? AND seed=? AND settings=?",
                (genome, seed, settings)).fetchone()
        return None if row is None else _evaluation(row)

    def evaluations(self, settings: str | None = None) -> list[Evaluation]:
        """All evaluations (of one settings digest), by generation and position."""
        with self._errors():
            rows = self.db.execute(
                f"SELECT {_EVALUATION} FROM evaluation WHERE ?1 IS NULL OR settings=?1 "
                "ORDER BY generation, position, genome", (settings,)).fetchall()
        return [_evaluation(row) for row in rows]

    def graph(self, row: Evaluation) -> ir.Graph:
        """The trained integer graph of an evaluation."""
        with self._errors():
            found = self.db.execute(
                "SELECT graph FROM evaluation WHERE genome=? AND seed=? AND settings=?",
                (row.genome, row.seed, row.settings)).fetchone()
        if found is None or found[0] is None:
            raise RunError(f"{self.path}: holds no trained network for candidate {row.id}")
        return ir.from_bytes(found[0], f"{self.path}: candidate {row.id}")

    def count(self) -> int:
        """How many evaluations are stored."""
        with self._errors():
            return self.db.execute("SELECT count(*) FROM evaluation").fetchone()[0]

    def add_synthesis(self, row: Synthesis) -> None:
        """Store one place and route."""
        with self._transaction():
            self.db.execute(
                f"INSERT OR REPLACE INTO synthesis VALUES ({','.join('?' * 19)})",
                (row.design, row.board, row.seed, json.dumps(row.tools, sort_keys=True),
                 row.status, row.reason, row.lc, row.lut4, row.ff, row.carry, row.ebr, row.spram,
                 row.dsp, row.fmax_mhz, row.meets_clock, row.seconds,
                 json.dumps(row.estimate, sort_keys=True),
                 None if row.report is None else json.dumps(row.report, sort_keys=True),
                 time.time()))

    def syntheses(self) -> list[Synthesis]:
        """Every place and route, oldest first."""
        with self._errors():
            rows = self.db.execute(
                f"SELECT {', '.join(Synthesis.__struct_fields__)} FROM synthesis "
                "ORDER BY finished, design").fetchall()
        return [_synthesis(row) for row in rows]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as ours: a damaged file is RunError, all else SpikeloomError."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "full" in text:
                raise SpikeloomError(f"{self.path}: no space left on the device; what was stored "
                                     "is kept, free some space and go on with --resume") from error
            if "locked" in text:
                raise RunError(f"{self.path}: is in use by another search; wait for it, or use "
                               "another --run") from error
            raise SpikeloomError(f"{self.path}: cannot be used ({text})") from error
        except sqlite3.DatabaseError as error:
            raise RunError(f"{self.path}: is damaged ({error}); use another --run, or --fresh to "
                           "set it aside and start again") from error


def set_aside(path: Path) -> Path | None:
    """Rename a store and its journal files out of the way, keeping them; the new name, if any."""
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


_EVALUATION = ", ".join(Evaluation.__struct_fields__)


def _evaluation(row: tuple) -> Evaluation:
    return Evaluation(*row[:-1], estimate=json.loads(row[-1]))


def _synthesis(row: tuple) -> Synthesis:
    item = dict(zip(Synthesis.__struct_fields__, row))
    for key in ("tools", "estimate", "report"):
        item[key] = None if item[key] is None else json.loads(item[key])
    if item["meets_clock"] is not None:
        item["meets_clock"] = bool(item["meets_clock"])
    return Synthesis(**item)
