"""`spikeloom sim`, `spikeloom demo`, `spikeloom bench`, and how the command line fails."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from networks import random_graph
from pseudo_board import pseudo_board

from spikeloom.flow import cli, fit, lower
from spikeloom.flow.errors import RunError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.report import Report
from spikeloom.flow.run import Run
from spikeloom.nas import bench
from spikeloom.sim import bitstream, gateware, icarus
from spikeloom.sim.commands import demo


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(4)
    opened = Run.create(tmp_path / "run")
    random_graph(rng, sizes=(12, 6, 3), num_steps=3).save(opened.graph_file)
    opened.save_samples(rng.integers(0, 256, (5, 12)), rng.integers(0, 3, 5))
    return opened


@pytest.mark.parametrize("level", ["reference", "amaranth", "rtl"])
def test_every_level_is_equal(run, level, capsys):
    argv = ["sim", "--run", str(run.path), "--level", level, "--count", "3", "--json"]
    assert cli.main(argv) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["images_equal"] == data["images"] == 3 and data["first"] is None
    kinds = 2 if level == "amaranth" else 3  # currents too, where they cost nothing
    assert data["compared"] == kinds * 3 * 3 * (6 + 3) + 3 * 3 + 3
    if level == "amaranth":
        assert data["cycles"] == data["expected_cycles"] == data["cycles"][:1] * 3


def test_clocks_of_a_folded_layer_are_those_of_its_spikes(run, capsys, monkeypatch):
    graph = run.graph()
    graph.replace(fc2={"lowering": "folded", "lanes": 2}).save(run.graph_file)
    argv = ["sim", "--run", str(run.path), "--level", "amaranth", "--json"]
    assert cli.main(argv) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["cycles"] == data["expected_cycles"] and len(set(data["cycles"])) > 1
    assert cli.main(argv[:-1]) == 0
    least, most = min(data["cycles"]), max(data["cycles"])
    assert f"{least}..{most} clocks an inference, as the formula says" in capsys.readouterr().out
    real = gateware.simulate

    def slower(*args, **options):
        trace, clocks = real(*args, **options)
        return trace, [clocks[0], clocks[1] + 1, *clocks[2:]]

    monkeypatch.setattr(gateware, "simulate", slower)
    assert cli.main(argv[:-1]) == 1
    assert f"NOT what the formula says, first of image 1: {data['cycles'][1]}" in (
        " ".join(capsys.readouterr().out.split()))


def test_waves(run, capsys):
    argv = ["sim", "--run", str(run.path), "--count", "1", "--waves", "--json"]
    assert cli.main(argv) == 0
    fst = json.loads(capsys.readouterr().out)["fst"]
    with open(fst, "rb") as file:
        assert len(file.read()) > 1000


def test_a_difference_is_located_and_exits_1(run, capsys, monkeypatch):
    real = gateware.simulate

    def wrong(*args, **options):
        trace, clocks = real(*args, **options)
        trace.v[1][2, 0, 1] += 1
        return trace, clocks

    monkeypatch.setattr(gateware, "simulate", wrong)
    argv = ["sim", "--run", str(run.path), "--level", "amaranth", "--count", "2"]
    assert cli.main(argv) == 1
    assert "image 0, v, layer 1, timestep 2, neuron 1" in capsys.readouterr().out


@pytest.mark.parametrize("argv,words", [
    (["--level", "amarant"], "did you mean 'amaranth'"),
    (["--count", "6"], "--count must be in 1..5"),
    (["--count", "x"], "invalid int value"),
])
def test_bad_options(run, argv, words, capsys):
    try:
        code = cli.main(["sim", "--run", str(run.path), *argv])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2 and words in capsys.readouterr().err


def test_without_icarus_its_package_is_named(run, capsys, monkeypatch):
    monkeypatch.setattr(icarus.shutil, "which", lambda name: None)
    assert cli.main(["sim", "--run", str(run.path)]) == 1
    assert "apt-get install iverilog" in capsys.readouterr().err


def test_without_icestorm_nothing_is_built(run, capsys, monkeypatch):
    """Place and route would take minutes, whose bitstream could then not be read back."""
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, *args, **options: (
        None if name == "icebox_vlog" else real(name, *args, **options)))
    monkeypatch.setattr(bitstream.build, "build", lambda *args, **options: pytest.fail("built"))
    assert cli.main(["sim", "--run", str(run.path), "--level", "bitstream"]) == 1
    assert "icebox_vlog is missing" in capsys.readouterr().err


def test_the_network_that_ships_is_installed_and_trained(tmp_path):
    opened = demo.install(tmp_path / "demo")
    p8, labels = opened.samples()
    from spikeloom.sim import reference

    classes = reference.run(compile_graph(opened.graph()), p8).classes
    assert p8.shape == (360, 64) and (classes == labels).mean() > 0.96
    held, known = opened.calibration()
    assert held.shape == (256, 64) and known.shape == (256,)
    assert not {image.tobytes() for image in held} & {image.tobytes() for image in p8}


def test_the_demo_overwrites_nothing_of_others(tmp_path):
    path = tmp_path / "mine"
    path.mkdir()
    (path / "samples.safetensors").write_text("thesis")
    with pytest.raises(RunError, match="exists and is not a run directory"):
        demo.install(path)
    assert (path / "samples.safetensors").read_text() == "thesis"
    (path / "samples.safetensors").unlink()
    shipped = demo.install(tmp_path / "demo")  # a copy that was interrupted is finished
    (path / "samples.safetensors").write_bytes(shipped.samples_file.read_bytes())
    (path / ".graph.safetensors.abc").write_text("half")
    assert demo.install(path).graph().digest() == shipped.graph().digest()


def test_the_demo_takes_another_lowering_where_the_first_does_not_fit(tmp_path, monkeypatch,
                                                                      capsys):
    run = tmp_path / "demo"
    folded = fit.lowered(demo.install(run).graph(), "folded", 8)
    assert demo.install(run).graph().digest() != folded.digest()
    report = Report(**{f.name: f.type() for f in msgspec.structs.fields(Report) if f.required}
                    | {"device": "HX1K", "board": "icestick", "bitstream": "top.bin"})
    found = fit.Fitted("folded, 8 lanes", folded, report, {"spatial": "4,010 LCs do not fit"})
    monkeypatch.setattr(fit, "fit", lambda graph, board, **options: found)
    argv = ["demo", "--run", str(run), "--board", "icestick", "--count", "1", "--no-flash"]
    assert cli.main([*argv, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["lowering"] == "folded, 8 lanes" and data["equal"] == 1
    assert demo.install(run).graph().digest() == folded.digest()
    monkeypatch.setattr(fit, "fit", lambda graph, board, **options: fit.Fitted(
        "", None, None, {"spatial": "too large", "folded, 1 lane": "too large, too"}))
    assert cli.main(argv) == 2
    assert "icestick: spatial: too large; folded, 1 lane: too large, too" in capsys.readouterr().err


def test_the_demo_s_check_sees_a_difference(run):
    import types

    from spikeloom.flow.output import Output
    from spikeloom.flow.passes.compile import compile_graph

    graph = compile_graph(run.graph())
    p8, _ = run.samples()
    assert demo.check(graph, p8[:1], Output()) == 1
    other = types.SimpleNamespace(run=lambda g, x: demo_reference(g, x))

    def demo_reference(g, x):
        from spikeloom.sim import reference

        trace = reference.run(g, x)
        trace.scores[0, 0] += 1
        return trace

    original, demo.reference = demo.reference, other
    try:
        assert demo.check(graph, p8[:1], Output()) == 0
    finally:
        demo.reference = original


def test_a_traceback_changes_no_exit_code(tmp_path, capsys):
    assert cli.main(["report", "--run", str(tmp_path / "none"), "-v"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error and error.splitlines()[-1].startswith("spikeloom report: ")


def test_unknown_command_and_missing_run(tmp_path, capsys):
    assert cli.main(["serch"]) == 2
    assert "did you mean 'search'" in capsys.readouterr().err
    assert cli.main(["sim", "--run", str(tmp_path / "none")]) == 2
    assert "is not a run directory" in capsys.readouterr().err


def test_ctrl_c_exits_130(run, capsys, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt("nothing was lost")

    monkeypatch.setattr(gateware, "simulate", stop)
    assert cli.main(["sim", "--run", str(run.path), "--level", "amaranth"]) == 130
    assert "interrupted: nothing was lost" in capsys.readouterr().err


def test_bench_names_and_goals(capsys):
    assert bench.holds(0.97, ">= 0.965") and not bench.holds(2.1, "<= 2.0")
    assert bench.holds(1.0, "") is None
    assert bench.selected(["spatial.fmax*", "cosim.mismatches"]) == [
        "cosim.mismatches", "spatial.fmax_mhz"]
    assert cli.main(["bench", "--only", "spatia.*"]) == 2
    assert "must match a figure" in capsys.readouterr().err


def test_bench_writes_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--only", "reference.*", "--json"]) == 0
    figures = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert [f["name"] for f in figures] == ["reference.digits_seconds"]
    assert figures[0]["value"] > 0 and set(figures[0]) == {
        "name", "value", "unit", "goal", "holds", "detail"}


@pytest.mark.parametrize("proof", [False, True])
def test_a_board_answers_for_what_it_has(run, capsys, proof):
    """Without the witness of the proof build it is said that only scores and classes were seen."""
    graph = compile_graph(run.graph())
    with pseudo_board(lower.top(graph, divisor=4, trace=proof)) as port:
        argv = ["sim", "--run", str(run.path), "--level", "board", "--count", "2", "--port", port]
        assert cli.main([*argv, "--board", "icestick"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "2 of 2 images equal" in text
    assert ("by a checksum per layer" in text) == proof
    assert ("flash the proof build for membranes" in text) == (not proof)


def test_a_board_that_runs_another_design_is_refused(run, capsys):
    other = compile_graph(random_graph(np.random.default_rng(5), sizes=(12, 6, 3), num_steps=3))
    with pseudo_board(lower.top(other, divisor=4, trace=True)) as port:
        argv = ["sim", "--run", str(run.path), "--level", "board", "--port", port]
        assert cli.main([*argv, "--count", "1"]) == 1
    error = capsys.readouterr().err
    assert f"{port}: runs design {other.digest()[:16]}, not" in " ".join(error.split())


def test_a_board_needs_a_port(run, capsys):
    assert cli.main(["sim", "--run", str(run.path), "--level", "board"]) == 2
    assert "--level board needs --port" in capsys.readouterr().err
