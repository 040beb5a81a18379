"""The store of measurements: one SQLite file that all runs and commands share.

Every build adds what it measured, with the network it was made of; nothing is ever changed, but a
failure, which a later success replaces. `SPIKELOOM_DATA` names its directory. What one machine has
measured goes to another as JSON lines.
"""

import base64
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import platformdirs

from .. import ir
from ..database import Database
from ..errors import ConfigError, RunError
from .measured import Measurement, plain

FILE = "measurements.sqlite"

_FIRST = """
CREATE TABLE measurement (
    plan TEXT NOT NULL, seed INTEGER NOT NULL, tools TEXT NOT NULL, options TEXT NOT NULL,
    design TEXT NOT NULL, network TEXT NOT NULL,
    board TEXT NOT NULL, device TEXT NOT NULL, clock_mhz REAL NOT NULL,
    lowering TEXT NOT NULL, variant TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL,
    lc INTEGER, lut4 INTEGER, ff INTEGER, carry INTEGER, ebr INTEGER, spram INTEGER, dsp INTEGER,
    fmax_mhz REAL, critical_path TEXT,
    weight_memory INTEGER NOT NULL, memory_bits INTEGER,
    seconds TEXT NOT NULL, features TEXT NOT NULL, finished REAL NOT NULL,
    UNIQUE (plan, seed, tools, options)
);
CREATE INDEX measurement_design ON measurement (design);
"""
_SECOND = """
CREATE TABLE network (
    design TEXT NOT NULL UNIQUE,
    graph BLOB NOT NULL             -- a .safetensors file, compressed
);
"""

_THIRD = """
ALTER TABLE measurement ADD COLUMN lc_low INTEGER;
"""

FIELDS = Measurement.__struct_fields__
#: The columns of the table in the order in which versions have added them.
COLUMNS = (*(name for name in FIELDS if name != "lc_low"), "lc_low")
#: Columns that hold JSON.
_PLAIN = {"tools", "options", "critical_path", "seconds", "features"}
#: Columns by which `MeasurementStore.select` selects.
SELECTABLE = ("board", "device", "lowering", "status", "variant", "design", "network", "plan")


def default_path() -> Path:
    """The store of this user: in `SPIKELOOM_DATA`, or in the user's data directory."""
    folder = os.environ.get("SPIKELOOM_DATA") or platformdirs.user_data_path("spikeloom")
    return Path(folder) / FILE


#: The digest of a design, and its network as a .safetensors file.
Network = tuple[str, bytes]
Line = Measurement | Network


@dataclass(frozen=True)
class Merged:
    """What came of measurements from elsewhere.

    differs: those of which others are here, by the same tools of the same plan; these are kept.
    """

    added: list[Measurement] = field(default_factory=list)
    known: list[Measurement] = field(default_factory=list)
    differs: list[Measurement] = field(default_factory=list)


class MeasurementStore(Database):
    """The opened store, by default the user's; a context manager that closes it.

    Raises RunError for a file of a later version, `database.Damaged` for one that is damaged.
    `salvage` opens it safely, and mends it.
    """

    STEPS = (_FIRST, _SECOND, _THIRD)
    TABLE = "measurement"
    OTHER = "update spikeloom, or name another directory in SPIKELOOM_DATA"
    BUSY = "wait for the other process, and run the command again"
    DAMAGED = "the next build that uses it saves what can be read, and sets it aside"

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(default_path() if path is None else path)

    def add(self, item: Measurement, graph: ir.Graph | bytes | None = None) -> str:
        """Store a measurement; `added`, `known`, or `differs` from the one that is there.

        A measurement takes the place of a failure, and never the other way round.
        """
        with self.transaction():
            return self._add(item, graph)

    def _add(self, item: Measurement, graph: ir.Graph | bytes | None) -> str:
        """`add`, within a transaction."""
        if graph is not None:
            data = ir.to_bytes(graph) if isinstance(graph, ir.Graph) else graph
            self.db.execute("INSERT OR IGNORE INTO network VALUES (?,?)",
                            (item.design, zlib.compress(data, 9)))
        known = self._find(item)
        if known is not None and (known.counted or not item.counted):
            same = not item.counted or known.numbers == item.numbers
            return "known" if same else "differs"
        values = [_packed(item, name) for name in FIELDS]
        self.db.execute(f"INSERT OR REPLACE INTO measurement ({', '.join(FIELDS)}) "
                        f"VALUES ({','.join('?' * len(FIELDS))})", values)
        return "added"

    def fill(self, items: Iterable[Measurement], networks: Iterable[Network]) -> None:
        """Add measurements, and networks whose files are compressed: all of them or none."""
        with self.transaction():
            for item in items:
                self._add(item, None)
            self.db.executemany("INSERT OR IGNORE INTO network VALUES (?,?)", networks)

    def _find(self, item: Measurement) -> Measurement | None:
        row = self.db.execute(
            f"SELECT {', '.join(FIELDS)} FROM measurement "
            "WHERE plan=? AND seed=? AND tools=? AND options=?", item.key).fetchone()
        return None if row is None else self._item(row)

    def find(self, item: Measurement) -> Measurement | None:
        """The measurement stored under the key of this one."""
        with self.errors():
            return self._find(item)

    def select(self, limit: int | None = None, **wanted: str) -> list[Measurement]:
        """Measurements whose columns have these values, oldest first; the last `limit` of them."""
        for name in wanted:
            if name not in SELECTABLE:
                raise ConfigError(f"a measurement is selected by {', '.join(SELECTABLE)}, "
                                  f"not by {name!r}")
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        with self.errors():
            rows = self.db.execute(
                f"SELECT {', '.join(FIELDS)} FROM measurement WHERE {where} "
                "ORDER BY finished DESC, rowid DESC LIMIT ?",
                (*wanted.values(), -1 if limit is None else limit)).fetchall()
        return [self._item(row) for row in reversed(rows)]

    def _item(self, row: tuple) -> Measurement:
        try:
            return from_row(row)
        except (ValueError, TypeError) as error:
            raise RunError(f"{self.path}: holds a measurement of plan {row[0]} that cannot be read "
                           f"({error}); {self.OTHER}") from error

    def values(self, column: str) -> list[str]:
        """What there is in one of the columns `SELECTABLE`."""
        with self.errors():
            return [value for value, in self.db.execute(
                f"SELECT DISTINCT {column} FROM measurement ORDER BY 1")]

    def count(self) -> int:
        """How many measurements there are, failures included."""
        with self.errors():
            return self.db.execute("SELECT count(*) FROM measurement").fetchone()[0]

    def graph(self, design: str) -> ir.Graph | None:
        """The scheduled network of a design, None if it is not here."""
        data = self._network(design)
        return None if data is None else ir.from_bytes(data, f"{self.path}: network {design[:12]}")

    def _network(self, design: str) -> bytes | None:
        with self.errors():
            row = self.db.execute("SELECT graph FROM network WHERE design=?", (design,)).fetchone()
        try:
            return None if row is None else zlib.decompress(row[0])
        except zlib.error as error:
            raise RunError(f"{self.path}: network {design[:12]} is damaged ({error})") from error

    def lines(self, items: Iterable[Measurement]) -> Iterator[str]:
        """Measurements as JSON lines, each design's network in front of its first one."""
        seen = set()
        for item in items:
            if item.design not in seen:
                seen.add(item.design)
                data = self._network(item.design)
                if data is not None:
                    packed = base64.b64encode(zlib.compress(data, 9)).decode()
                    yield plain({"network": item.design, "graph": packed})
            yield msgspec.json.encode(item).decode()

    def merge(self, lines: Sequence[Line]) -> Merged:
        """Add what `read_lines` found, all of it or on any failure nothing."""
        found = Merged()
        networks: dict[str, bytes] = {}
        with self.transaction():
            for line in lines:
                if isinstance(line, Measurement):
                    outcome = self._add(line, networks.get(line.design))
                    getattr(found, outcome).append(line)
                else:
                    networks[line[0]] = line[1]
        return found


def read_lines(source: Iterable[bytes], where: str) -> list[Line]:
    """The measurements and the networks of JSON lines, in order.

    Raises ConfigError that names the line for what is neither.
    """
    found = []
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
            if isinstance(content, dict) and "graph" in content:
                found.append(_network_of(content))
            else:
                found.append(msgspec.json.decode(line, type=Measurement))
        except (ValueError, KeyError, TypeError, RecursionError, zlib.error, RunError) as error:
            raise ConfigError(f"{where}: line {number} must be a measurement or a network, as "
                              f"'spikeloom store export' writes them, not this one ({error})"
                              ) from error
    return found


def _network_of(content: dict) -> Network:
    design = str(content["network"])
    data = zlib.decompress(base64.b64decode(content["graph"], validate=True))
    if ir.from_bytes(data, "its graph").digest() != design:
        raise ValueError("its graph is not that of the network that it names")
    return design, data


def _packed(item: Measurement, name: str) -> object:
    value = getattr(item, name)
    if name in _PLAIN and value is not None:
        return plain(msgspec.to_builtins(value))
    return value


def from_row(row: tuple, names: Sequence[str] = FIELDS) -> Measurement:
    """A measurement from its columns of these names."""
    values = {name: json.loads(value) if name in _PLAIN and value is not None else value
              for name, value in zip(names, row, strict=True)}
    return msgspec.convert(values, Measurement)
