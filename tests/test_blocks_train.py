"""Training of networks of blocks and super-networks: it goes on where it was, and says why not."""

import numpy as np
import pytest
import torch
from msgspec import structs

from spikeloom.flow.errors import ConfigError, RunError
from spikeloom.nas.blocks import checkpoints, train
from spikeloom.nas.blocks.block import BLOCKS
from spikeloom.nas.blocks.evaluate import evaluate
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.network import BlockNetwork, neurons
from spikeloom.nas.blocks.recipe import BlockTraining
from spikeloom.nas.blocks.supernet import SuperNetwork
from spikeloom.nas.datasets import Split

MACRO = Macro(num_classes=2, in_channels=1, image_size=4, channels=2, stages=(1, 1), num_steps=3,
              voters=2)
QUICK = BlockTraining(epochs=3, batch_size=8, learning_rate=0.01, padding=1, device="cpu")
PATHS = (("srb_k3", "skip"), ("skip", "scb_k3"), ("srb_k3", "srb_k3"))
CHOICES = ("skip", "scb_k3", "srb_k3")


def split(count=24, seed=0, steps=None):
    """Images, or frames, that are bright on the left or on the right."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    shape = (count, 4, 4) if steps is None else (count, steps, 4, 4)
    images = rng.integers(0, 100, shape)
    images[labels == 0, ..., :2] += 150
    images[labels == 1, ..., 2:] += 150
    if steps is not None:
        return Split((images > 150).reshape(count, steps, -1).astype(np.uint8), labels)
    return Split(images.reshape(count, -1).astype(np.uint8), labels.astype(np.int64))


def pixels():
    """The images of `split()` as a network sees them."""
    return torch.from_numpy(np.array(split().inputs)).reshape(24, 1, 4, 4) / 255


def single(seed=1):
    return BlockNetwork(MACRO, PATHS[0], seed=seed)


def supernet(seed=1, macro=MACRO, choices=CHOICES):
    return SuperNetwork(macro, choices, seed=seed)


def trained(network, settings=QUICK, **more):
    if isinstance(network, SuperNetwork):
        return train.train_super(network, split(), settings, **more)
    return train.train(network, split(), split(8, 1), settings, **more)


def equal(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class Killed(Exception):
    pass


@pytest.mark.parametrize("made", [single, supernet])
@pytest.mark.parametrize("changes", [{}, {"cosine": True, "lambda_reg": 0.5}])
def test_a_resumed_training_gives_the_same_weights(tmp_path, made, changes):
    settings = structs.replace(QUICK, **changes)
    whole, wanted = made(), None
    wanted = trained(whole, settings)
    for number in (1, 2):
        def kill(epoch, _, number=number):
            if epoch.epoch == number:
                raise Killed

        with pytest.raises(Killed):
            trained(made(), settings, folder=tmp_path, resume=number > 1, on_epoch=kill)
    cut = made()  # another process knows nothing but the files
    found = trained(cut, settings, folder=tmp_path, resume=True)
    assert equal(whole, cut) and found == wanted and found.epochs == 3
    assert found.average_spikes == wanted.average_spikes > 0
    assert found.average_spikes == pytest.approx(
        np.mean([epoch.fit_spikes for epoch in found.history]))


@pytest.mark.parametrize("made", [single, supernet])
def test_seeds_are_repeatable_and_differ(made):
    nets = [made(seed) for seed in (0, 0, 1)]
    for net in nets:
        trained(net)
    assert equal(nets[0], nets[1]) and not equal(nets[0], nets[2])
    other = made(0)
    trained(other, structs.replace(QUICK, seed=5))
    assert not equal(nets[0], other)


def test_training_learns():
    settings = structs.replace(QUICK, epochs=10, padding=0, flip=False)
    net = single()
    found = train.train(net, split(64), split(32, 1), settings)
    assert found.accuracy >= 0.9 and found.history[-1].loss < found.history[0].loss
    assert evaluate(net, split(32, 1)).scored == found.history[found.best - 1].check
    net = supernet()
    train.train_super(net, split(64), structs.replace(settings, epochs=25))
    assert max(net.evaluate(path, split(32, 1)).accuracy for path in PATHS) >= 0.9


def test_frames_of_events_are_trained_on():
    fit, net = split(64, steps=3), BlockNetwork(structs.replace(MACRO, channels=6), PATHS[0])
    found = train.train(net, fit, fit, structs.replace(QUICK, epochs=8, padding=0, flip=False))
    assert found.accuracy >= 0.9
    with pytest.raises(ConfigError, match=r"frames must be uint8 \[n, 3, 16\]"):
        train.train(single(), split(steps=2), None, QUICK)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_loss_is_the_squared_error_and_the_regulariser_counts_spikes(weight):
    """Of the first batch, against what is written down here."""
    seen = []
    settings = structs.replace(QUICK, epochs=1, batch_size=24, padding=0, flip=False,
                               lambda_reg=weight)
    found = train.train(single(), split(), None, settings, on_epoch=lambda *e: seen.append(e))
    with torch.no_grad():
        passed = single().train().counted(pixels())
    wanted = torch.from_numpy(np.eye(2, dtype=np.float32)[split().labels])
    loss = ((passed.rates - wanted) ** 2).mean()
    outputs = sum(neurons(MACRO, PATHS[0]).values())
    assert found.history[0].fit_spikes == pytest.approx(passed.total.item())
    assert found.history[0].loss == pytest.approx(
        (loss + weight * passed.total / (3 * outputs)).item(), rel=1e-5)
    assert seen == [(found.history[0], 1)]


def test_the_regulariser_lowers_spikes():
    counts = [evaluate(net, split(32, 1)).spikes_per_image for weight in (0.0, 10.0)
              if train.train(net := single(), split(64), None, structs.replace(
                  QUICK, epochs=8, lambda_reg=weight))]
    assert counts[1] < 0.8 * counts[0]


def test_checkpoints_of_other_trainings_are_refused_by_name(tmp_path):
    trained(supernet(), folder=tmp_path)
    for other, words in (
            (supernet(choices=CHOICES[1:]), r"network.choices = \['skip', .*, not \['scb_k3'"),
            (supernet(macro=structs.replace(MACRO, channels=3)), "network.macro.channels = 2, not"),
            (supernet(seed=2), "network.seed = 1, not 2"),
            (single(), "network.choices = .* not not set")):
        with pytest.raises(RunError, match=words):
            trained(other, folder=tmp_path, resume=True)
    with pytest.raises(RunError, match=r"train\.lambda_reg = 0\.0, not 1.0"):
        trained(supernet(), structs.replace(QUICK, lambda_reg=1.0), folder=tmp_path, resume=True)
    with pytest.raises(ConfigError, match="resume needs the folder"):
        trained(supernet(), resume=True)


def test_networks_are_kept_and_read_back(tmp_path):
    net, over = single(), supernet()
    trained(net)
    average = trained(over).average_spikes
    checkpoints.save_network(net, tmp_path)
    again = checkpoints.load_network(tmp_path)
    assert equal(again, net) and again.names == net.names and not again.training
    checkpoints.save_super(over, average, tmp_path)
    loaded, n_avg = checkpoints.load_super(tmp_path, MACRO, CHOICES[::-1])
    assert equal(loaded, over) and n_avg == average
    with pytest.raises(RunError, match="is a super-network of another space, of the blocks skip, "
                                       "scb_k3, srb_k3, not skip, scb_k3, scb_k5"):
        checkpoints.load_super(tmp_path, MACRO, BLOCKS[:3])
    with pytest.raises(RunError, match=r"another space, with macro\.image_size = 4, not 8; train"):
        checkpoints.load_super(tmp_path, structs.replace(MACRO, image_size=8), CHOICES)
    weights = tmp_path / "super-network.safetensors"
    weights.write_bytes((tmp_path / "network.safetensors").read_bytes())
    with pytest.raises(RunError, match="its weights are of another network"):
        checkpoints.load_super(tmp_path, MACRO, CHOICES)
    weights.write_bytes(b"{}")
    with pytest.raises(RunError, match="is damaged"):
        checkpoints.load_super(tmp_path, MACRO, CHOICES)
    with pytest.raises(RunError, match="cannot be read"):
        checkpoints.load_super(tmp_path / "elsewhere", MACRO, CHOICES)


@pytest.mark.parametrize("changes, words", [
    ({"lambda_reg": -0.1}, "train.lambda_reg must be a finite number at least 0, .*, not -0.1"),
    ({"lambda_reg": float("nan")}, "lambda_reg must be"), ({"epochs": 0}, "train.epochs must be"),
    ({"learning_rate": 0.0}, "train.learning_rate must be a finite number above 0"),
    ({"device": "gpu"}, "train: unknown device 'gpu'"),
    ({"images": 25}, r"train.images must be in 1..24, what there is to train on, or 0 for all")])
def test_settings_out_of_range_are_refused_by_name(changes, words):
    with pytest.raises(ConfigError, match=words):
        trained(single(), structs.replace(QUICK, **changes))


def test_a_path_is_the_network_of_its_blocks():
    over = supernet(seed=3)
    x = torch.rand(6, 1, 4, 4)
    for path in PATHS:
        net = BlockNetwork(MACRO, path, seed=3)
        assert torch.equal(over.eval()(x, path), net.eval()(x))
    trained(over)
    own = over.extracted(PATHS[0])
    assert torch.equal(over.eval()(x, PATHS[0]), own.eval()(x))
    before = [p.clone() for p in own.parameters()]
    trained(over, structs.replace(QUICK, seed=9))
    assert all(torch.equal(a, b) for a, b in zip(own.parameters(), before))


def test_paths_are_drawn_uniformly_and_only_they_learn():
    over, generator = supernet(), torch.Generator().manual_seed(0)
    drawn = [over.drawn(generator) for _ in range(1800)]
    for place in range(2):
        counts = [sum(path[place] == name for path in drawn) for name in CHOICES]
        assert sum(counts) == 1800 and all(abs(count - 600) < 75 for count in counts)
    before = {name: value.clone() for name, value in over.named_parameters()}
    over.drawn = lambda generator: PATHS[0]
    trained(over)
    changed = {name for name, value in over.named_parameters()
               if not torch.equal(value, before[name])}
    assert not [name for name in changed if name.startswith("blocks.0.scb")]
    assert [name for name in changed if name.startswith("blocks.0.srb")]


def test_calibration_gives_a_path_its_own_statistics():
    over, path = supernet(), PATHS[2]
    trained(over)
    kept = {key: value.clone() for key, value in over.state_dict().items()}
    plain = over.evaluate(path, split(32, 1), batch_size=8)
    for _ in range(2):  # no evaluation changes what the next one finds
        over.evaluate(PATHS[0], split(32, 1), calibration=split(), batch_size=8)
        one = over.evaluate(path, split(32, 1), calibration=split(), batch_size=8)
        assert all(torch.equal(value, kept[key]) for key, value in over.state_dict().items())
        assert over.evaluate(path, split(32, 1), batch_size=8) == plain
    over.calibrate(path, split(), batch_size=24)
    stem = torch.nn.functional.conv2d(pixels(), over.stem["stem"].weight, padding=1)
    norm = over.stem["stem"].norm
    torch.testing.assert_close(norm.running_mean, stem.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, stem.var((0, 2, 3)))
    assert norm.momentum == 0.1
    assert one.spikes_per_image != plain.spikes_per_image


@pytest.mark.parametrize("choices", [(), ("skip", "skip")])
def test_choices_differ(choices):
    with pytest.raises(ConfigError, match="choices must be different blocks"):
        supernet(choices=choices)


def test_paths_of_other_blocks_are_refused():
    with pytest.raises(ConfigError, match="path must be of the super-network's blocks, skip, "
                                          "scb_k3, srb_k3, not scb_k5"):
        supernet()(torch.rand(1, 1, 4, 4), ("scb_k5", "skip"))
    with pytest.raises(ConfigError, match="path must be 1, used everywhere, or 2"):
        supernet()(torch.rand(1, 1, 4, 4), ("skip",) * 3)
