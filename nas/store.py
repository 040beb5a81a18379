"""Everything a search has paid for, in one SQLite file of its run directory.

Evaluations (one trained candidate each) and syntheses (one place and route each) are added as they
end and never changed, so a search that was killed goes on where it was. The file is never emptied:
one that is damaged or of another version is refused, and starting afresh sets it aside.
"""

import json
import time
from collections.abc import Iterable

from msgspec import Struct

from ..flow import ir
from ..flow.database import Database
from ..flow.errors import RunError

FILE = "search.sqlite"

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
    status TEXT NOT NULL,       -- 'routed', 'over-full', 'cancelled' or 'failed'
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


class Store(Database):
    """The opened store of one run directory; a context manager that closes it."""

    STEPS = (_SCHEMA,)
    AGAIN = "go on with --resume"
    BUSY = "wait for that search, or use another --run"
    OTHER = "use another --run, or --fresh to set it aside"
    DAMAGED = "use another --run, or --fresh to set it aside and start again"

    def add(self, rows: Iterable[tuple[Evaluation, ir.Graph | None]]) -> None:
        """Store the evaluations of one batch: all of them, or on any failure none."""
        with self.transaction():
            for row, graph in rows:
                blob = None if graph is None else ir.to_bytes(graph)
                self.db.execute(
                    "INSERT OR REPLACE INTO evaluation VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    (row.genome, row.seed, row.settings, row.id, row.generation, row.position,
                     row.accuracy, row.epochs, row.stopped, row.seconds,
                     json.dumps(row.estimate, sort_keys=True), blob, time.time()))

    def find(self, genome: str, seed: int, settings: str) -> Evaluation | None:
        """The evaluation stored under this key."""
        with self.errors():
            row = self.db.execute(
                f"SELECT {_EVALUATION} FROM evaluation WHERE genome=? AND seed=? AND settings=?",
                (genome, seed, settings)).fetchone()
        return None if row is None else _evaluation(row)

    def evaluations(self, settings: str | None = None) -> list[Evaluation]:
        """All evaluations (of one settings digest), by generation and position."""
        with self.errors():
            rows = self.db.execute(
                f"SELECT {_EVALUATION} FROM evaluation WHERE ?1 IS NULL OR settings=?1 "
                "ORDER BY generation, position, genome", (settings,)).fetchall()
        return [_evaluation(row) for row in rows]

    def graph(self, row: Evaluation) -> ir.Graph:
        """The trained integer graph of an evaluation."""
        with self.errors():
            found = self.db.execute(
                "SELECT graph FROM evaluation WHERE genome=? AND seed=? AND settings=?",
                (row.genome, row.seed, row.settings)).fetchone()
        if found is None or found[0] is None:
            raise RunError(f"{self.path}: holds no trained network for candidate {row.id}")
        return ir.from_bytes(found[0], f"{self.path}: candidate {row.id}")

    def count(self) -> int:
        """How many evaluations are stored."""
        with self.errors():
            return self.db.execute("SELECT count(*) FROM evaluation").fetchone()[0]

    def add_synthesis(self, row: Synthesis) -> None:
        """Store one place and route."""
        with self.transaction():
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
        with self.errors():
            rows = self.db.execute(
                f"SELECT {', '.join(Synthesis.__struct_fields__)} FROM synthesis "
                "ORDER BY finished, design").fetchall()
        return [_synthesis(row) for row in rows]


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
