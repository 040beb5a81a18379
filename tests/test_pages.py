"""Rows read page by page are those that SQLite has."""

import random
import shutil
import sqlite3

import pytest

from spikeloom.flow.pages import Pages


def value(rng):
    size = rng.choice([0, 1, 30, 300, 3000, 30000])
    return rng.choice([
        None, 0, 1, -1, 2**63 - 1, -2**63, rng.randrange(-2**rng.randrange(1, 63), 2**40),
        rng.random(), -1e300, 5.0, "ü" * size, rng.randbytes(size)])


@pytest.fixture
def table(tmp_path):
    """Make a file of two tables: its path and the rows of the first, of four columns."""
    def make(page_size, journal="wal", count=300):
        rng, path = random.Random(page_size), tmp_path / "x.sqlite"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute(f"PRAGMA page_size={page_size}")
        db.execute(f"PRAGMA journal_mode={journal}")
        db.execute("CREATE TABLE a (w, x, y, z)")
        db.execute("PRAGMA synchronous=OFF")
        db.execute("CREATE TABLE b (x, y)")
        db.execute("CREATE INDEX i ON a (w, x, y)")
        rows = [tuple(value(rng) for _ in range(4)) for _ in range(count)]
        for row in rows:
            db.execute("BEGIN")
            db.execute("INSERT INTO a VALUES (?,?,?,?)", row)
            db.execute("INSERT INTO b VALUES (?,?)", row[:2])
            db.execute("COMMIT")
        found = db.execute("SELECT * FROM a").fetchall()
        copy = tmp_path / "copy.sqlite"  # as a kill leaves it
        for suffix in ("", "-wal"):
            if path.with_name(path.name + suffix).exists():
                shutil.copy(path.with_name(path.name + suffix),
                            copy.with_name(copy.name + suffix))
        db.close()
        return copy, found
    return make


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_all_rows_are_read(table, page_size, journal):
    path, rows = table(page_size, journal)
    found = list(Pages(path).rows(4))
    assert sorted(map(repr, found)) == sorted(map(repr, rows))
    assert not list(Pages(path).rows(3)) and len(list(Pages(path).rows(2))) == len(rows)


@pytest.mark.parametrize("seed", range(20))
def test_damage_costs_rows_and_nothing_else(table, seed):
    path, rows = table(4096, "delete", 60)
    data, rng = bytearray(path.read_bytes()), random.Random(seed)
    for _ in range(30):
        at = rng.randrange(100, len(data) - 200)
        data[at:at + 200] = rng.randbytes(200)
    del data[rng.randrange(len(data) // 2, len(data)):]
    path.write_bytes(data)
    found = list(Pages(path).rows(4))
    assert len(found) <= len(rows) and all(len(row) == 4 for row in found)


def test_a_row_that_goes_on_for_ever_ends(tmp_path):
    size = 489 + 4092 * 2**40  # of which 489 bytes are in the leaf
    page = bytearray(4096)
    page[3:5], page[0], page[8:10] = b"\0\1", 0x0D, b"\1\0"  # one cell, at 256
    cell = bytes(size >> 7 * k & 0x7F | 0x80 * (k > 0) for k in reversed(range(8))) + b"\1"
    page[256:256 + len(cell)] = cell
    page[256 + len(cell) + 489 + 3] = 3  # it goes on in page 3, and page 3 in itself
    (tmp_path / "x").write_bytes(bytes(4096) + page + b"\0\0\0\3" * 1024)
    assert list(Pages(tmp_path / "x").rows(4)) == []


def test_nothing_is_in_nothing(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"x" * 99, b"SQLite format 3\0", b"\r" * 20000):
        path.write_bytes(content)
        path.with_name("x-wal").write_bytes(content)
        assert list(Pages(path).rows(4)) == []
