"""Recordings end to end: file, frames, a network, its gateware behind the link, the class."""

import json

import event_files as made
import numpy as np
import pytest
from event_files import bar
from msgspec.structs import replace

from spikeloom.flow import cli, config
from spikeloom.flow.lower import top
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.hdl.uart import MIN_DIVISOR
from spikeloom.nas import datasets
from spikeloom.sim import reference
from spikeloom.sim.host import Device
from spikeloom.sim.images import payload
from spikeloom.sim.recordings.frames import frames
from spikeloom.sim.simulated import SimTransport


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    yield from made.places(tmp_path, monkeypatch)


def command(capsys, *argv):
    code = cli.main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def trained(root, capsys, name, *changes):
    where = ["--run", str(root / "run"), "--json"]
    changes = [word for change in ("num_steps=4", *changes) for word in ("--set", f"data.{change}")]
    code, out, err = command(capsys, "train", *where, "--data", name, "--hidden", "5", "--epochs",
                             "12", "--gain", "1", "--learning-rate", "0.03", *changes)
    assert code == 0, err
    return where, json.loads(out), Run.open(root / "run")


def test_a_recording_is_classified_as_the_reference_model_says(root, monkeypatch, capsys):
    """File to class over the simulated link: .bin in, frames made here by hand for comparison."""
    folder = made.nmnist_folder(root, monkeypatch)
    where, found, run = trained(root, capsys, "nmnist", "downsample=6", "polarity=merged")
    assert found["data"] == "nmnist[T=4 time 1/6 merged]"
    graph = run.graph()
    assert (graph.input.encoder, graph.input.shape, graph.num_steps) == ("spikes", (1, 6, 6), 4)
    events, data = bar(7, 10, 34, 107), run.recorded().data
    wanted = np.zeros((4, 6, 6), np.uint8)
    span = events.t[-1] - events.t[0] + 1
    for t, x, y in zip(events.t, events.x, events.y):
        wanted[4 * (t - events.t[0]) // span, y // 6, x // 6] = 1
    wanted = wanted.reshape(1, 4, 36)
    said = reference.run(compile_graph(graph), wanted)
    code, out, _ = command(capsys, "infer", *where, "--sim", str(folder / "Test/7/00008.bin"))
    (image,) = json.loads(out)["images"]
    assert code == 0 and image["equal"] and image["label"] is None
    assert (image["class"], image["scores"]) == (said.classes[0], said.scores[0].tolist())
    # the run knows which frames, and its own samples are the same
    made_by = json.loads((run.path / "manifest.json").read_text())["commands"][0]
    assert list(made_by["data"]) == [found["data"]] and "events.json" in made_by["files"]
    np.testing.assert_array_equal(run.samples()[0][7], wanted.reshape(-1))
    np.testing.assert_array_equal(frames(events, data, (2, 34, 34)), wanted[0])


def test_events_over_every_kind_of_link(root, monkeypatch, capsys):
    """Host to simulated device: one request at a time, the next meanwhile, fewer timesteps."""
    made.nmnist_folder(root, monkeypatch)
    where, _, run = trained(root, capsys, "nmnist", "downsample=9", "binning=count")
    images = run.samples()[0][:3].reshape(3, 4, -1)
    graph = compile_graph(run.graph())
    assert len(payload(graph, images[0])) == 4 * 4  # 32 bits a frame
    for link, more, steps in (("duplex", [], 4), ("steps,counters", ["--steps", "2"], 2)):
        code, out, _ = command(capsys, "infer", *where, "--sim", "--count", "3", "--link", link,
                               *more)
        found = json.loads(out)
        wanted = reference.run(graph.__class__(num_steps=steps, nodes=graph.nodes),
                               images[:, :steps])
        assert code == 0 and found["equal"] == 3
        assert [image["class"] for image in found["images"]] == wanted.classes.tolist()
    code, _, err = command(capsys, "infer", *where, "--sim", "--link", "pixels4")
    assert code == 2 and "whose events are packed already" in err


def test_a_device_takes_the_bytes_of_frames(root, monkeypatch, capsys):
    """The driver alone: frames packed, an event lost changes what is answered as it should."""
    made.nmnist_folder(root, monkeypatch)
    _, _, run = trained(root, capsys, "nmnist", "downsample=9", "polarity=merged")
    graph = compile_graph(run.graph())
    images = run.samples()[0][:2].reshape(2, 4, 16).copy()
    images[1] = images[0]
    images[1][0] = 0
    device = Device(SimTransport(top(graph, divisor=MIN_DIVISOR)))
    wanted = reference.run(graph, images)
    for image, scores in zip(images, wanted.scores):
        answer = device.infer(np.frombuffer(payload(graph, image), np.uint8))
        assert list(answer.scores) == scores.tolist()
    assert wanted.scores[0].tolist() != wanted.scores[1].tolist()
    device.close()


@pytest.mark.parametrize("name,file,changes,labels", [
    ("cifar10-dvs", "cifar10-dvs/ship/cifar10_ship_11.aedat", ["downsample=32"], [None]),
    ("dvs128-gesture", "DvsGesture/user24_led.aedat", ["downsample=16", "polarity=merged"], [0, 1]),
    ("shd", "shd/shd_test.h5", ["downsample=50", "binning=window", "window_us=125000"], [0, 1])])
def test_files_of_the_other_formats(root, monkeypatch, capsys, name, file, changes, labels):
    make = {"cifar10-dvs": made.cifar10_dvs_folder, "dvs128-gesture": made.gesture_folder,
            "shd": made.shd_folder}[name]
    make(root, monkeypatch)
    where, found, run = trained(root, capsys, name, *changes)
    assert found["test_accuracy"] > 1.5 / run.recorded().classes
    code, out, err = command(capsys, "infer", *where, "--sim", str(root / file),
                             "--count", str(len(labels)))
    assert code == 0, err
    images = json.loads(out)["images"]
    assert [image["label"] for image in images] == labels and all(
        image["equal"] for image in images)


def test_files_that_do_not_fit_the_run(root, monkeypatch, capsys):
    folder = made.nmnist_folder(root, monkeypatch)
    made.gesture_folder(root, monkeypatch)
    where, _, run = trained(root, capsys, "nmnist", "downsample=9")
    short = root / "short.bin"
    short.write_bytes((folder / "Test/7/00008.bin").read_bytes()[:-1])
    for file, words in ((root / "DvsGesture/user24_led.aedat", "must be .bin files, not .aedat"),
                        (short, "short.bin: event "), (root / "none.bin", "cannot be read (No"),
                        (root / "a.png", "takes pixels, not events (encoder 'spikes')"),
                        (root / "a.gif", "known: .aedat, .bin, .bmp, .csv, .h5, .jpeg, ")):
        code, out, err = command(capsys, "infer", *where, "--sim", str(file))
        assert (code, out) == (2, "") and words in err and err.count("\n") == 1
    run.recorded_file.write_text(run.recorded_file.read_text().replace('"time"', '"mean"'))
    code, _, err = command(capsys, "infer", *where, "--sim", str(folder / "Test/7/00008.bin"))
    assert code == 2 and "events.json: is damaged (data.binning must be one of" in err
    assert cli.main(["train", *where, "--data", "digits", "--epochs", "3", "--hidden", "8"]) == 0
    assert run.recorded() is None, "what is of another data set is gone"
    code, _, err = command(capsys, "infer", *where, "--sim", str(folder / "Test/7/00008.bin"))
    assert code == 2 and "this run's network was trained on none" in err


EXPERIMENT = """
[data]
name = "nmnist"
num_steps = 3
downsample = 6
[space]
network = "{network}"
layers = [1, 2]
min_width = 2
max_width = 4
weight_bits = [2, 3]
bitstream_lengths = [8]
num_steps = [3]
leak_shifts = [0]
encoders = ["spikes"]
[search]
population = 2
generations = 2
routed = 1
final_epochs = 2
pnr_seeds = 1
confirm = 0
[train]
epochs = 2
gain = 1.0
"""


@pytest.mark.parametrize("network", ["chain", "residual"])
def test_a_search_on_recordings(world, root, monkeypatch, capsys, network):
    """Chains, and convolutions on the maps of both polarities; builds are faked."""
    folder = made.nmnist_folder(root, monkeypatch)
    (world.path / "e.toml").write_text(EXPERIMENT.format(network=network))
    assert world.search("--workers", "1") == 0
    run = Run.open(world.path / "run")
    assert run.graph().input.shape == (2, 6, 6)
    kept = config.load_experiment(run.experiment).data
    assert kept == run.recorded().data == replace(datasets.asked(kept).recorded.data)
    capsys.readouterr()
    code, out, _ = command(capsys, "infer", "--run", str(run.path), "--json", "--sim",
                           str(folder / "Test/7/00008.bin"))
    assert code == 0 and json.loads(out)["equal"] == 1
    assert world.search("--resume", "--set", "data.binning=count", experiment=False) == 2
    assert "was begun with data.binning = time, not count" in capsys.readouterr().err
