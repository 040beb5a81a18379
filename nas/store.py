"""Everything a search has paid for, in one SQLite file of its run directory.

Evaluations (one trained candidate each) and builds (one place and route each) are added as they end
and never changed, so a search that was killed goes on where it was. The file is never emptied: one
that is damaged or of a later version is refused, and starting afresh sets it aside.
"""

import json
import time
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from ..flow import ir
from ..flow.cost.measured import Measurement
from ..flow.database import Database
from ..flow.errors import RunError

FILE = "search.sqlite"

_FIRST = """
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


#: Builds are now measurements of one training; reports of the others are in the run's folders.
_SECOND = """
DROP TABLE synthesis;
ALTER TABLE evaluation ADD COLUMN features TEXT;    -- JSON: what predicts cells
CREATE TABLE build (
    genome TEXT NOT NULL, training INTEGER NOT NULL, settings TEXT NOT NULL,
    board TEXT NOT NULL,
    seed INTEGER NOT NULL,      -- of place and route
    status TEXT NOT NULL, reason TEXT NOT NULL, seconds REAL NOT NULL,
    measurement TEXT,           -- JSON
    PRIMARY KEY (genome, training, settings, board, seed)
);
"""


class Evaluation(Struct, frozen=True):
    """One trained candidate. `estimate` holds columns priced from its integer graph.

    features: what predicts its cells; None in a file of an older version.
    """

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
    features: dict[str, float] | None


class Build(Struct, frozen=True):
    """What came of building one training of a candidate; `measurement` is None if nothing did."""

    genome: str
    training: int
    settings: str
    board: str
    seed: int
    status: str
    reason: str
    seconds: float
    measurement: Measurement | None


class Store(Database):
    """The opened store of one run directory; a context manager that closes it."""

    STEPS = (_FIRST, _SECOND)
    TABLE = "evaluation"
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
                    f"INSERT OR REPLACE INTO evaluation ({_EVALUATION}, graph, finished) "
                    f"VALUES ({','.join('?' * 14)})",
                    (row.genome, row.seed, row.settings, row.id, row.generation, row.position,
                     row.accuracy, row.epochs, row.stopped, row.seconds,
                     _plain(row.estimate), _plain(row.features), blob, time.time()))

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

    def add_build(self, row: Build) -> None:
        """Store what came of one build."""
        found = row.measurement
        with self.transaction():
            self.db.execute(
                "INSERT OR REPLACE INTO build VALUES (?,?,?,?,?,?,?,?,?)",
                (row.genome, row.training, row.settings, row.board, row.seed, row.status,
                 row.reason, row.seconds,
                 None if found is None else msgspec.json.encode(found).decode()))

    def builds(self) -> list[Build]:
        """Every build, in order."""
        with self.errors():
            rows = self.db.execute(
                f"SELECT {', '.join(Build.__struct_fields__)} FROM build ORDER BY rowid").fetchall()
        return [Build(*row[:-1], row[-1] and msgspec.json.decode(row[-1], type=Measurement))
                for row in rows]

    def find_build(self, genome: str, training: int, settings: str, board: str, seed: int
                   ) -> Build | None:
        """The build stored under this key."""
        wanted = (genome, training, settings, board, seed)
        return next((row for row in self.builds() if (row.genome, row.training, row.settings,
                                                      row.board, row.seed) == wanted), None)


_EVALUATION = ", ".join(Evaluation.__struct_fields__)


def _evaluation(row: tuple) -> Evaluation:
    *plain, estimate, features = row
    return Evaluation(*plain, estimate=json.loads(estimate),
                      features=features and json.loads(features))


def _plain(value: dict | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True)
