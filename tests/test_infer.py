import json
import os
import select
import threading
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from networks import random_graph, random_images
from safetensors.numpy import save_file
from test_clocks import report_of

from spikeloom.boards import BOARDS
from spikeloom.flow import ir
from spikeloom.flow.cli import main
from spikeloom.flow.clocks import clocked
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.lower import top
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.report import write_report
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import reference
from spikeloom.sim.images import read_images
from spikeloom.sim.rates import divisor_for
from spikeloom.sim.simulated import SimTransport


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(5)
    sizes = (9, 6, 4)
    layers = [{
        "out_features": n_out, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
        "weight": rng.integers(-7, 8, (n_out, n_in)).astype(np.int16),
        "bias": rng.integers(-8, 9, n_out).astype(np.int32),
        "neuron": Lif(v_threshold=20, leak_shift=2),
    } for n_in, n_out in pairwise(sizes)]
    return ir.chain(shape=(3, 3), encoder="stream", input_sng="ramp", layers=layers,
                    readout="membrane", num_steps=4).verify()


@pytest.fixture(scope="module")
def samples(graph):
    p8 = np.random.default_rng(6).integers(0, 256, (12, 9)).astype(np.uint8)
    labels = reference.run(graph, p8).classes.copy()
    labels[1] = (labels[1] + 1) % 4
    return p8, labels


@pytest.fixture
def run_dir(tmp_path, graph, samples):
    run = Run.create(tmp_path / "run")
    graph.save(run.graph_file)
    run.save_samples(*samples)
    return run.path


def test_samples_on_the_simulation_equal_the_reference(run_dir, graph, samples, capsys):
    assert main(["infer", "--sim", "--run", str(run_dir), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    wanted = reference.run(graph, samples[0][:10])
    assert [image["class"] for image in data["images"]] == wanted.classes.tolist()
    assert [image["scores"] for image in data["images"]] == wanted.scores.tolist()
    assert (data["count"], data["equal"], data["labelled"], data["correct"]) == (10, 10, 10, 9)
    assert data["design"] == compile_graph(graph).digest()[:16]


@pytest.mark.parametrize("asked,baud", [([], 6e6), (["--clock", "8e6"], 2e6)])
def test_a_simulation_has_the_clock_of_the_build(run_dir, graph, capsys, asked, baud):
    board = clocked(BOARDS["icebreaker"], "hfosc", 24)
    write_report(report_of(board, compile_graph(graph).digest(), 60),
                 Run.open(run_dir).build_dir("icebreaker") / "report.json")
    assert main(["infer", "--sim", "--run", str(run_dir), "--json", "--count", "1", *asked]) == 0
    assert json.loads(capsys.readouterr().out)["baud"] == baud


def test_a_file_as_text(run_dir, samples, tmp_path, capsys):
    path = tmp_path / "images.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in samples[0][:2]))
    assert main(["infer", "--sim", "--run", str(run_dir), str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "label" not in lines[0]
    assert lines[0].endswith("equal to the reference") and lines[0].startswith("   0: class ")
    assert "2 of 2 equal to the reference" in lines[2]


def test_an_answer_that_differs_is_a_failure(run_dir, graph, monkeypatch, capsys):
    real = reference.run
    monkeypatch.setattr(reference, "run", lambda graph, p8, **options: _shifted(
        real(graph, p8, **options)))
    assert main(["infer", "--sim", "--run", str(run_dir), "--count", "2"]) == 1
    out = capsys.readouterr().out
    assert "1: class" in out and "NOT the reference's class" in out and "1 of 2 equal" in out


def _shifted(trace):
    trace.scores = trace.scores.copy()
    trace.scores[1, 0] += 1
    return trace


def bridged(ours, line, stop):
    while not stop.is_set():
        if select.select([ours], [], [], 0.001)[0]:
            line.write(os.read(ours, 4096))
        if back := line.read(4096, 40 / line.baud):
            os.write(ours, back)


def test_a_port(run_dir, graph, samples, tmp_path, capsys):
    ours, theirs = os.openpty()
    line = SimTransport(top(compile_graph(graph), divisor=4))
    stop = threading.Event()
    thread = threading.Thread(target=bridged, args=(ours, line, stop))
    thread.start()
    other = Run.create(tmp_path / "other")
    layer = graph.layers[0][0]
    graph.replace(fc1={"weight": -layer.weight}).save(other.graph_file)
    other.save_samples(*samples)
    try:
        port = ["infer", "--port", os.ttyname(theirs), "--count", "3"]
        assert main([*port, "--run", str(run_dir)]) == 0
        assert "3 of 3 equal" in capsys.readouterr().out
        assert main([*port, "--run", str(other.path)]) == 1
        error = capsys.readouterr().err
        found = compile_graph(graph).digest()[:16]
        assert f"runs design {found}, not " in error and error.count("\n") == 1
    finally:
        stop.set()
        thread.join()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("argv,code,text", [
    (["--port", "/dev/ttyNONE"], 1, "no such port; plug the board in"),
    (["--sim", "--count", "0"], 2, "--count must be at least 1, not 0"),
    (["--sim", "--baud", "1"], 2, "--baud must be in 2930..3000000 with a clock of 12000000 Hz"),
    (["--sim", "--clock", "nan"], 2, "--clock must be a positive number, not nan"),
    (["--sim", "nothing.csv"], 2, "nothing.csv: cannot be read"),
    (["--sim", "image.png"], 2, "image.png: cannot be read"),
    (["--sim", "image.gif"], 2, "unknown file type '.gif'"),
])
def test_bad_arguments_are_one_line(run_dir, capsys, argv, code, text):
    assert main(["infer", "--run", str(run_dir), *argv]) == code
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1 and "Traceback" not in error


@pytest.mark.parametrize("clock,baud,divisor", [
    (12e6, 115200, 104), (12e6, 3e6, 4), (12e6, 1e6, 12), (48e6, 12e6, 4)])
def test_divisors_of_rates(clock, baud, divisor):
    assert divisor_for(clock, baud) == divisor


@pytest.mark.parametrize("clock,baud,text", [
    (12e6, 2.6e6, "within 2 % .* not 2.6e.06; the nearest is 2400000"),
    (12e6, 3.5e6, "2930..3000000"), (12e6, -1, "--baud must be a positive number, not -1"),
    (float("inf"), 9600, "--clock must be a positive"), (12e6, float("nan"), "--baud must be")])
def test_rates_that_the_clock_cannot_make(clock, baud, text):
    with pytest.raises(ConfigError, match=text):
        divisor_for(clock, baud)


P8 = np.arange(18).reshape(2, 3, 3).astype(np.uint8)


def pixels(n):
    """A network of n pixels."""
    return ir.chain(shape=(n,), encoder="rate", readout="membrane", num_steps=2, layers=[
        {"out_features": 2, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
         "neuron": Lif(v_threshold=1)}])


def test_every_file_type_reads_the_same(tmp_path):
    labels = np.array([3, 1])
    np.save(tmp_path / "a.npy", P8)
    np.savez(tmp_path / "a.npz", p8=P8, labels=labels)
    save_file({"p8": P8, "labels": labels}, tmp_path / "a.safetensors")
    (tmp_path / "a.txt").write_text("0 1 2 3 4 5 6 7 8\n\n9 10 11 12 13 14 15 16 17\n")
    for name, labelled in (("a.npy", False), ("a.npz", True), ("a.safetensors", True),
                           ("a.txt", False)):
        p8, found = read_images(tmp_path / name, pixels(9))
        assert p8.dtype == np.uint8 and np.array_equal(p8, P8.reshape(2, 9)), name
        assert (found is not None) == labelled
        if labelled:
            assert found.tolist() == [3, 1]


@pytest.mark.parametrize("array", [P8[0], P8[0].reshape(9), P8[:1].astype(np.int64)])
def test_one_image_of_any_shape(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    p8, _ = read_images(tmp_path / "a.npy", pixels(9))
    assert p8.tolist() == [list(range(9))]


def _save(path, content):
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npy":
        np.save(path, content, allow_pickle=True)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        save_file(content, path)


@pytest.mark.parametrize("name,content,text", [
    ("a.csv", "1,2,3\n4,x,6\n", "a.csv: line 2: pixels must be integers in 0..255, not 'x'"),
    ("a.csv", "1,2,256\n", "line 1: pixels must be integers in 0..255, not '256'"),
    ("a.csv", "1,2,-1\n", "line 1: pixels must be integers in 0..255, not '-1'"),
    ("a.csv", "1,2,3\n4,5\n", "line 2: every row must have 3 pixels like the first, not 2"),
    ("a.csv", "1,2\n", "images must have 3 pixels each, not the shape .1, 2."),
    ("a.csv", "", "must have at least one image"),
    ("a.csv", b"\xff\xfe\x00", "is damaged or no .csv file"),
    ("a.npy", "no array", "is damaged or no .npy file"),
    ("a.npy", b"", "is damaged or no .npy file"),
    ("a.npy", np.array([{"a": 1}, None, 2], object), "no .npy file of numbers"),
    ("a.npy", np.zeros(3), "pixels must be integers in 0..255, not float64"),
    ("a.npy", np.array([1, 2, 300]), "pixels must be in 0..255, not 300"),
    ("a.npy", np.array([1, -2, 3]), "pixels must be in 0..255, not -2"),
    ("a.npy", np.zeros((0, 3), int), "must have at least one image"),
    ("a.npz", {"x": np.zeros(3, int)}, "must have an array named 'p8', not only x"),
    ("a.npz", {"p8": np.zeros((2, 3), int), "labels": np.zeros(3, int)}, "labels must be 2"),
    ("a.npz", {"p8": np.array([1, None, 2], object)}, "no .npz file of numbers"),
    ("a.npz", b"PK\x03\x04 broken", "is damaged or no .npz file"),
    ("a.safetensors", b"\x05\0\0\0\0\0\0\0nope", "is damaged or no .safetensors file"),
    ("a.safetensors", {"p8": np.zeros((1, 4), np.uint8)}, "images must have 3 pixels each"),
])
def test_bad_files_name_the_rule_and_the_value(tmp_path, name, content, text):
    _save(tmp_path / name, content)
    with pytest.raises(ConfigError, match=text):
        read_images(tmp_path / name, pixels(3))


def test_a_file_of_another_kind_inside(tmp_path):
    np.savez(tmp_path / "a.npz", p8=P8)
    os.rename(tmp_path / "a.npz", tmp_path / "a.npy")
    with pytest.raises(ConfigError, match=r"is no \.npy file inside"):
        read_images(tmp_path / "a.npy", pixels(9))


def _flipped(path):
    np.savez_compressed(path, p8=P8)
    data = bytearray(path.read_bytes())
    data[60:70] = bytes(b ^ 255 for b in data[60:70])
    path.write_bytes(data)


def _foreign(path):
    from safetensors.torch import save_file
    from torch import bfloat16, zeros

    save_file({"p8": zeros((1, 9), dtype=bfloat16)}, path)


@pytest.mark.parametrize("name,make,message", [
    ("a.npz", _flipped, "is damaged or no .npz file"),
    ("a.safetensors", _foreign, "is damaged or no .safetensors file"),
    ("a.csv", lambda path: path.write_text("9" * 5000), "pixels must be integers in 0..255"),
    ("a.npy", lambda path: np.save(path, np.zeros((0, 9), int)), "must have at least one image"),
])
def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(ConfigError) as found:
        read_images(tmp_path / name, pixels(9))
    assert message in str(found.value) and "\n" not in str(found.value)


@pytest.mark.parametrize("encoder,length", [("stream", 256), ("spikes", 8), ("rate", 8)])
def test_slow_images_and_events_go_over_the_simulated_link_too(tmp_path, capsys, encoder, length):
    """A long bitstream takes longer to prepare than to infer; events are frames of bits."""
    rng = np.random.default_rng(1)
    graph = random_graph(rng, sizes=(17, 3, 2), lengths=[length, 8], num_steps=2, encoder=encoder)
    run = Run.create(tmp_path / "run")
    graph.save(run.graph_file)
    run.save_samples(random_images(rng, graph, 2), np.zeros(2))
    assert main(["infer", "--sim", "--run", str(run.path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["count"], data["equal"]) == (2, 2)


@pytest.mark.parametrize("link,more", [
    ("duplex,pixels4", []), ("steps,counters", ["--steps", "2"])])
def test_links_with_more_on_the_simulation(run_dir, graph, samples, capsys, link, more):
    """Pixels are rounded to what the link carries, for the reference model too."""
    assert main(["infer", "--sim", "--run", str(run_dir), "--json", "--count", "3", "--link", link,
                 *more]) == 0
    data = json.loads(capsys.readouterr().out)
    p8 = samples[0][:3].astype(int)
    if "pixels4" in link:
        p8 = (p8 * 15 + 127) // 255 * 17
    steps = 2 if more else graph.num_steps
    wanted = reference.run(replace(graph, num_steps=steps), p8)
    assert [image["scores"] for image in data["images"]] == wanted.scores.tolist()


@pytest.mark.parametrize("argv,code,text", [
    (["--sim", "--link", "duplx"], 2, "unknown feature 'duplx'; did you mean 'duplex'?"),
    (["--port", "/dev/ttyNONE", "--link", "steps"], 2, "--link must be used with --sim"),
    (["--sim", "--steps", "2"], 2, "built without run-time timesteps"),
    (["--sim", "--link", "steps", "--steps", "5"], 2, "timesteps must be in 1..4"),
    (["--sim", "--shift", "1"], 2, "built without run-time bitstream lengths"),
])
def test_what_a_link_lacks_is_one_line(run_dir, capsys, argv, code, text):
    assert main(["infer", "--run", str(run_dir), *argv]) == code
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
