import os
import sys
from pathlib import Path

import pytest
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from spikeloom.hdl.protocol import BASIC
from spikeloom.hdl.top import Top
from spikeloom.sim.simulated import SimTransport


@pytest.fixture(autouse=True, scope="session")
def _own_data(tmp_path_factory):
    """A store of measurements for the tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def yardsticks(monkeypatch):
    """Third parties' packages that results are compared with, where the Makefile puts them.

    They are on the path of a test that asks for them alone: one of them installs a package `tests`.
    """
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(sys.prefix) / "yardsticks")])


def _fail_if_skipped(report, slow=False):
    """In CI nothing may be skipped for what is missing: a skip of a test not marked slow fails."""
    if os.environ.get("CI") and report.skipped and not slow and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"no test may be skipped in CI: {why}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    return _fail_if_skipped(report, slow=item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    return _fail_if_skipped(report)


class CountingCore(wiring.Component):
    """The ports of a core, and an answer that shows every pixel: not a network.

    Score k is the sum of pixels plus k, negative for odd k; the class is how many pixels came since
    the last restart. A pixel of 0xEE keeps `pixels` from being ready for 100 clocks.
    """

    pixels: In(stream.Signature(8))
    restart: In(1)
    start: In(1)
    done: Out(1)
    cls: Out(8)
    select: In(8)
    score: Out(signed(24))
    word: Out(8)
    counter: Out(8)
    steps: In(16)
    shift: In(4)
    failed: In(1)
    n_traces = n_counters = 0

    def __init__(self, n_inputs=6, n_classes=3, num_steps=515, clocks=200):
        super().__init__()
        self.n_inputs, self.n_classes, self.num_steps = n_inputs, n_classes, num_steps
        self.clocks = clocks

    def elaborate(self, platform):
        m = Module()
        total, wait, running = Signal(20), Signal(range(self.clocks + 100)), Signal()
        m.d.comb += [
            self.pixels.ready.eq(wait == 0),
            self.score.eq(Mux(self.select[0], -(total + self.select), total + self.select)),
        ]
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(running):
            m.d.sync += [running.eq(0), self.done.eq(1)]
        with m.Elif(self.pixels.valid):
            m.d.sync += [total.eq(total + self.pixels.payload), self.cls.eq(self.cls + 1)]
            with m.If(self.pixels.payload == 0xEE):
                m.d.sync += wait.eq(100)
        with m.If(self.restart):
            m.d.sync += [total.eq(0), self.cls.eq(0), self.done.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), running.eq(1), wait.eq(self.clocks)]
        return m


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A tiny experiment, training for real, builds faked; `search(...)` runs the command."""
    from tiny_search import tiny_world

    return tiny_world(tmp_path, monkeypatch)


@pytest.fixture
def counting_top():
    """Make a Top around a CountingCore: ``counting_top(silence_bits=6, n_inputs=6, ...)``."""
    def make(design=bytes(range(0xA0, 0xA8)), divisor=4, silence_bits=6, features=BASIC,
             **core):
        return Top(CountingCore(**core), design, divisor=divisor, silence_bits=silence_bits,
                   features=features)
    return make


@pytest.fixture
def wire(counting_top):
    """The simulated line to such a Top, without a host's protocol."""
    return lambda **settings: SimTransport(counting_top(**settings))
