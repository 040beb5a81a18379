"""Training of networks of cells: it goes on where it was, it stops where it should, it says why."""

import json
import math

import numpy as np
import pytest
import torch

from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.nas import training
from spikeloom.nas.cells import checkpoints, train
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.pixels import check, maps
from spikeloom.nas.cells.train import CellTraining, begin, evaluate
from spikeloom.nas.checkpoints import Scored, copied
from spikeloom.nas.datasets import Split
from spikeloom.nas.training import augmented

MACRO = Macro(channels=2, image_size=4, cells=1, num_steps=2, hidden=8, voters=2, num_classes=2,
              in_channels=1)
QUICK = CellTraining(epochs=3, batch_size=8, padding=1, device="cpu")


def split(count=24, seed=0):
    """Images that are bright on the left or on the right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 100, (count, 4, 4))
    images[labels == 0, :, :2] += 150
    images[labels == 1, :, 2:] += 150
    return Split(images.reshape(count, -1).astype(np.uint8), labels.astype(np.int64))


def network(text="3|13|333", **settings):
    return begin(MACRO, [parse(text)], **{"weight_bits": 6, "seed": 1, **settings})


def equal(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Killed(Exception):
    pass


def kill_after(number):
    def on_epoch(epoch, _):
        if epoch.epoch == number:
            raise Killed
    return on_epoch


@pytest.mark.parametrize("changes", [
    {}, {"optimiser": "sgd", "learning_rate": 0.05}, {"cosine": False, "flip": False}])
@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_a_resumed_training_gives_the_same_weights(tmp_path, changes, rounding):
    settings = CellTraining(**{**{key: getattr(QUICK, key) for key in QUICK.__struct_fields__},
                               **changes})
    whole, cut = network(rounding=rounding), network(rounding=rounding)
    wanted = train.train(whole, split(), split(8, 1), settings)
    for number in (1, 2):
        with pytest.raises(Killed):
            train.train(cut, split(), split(8, 1), settings, folder=tmp_path, resume=number > 1,
                        on_epoch=kill_after(number))
        cut = network(rounding=rounding)  # another process knows nothing but the files
    found = train.train(cut, split(), split(8, 1), settings, folder=tmp_path, resume=True)
    assert equal(whole, cut) and found == wanted and found.epochs == 3
    assert [item.name for item in tmp_path.glob("*.safetensors")] == ["training-3.safetensors"]
    again = network(rounding=rounding)
    assert train.train(again, split(), split(8, 1), settings, folder=tmp_path,
                       resume=True) == wanted
    assert equal(again, whole)


def test_a_kill_within_an_epoch_loses_that_epoch_alone(tmp_path, monkeypatch):
    whole, cut = network(), network()
    train.train(whole, split(), None, QUICK)
    with pytest.raises(Killed):
        with monkeypatch.context() as patch:
            step = train._Training.step

            def killed(self, x, y, share):
                if len(self.history) == 1:
                    raise Killed
                return step(self, x, y, share)

            patch.setattr(train._Training, "step", killed)
            train.train(cut, split(), None, QUICK, folder=tmp_path)
    cut = network()
    seen = []
    train.train(cut, split(), None, QUICK, folder=tmp_path, resume=True,
                on_epoch=lambda epoch, total: seen.append((epoch.epoch, total)))
    assert seen == [(2, 3), (3, 3)] and equal(cut, whole)


def test_seeds_are_repeatable_and_differ():
    nets = [network(seed=seed) for seed in (0, 0, 1)]
    for net in nets:
        train.train(net, split(), None, QUICK)
    assert equal(nets[0], nets[1]) and not equal(nets[0], nets[2])
    other = network(seed=0)
    train.train(other, split(), None, CellTraining(epochs=3, batch_size=8, padding=1, device="cpu",
                                                   seed=5))
    assert not equal(nets[0], other)


def test_training_learns_and_a_short_one_is_the_same_function():
    settings = CellTraining(epochs=12, batch_size=8, padding=0, flip=False, learning_rate=0.02,
                            label_smoothing=0.0, device="cpu")
    net = network()
    found = train.train(net, split(48), split(16, 1), settings)
    assert found.stopped == training.DONE and not found.diverged
    losses = [epoch.loss for epoch in found.history]
    assert min(losses[1:]) < losses[0] and found.spikes_per_image >= 0
    assert found.accuracy == max(epoch.check.accuracy for epoch in found.history)
    assert found.best == [epoch.check.accuracy for epoch in found.history].index(
        found.accuracy) + 1
    assert evaluate(net, split(16, 1)).accuracy == found.accuracy
    short, few = network(), Split(split(64).inputs[:16].copy(), split(64).labels[:16].copy())
    other = network()
    train.train(short, split(64), None, CellTraining(epochs=1, images=16, device="cpu"))
    train.train(other, few, None, CellTraining(epochs=1, device="cpu"))
    assert equal(short, other)


def test_early_stop_and_its_weights(monkeypatch):
    """A check split whose accuracy falls after the second epoch."""
    accuracies = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    monkeypatch.setattr(train, "evaluate", lambda *args: Scored(
        accuracy=next(accuracies), spikes_per_image=1.0))
    states = []
    net = network()
    settings = CellTraining(epochs=9, batch_size=8, patience=2, device="cpu")
    found = train.train(net, split(), split(8, 1), settings,
                        on_epoch=lambda *_: states.append(copied(net)))
    assert (found.epochs, found.best, found.accuracy) == (4, 2, 0.7)
    assert found.stopped == "no better accuracy on the check split in 2 epochs after epoch 2"
    assert all(torch.equal(value, states[1][key]) for key, value in net.state_dict().items())


def test_a_training_that_diverges_is_named_and_ends(tmp_path, monkeypatch):
    step = train._Training.step

    def diverging(self, x, y, share):
        loss, right = step(self, x, y, share)
        return (math.nan if len(self.history) == 1 else loss), right

    monkeypatch.setattr(train._Training, "step", diverging)
    net = network()
    found = train.train(net, split(), split(8, 1), QUICK, folder=tmp_path)
    assert found.diverged and found.epochs == 2 and found.best == 1
    assert found.stopped == "diverged in epoch 2: the loss is nan; lower learning_rate"
    assert all(torch.isfinite(value).all() for value in net.state_dict().values())
    saved = json.loads((tmp_path / "training.json").read_text())
    assert len(saved["progress"]["history"]) == 1 and saved["progress"]["stopped"] is None


def test_an_infinite_rate_diverges():
    found = train.train(network(), split(), None, CellTraining(
        epochs=4, batch_size=8, optimiser="sgd", learning_rate=1e30, device="cpu"))
    assert found.diverged and found.accuracy is None


def test_checkpoints_of_other_trainings_and_damaged_ones_are_refused(tmp_path):
    train.train(network(), split(), None, QUICK, folder=tmp_path)

    def resumed(net, data=None, **changes):
        plain = {key: getattr(QUICK, key) for key in QUICK.__struct_fields__}
        return train.train(net, data or split(), None, CellTraining(**{**plain, **changes}),
                           folder=tmp_path, resume=True)

    resumed(network(), threads=2)
    with pytest.raises(RunError, match=r"begun with train.epochs = 3, not 4"):
        resumed(network(), epochs=4)
    with pytest.raises(RunError, match=r"begun with network.cells = \['3\|13\|333'\], not"):
        resumed(network("3|33|333"))
    with pytest.raises(RunError, match=r"begun with network.weight_bits = 6, not 5"):
        resumed(network(weight_bits=5))
    with pytest.raises(RunError, match="begun with images = "):
        resumed(network(), split(seed=3))
    tensors = tmp_path / "training-3.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:100])
    with pytest.raises(RunError, match="is damaged"):
        resumed(network())
    tensors.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        resumed(network())
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        resumed(network())
    with pytest.raises(ConfigError, match="resume needs the folder"):
        train.train(network(), split(), None, QUICK, resume=True)


def test_a_network_is_kept_with_its_cells_and_read_back(tmp_path):
    net = network(weight_bits=5, rounding="floor")
    train.train(net, split(), None, QUICK)
    checkpoints.save_network(net, tmp_path)
    again = checkpoints.load_network(tmp_path)
    assert equal(again, net) and checkpoints.describe(again) == checkpoints.describe(net)
    assert json.loads((tmp_path / "network.json").read_text())["cells"] == ["3|13|333"]
    text = (tmp_path / "network.json").read_text()
    (tmp_path / "network.json").write_text(text.replace("3|13|333", "3|33|333"))
    with pytest.raises(RunError, match="its weights are of another network"):
        checkpoints.load_network(tmp_path)
    (tmp_path / "network.json").write_text(text.replace("3|13|333", "3|13|339"))
    with pytest.raises(RunError, match="is damaged"):
        checkpoints.load_network(tmp_path)
    with pytest.raises(RunError, match="cannot be read"):
        checkpoints.load_network(tmp_path / "nowhere")


@pytest.mark.parametrize("words, settings", [
    ("train.epochs must be in 1..100000, not 0", {"epochs": 0}),
    ("train.learning_rate must be a finite number above 0, not nan", {"learning_rate": math.nan}),
    ("train.label_smoothing must be in 0..0.9, not 1.0", {"label_smoothing": 1.0}),
    ("train: unknown optimiser 'adam'; did you mean 'adamw'?", {"optimiser": "adam"}),
    ("train: unknown device 'gpu'", {"device": "gpu"}),
    ("train.padding must be in 0..512, not -1", {"padding": -1}),
    ("train.images must be in 1..24, what there is to train on, or 0 for all, not 25",
     {"images": 25}),
])
def test_settings_out_of_range_are_named(words, settings):
    with pytest.raises(ConfigError) as caught:
        train.train(network(), split(), None, CellTraining(**settings))
    assert words in str(caught.value)


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device must be 'cpu' or 'auto' on a machine without"):
        training.device_of("cuda")
    assert training.device_of("auto").type == "cpu"


def test_labels_and_images_of_another_problem_are_named():
    wrong = Split(split().inputs.copy(), split().labels + 1)
    with pytest.raises(ConfigError, match=r"labels must be in 0\.\.1, the classes of the network"):
        train.train(network(), wrong, None, QUICK)
    small = Split(np.zeros((4, 15), np.uint8), np.zeros(4, np.int64))
    with pytest.raises(ConfigError, match="images must have 1 x 4 x 4 pixels, or multiples of"):
        train.train(network(), small, None, QUICK)


def test_crops_and_mirrors_move_pixels_and_nothing_else():
    generator = torch.Generator().manual_seed(0)
    images = torch.arange(1, 33, dtype=torch.uint8).reshape(1, 2, 4, 4).expand(200, -1, -1, -1)
    assert torch.equal(augmented(images, 0, False, generator), images)
    turned = augmented(images, 0, True, generator)
    flips = (turned == images.flip(3)).flatten(1).all(1)
    assert ((turned == images).flatten(1).all(1) ^ flips).all() and 50 < int(flips.sum()) < 150
    moved = augmented(images, 1, False, generator)
    places = set()
    for image in moved:
        found = [(down, right) for down in range(3) for right in range(3) if torch.equal(
            torch.nn.functional.pad(images[0], (1,) * 4)[:, down:down + 4, right:right + 4], image)]
        places |= set(found)
        assert len(found) == 1
    assert len(places) == 9


def test_images_are_averaged_to_the_size_of_the_network():
    macro = Macro(channels=2, image_size=2, cells=1, in_channels=1)
    images = np.array([[0, 1, 255, 255, 2, 3, 255, 254, 10, 10, 0, 0, 10, 11, 0, 1]], np.uint8)
    np.testing.assert_array_equal(maps(images, macro), [[[[2, 255], [10, 0]]]])
    np.testing.assert_array_equal(maps(images.reshape(1, 1, 4, 4), macro), maps(images, macro))
    check((4, 4), macro)
    for shape in ((3, 4, 4), (4, 6), (5, 5), (16,)):
        with pytest.raises(ConfigError, match="must have 1 channels and as many rows as columns"):
            check(shape, macro)
    with pytest.raises(ConfigError, match="pixels of 8 bits, uint8, not float64"):
        maps(images / 1.0, macro)
