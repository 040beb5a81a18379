"""Clocks of boards: dividers, what is refused, what a run keeps, and builds of each source."""

import json
import math
from types import SimpleNamespace

import pytest
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from test_build import Registers
from test_commands_build import network

from spikeloom.boards import BOARDS
from spikeloom.boards.bare import bare
from spikeloom.boards.clock import (
    MEMORIES_START,
    PFD_HZ,
    PLL_HZ,
    VCO_HZ,
    Clock,
    Hold,
    dividers,
    nearest_dividers,
)
from spikeloom.flow import build, clocks, config, nextpnr, targets, tuning
from spikeloom.flow.cli import main
from spikeloom.flow.commands import synth
from spikeloom.flow.cost.prices import shipped
from spikeloom.flow.errors import ConfigError, FitError, RunError, ToolError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.report import Report, write_report
from spikeloom.flow.run import Run
from spikeloom.sim.cells import Circuit
from spikeloom.sim.flat_netlist import read_netlist
from spikeloom.sim.netlist import settle

ICEBREAKER = BOARDS["icebreaker"]


@pytest.mark.parametrize("source_mhz, mhz, wanted", [  # as icepll prints them
    (12, 60, (0, 79, 4, 1)), (12, 96, (0, 63, 3, 1)), (16, 50, (0, 49, 4, 1)),
    (12, 24, (0, 63, 5, 1)),
])
def test_dividers_are_those_of_icepll(source_mhz, mhz, wanted):
    found = nearest_dividers(source_mhz * 1e6, mhz * 1e6)
    assert (found.divr, found.divf, found.divq, found.filter_range) == wanted
    assert found.hz == mhz * 1_000_000


@settings(max_examples=50, deadline=None)
@given(st.floats(10e6, 133e6), st.floats(16e6, 275e6))
def test_the_nearest_that_is_not_above_is_taken_within_all_limits(source, most):
    found = nearest_dividers(source, most)
    every = [item.hz for item in dividers(source) if item.hz <= most]
    assert (found and found.hz) == max(every, default=None)
    if found is not None:
        pfd = source / (found.divr + 1)
        vco = pfd * (found.divf + 1)
        assert PFD_HZ[0] <= pfd <= PFD_HZ[1] and VCO_HZ[0] <= vco <= VCO_HZ[1]
        assert PLL_HZ[0] - 1 <= found.hz <= most
        assert found.hz == round(vco / 2**found.divq)


PINS = {"name": "mine", "rx": "6", "tx": "9", "package": "SG48"}


@pytest.mark.parametrize("board, source, mhz, message", [
    (ICEBREAKER, "pll", 15, r"must be in 16.125..275 with --clock pll behind 12 MHz, not 15"),
    (ICEBREAKER, "pll", 280, r"must be in 16.125..275 with --clock pll behind 12 MHz, not 280"),
    (ICEBREAKER, "hfosc", 5.9, "must be at least 6 with --clock hfosc, not 5.9"),
    (BOARDS["icestick"], "hfosc", 12, "must be used with an UP5K, which alone has an oscillator"),
    (BOARDS["icesugar_nano"], "pll", 24, "has no PLL in package CM36"),
    (bare(device="UP5K", clock="35", clock_hz=6_000_000, **PINS), "pll", 24,
     "a clock pin of 10..133 MHz, not 6 as on mine"),
    (bare(device="UP5K", clock="20", clock_hz=12_000_000, **{**PINS, "rx": "37"}), "pll", 24,
     "whose pins 35 and 37 a PLL takes for itself"),
    (bare(device="UP5K", clock="37", clock_hz=12_000_000, **PINS), "pll", 24,
     "whose pins 35 and 37 a PLL takes for itself"),
])
def test_what_a_board_cannot_have_is_refused(board, source, mhz, message):
    with pytest.raises(ConfigError, match=message):
        clocks.clocked(board, source, mhz)


@pytest.mark.parametrize("arguments, message", [
    (["--clock", "pll"], "--clock pll must come with --clock-mhz"),
    (["--clock-mhz", "24"], "--clock-mhz must be used with --clock hfosc, pll, auto or fastest"),
    (["--clock", "auto", "--clock-mhz", "nan"], "--clock-mhz must be a positive number, not nan"),
    (["--clock", "auto", "--proof"], "--clock auto must not be used with --proof"),
    (["--clock", "hfosc", "--clock-mhz", "12", "--board", "icestick"], "not with the HX1K of"),
    (["--jobs", "0"], "--jobs must be in 1..100, not 0"),
])
def test_synth_refuses_clocks_before_anything_is_synthesised(capsys, tmp_path, arguments, message):
    Run.create(tmp_path / "run")  # without a network, which would be missed next
    assert main(["synth", "--run", str(tmp_path / "run"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_clocked_board_is_the_same_board_at_another_rate():
    pll = clocks.clocked(ICEBREAKER, "pll", 24.2)
    assert (pll.name, pll.clock_hz, pll.source) == ("icebreaker", 24_000_000, "pll")
    assert pll.clock.pad
    assert pll.divisor == 208 and pll.needed_hz == 24_000_000 and pll.ports == ICEBREAKER.ports
    osc = clocks.clocked(ICEBREAKER, "hfosc", 47)
    assert (osc.clock_hz, osc.divisor) == (24_000_000, 208) and "clk" not in osc.ports
    assert osc.needed_hz == pytest.approx(26_400_000) and settle(osc) > 2400
    assert settle(ICEBREAKER) == 400 and ICEBREAKER.needed_hz == 12e6
    assert any("103,680 to 126,720 baud" in line for line in clocks.says(osc))
    assert not clocks.clocked(BOARDS["upduino_v3"], "pll", 24).clock.pad


def test_a_reset_waits_for_the_lock_and_comes_back_without_it():
    m, hold = Module(), Hold(5)
    m.domains.por = ClockDomain(reset_less=True)
    m.submodules.hold = hold
    seen = []

    async def bench(ctx):
        for lock, clocks_of_it in ((0, 20), (1, 20), (0, 4), (1, 3)):
            ctx.set(hold.lock, lock)
            for _ in range(clocks_of_it):
                await ctx.tick("por")
                seen.append(ctx.get(hold.ready))

    sim = Simulator(m)
    sim.add_clock(1e-6, domain="por")
    sim.add_testbench(bench)
    sim.run()
    rises = seen.index(1)
    assert 20 + 5 < rises <= 20 + 10 and not any(seen[:rises])
    assert all(seen[rises:40]) and not any(seen[43:])


def report_of(board, design, fmax_mhz, seed=1, fits=True):
    """A report without a build."""
    return Report(
        design=design, board=board.name, device=board.device, lc=3000, lut4=1, ff=1, carry=1, ebr=0,
        spram=0, dsp=0, fmax_mhz=fmax_mhz, clock_mhz=board.clock_hz / 1e6, clock=board.source,
        tolerance=board.tolerance, meets_clock=fmax_mhz * 1e6 >= board.needed_hz, fits=fits,
        problem="", router="router2", tools={}, seed=seed, seconds={}, cached=False, plan="p",
        bitstream="top.bin", bitstream_bytes=1, bitstream_sha256="0")


@pytest.mark.parametrize("source, mhz", [("board", 12), ("pll", 25.125), ("hfosc", 48)])
def test_a_run_keeps_the_clock_of_its_build(tmp_path, source, mhz):
    run = Run.create(tmp_path / "run")
    assert clocks.kept(run, ICEBREAKER) is ICEBREAKER
    board = ICEBREAKER if source == "board" else clocks.clocked(ICEBREAKER, source, mhz)
    report = report_of(board, "d", 60)
    write_report(report, run.build_dir("icebreaker") / build.REPORT)
    found = clocks.kept(run, ICEBREAKER)
    assert (found.source, found.clock_hz, found.clock) == (source, mhz * 1e6, board.clock)
    assert clocks.of_run(run, "d", 1e6) == (mhz * 1e6, found.tolerance)
    assert clocks.of_run(run, "another", 1e6) == (1e6, 0.0)
    assert clocks.of_run(run, "another", 1e6, asked=mhz * 1e6) == (mhz * 1e6, found.tolerance)
    clocks.check_same(report, found, "synth")
    with pytest.raises(RunError, match="run 'synth' again"):
        clocks.check_same(report, clocks.clocked(ICEBREAKER, "hfosc", 6), "synth")
    write_report(replace(report, board="icestick", clock="board", clock_mhz=16.0, tolerance=0.0),
                 run.build_dir("icestick") / build.REPORT)
    with pytest.raises(ConfigError, match="--clock must be given"):
        clocks.of_run(run, "d", 1e6)
    assert clocks.of_run(run, "d", 1e6, any_will_do=True) == (1e6, 0.0)
    for hz, tolerance in ((mhz * 1e6, found.tolerance), (16e6, 0.0), (3e6, 0.0)):
        assert clocks.of_run(run, "d", 1e6, asked=hz) == (hz, tolerance)


def test_energy_has_what_the_source_takes():
    pin, osc, pll = (shipped().of("UP5K", source).static for source in ("board", "hfosc", "pll"))
    assert osc.middle == pytest.approx(161e-6)  # shared with leakage, at 0 Hz
    assert (pll.low - pin.low, pll.high - pin.high) == pytest.approx((0.6e-3, 0.9e-3))
    assert shipped().of("HX8K", "pll").static.low > shipped().of("HX8K").static.low


@pytest.fixture
def fast(monkeypatch):
    """Builds in no time: `fast(lambda board: MHz)` says what is reached; returns what was built."""
    def make(reached):
        asked = []

        def synthesise(graph, board, *, out_dir, **options):
            asked.append((board.source, board.clock_hz))
            report = report_of(board, graph.digest(), reached(board))
            (out_dir / "top.bin").parent.mkdir(parents=True)
            (out_dir / "top.bin").write_text(f"{board.source} {board.clock_hz}")
            write_report(report, out_dir / build.REPORT)
            return [report]

        monkeypatch.setattr(tuning, "synthesise", synthesise)
        return asked
    return make


def tuned(tmp_path, board=ICEBREAKER, objective="auto", most_mhz=None):
    return tuning.tune(compile_graph(network()), board, objective=objective, most_mhz=most_mhz,
                       folder=tmp_path, note=lambda text: None)


def test_the_fastest_clock_that_is_met_is_taken(fast, tmp_path):
    asked = fast(lambda board: 30.0)
    board, (report,), found = tuned(tmp_path, objective="fastest")
    assert asked[0] == ("board", 12_000_000)
    # 33 MHz were hoped for and built, 30 are met; the oscillator's next is 24
    assert asked[1:] == [("pll", 33_000_000), ("pll", 30_000_000)]
    assert (board.source, board.clock_hz, report.clock_mhz) == ("pll", 30_000_000, 30.0)
    assert (tmp_path / "top.bin").read_text() == "pll 30000000"
    kept = json.loads((tmp_path / tuning.FILE).read_text())
    rows = {(row["source"], row["mhz"]): row for row in kept["alternatives"]}
    assert rows["pll", 33.0]["why"] == "30.0 MHz reached, 33 needed"
    assert rows["hfosc", 48.0]["fmax_mhz"] is None and rows["hfosc", 24.0]["why"] == "not built"
    assert kept["alternatives"][kept["chosen"]]["mhz"] == 30.0
    assert tuning.table(found).row_count == len(rows)


@pytest.mark.parametrize("reached, most_mhz, wanted", [
    (60.0, None, ("hfosc", 48_000_000)),  # leakage for a quarter of the time, and the oscillator's
    (30.0, None, ("hfosc", 24_000_000)),  # 161 uW at 24 MHz are less a clock than 90 at 12
    (20.0, None, ("board", 12_000_000)),  # no PLL makes good what it takes
    (60.0, 30, ("hfosc", 24_000_000)), (60.0, 7, ("hfosc", 6_000_000)),
    (7.0, None, ("hfosc", 6_000_000)),
])
def test_the_least_energy_is_that_of_the_prices(fast, tmp_path, reached, most_mhz, wanted):
    fast(lambda board: reached)
    board, _, found = tuned(tmp_path, most_mhz=most_mhz)
    assert (board.source, board.clock_hz) == wanted
    cost = {(item.source, item.mhz): item.low_nj + item.high_nj for item in found.alternatives
            if item.fits and (most_mhz is None or item.mhz <= most_mhz)}
    assert min(cost, key=cost.get) == (wanted[0], wanted[1] / 1e6)


def test_a_clock_at_which_nothing_is_routed_is_passed_over(fast, tmp_path):
    def reached(board):
        if board.clock_hz == 48_000_000:
            raise FitError("found no way to connect them")
        return 60.0

    fast(reached)
    board, _, found = tuned(tmp_path)
    assert (board.source, board.clock_hz) == ("hfosc", 24_000_000)
    (row,) = [item for item in found.alternatives
              if (item.source, item.mhz) == ("hfosc", 48)]
    assert (row.fmax_mhz, row.fits, row.why) == (0.0, False, "found no way to connect them")
    fast(lambda board: reached(clocks.clocked(ICEBREAKER, "hfosc", 48)))
    with pytest.raises(FitError, match="found no way"):
        tuned(tmp_path)


def test_waiting_has_the_clocking_of_flip_flops():
    prices, watts = shipped().of("UP5K"), []
    for ff in (0, 1000):
        report = replace(report_of(ICEBREAKER, "d", 60), ff=ff)
        watts.append(tuning._priced(compile_graph(network()), ICEBREAKER, report).waiting_uw)
    assert watts[0] == pytest.approx((1e6 * (prices.static.low + 12e6 * prices.clock.low),
                                      1e6 * (prices.static.high + 12e6 * prices.clock.high)))
    more = [after - before for before, after in zip(*watts, strict=True)]
    assert more == pytest.approx([0, 1e6 * 12e6 * 1000 * prices.flip_flop.high])
    assert more[1] > 100


def test_where_no_clock_is_slow_enough_it_is_refused(fast, tmp_path):
    fast(lambda board: 5.0)
    with pytest.raises(FitError, match=r"5\.0 MHz reached, and no clock is as slow as that"):
        tuned(tmp_path)
    fast(lambda board: 11.0)
    with pytest.raises(FitError):  # an HX1K has nothing slower than its pin
        tuned(tmp_path, board=BOARDS["icestick"])
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_CACHE", str(tmp_path_factory.mktemp("clocks")))
        yield


@pytest.mark.parametrize("source", ["pll", "hfosc"])
def test_bitstreams_have_the_clock_that_was_asked_for(cache, tmp_path, source):
    board = clocks.clocked(ICEBREAKER, source, 24)
    report = build.build(Registers(1), board, design="d", out_dir=tmp_path)
    assert (report.clock, report.clock_mhz, report.needed_mhz) == (
        source, 24.0, pytest.approx({"pll": 24, "hfosc": 26.4}[source]))
    assert report.meets_clock and report.bitstream_bytes == 104090
    assert report.seeds == {"1": report.fmax_mhz}
    log = (tmp_path / "nextpnr.log").read_text()
    assert "Derived frequency constraint of 24.0 MHz" in log
    circuit = Circuit(read_netlist(build.netlist(Registers(1), board, design="d")))
    values = []
    (tx,), (rx,) = (circuit.ports[board.ports[name]] for name in ("tx", "rx"))
    circuit.set(rx, 1)
    for _ in range(settle(board) + 200):
        circuit.tick()
        values.append(circuit.values[tx])
    held = math.floor(MEMORIES_START * 24e6) if source == "pll" else 2400
    assert not any(values[:held]) and any(values[held:]), "the reset ends, and not before"


def test_an_experiment_says_what_the_first_build_is_tuned_for(monkeypatch, tmp_path, capsys):
    """With as many seeds as its search has; not where there is a build, or for another board."""
    run = Run.create(tmp_path / "run")
    network().save(run.graph_file)
    run.experiment.write_text(config.to_toml(config.experiment_from(
        {"search": {"pnr_seeds": 3}, "target": {"clock": "fastest"}})))
    asked = []

    def tune(graph, board, *, objective, seeds, **rest):
        asked.append((board.name, objective, list(seeds)))
        raise FitError("stopped here")

    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr(synth, "synthesise", lambda graph, board, **rest: tune(
        graph, board, objective=None, seeds=rest["seeds"]))
    for more in ([], ["--seeds", "2"], ["--board", "upduino_v3"], ["--clock", "board"]):
        assert main(["synth", "--run", str(run.path), *more]) == 2
    assert asked == [("icebreaker", "fastest", [1, 2, 3]), ("icebreaker", "fastest", [1, 2]),
                     ("upduino_v3", None, [1]), ("icebreaker", None, [1])]
    assert "clock: fastest, as the run's experiment says" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"target\.clock must be one of board, auto, fastest"):
        config.experiment_from({"target": {"clock": "pll"}})


@pytest.mark.parametrize("argv, kept", [
    ([], True), (["--clock", "hfosc", "--clock-mhz", "6"], False)])
def test_what_was_weighed_goes_where_a_clock_is_named(monkeypatch, tmp_path, argv, kept):
    run = Run.create(tmp_path / "run")
    network().save(run.graph_file)
    weighed = run.build_dir("icebreaker") / tuning.FILE
    weighed.parent.mkdir(parents=True)
    weighed.write_text("{}")
    monkeypatch.setattr(synth, "synthesise", lambda graph, board, **rest: [
        report_of(board, graph.digest(), 60.0)])
    assert main(["synth", "--run", str(run.path), *argv]) == 0
    assert weighed.exists() == kept


@pytest.mark.slow
@pytest.mark.parametrize("source, level", [("pll", "netlist"), ("hfosc", "netlist"),
                                           ("pll", "bitstream"), ("hfosc", "bitstream")])
def test_the_ladder_takes_every_clock(cache, capsys, tmp_path, source, level):
    run = Run.create(tmp_path / "run")
    network().save(run.graph_file)
    import numpy as np

    run.save_samples(np.random.default_rng(0).integers(0, 256, (3, 4)), np.zeros(3, int))
    where = ["--run", str(run.path), "--json"]
    assert main(["synth", *where, "--clock", source, "--clock-mhz", "24"]) == 0
    assert clocks.kept(run, ICEBREAKER).source == source
    capsys.readouterr()
    assert main(["sim", *where, "--level", level, "--count", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["images_equal"] == 2


def test_of_several_builds_the_fastest_is_taken_and_of_equals_the_smallest():
    found = [SimpleNamespace(fmax_mhz=fmax, lc=lc) for fmax, lc in
             ((20.0, 9), (25.0, 12), (25.0, 11), (None, 5), (0.0, 7))]
    assert build.fastest(found) is found[2]
    assert targets.board("icebreaker") is ICEBREAKER
    assert Clock(12_000_000).source == "hfosc"


def test_the_constraint_of_a_pll_may_be_a_rounded_one():
    timing = nextpnr.Timing(fmax={"clk": nextpnr._Clock(achieved=40.0, constraint=32.283)},
                            utilization={})
    assert timing.fmax_mhz(32_250_000) == 40.0
    with pytest.raises(ToolError, match=r"no clock of 32\.1 MHz, only clk"):
        timing.fmax_mhz(32_100_000)
