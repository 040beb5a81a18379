"""The store of measurements: whole records, one for each key, never emptied, shared by all."""

import fcntl
import itertools
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import measurements
import msgspec
import pytest
from measurements import TOOLS, fill, graph, measured

from spikeloom.flow.cost import salvage
from spikeloom.flow.cost.measured import STATUS, lowering_of, network_digest
from spikeloom.flow.cost.salvage import open_store, read_store
from spikeloom.flow.cost.store import _FIRST, COLUMNS, FIELDS, MeasurementStore, read_lines
from spikeloom.flow.database import Damaged
from spikeloom.flow.errors import ConfigError, RunError, SpikeloomError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.nas.store import Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.sqlite"


def lines(store, **wanted):
    return [line.encode() for line in store.lines(store.select(**wanted))]


@pytest.mark.parametrize("status", STATUS)
def test_every_field_survives(path, status):
    item, network = measured(status=status, design=graph().digest()), graph()
    assert set(msgspec.to_builtins(item)) == set(FIELDS)
    with MeasurementStore(path) as store:
        assert store.add(item, network) == "added"
    with MeasurementStore(path) as store:
        assert store.select() == [item] and store.find(item) == item
        found = store.graph(item.design)
        assert found.digest() == network.digest() and found.text() == network.text()
        assert store.graph("another") is None


@pytest.mark.parametrize(("changes", "match"), [
    ({"status": "fine"}, "status must be one of routed, over-full"),
    ({"lc": None}, "lc must be given where status is 'routed'"),
    ({"fmax_mhz": None}, "fmax_mhz must be given where status is 'routed', and only there"),
    ({"status": "over-full", "fmax_mhz": 12.0}, "fmax_mhz must be given"),
    ({"status": "failed", "ff": 1}, "ff must be left out where status is 'failed'"),
])
def test_numbers_are_those_of_the_status(changes, match):
    with pytest.raises(ValueError, match=match):
        measured(**changes)


def test_one_row_for_each_key(path):
    first = measured()
    others = [measured("q"), measured(seed=2), measured(tools=TOOLS | {"yosys": "yosys 0.71"}),
              measured(options={"routers": "b,a"})]
    with MeasurementStore(path) as store:
        assert [store.add(item) for item in (first, *others)] == ["added"] * 5
        assert store.add(measured(seconds={"yosys": 9.0}, finished=5.0)) == "known"
        assert store.add(measured(lc=1)) == "differs"
        assert store.count() == 5 and store.find(first) == first


def test_a_measurement_takes_the_place_of_a_failure_and_never_the_reverse(path):
    failed, late = measured(status="failed", reason="crashed"), measured(status="timed-out")
    with MeasurementStore(path) as store:
        assert [store.add(item) for item in (failed, late)] == ["added", "known"]
        assert store.select() == [failed]
        assert store.add(measured(status="unroutable")) == "added"
        assert [store.add(item) for item in (failed, late)] == ["known", "known"]
        assert [item.status for item in store.select()] == ["unroutable"]


def test_selection(path):
    with MeasurementStore(path) as store:
        for number, board in enumerate("aba"):
            store.add(measured(f"{number}", board=board, finished=9.0 - number))
        assert [item.plan for item in store.select()] == ["2", "1", "0"]
        assert [item.plan for item in store.select(limit=1, board="a")] == ["0"]
        assert store.values("board") == ["a", "b"]
        with pytest.raises(ConfigError, match=r"is selected by board, device, .*not by 'seed'"):
            store.select(seed="1")


def test_export_and_import(tmp_path, path):
    items = fill(path, 3)
    again = items[2]
    with MeasurementStore(path) as store:
        store.add(msgspec.structs.replace(again, seed=2, status="failed", **measurements.NOTHING))
        exported, everything = lines(store), store.select()
    assert len(exported) == 3 + 4  # a network once, however many seeds it has
    with MeasurementStore(tmp_path / "other.sqlite") as other:
        other.add(items[0])
        other.add(msgspec.structs.replace(items[1], lc=77))
        merged = other.merge(read_lines(exported, "f"))
        assert merged.known == [items[0]] and merged.differs == [items[1]]
        assert merged.added == everything[2:]
        assert other.find(items[1]).lc == 77
        # networks of what was known come along
        assert other.graph(items[0].design).digest() == items[0].design
        assert len(other.merge(read_lines(exported * 2, "f")).known) == 2 * 3
        assert other.merge([]).added == []
    with MeasurementStore(path) as store, MeasurementStore(tmp_path / "third.sqlite") as third:
        third.merge(read_lines(lines(store), "f"))
        assert lines(third) == exported


BAD = {
    "cut": lambda line: line[:-9], "no object": lambda line: b"[]", "binary": lambda line: b"\xff",
    "deep": lambda line: b"[" * 200000,
    "unknown": lambda line: line.replace(b'"lc":1', b'"lcs":1'),
    "status": lambda line: line.replace(b"routed", b"rooted"),
    "large": lambda line: line.replace(b'"ff":3', b'"ff":%d' % 2**63),
    "negative": lambda line: line.replace(b'"ff":3', b'"ff":-3'),
    "never": lambda line: line.replace(b'"finished":1.0', b'"finished":1e99'),
}


@pytest.mark.parametrize("harm", BAD.values(), ids=BAD)
def test_a_bad_line_is_named(path, harm):
    fill(path, 2)
    with MeasurementStore(path) as store:
        exported = lines(store)
    assert harm(exported[3]) != exported[3]
    with pytest.raises(ConfigError, match=r"f\.jsonl: line 4 must be a measurement or a network"):
        read_lines([*exported[:3], harm(exported[3])], "f.jsonl")


@pytest.mark.parametrize("change", [
    {"network": "0" * 64}, {"graph": "AAAA"}, {"graph": "?"}, {"graph": 7}, {"graph": None}])
def test_a_network_that_is_another_is_refused(path, change):
    fill(path, 1)
    with MeasurementStore(path) as store:
        network = json.loads(lines(store)[0])
    with pytest.raises(ConfigError, match="f: line 1 must be"):
        read_lines([json.dumps(network | change).encode()], "f")


def test_a_later_version_is_refused_and_kept(path):
    fill(path, 2)
    with MeasurementStore(path) as store:
        store.db.execute(f"PRAGMA user_version={len(store.STEPS) + 1}")
    before = path.read_bytes()
    now = len(MeasurementStore.STEPS)
    with pytest.raises(RunError, match=f"has version {now + 1}, this version of spikeloom reads up "
                                       f"to {now}; update spikeloom"), open_store(path):
        pass
    assert path.read_bytes() == before
    assert not path.with_name("x.sqlite.1").exists()


def test_version_1_is_brought_to_this_one(path):
    item = measured()
    with MeasurementStore(path.with_name("new.sqlite")) as store:
        store.add(item)
        first = COLUMNS[:-1]  # the last one came with version 3
        row = store.db.execute(f"SELECT {', '.join(first)} FROM measurement").fetchone()
    old = sqlite3.connect(path)
    old.executescript(_FIRST + "PRAGMA user_version=1;")
    old.execute(f"INSERT INTO measurement VALUES ({','.join('?' * len(first))})", row)
    old.commit()
    old.close()
    with MeasurementStore(path) as store:
        assert store.db.execute("PRAGMA user_version").fetchone()[0] == len(store.STEPS)
        assert store.select() == [item]
        assert store.add(measured("q", design=graph().digest()), graph()) == "added"
        assert store.graph(graph().digest()) is not None


def test_the_file_of_another_program_is_refused_and_kept(tmp_path, path):
    with Store(path):
        pass
    foreign = tmp_path / "foreign.sqlite"
    db = sqlite3.connect(foreign)
    db.execute("CREATE TABLE t (x)")
    db.close()
    for file in (path, foreign):
        before = file.read_bytes()
        with pytest.raises(RunError, match="is a database of another program, without a table "
                                           "'measurement'"), open_store(file):
            pass
        assert file.read_bytes() == before


def test_a_row_that_cannot_be_read_is_named(path):
    fill(path, 2)
    with MeasurementStore(path) as store:
        store.db.execute("UPDATE measurement SET features='{' WHERE lc=1")
        with pytest.raises(RunError, match=r"holds a measurement of plan 0+1 that cannot be read"):
            store.select()


def test_a_query_makes_no_file(tmp_path):
    with read_store(tmp_path / "none/x.sqlite") as store:
        assert store is None
    (tmp_path / "empty").touch()
    with read_store(tmp_path / "empty") as store:
        assert store is None
    assert [item.name for item in tmp_path.iterdir()] == ["empty"]


# damage

def overwrite(data, rng):
    """Every tenth page, none of the first ten."""
    for at in range(40960, len(data), 40960):
        data[at:at + 4096] = rng.randbytes(4096)


def header(data, rng):
    data[:100] = rng.randbytes(100)


def first_page(data, rng):
    data[:4096] = bytes(4096)


def roots(data, rng):
    """The pages from which all of a table is reached."""
    data[4096:4 * 4096] = bytes(3 * 4096)


def cut(data, rng):
    del data[int(0.7 * len(data)) + 100:]


@pytest.mark.parametrize("extra", [0, 9000], ids=["short", "long"])
@pytest.mark.parametrize(("harm", "share"), [
    (overwrite, 0.85), (header, 1.0), (first_page, 1.0), (roots, 0.98), (cut, 0.6)])
def test_a_damaged_store_is_set_aside_and_what_can_be_read_goes_on(path, harm, share, extra):
    items = fill(path, 300, extra)
    data = bytearray(path.read_bytes())
    harm(data, random.Random(1))
    path.write_bytes(data)
    with pytest.raises(Damaged, match=r"is damaged .*; the next build that uses it saves what"):
        MeasurementStore(path)
    notes = []
    with open_store(path, notes.append) as store:
        found = store.select()
        networks = [store.graph(item.design) for item in found]
        assert store.add(measured("new")) == "added"
    assert {item.plan for item in found} <= {item.plan for item in items}
    assert all(item == items[item.lc] for item in found)
    # a long row lies on several pages, each of which may be the lost one
    assert len(found) >= (share ** 3 if extra else share) * len(items)
    whole = sum(network is not None for network in networks)
    assert whole >= share ** 2 * len(found)
    kept = path.with_name("x.sqlite.1")
    assert kept.read_bytes() == data
    assert len(notes) == 1 and f"{len(found)} measurements and " in notes[0]
    assert notes[0].startswith(f"{path}: is damaged (") and notes[0].endswith(f"kept as {kept}")
    assert not list(path.parent.glob(".x*"))
    with open_store(path, notes.append) as store:
        assert store.count() == len(found) + 1
    assert len(notes) == 1


def test_what_is_only_in_the_journal_is_saved_too(path):
    fill(path, 300)
    script = ("import os, sys; sys.path[:0] = [sys.argv[2]]\n"
              "import measurements as m\n"
              "store = m.MeasurementStore(sys.argv[1])\n"
              "for n in range(50): store.add(m.measured(f'late{n}'))\n"
              "os._exit(0)")
    subprocess.run([sys.executable, "-c", script, path, Path(__file__).parent], check=True)
    assert path.with_name("x.sqlite-wal").stat().st_size > 50 * 4096
    data = bytearray(path.read_bytes())
    header(data, random.Random(1))
    path.write_bytes(data)
    with open_store(path) as store:
        assert store.count() == 350


def test_every_damaged_file_is_kept(path, monkeypatch, tmp_path):
    for number in (1, 2):
        fill(path, 5 * number)
        path.write_bytes(b"x" * 100 + path.read_bytes()[100:])
        with open_store(path) as store:
            assert store.count() == 5 * number
        path.unlink()
        assert path.with_name(f"x.sqlite.{number}").exists()


def test_what_is_no_store_is_replaced_at_the_place_of_the_store_alone(tmp_path, monkeypatch):
    notes = tmp_path / "measurements.sqlite"
    notes.write_text("my notes\n" * 100)
    with pytest.raises(Damaged, match="is damaged"), open_store(notes):
        pass
    assert notes.read_text() == "my notes\n" * 100
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path))
    said = []
    with open_store(note=said.append) as store:
        assert store.count() == 0
    assert (tmp_path / "measurements.sqlite.1").read_text() == "my notes\n" * 100
    assert "0 measurements and 0 networks could be read" in said[0]


def test_a_store_that_cannot_be_mended_is_left_as_it_is(path, monkeypatch):
    fill(path, 20)
    path.write_bytes(path.read_bytes()[:-5000])
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(salvage, "_keep", full)
        with pytest.raises(SpikeloomError, match=r"is damaged .* cannot be mended \(No space"):
            with open_store(path):
                pass
    assert path.read_bytes() == before
    with open_store(path) as store:
        assert store.count() > 10


def test_a_full_disk_keeps_what_is_stored(path):
    fill(path, 3)
    with MeasurementStore(path) as store:
        pages = store.db.execute("PRAGMA page_count").fetchone()[0]
        store.db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(SpikeloomError, match=r"no space left .* free some space"):
            store.add(measured("q", reason="x" * 100000))
        assert store.count() == 3


# many at once

WRITER = """
import sys
sys.path[:0] = [sys.argv[2]]
import measurements as m
from spikeloom.flow.cost.salvage import open_store
network = m.graph(width=40)
number = 0
while True:
    item = m.measured(f"{sys.argv[3]}-{number}", lc=number, reason="x" * (number % 7 * 1000),
                      design=network.digest())
    with open_store(sys.argv[1]) as store:
        outcome = store.add(item, network)
    print(outcome, item.plan, flush=True)
    number += 1
"""


def start(path, name):
    log = path.with_name(f"{name}.log")
    with log.open("wb") as out:
        return log, subprocess.Popen(
            [sys.executable, "-c", WRITER, path, Path(__file__).parent, name],
            stdout=out, stderr=subprocess.STDOUT)


def test_what_a_writer_was_told_is_there_after_any_number_of_kills(path):
    rng, names = random.Random(3), itertools.count()
    writers = [start(path, f"w{next(names)}") for _ in range(3)]
    logs = [log for log, _ in writers]
    try:
        for _ in range(14):
            time.sleep(rng.uniform(0.3, 1.2))
            _, process = writers.pop(rng.randrange(3))
            process.send_signal(signal.SIGKILL)
            assert process.wait(20) == -signal.SIGKILL
            writers.append(start(path, f"w{next(names)}"))
            logs.append(writers[-1][0])
        assert all(process.poll() is None for _, process in writers)
    finally:
        for _, process in writers:
            process.kill()
            process.wait(20)
    told = [line.split() for log in logs
            for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert len(told) > 50 and {word for word, _ in told} == {"added"}
    with MeasurementStore(path) as store:
        assert store.db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {item.plan: item for item in store.select()}
        assert store.graph(graph(width=40).digest()) is not None
    assert {plan for _, plan in told} <= set(found)
    # of what was not told, at most what each one had in hand
    assert len(found) - len(told) <= len(logs)
    for item in found.values():
        number = int(item.plan.split("-")[1])
        assert item.lc == number and item.reason == "x" * (number % 7 * 1000)
        assert msgspec.structs.replace(item, finished=measured().finished) == measured(
            item.plan, lc=number, reason=item.reason, design=item.design)
    assert not path.with_name("x.sqlite.1").exists()


def test_several_that_find_it_damaged_save_it_once(path):
    fill(path, 200)
    path.write_bytes(b"x" * 100 + path.read_bytes()[100:])
    writers = [start(path, f"w{number}") for number in range(3)]
    try:
        end = time.monotonic() + 60
        while not all(log.read_bytes().count(b"\n") > 2 for log, _ in writers):
            assert time.monotonic() < end, [log.read_text() for log, _ in writers]
            time.sleep(0.1)
    finally:
        for _, process in writers:
            process.kill()
            process.wait(20)
    told = [line.split()[1] for log, _ in writers for line in log.read_text().splitlines()]
    with MeasurementStore(path) as store:
        plans = {item.plan for item in store.select()}
    assert len([plan for plan in plans if plan.startswith("0")]) == 200
    assert set(told) <= plans
    assert path.with_name("x.sqlite.1").exists()
    assert not path.with_name("x.sqlite.2").exists()


def test_who_waits_to_mend_it_need_not_once_another_has(path):
    fill(path, 20)
    whole = path.read_bytes()
    path.write_bytes(b"x" * 100 + whole[100:])
    log, process = start(path, "w")
    try:
        with salvage._lock(path, fcntl.LOCK_SH):  # those that use it come and go without end
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(3)
            assert not log.read_bytes() and not path.with_name("x.sqlite.1").exists()
            path.write_bytes(whole)
            end = time.monotonic() + 60
            while not log.read_bytes().count(b"\n"):
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.1)
    finally:
        process.kill()
        process.wait(20)


def test_hardware_does_not_change_the_digest_of_a_network():
    network = compile_graph(graph(width=4))
    shared = compile_graph(graph(width=4).replace(fc1={"lanes": 2}))
    folded = compile_graph(graph(width=4).replace(fc1={"lowering": "folded", "lanes": 2}))
    assert [lowering_of(item) for item in (network, shared, folded)] == [
        "spatial", "shared", "folded"]
    assert len({item.digest() for item in (network, shared, folded)}) == 3
    assert len({network_digest(item) for item in (network, shared, folded)}) == 1
    assert network_digest(compile_graph(graph(1, width=4))) != network_digest(network)


def test_the_user_may_name_the_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path / "a/b"))
    with open_store() as store:
        store.add(measured())
    assert (tmp_path / "a/b/measurements.sqlite").exists()
