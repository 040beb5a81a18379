"""`spikeloom bench characterise`: what is built, what is not built again, and what is written.

Place and route is played by a function that counts; `test_synthesis` has the real one.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from spikeloom.flow import build, synthesis, tools
from spikeloom.flow.cli import main
from spikeloom.flow.cost.measured import Measurement, network_digest
from spikeloom.flow.cost.predict import characterised
from spikeloom.flow.cost.store import MeasurementStore, read_lines
from spikeloom.flow.errors import SpikeloomError, ToolError
from spikeloom.flow.report import Report
from spikeloom.flow.weights_image import sprams
from spikeloom.nas import designs, loaded_designs
from spikeloom.nas.commands import characterise
from spikeloom.nas.designs import layout

FOUND = {"yosys": "yosys 1", "nextpnr-ice40": "nextpnr 1", "icepack": "icepack 1"}


class Found:
    def __init__(self, name):
        self.tool, self.identity = tools.TOOLS[name], FOUND[name]


class Builds:
    """Builds of no tool: each network has 1,000 LCs and its seed; some end otherwise."""

    def __init__(self):
        self.done, self.ends = [], {}

    def __call__(self, top, board, *, design, seeds, note, record, must_fit, exact):
        for seed in seeds:
            self.done.append((design, board.name, seed))
            end = self.ends.get(len(self.done))
            if isinstance(end, ToolError):
                record(build.Unmeasured(design, FOUND, seed, "failed", str(end)))
            if end is not None:
                raise end
            record(Report(
                design=design, board=board.name, device=board.device, lc=1000 + seed, lut4=1, ff=2,
                carry=3, ebr=4, spram=0, dsp=0, fmax_mhz=20.0, clock_mhz=12.0, meets_clock=True,
                fits=True, problem="", router="router2", tools=FOUND, seed=seed,
                seconds={"yosys": 1.0, "nextpnr": 2.0}, cached=False,
                plan=f"{design} {board.name}", bitstream="x", bitstream_bytes=1,
                bitstream_sha256="x"))


@pytest.fixture
def builds(monkeypatch, tmp_path):
    @contextmanager
    def one(jobs, again):
        with ThreadPoolExecutor(1) as executor:
            try:
                yield executor
            finally:
                executor.shutdown(cancel_futures=True)

    found = Builds()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(synthesis, "top", lambda *_, **__: None)
    monkeypatch.setattr(synthesis, "build_seeds", found)
    monkeypatch.setattr(tools, "prepare", lambda names, note: [Found(name) for name in names])
    monkeypatch.setattr(characterise, "workers", one)
    return found


def run(*options, code=0):
    assert main(["bench", "characterise", "--networks", "3", "--spram", "0", *options]) == code


def test_all_are_measured_and_written(builds, capsys, tmp_path):
    run("--json")
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["measurements"] == 6 and found["networks"] == 3
    assert [(row["lowering"], row["board"], row["routed"], row["least_lc"], row["most_lc"])
            for row in found["rows"]] == [
        (lowering, board, 1, 1001, 1001) for lowering in ("spatial", "shared", "folded")
        for board in ("ice40_hx8k_b_evn", "icebreaker")]
    assert "6 builds of 3 networks; 0 are measured already" in err and "6/6  network" in err
    folder = tmp_path / "build/characterised"
    assert {"variance", "length", "noise"} == set(
        json.loads((folder / "kernels.json").read_text())["lc"])
    assert json.loads((folder / "held_out.json").read_text()) == []
    file = folder / "characterised.jsonl"
    with file.open("rb") as source:
        lines = read_lines(source, "f")
    assert sum(isinstance(line, Measurement) for line in lines) == 6
    assert {line[0] for line in lines if isinstance(line, tuple)} == {
        network.graph.digest() for network in layout(3)}


def test_what_is_measured_is_not_built_again(builds, capsys):
    run("--board", "icebreaker", "--out", "a")
    assert len(builds.done) == 3
    run("--out", "b")
    assert len(builds.done) == 6 and "3 are measured already" in capsys.readouterr().err
    FOUND["yosys"] = "yosys 2"
    try:
        run("--board", "icebreaker")
    finally:
        FOUND["yosys"] = "yosys 1"
    assert len(builds.done) == 9


def test_some_networks_have_three_seeds(builds, monkeypatch):
    monkeypatch.setattr(designs, "SEEDED", range(3, 9))
    run("--networks", "10", "--board", "icebreaker")
    several = [network.graph.digest() for network in layout(10) if len(network.seeds) > 1]
    assert len(several) == 3
    for graph in several:
        assert [seed for design, _, seed in builds.done if design == graph] == [1, 2, 3]
    assert len(builds.done) == 7 + 3 * 3


def test_networks_from_one_number_on_are_only_predicted(builds, monkeypatch, tmp_path):
    monkeypatch.setattr(designs, "LOOKED_AT", 3)
    run("--networks", "5", "--board", "icebreaker", "--out", "a")
    held = {network_digest(network.graph) for network in layout(5) if network.number >= 3}
    assert set(json.loads((tmp_path / "a/held_out.json").read_text())) == held


def test_networks_with_weights_in_spram_are_built_where_there_is_some(builds, tmp_path, capsys):
    run("--spram", "3", "--out", "a", "--json")
    assert json.loads(capsys.readouterr().out)["networks"] == 6
    loaded = list(loaded_designs.layout(3))
    assert [network.number for network in loaded] == [10_000, 10_001, 10_002]
    built = [(network, [(board, seed) for design, board, seed in builds.done
                        if design == network.graph.digest()]) for network in loaded]
    for network, places in built:
        assert 1 <= sprams(network.graph) <= 4 and not network.held_out
        assert places == [("icebreaker", seed) for seed in network.seeds]
    assert [len(places) for _, places in built] == [1, 1, 3] and len(builds.done) == 6 + 5
    assert json.loads((tmp_path / "a/held_out.json").read_text()) == []
    builds.done.clear()
    run("--spram", "3", "--board", "icestick")
    assert len(builds.done) == 3, "a board without"


def test_networks_of_either_layout_are_those_that_were_measured():
    shipped = list(dict.fromkeys(item.design for item in characterised()))
    for found, measured in ((layout(4), shipped[:4]), (loaded_designs.layout(4), shipped[-16:-12])):
        assert [network.graph.digest() for network in found] == measured


def test_a_failure_is_counted_and_tried_again(builds, capsys):
    builds.ends = {2: ToolError("crashed")}
    run("--board", "icebreaker", "--json")
    out, err = capsys.readouterr()
    assert [(row["routed"], row["failed"], row["least_lc"]) for row in json.loads(out)["rows"]] == [
        (1, 0, 1001), (0, 1, None), (1, 0, 1001)]
    assert "network 1 (shared), icebreaker: failed, crashed, 0 s" in err
    run("--board", "icebreaker")
    assert len(builds.done) == 4
    table = capsys.readouterr().out
    assert "1,001 to 1,001" in table and "3 measurements of 3 networks" in table


def test_an_interruption_says_how_to_go_on(builds, capsys, tmp_path):
    builds.ends = {3: KeyboardInterrupt()}
    run(code=130)
    assert ("spikeloom bench: interrupted: every build that ended is in the store of measurements; "
            "the same command goes on with the others") in capsys.readouterr().err
    assert not (tmp_path / "build").exists()
    with MeasurementStore() as store:
        done = store.count()
    builds.ends = {}
    builds.done.clear()
    run()
    assert len(builds.done) == 6 - done and done >= 2


def test_a_store_that_cannot_be_written_is_told(builds, capsys, monkeypatch):
    def full(*_):
        raise SpikeloomError("no space left")

    monkeypatch.setattr(MeasurementStore, "add", full)
    run("--board", "icebreaker")
    out, err = capsys.readouterr()
    assert err.count("the measurement is not stored: no space left") == 3
    assert "0 measurements of 3 networks" in out


@pytest.mark.parametrize(("options", "message"), [
    (("--networks", "0"), "--networks must be in 1..10000, not 0"),
    (("--spram", "-1"), "--spram must be in 0..10000, not -1"),
    (("--jobs", "0"), "--jobs must be at least 1, not 0"),
    (("--board", "icebraker"), "unknown board 'icebraker'; did you mean 'icebreaker'?"),
    (("--board", "icestick", "icestick"), "--board must name each board once"),
    (("--out", __file__), "--out must be a directory, not the file "),
    (("--only", "x"), "--only must be left out of 'bench characterise'"),
    (("--list",), "--list must be left out of 'bench characterise'")])
def test_bad_requests_are_refused(builds, capsys, options, message):
    run(*options, code=2)
    assert message in capsys.readouterr().err and builds.done == []


def test_options_of_characterise_are_no_options_of_figures(capsys):
    assert main(["bench", "--networks", "3"]) == 2
    assert "--networks must be left out of 'bench figures'" in capsys.readouterr().err
    assert main(["bench", "caracterise"]) == 2
    assert "did you mean 'characterise'?" in capsys.readouterr().err
