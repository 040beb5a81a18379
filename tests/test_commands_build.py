"""The commands synth, flash, report and doctor, on a run directory with a tiny network."""

import json
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from pseudo_board import pseudo_board

from spikeloom.flow import ir, ports, udev
from spikeloom.flow.cli import main
from spikeloom.flow.commands import doctor
from spikeloom.flow.lower import design_hash, top
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons.lif import Lif
from spikeloom.hdl.uart import MIN_DIVISOR
from spikeloom.sim import readback


def network(threshold=6):
    weight = np.array([[3, -2, 0, 1], [-3, 3, 2, 0], [1, 1, -1, 3]])
    layer = {"out_features": 3, "weight_bits": 3, "bitstream_length": 8, "sng": "sobol2",
             "neuron": Lif(v_threshold=threshold, leak_shift=2), "weight": weight,
             "bias": np.array([1, 0, -1])}
    return ir.chain(shape=(4,), encoder="stream", layers=[layer], readout="spike_count",
                    num_steps=4, input_sng="ramp")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A run directory whose network is built for both boards."""
    path = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKELOOM_CACHE", str(path / "cache"))
        run = Run.create(path / "run")
        network().save(run.graph_file)
        for board in ("icebreaker", "ice40_hx8k_b_evn"):
            assert main(["synth", "--run", str(run.path), "--board", board, "--json"]) == 0
    return path


@pytest.fixture
def run(built, monkeypatch, tmp_path):
    """A copy of it, to be harmed."""
    monkeypatch.setenv("SPIKELOOM_CACHE", str(built / "cache"))
    monkeypatch.delenv("ICEPROG", raising=False)
    shutil.copytree(built / "run", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def command(capsys):
    """Run a command line; returns (exit code, stdout, stderr)."""
    def call(*argv):
        code = main([str(arg) for arg in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.strip()
    return call


def programmer(path, code=0):
    """A program that records its arguments, as iceprog."""
    path.write_text(f"#!{sys.executable}\nimport json, sys\nprint('init..')\n"
                    f"json.dump(sys.argv[1:], open({str(path) + '.args'!r}, 'w'))\n"
                    f"if {code}: print(\"Can't find iCE FTDI USB device.\"); sys.exit({code})\n")
    path.chmod(0o755)
    return str(path)


def test_synth_prints_what_it_measured_and_ends_with_the_path(run, command):
    code, out, err = command("synth", "--run", run, "--board", "icebreaker")
    assert code == 0 and "from the cache" in err
    path = run / "build/icebreaker/top.bin"
    assert out.splitlines()[-1] == str(path) and path.stat().st_size == 104090
    for word in ("LCs", "5,280", "measured", "predicted", "interval", "error"):
        assert word in out


def test_synth_tries_seeds_as_json(run, command):
    code, out, _ = command("synth", "--run", run, "--board", "icebreaker", "--seeds", 2, "--json")
    data = json.loads(out)
    assert code == 0 and [item["seed"] for item in data["seeds"]] == [1, 2]
    assert data["report"]["fmax_mhz"] == max(item["fmax_mhz"] for item in data["seeds"])
    stored = json.loads((run / "build/icebreaker/report.json").read_text())
    assert stored == data["report"] and data["path"].endswith("top.bin")
    assert stored["seeds"] == {str(item["seed"]): item["fmax_mhz"] for item in data["seeds"]}


@pytest.mark.parametrize("arguments, message", [
    (["--board", "icebraker"], "unknown board 'icebraker'; did you mean 'icebreaker'?"),
    (["--seeds", "0"], "--seeds must be in 1..100, not 0"),
    (["--stored", "2", "--board", "icestick"],
     "--stored must be used with a board that has a button, not icestick"),
    (["--seed", "-1"], "--seed must be in 0..2**31 - 1, not -1"),
])
def test_synth_refuses_bad_arguments(run, command, arguments, message):
    code, out, err = command("synth", "--run", run, *arguments)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1


def test_synth_keeps_test_images_for_the_button(run, command, monkeypatch):
    opened = Run.open(run)
    images = np.random.default_rng(0).integers(0, 256, (3, 4))
    opened.save_samples(images, np.zeros(3, int))
    plain = json.loads((run / "build/icebreaker/report.json").read_text())
    code, out, _ = command("synth", "--run", run, "--stored", 3, "--json")
    data = json.loads(out)
    assert code == 0 and data["stored"] == 3 and data["report"]["ebr"] == plain["ebr"] + 1
    assert [(row["shift"], row["images"], row["served"]) for row in data["report"]["lengths"]] == [
        (0, 3, True), (1, 3, False), (2, 3, False), (3, 3, False)]
    assert json.loads((run / "build/icebreaker/report.json").read_text()) == data["report"]
    assert "set_io button_0__io 10" in (run / "build/icebreaker/top.pcf").read_text()
    code, _, err = command("synth", "--run", run, "--stored", 4)
    assert code == 2 and "--stored must be in 1..3, the test images of this run, not 4" in err


def test_synth_fit_keeps_what_fits(run, command):
    code, out, err = command("synth", "--run", run, "--fit", "--json")
    assert code == 0 and "icebreaker: spatial" in err and json.loads(out)["report"]["cached"]
    assert json.loads(out)["report"]["design"] == compile_graph(network()).digest()
    assert Run.open(run).graph().digest() == compile_graph(network()).digest()


def test_synth_without_a_run(command, tmp_path):
    code, _, err = command("synth", "--run", tmp_path / "none")
    assert code == 2 and "is not a run directory" in err


@pytest.mark.parametrize("arguments, extra", [
    (["--board", "icebreaker"], []), (["--board", "ice40_hx8k_b_evn"], []),
    (["--board", "ice40_hx8k_b_evn", "--sram"], ["-S"]),
])
def test_flash_runs_the_boards_programmer(run, command, monkeypatch, tmp_path, arguments, extra):
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog"))
    code, out, err = command("flash", "--run", run, *arguments)
    path = run / "build" / arguments[1] / "top.bin"
    assert code == 0 and "is programmed" in out and "init.." in err
    assert json.loads((tmp_path / "prog.args").read_text()) == [*extra, str(path)]


def test_flash_dry_run_checks_and_prints_only(run, command, monkeypatch, tmp_path):
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog"))
    code, out, _ = command("flash", "--run", run, "--dry-run", "--json")
    data = json.loads(out)
    assert code == 0 and not data["programmed"]
    assert data["command"] == [str(tmp_path / "prog"), str(run / "build/icebreaker/top.bin")]
    assert data["checked"]["size"] == "104,090 bytes"
    assert not (tmp_path / "prog.args").exists()


def test_flash_without_a_programmer(run, command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = command("flash", "--run", run)
    assert code == 1 and "iceprog is missing" in err and "fpga-icestorm" in err
    code, out, err = command("flash", "--run", run, "--dry-run")
    assert code == 0 and out.splitlines()[-1].startswith("iceprog ") and "is missing" in err


def test_flash_reports_what_the_programmer_said(run, command, monkeypatch, tmp_path):
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog", code=2))
    code, _, err = command("flash", "--run", run)
    assert code == 1
    assert "failed: Can't find iCE FTDI USB device.; is the board connected" in err.splitlines()[-1]


def test_flash_verify_reads_the_design_hash_back(run, command, monkeypatch, tmp_path):
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog"))
    graph = compile_graph(network())
    with pseudo_board(top(graph, MIN_DIVISOR)) as port:
        code, out, _ = command("flash", "--run", run, "--verify", "--port", port, "--json")
    assert code == 0 and (tmp_path / "prog.args").exists()
    assert json.loads(out)["verified"] == {"port": port, "design": design_hash(graph).hex()}


def test_flash_verify_tells_a_board_that_runs_something_else(run, command, monkeypatch, tmp_path):
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog"))
    monkeypatch.setattr(readback, "PATIENCE", 0.0)
    other = compile_graph(network(threshold=7))
    with pseudo_board(top(other, MIN_DIVISOR)) as port:
        code, out, err = command("flash", "--run", run, "--flash", "--verify", "--port", port)
    assert (code, out) == (1, "") and "programmed, but not verified" in err
    assert design_hash(other).hex() in err and design_hash(compile_graph(network())).hex() in err


@pytest.mark.parametrize("arguments, message", [
    (["--port", "/dev/ttyUSB1"], "--port must be used with --verify"),
    (["--verify", "--dry-run"], "--verify must not be used with --dry-run"),
    (["--verify"], "--port must name the serial port of the board: no port of board icebreaker is"),
    (["--board", "tinyfpga_bx", "--verify"], "the UART of TinyFPGA BX needs an adapter"),
])
def test_flash_refuses_options_before_it_programs(run, command, monkeypatch, tmp_path, arguments,
                                                  message):
    monkeypatch.setenv("ICEPROG", programmer(tmp_path / "prog"))
    monkeypatch.setattr(ports.list_ports, "comports", list)
    code, out, err = command("flash", "--run", run, *arguments)
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert not (tmp_path / "prog.args").exists()


def test_flash_sram_needs_a_board_that_can(run, command):
    code, _, err = command("flash", "--run", run, "--sram")
    assert code == 2 and "--sram must not be used with icebreaker" in err


def _edit(path, change):
    path.write_bytes(change(path.read_bytes()))


HARM = {
    "no build": (lambda d: [p.unlink() for p in d.iterdir()] and d.rmdir(), "does not exist"),
    "no bitstream": (lambda d: (d / "top.bin").unlink(), "cannot be read"),
    "no report": (lambda d: (d / "report.json").unlink(), "cannot be read"),
    "damaged report": (lambda d: _edit(d / "report.json", lambda b: b[:50]), "is damaged"),
    "short": (lambda d: _edit(d / "top.bin", lambda b: b[:-1]),
              "must have 104,090 bytes for the UP5K, not 104,089"),
    "no sync word": (lambda d: _edit(d / "top.bin", lambda b: b.replace(b"\x7e\xaa", b"\0\0", 1)),
                     "is no iCE40 bitstream"),
    "tampered": (lambda d: _edit(d / "top.bin", lambda b: b[:-9] + b"\x55" + b[-8:]),
                 "has another checksum than the build reported"),
    "other board": (lambda d: _edit(d / "report.json", lambda b: b.replace(
        b'"board": "icebreaker"', b'"board": "ice40_hx8k_b_evn"')),
        "must be for board icebreaker, not ice40_hx8k_b_evn"),
    "too slow": (lambda d: _edit(d / "report.json", lambda b: b.replace(
        b'"meets_clock": true', b'"meets_clock": false')), "MHz at most, its clock is 12"),
}


@pytest.mark.parametrize("harm", HARM)
def test_flash_refuses_a_bitstream_that_is_not_right(run, command, harm):
    change, message = HARM[harm]
    change(run / "build/icebreaker")
    code, out, err = command("flash", "--run", run, "--dry-run")
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1


def test_flash_refuses_a_bitstream_of_another_network(run, command):
    network(threshold=7).save(Run.open(run).graph_file)
    code, _, err = command("flash", "--run", run, "--dry-run")
    again = f"run 'spikeloom synth --run {run} --board icebreaker' again"
    assert code == 2 and "holds design" in err and again in err
    code, out, _ = command("report", "--run", run)
    assert code == 0 and "this build is of another network" in out
    assert "us an inference" not in out and "accuracy" in out, "nothing of both in one line"
    (run / "build/icebreaker").rename(run / "build/icebreaker-proof")
    code, _, err = command("flash", "--run", run, "--dry-run", "--proof")
    assert code == 2 and "--board icebreaker --proof' again" in err


def test_report_prints_the_network_and_every_build(run, command):
    code, out, _ = command("report", "--run", run, "--json")
    data = json.loads(out)
    assert code == 0 and data["network"]["synapses"] == 12
    assert [build["board"] for build in data["builds"]] == ["ice40_hx8k_b_evn", "icebreaker"]
    assert all(build["current"] for build in data["builds"])
    for build in data["builds"]:
        cycles = data["network"]["cycles"]
        assert build["microseconds_per_inference"] == pytest.approx(cycles / 12)
        assert 0 < build["energy_estimate"]["low_nj"] < build["energy_estimate"]["total_nj"]
    (run / "build/icebreaker/report.json").write_text("{}")
    code, out, _ = command("report", "--run", run)
    assert code == 2 and "is damaged" in out and "12 synapses" in out and "HX8K" in out


def test_clocks_of_a_folded_network_are_the_most_that_can_be(run, command):
    graph = network().replace(fc1={"lowering": "folded", "lanes": 2})
    graph.save(Run.open(run).graph_file)
    built = run / "build/icebreaker/report.json"  # as if it were this network's
    built.write_text(json.dumps(json.loads(built.read_text())
                                | {"design": compile_graph(graph).digest()}))
    code, out, _ = command("report", "--run", run, "--json")
    found = json.loads(out)["network"]
    assert code == 0 and found["event_driven"]
    code, out, _ = command("report", "--run", run)
    assert f"at most {found['cycles']} clocks an inference" in out
    assert f"at most {found['cycles'] / 12:.1f} us an inference at 12 MHz" in " ".join(out.split())


def test_doctor_finds_what_is_required(command):
    code, out, _ = command("doctor", "--json")
    data = json.loads(out)
    states = {tool["name"]: tool["state"] for tool in data["tools"]}
    assert code == 0 and data["ok"] and states["yosys"] == "ok"
    boards = {board["name"]: board for board in data["boards"]}
    assert len(boards) >= 9 and boards["tinyfpga_bx"]["uart"] == "adapter"
    assert boards["icebreaker"] | {"notes": ""} == {
        "name": "icebreaker", "title": "iCEBreaker", "device": "UP5K", "package": "SG48",
        "clock_mhz": 12.0, "leds": 7, "buttons": 1, "uart": "USB", "programmer": "iceprog",
        "sram": False, "notes": ""}


def test_doctor_names_what_is_missing(command, monkeypatch, tmp_path):
    monkeypatch.setenv("NEXTPNR_ICE40", "no-such-program")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path))
    code, out, _ = command("doctor")
    assert code == 1 and "NEXTPNR_ICE40 must name a program" in out
    assert "iverilog is missing, which co-simulation of the RTL needs" in out
    assert "compiles" in out
    assert "something required is missing" in out
    assert "iceprog is missing, which programming a board needs" in out


def test_doctor_shows_ports_and_how_to_get_them(command, monkeypatch, tmp_path):
    device = tmp_path / "ttyUSB7"
    device.touch(0o600)
    found = SimpleNamespace(device=str(device), description="iCELink", vid=0x1D50, pid=0x602B)
    monkeypatch.setattr(doctor.list_ports, "comports", lambda: [found])
    allowed = os.access
    monkeypatch.setattr(doctor.os, "access", lambda path, *mode, **how: (
        path != str(device) and allowed(path, *mode, **how)))
    monkeypatch.setattr(udev, "FOLDERS", (tmp_path,))
    (tmp_path / "99-mine.rules").write_text(udev.rules().replace('"602b"', '"0000"'))
    code, out, _ = command("doctor", "--json")
    data = json.loads(out)
    (port,) = data["ports"]
    assert code == 0 and port["board"] == "icesugar or icesugar_nano" and not port["usable"]
    assert port["usb"] == "1d50:602b" and port["access"].startswith("-rw------- ")
    assert data["udev"]["uncovered"] == ["icesugar", "icesugar_nano"]
    hints = "\n".join(data["hints"])
    assert "no udev rule lets you program icesugar, icesugar_nano;" in hints
    assert f"you may not use {device} (-rw-------" in hints and "usermod -aG" in hints


def test_doctor_prints_udev_rules_for_every_board(command):
    code, out, _ = command("doctor", "--udev")
    assert code == 0
    for ids in ("0403", "6010", "6014", "1d50", "602b", "6130", "6146"):
        assert f'"{ids}"' in out
    assert all(line.startswith(("#", "SUBSYSTEM==")) for line in out.splitlines())
