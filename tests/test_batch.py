"""Batches of images: what is said of them, live or not, pictures, and what ends them early."""

import json
from contextlib import nullcontext
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from test_infer import graph, run_dir, samples  # noqa: F401

from spikeloom.flow import ir
from spikeloom.flow.cli import main
from spikeloom.flow.errors import LinkError
from spikeloom.flow.lower import top
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import live, reference
from spikeloom.sim.batch import closing, confusion, told
from spikeloom.sim.commands import infer
from spikeloom.sim.commands.infer import leave
from spikeloom.sim.fitted import fit, ink_of
from spikeloom.sim.host import Device
from spikeloom.sim.live import Bar, Spikes, Tally
from spikeloom.sim.simulated import SimTransport


def image(index, cls, label=None, equal=True):
    return {"index": index, "class": cls, "scores": [cls, -1], "label": label, "equal": equal,
            "reference": {"class": 0, "scores": [0, 0]}}


def test_confusion_is_by_label_and_class():
    images = [image(0, 1, 1), image(1, 2, 1), image(2, 1, 1), image(3, 0, 3), image(4, 0)]
    assert confusion(images, 3) == [[0, 0, 0], [0, 2, 1], [0, 0, 0], [1, 0, 0]]
    images = [image(0, 1, 1), image(1, 2, 1 << 40), image(2, 2, -1)]
    assert confusion(images, 3) == [[0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 2]]
    assert confusion(images[:1], 3) == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def told_of(count, differ=()):
    images = [image(k, k % 3, k % 2, equal=k not in differ) for k in range(count)]
    data = {"device": "board", "design": "0a", "count": count, "equal": count - len(differ),
            "labelled": count, "correct": 5, "accuracy": 0.5, "images": images, "baud": 115200.0,
            "images_per_second": 12.34, "confusion": confusion(images, 3)}
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        for part in told(data):
            console.print(part, markup=False)
    return capture.get().splitlines()


def test_few_images_have_a_line_each_and_many_a_table():
    assert len(told_of(20)) == 21 and told_of(20)[7].startswith("   7: class 1, label 1")
    lines = told_of(600, differ=range(100, 130))
    assert lines[0].startswith(" 100: class 1, label 0") and "NOT the reference's" in lines[19]
    assert lines[20] == "and 10 more that differ from the reference"
    assert lines[21].split() == ["label", "0", "1", "2", "right"]
    assert lines[22].split() == ["0", "100", "100", "100", "33.3%"]
    assert lines[-1].endswith("5 of 600 labels right (50.00%), 12.3 images/s over the link "
                              "(115,200 baud)")


def test_a_rate_that_is_not_known_is_not_told():
    data = {"device": "simulation", "design": "0a", "count": 0, "equal": 0, "labelled": 0,
            "images_per_second": 0.0}
    assert closing(data) == "simulation, design 0a: 0 of 0 equal to the reference"


def tally_of(total=4):
    """A tally whose clock goes on by half a second each time it is looked at."""
    times = iter(np.arange(0, 100, 0.5))
    return Tally(total, lambda: next(times))


def test_a_tally_tells_rate_accuracy_and_what_is_left():
    tally = tally_of()
    assert tally.rate == 0 and "s left" not in str(tally)
    tally.add(image(0, 1, 1))
    tally.add(image(1, 1, 0, equal=False))
    assert (tally.done, tally.labelled, tally.right, tally.differ) == (2, 2, 1, 1)
    text = str(tally)
    assert text.startswith("2 of 4 images, ") and "accuracy 50.00%, 1 NOT as the reference" in text
    assert text.endswith(" s left")


def test_without_a_terminal_a_line_says_now_and_then_how_far_it_is(monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    console, tally = Console(color_system=None, width=20), tally_of()
    with console.capture() as capture, Bar(console, tally) as bar:
        tally.add(image(0, 1, 1))
        bar.show(image(0, 1, 1), np.zeros(4))
    assert capture.get().startswith("1 of 4 images, ") and capture.get().count("\n") == 1


def test_in_a_terminal_the_bar_has_rate_and_time_left(graph):  # noqa: F811
    console, tally = Console(force_terminal=True, width=100, color_system=None), tally_of()
    with console.capture() as capture, Bar(console, tally) as bar:
        tally.add(image(0, 1, 1))
        bar.show(image(0, 1, 1), np.zeros(4))
        bar._progress.refresh()
    assert "1/4" in capture.get() and "images/s" in capture.get()


def test_a_live_view_has_the_image_the_bars_and_what_was_counted(graph):  # noqa: F811
    console, tally = Console(force_terminal=True, width=80, color_system=None), tally_of()
    shown = image(3, 1, 0) | {"counted": {"spikes": [12, 3], "clocks": 1703}}
    tally.add(shown)
    p8 = np.array([[255, 0, 0], [0, 0, 0], [0, 255, 0]], np.uint8)
    with console.capture() as capture, Spikes(console, tally, graph) as view:
        view.show(shown, p8)
    text = capture.get()
    assert "image 3: class 1, label 0; membranes (the read-out counts no spikes) per class" in text
    assert ">1" in text and "▀" in text and "accuracy 0.00%" in text
    assert "counted on the device: 12, 3 spikes by layer, 1,703 clocks" in text


def test_spikes_are_called_so_where_the_read_out_counts_them():
    counts = ir.chain(shape=(4,), encoder="rate", readout="spike_count", num_steps=2, layers=[
        {"out_features": 2, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
         "neuron": Lif(v_threshold=1)}])
    view = Spikes(Console(color_system=None), tally_of(), counts)
    assert view.line(image(0, 1)) == "   0: class 1, spikes [1, -1]"


def test_live_on_the_simulation_with_counters(run_dir, graph, samples, capsys):  # noqa: F811
    assert main(["infer", "--sim", "--run", str(run_dir), "--live", "--link", "counters,duplex",
                 "--count", "2", "--json"]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    wanted = reference.run(graph, samples[0][:2])
    for k, found in enumerate(data["images"]):
        assert found["counted"]["spikes"] == [int(fired[k]) for fired in wanted.fired]
    lines = err.splitlines()
    assert len(lines) == 2 and lines[1].startswith("   1: class ")
    assert "2 of 2 images" in lines[1] and "accuracy 50.00%" in lines[1]
    assert data["accuracy"] == 0.5 and sum(map(sum, data["confusion"])) == 2
    assert data["images_per_second"] > 100 and data["baud"] == 3e6


def test_ctrl_c_reports_what_has_been_done(run_dir, monkeypatch, capsys):  # noqa: F811
    real, calls = Device.infer, []

    def infer(self, p8):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(p8)
        return real(self, p8)

    monkeypatch.setattr(Device, "infer", infer)
    assert main(["infer", "--sim", "--run", str(run_dir), "--count", "5"]) == 130
    out, err = capsys.readouterr()
    assert out.count("equal to the reference") == 3 and "2 of 2 equal to the reference" in out
    assert "interrupted: 2 of 5 images classified, which are above" in err


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_board_is_left_as_the_next_host_expects_it(interrupted):
    calls = []

    class Board:
        rest = staticmethod(lambda: calls.append("rest"))
        restore = staticmethod(lambda: calls.append("restore"))

        def set_divisor(self, divisor):
            calls.append(divisor)
            raise LinkError("gone")

    args = SimpleNamespace(baud=3e6, clock=12e6)
    with nullcontext() if interrupted else pytest.raises(LinkError, match="gone"):
        leave(Board(), args, interrupted)
    assert calls == ["rest"] * interrupted + ["restore", 104]


def test_a_board_is_left_so_after_any_failure(run_dir, graph, monkeypatch, capsys):  # noqa: F811
    device = Device(SimTransport(top(compile_graph(graph), divisor=4)))
    left, closed = [], []

    def gone(self, p8):
        raise LinkError("gone")

    monkeypatch.setattr(Device, "infer", gone)
    monkeypatch.setattr(device, "close", lambda: closed.append(list(left)))
    monkeypatch.setattr(infer, "connect", lambda *args: device)
    monkeypatch.setattr(infer, "leave", lambda found, args, interrupted: left.append(interrupted))
    assert main(["infer", "--port", "p", "--run", str(run_dir), "--count", "1"]) == 1
    assert capsys.readouterr().err.count("gone") == 1 and left == [True] and closed == [[True]]


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """A run with a network of 8 x 8 pixels."""
    rng = np.random.default_rng(5)
    net = ir.chain(shape=(8, 8), encoder="stream", input_sng="ramp", readout="membrane",
                   num_steps=2, layers=[{
                         "out_features": n_out, "weight_bits": 4, "bitstream_length": 8,
                         "sng": "sobol1", "neuron": Lif(v_threshold=20),
                         "weight": rng.integers(-7, 8, (n_out, n_in)).astype(np.int16),
                         "bias": np.zeros(n_out, np.int32)}
                         for n_in, n_out in pairwise((64, 3, 2))]).verify()
    run = Run.create(tmp_path_factory.mktemp("pictured") / "run")
    net.save(run.graph_file)
    run.save_samples(np.zeros((1, 64), np.uint8), np.zeros(1))
    return run, net


def test_pictures_are_classified_as_the_images_that_they_become(pictured, tmp_path, capsys):
    run, net = pictured
    grey = np.full((40, 30), 250, np.uint8)
    grey[5:30, 10:14] = 20
    Image.fromarray(grey).save(tmp_path / "1.png")
    Image.fromarray(255 - grey.T).save(tmp_path / "2.jpg", quality=95)
    files = [str(tmp_path / "1.png"), str(tmp_path / "2.jpg")]
    assert main(["infer", "--sim", "--run", str(run.path), "--json", *files]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [found["file"] for found in data["images"]] == files and data["equal"] == 2
    wanted = reference.run(net, fit(ink_of(grey), (8, 8)).reshape(1, -1))
    assert data["images"][0]["scores"] == wanted.scores[0].tolist()
    assert "accuracy" not in data


@pytest.mark.parametrize("argv,text", [
    (["a.png", "b.npy"], "FILE must be pictures alone or one other file, not a.png and b.npy"),
    (["a.npy", "b.npy"], "FILE must be one file, or pictures, not 2 files"),
    (["--as-is"], "--as-is and --invert must be used with pictures as FILE"),
    (["--as-is", "a.npy"], "must be used with pictures as FILE"),
    (["--invert", "maybe", "a.png"], "invalid choice: 'maybe'"),
    (["--as-is", "{picture}"], "must be 8 x 8 pixels of 8 bits, grey (mode L), with --as-is, "
                               "not 5 x 5 of mode L"),
    (["--count", "2", "{picture}"], "--count must be in 1..1, the images of "),
])
def test_what_cannot_be_classified_is_one_line(pictured, tmp_path, capsys, argv, text):
    picture = tmp_path / "p.png"
    Image.fromarray(np.diag([255] * 5).astype(np.uint8)).save(picture)
    argv = [word.format(picture=picture) for word in argv]
    try:
        assert main(["infer", "--sim", "--run", str(pictured[0].path), *argv]) == 2
    except SystemExit as error:
        assert error.code == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
