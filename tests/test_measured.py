"""What is no measurement is not stored as one: bounds, and what was cancelled."""

import msgspec
import numpy as np
import pytest
from networks import random_graph
from rich.console import Console

from spikeloom.flow import ir, report, targets
from spikeloom.flow.build import Unmeasured
from spikeloom.flow.cost import salvage, store
from spikeloom.flow.cost.measured import Measurement, measurement
from spikeloom.flow.cost.store import MeasurementStore
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.nas import workers

BOARD = targets.board("icebreaker")
TOOLS = {"yosys": "1"}


@pytest.fixture(scope="module")
def graph():
    return compile_graph(random_graph(np.random.default_rng(3)))


def over_full(graph, *, bound):
    return report.Report(
        design=graph.digest(), board=BOARD.name, device=BOARD.device, lc=6000, lut4=4000, ff=3000,
        carry=900, ebr=3, spram=0, dsp=0, fmax_mhz=0.0, clock_mhz=12.0, meets_clock=False,
        fits=False, problem="too large", router="", tools=TOOLS, seed=1, seconds={"yosys": 9.0},
        cached=False, plan="p", bitstream="", bitstream_bytes=0, bitstream_sha256="", bound=bound)


@pytest.fixture
def measured(graph):
    """What is recorded of over-full reports, exact and not, and of a plan that was cancelled."""
    def record(outcome):
        return measurement(graph, BOARD, outcome, options={}, features={})

    return {"exact": record(over_full(graph, bound=False)),
            "bound": record(over_full(graph, bound=True)),
            "cancelled": record(Unmeasured("p", TOOLS, 1, "cancelled", "predicted")),
            "failed": record(Unmeasured("p", TOOLS, 1, "failed", "crashed"))}


def test_a_bound_is_marked_as_one(measured):
    exact, bound, cancelled = (measured[name] for name in ("exact", "bound", "cancelled"))
    assert (exact.status, exact.lc, exact.lc_low, exact.counted) == ("over-full", 6000, None, True)
    assert (bound.status, bound.lc, bound.lc_low, bound.counted) == ("over-full", None, 6000, False)
    assert (bound.lut4, bound.ff, bound.carry, bound.ebr) == (4000, 3000, 900, 3)
    assert bound.fmax_mhz is None and not cancelled.counted
    assert (cancelled.status, cancelled.reason, cancelled.lc) == ("cancelled", "predicted", None)


@pytest.mark.parametrize("kind", ["bound", "cancelled"])
def test_a_measurement_takes_its_place(measured, kind, tmp_path):
    with MeasurementStore(tmp_path / "x.sqlite") as db:
        assert db.add(measured[kind]) == "added"
        assert db.select() == [measured[kind]]
        (line,) = db.lines(db.select())
        assert msgspec.json.decode(line, type=Measurement) == measured[kind]
        assert db.add(measured["exact"]) == "added"
        assert db.add(measured[kind]) == "known"
        assert db.select() == [measured["exact"]]


def test_a_table_says_that_it_is_a_bound(graph):
    def shown(bound):
        console = Console(width=100)
        with console.capture() as text:
            console.print(report.compare(over_full(graph, bound=bound)))
        return text.get()

    assert "at least 6,000" in shown(True) and "at least" not in shown(False)
    assert shown(True).count("at least") == 1


def test_a_store_of_the_version_before_is_read_and_salvaged(measured, graph, tmp_path, monkeypatch):
    path = tmp_path / "x.sqlite"
    old = tuple(name for name in store.FIELDS if name != "lc_low")
    with monkeypatch.context() as patch:
        patch.setattr(MeasurementStore, "STEPS", MeasurementStore.STEPS[:2])
        patch.setattr(store, "FIELDS", old)
        with MeasurementStore(path) as db:
            values = [store._packed(measured["exact"], name) for name in old]
            db.db.execute(f"INSERT INTO measurement ({', '.join(old)}) "
                          f"VALUES ({','.join('?' * len(old))})", values)
    whole = path.read_bytes()
    with MeasurementStore(path) as db:
        assert db.select() == [measured["exact"]]
    path.unlink()
    path.write_bytes(whole[:-4096] + b"\xff" * 4096)  # a page of the index of networks
    notes = []
    with salvage.open_store(path, notes.append) as db:
        assert db.select() == [measured["exact"]]
    assert "1 measurements" in notes[0]


def test_a_worker_says_that_it_was_cancelled(graph, tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path / "data"))
    built = workers.build(ir.to_bytes(graph), "here", BOARD.name, 1, str(tmp_path), 5281)
    assert built.status == "cancelled" and built.measurement.lc is None
    assert "predicted to take at least 5,281 LCs" in built.reason
    with MeasurementStore(tmp_path / "data" / store.FILE) as db:
        (item,) = db.select()
    assert item.status == "cancelled" and item.design == graph.digest() and not item.counted
