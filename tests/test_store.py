"""The store: all or nothing per batch, and never emptied, whatever is wrong with it."""

import os
import sqlite3
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from tiny_search import measured

from spikeloom.flow import ir
from spikeloom.flow.database import set_aside
from spikeloom.flow.errors import RunError, SpikeloomError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.neurons.lif import Lif
from spikeloom.nas import store
from spikeloom.nas.store import Build, Evaluation, Store


def graph() -> ir.Graph:
    rng = np.random.default_rng(0)
    return ir.chain(shape=(2, 2), encoder="rate", readout="membrane", num_steps=2, layers=[{
        "out_features": 3, "weight_bits": 3, "bitstream_length": 8, "sng": "ramp",
        "neuron": Lif(v_threshold=5), "weight": rng.integers(-3, 4, (3, 4)).astype(np.int16),
        "bias": np.zeros(3, np.int32)}])


def evaluation(genome: str, **changes) -> Evaluation:
    item = {"genome": genome, "seed": 1, "settings": "s", "id": genome, "generation": 1,
            "position": 0, "accuracy": 0.5, "epochs": 2, "stopped": None, "seconds": 0.1,
            "estimate": {"lc": 10}, "features": {"version": 1.0, "lc": 0.1}}
    return Evaluation(**(item | changes))


def build(**changes) -> Build:
    item = {"genome": "a", "training": 1, "settings": "s", "board": "icebreaker", "seed": 1,
            "status": "routed", "reason": "", "seconds": 1.5,
            "measurement": measured(compile_graph(graph()))}
    return Build(**(item | changes))


def test_what_is_added_is_found(tmp_path):
    with Store(tmp_path / "x.sqlite") as db:
        rows = [evaluation("b", position=1), evaluation("a", stopped="diverged", accuracy=None)]
        db.add([(rows[0], graph()), (rows[1], None)])
        db.add_build(build())
        db.add_build(build(genome="0", status="failed", reason="killed", measurement=None))
    with Store(tmp_path / "x.sqlite") as db:
        assert db.find("b", 1, "s") == rows[0]
        assert db.find("b", 2, "s") is db.find("b", 1, "t") is db.find("c", 1, "s") is None
        assert db.evaluations() == rows[::-1] == db.evaluations("s")
        assert db.evaluations("t") == [] and db.count() == 2
        assert db.graph(rows[0]).digest() == graph().digest()
        with pytest.raises(RunError, match="no trained network for candidate a"):
            db.graph(rows[1])
        assert [row.genome for row in db.builds()] == ["a", "0"], "in the order of their ends"
        assert db.find_build("a", 1, "s", "icebreaker", 1) == build() == db.builds()[0]
        assert db.find_build("0", 1, "s", "icebreaker", 1).measurement is None
        for other in (("b", 1, "s", "icebreaker", 1), ("a", 2, "s", "icebreaker", 1),
                      ("a", 1, "t", "icebreaker", 1), ("a", 1, "s", "icestick", 1),
                      ("a", 1, "s", "icebreaker", 2)):
            assert db.find_build(*other) is None


def test_one_row_per_key(tmp_path):
    with Store(tmp_path / "x.sqlite") as db:
        for accuracy in (0.1, 0.2):
            db.add([(evaluation("a", accuracy=accuracy), None)])
            db.add_build(build(seconds=accuracy))
        assert [row.accuracy for row in db.evaluations()] == [0.2]
        assert [row.seconds for row in db.builds()] == [0.2]


def test_a_batch_is_stored_as_a_whole_or_not_at_all(tmp_path):
    def rows():
        yield evaluation("a"), None
        raise RuntimeError("killed")

    with Store(tmp_path / "x.sqlite") as db:
        with pytest.raises(RuntimeError, match="killed"):
            db.add(rows())
        assert db.count() == 0
        db.add([(evaluation("b"), None)])
        assert db.count() == 1


def test_what_was_stored_survives_a_kill(tmp_path):
    path = tmp_path / "x.sqlite"
    script = ("import os, signal, sys\n"
              "sys.path[:0] = [sys.argv[2]]\n"
              "import test_store as t\n"
              "db = t.Store(sys.argv[1]); db.add([(t.evaluation('a'), t.graph())])\n"
              "db.db.execute('BEGIN IMMEDIATE'); db.db.execute('DELETE FROM evaluation')\n"
              "os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run([sys.executable, "-c", script, path, os.path.dirname(__file__)])
    assert done.returncode == -9
    with Store(path) as db:
        assert [row.genome for row in db.evaluations()] == ["a"]
        assert db.graph(evaluation("a")) is not None


@pytest.mark.parametrize("damage", ["garbage", "cut", "page"])
def test_a_damaged_store_is_refused_and_kept(tmp_path, damage):
    path = tmp_path / "x.sqlite"
    with Store(path) as db:
        db.add([(evaluation(f"{n}"), graph()) for n in range(50)])
    data = bytearray(path.read_bytes())
    if damage == "garbage":
        data[:100] = b"x" * 100
    elif damage == "cut":
        del data[len(data) // 2:]
    else:
        data[4096:8192] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(RunError, match=r"is damaged \(.*--fresh"):
        Store(path)
    assert path.read_bytes() == data


def test_another_version_is_refused_and_kept(tmp_path):
    path = tmp_path / "x.sqlite"
    with Store(path) as db:
        db.db.execute(f"PRAGMA user_version={len(Store.STEPS) + 1}")
    with pytest.raises(RunError, match=f"has version {len(Store.STEPS) + 1}, this version of "
                                       f"spikeloom reads up to {len(Store.STEPS)}"):
        Store(path)
    assert path.exists()


def first_version(path, rows) -> None:
    """A store as version 1 made it: without features, and with syntheses."""
    db = sqlite3.connect(path)
    db.executescript(store._FIRST)
    for row, network in rows:
        item = msgspec.structs.asdict(row) | {
            "estimate": '{"lc": 10}', "graph": network and ir.to_bytes(network), "finished": 1.0}
        del item["features"]
        db.execute(f"INSERT INTO evaluation ({','.join(item)}) "
                   f"VALUES ({','.join('?' * len(item))})", list(item.values()))
    db.execute("INSERT INTO synthesis (design, board, seed, tools, status, estimate, finished) "
               "VALUES ('d', 'icebreaker', 1, '{}', 'routed', '{}', 1.0)")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()


def test_the_first_version_becomes_this_one_with_all_its_evaluations(tmp_path):
    rows = [(evaluation("b", position=1), None), (evaluation("a"), graph())]
    first_version(tmp_path / "x.sqlite", rows)
    for _ in range(2):
        with Store(tmp_path / "x.sqlite") as db:
            assert db.evaluations() == [msgspec.structs.replace(row, features=None)
                                        for row, _ in rows[::-1]]
            assert db.graph(rows[1][0]).digest() == graph().digest()
            assert db.builds() == []
            assert db.db.execute("PRAGMA user_version").fetchone() == (len(Store.STEPS),)
    with Store(tmp_path / "x.sqlite") as db:
        db.add([(evaluation("c"), None)])
        db.add_build(build())
        assert db.find("c", 1, "s").features == {"version": 1.0, "lc": 0.1}


def test_a_full_disk(tmp_path):
    with Store(tmp_path / "x.sqlite") as db:
        db.add([(evaluation("a"), graph())])
        pages = db.db.execute("PRAGMA page_count").fetchone()[0]
        db.db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(SpikeloomError, match=r"no space left .* --resume"):
            db.add([(evaluation(f"b{n}"), graph()) for n in range(100)])
        assert [row.genome for row in db.evaluations()] == ["a"]


def test_a_store_that_cannot_be_opened(tmp_path):
    (tmp_path / "x.sqlite").mkdir()
    with pytest.raises(SpikeloomError, match=r"x\.sqlite: cannot be used"):
        Store(tmp_path / "x.sqlite")


def test_two_writers_at_once(tmp_path):
    path = tmp_path / "x.sqlite"
    with Store(path) as db:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        db.db.execute("PRAGMA busy_timeout=10")
        with pytest.raises(RunError, match="is in use by another process; wait for that search"):
            db.add([(evaluation("a"), None)])
        other.close()


def test_setting_aside_keeps_every_old_store(tmp_path):
    path = tmp_path / "x.sqlite"
    assert set_aside(path) is None
    for n in (1, 2):
        with Store(path) as db:
            db.add([(evaluation(f"{n}"), None)])
        assert set_aside(path) == tmp_path / f"x.sqlite.{n}"
        assert not path.exists()
    for n in (1, 2):
        with Store(tmp_path / f"x.sqlite.{n}") as db:
            assert [row.genome for row in db.evaluations()] == [f"{n}"]
