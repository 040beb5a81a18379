"""Scores without training: what each is, what makes it repeat, and what is wrong with its settings.
"""

import math
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import scores
from spikeloom.nas.cells import plain
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.network import CellNetwork
from spikeloom.nas.cells.recipe import CellTraining
from spikeloom.nas.cells.train import begin, infer, train
from spikeloom.nas.datasets import Split
from spikeloom.nas.hamming import Kernel

MACRO = Macro(in_channels=1, image_size=8, channels=4, num_steps=3, hidden=16, voters=1)
IMAGES = np.random.default_rng(0).integers(256, size=(32, 1, 8, 8), dtype=np.uint8)
SMALL = {"batch_size": 8, "batches": 2}
LABELS = np.arange(32) % 10
NAMES = ["depth", "qafe", "sahd", "short_training", "spikes", "weights"]
SHORT = {"epochs": 1, "fit": 20, "held": 8}
CELLS = [parse("3|01|234"), parse("3|33|333"), parse("1|0~2|~312")]


def made(name, **settings):
    if name in ("sahd", "qafe", "spikes"):
        settings = SMALL | settings
    if name == "short_training":
        settings = SHORT | settings
    return scores.make(name, MACRO, IMAGES, LABELS, **{"seed": 0, **settings})


def test_every_score_says_what_it_is():
    assert scores.names() == NAMES
    for name in scores.names():
        score = scores.load(name)
        assert score.WHAT and score.SETTINGS().check() == score.SETTINGS()
    with pytest.raises(ConfigError, match=r"unknown score 'sadh'; did you mean 'sahd'\?"):
        scores.load("sadh")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_arguments_give_the_same_value(name):
    """Whatever was scored before: membranes, dropout and weights begin anew with each candidate."""
    one, two = made(name, seed=3), made(name, seed=3)
    first = [one.score([cell]) for cell in CELLS]
    assert [two.score([cell]) for cell in reversed(CELLS)] == first[::-1]
    assert all(math.isfinite(value) for value in first)


@pytest.mark.parametrize("name", ["qafe", "sahd", "spikes"])
def test_a_seed_is_other_weights(name):
    assert made(name).score(CELLS[:1]) != made(name, seed=1).score(CELLS[:1])


@pytest.mark.parametrize("name", NAMES)
def test_what_lets_nothing_through_has_no_score(name):
    assert math.isnan(made(name).score([parse("0|00|000")]))
    assert math.isnan(made(name).score([CELLS[0], parse("3|30|100").replaced("skip", "zeroize")]))


def test_sahd_is_the_mean_over_batches_that_begin_at_rest():
    """A membrane that was kept from the batch before would change the second one's score."""
    both = made("sahd")
    alone = [scores.load("sahd")(MACRO, IMAGES[start:start + 8], batch_size=8, batches=1)
             for start in (0, 8)]
    cell = CELLS[2:]
    first, second = both.scores(cell)
    assert first == alone[0].score(cell)
    assert both.score(cell) == (first + second) / 2
    # the second batch is like one that is first, but for the dropout before the classifier's LIF
    dry = Macro(**{**{f: getattr(MACRO, f) for f in MACRO.__struct_fields__}, "dropout": 0})
    both = scores.load("sahd")(dry, IMAGES, **SMALL)
    alone = scores.load("sahd")(dry, IMAGES[8:16], batch_size=8, batches=1)
    assert both.scores(cell)[1] == alone.score(cell)


@pytest.mark.parametrize("variant", ["B", "A"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_sahd_of_a_network_is_that_of_its_definition(cell, variant):
    """In float64, so that no membrane is within rounding of the threshold."""
    score = made("sahd", variant=variant)
    x = score.batches[0].double()
    network = CellNetwork(MACRO, [cell]).double()
    found = plain.spikes(MACRO, (cell, cell), x, 0)
    wanted = Kernel(variant)
    for item in found:
        wanted.add(torch.from_numpy(item.astype(np.float64)))
    assert score.kernel(network, x).log_det() == pytest.approx(wanted.log_det(), rel=1e-9)
    if variant == "B":
        assert wanted.log_det() == pytest.approx(plain.score(found), rel=1e-9)


def test_qafe_is_sahd_of_rounded_weights():
    network = CellNetwork(MACRO, CELLS[:1], weight_bits=4)
    score = made("qafe", bits=4)
    with torch.no_grad():
        rounded = network.weights()
    for name, weight in rounded.items():
        first = score.first(f"{name}_{weight.shape[-1]}", tuple(weight.shape))
        assert torch.equal(weight, first)
    assert made("qafe", bits=16).score(CELLS[:1]) != score.score(CELLS[:1])


def test_the_fixed_format_rounds_wide_layers_to_zero():
    """What a power of two for each layer is for: at 4 bits no classifier's weight is left."""
    shape = (64, 64)
    fixed = made("qafe", bits=4, scale="fixed").first("fc1_64", shape)
    assert not fixed.any() and made("qafe", bits=4).first("fc1_64", shape).any()


def test_stochastic_rounding_depends_on_the_layer_alone():
    one, two = (made("qafe", bits=4, rounding="stochastic") for _ in range(2))
    shape = (4, 4, 3, 3)
    a, b = one.first("x", shape), one.first("y", shape)
    assert torch.equal(two.first("y", shape), b) and torch.equal(two.first("x", shape), a)


@pytest.mark.parametrize("text, value", [
    ("1|00|000", None), ("1|01|001", 0), ("3|00|010", 1), ("3|03|000", None), ("3|03|003", 3),
    ("3|33|333", 3), ("2|20|300", 1), ("3|12|214", 2), ("4|44|444", 0)])
def test_depth_is_the_longest_path_of_live_convolutions(text, value):
    found = made("depth").score([parse(text)])
    assert math.isnan(found) if value is None else int(found) == 2 * value


def test_ties_of_depth_go_by_the_number_of_convolutions():
    more, less, shorter = (made("depth").score([parse(text)])
                           for text in ("3|33|333", "3|03|003", "3|33|330"))
    assert more > less > shorter
    assert made("depth").score([parse("3"), parse("3|03|003")]) == 4 + 4 / 8


def test_depth_meets_no_node_twice():
    assert int(made("depth").score([parse("3|~33|30~3")])) == 2


def test_a_short_training_is_that_of_the_recipe():
    """On the first images alone, and scored on those after them, as anybody would do it."""
    fit = Split(IMAGES[:20].copy(), LABELS[:20].copy())
    network = begin(MACRO, CELLS[:1], seed=4)
    train(network, fit, None, CellTraining(epochs=1, batch_size=16, learning_rate=0.004, padding=0,
                                           flip=False, seed=4, device="cpu"))
    wanted = (infer(network, IMAGES[20:28])[0] == LABELS[20:28]).mean()
    assert made("short_training", seed=4).score(CELLS[:1]) == wanted
    other = scores.make("short_training", MACRO, IMAGES, (LABELS + 1) % 10, seed=4, **SHORT)
    assert other.fit.labels.tolist() == ((LABELS[:20] + 1) % 10).tolist()


@pytest.mark.parametrize("settings, text", [
    ({"fit": 30}, "images must be at least 38"), ({"held": 0}, "short_training: held must be"),
    ({"epochs": 0}, "short_training.epochs must be in 1..100000, not 0"),
    ({"learning_rate": 0.0}, "learning_rate must be a finite number above 0")])
def test_bad_short_trainings(settings, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        made("short_training", **settings)


def test_labels_must_be_of_the_images():
    with pytest.raises(ConfigError, match="labels must be one for each of 28 images, not"):
        scores.make("short_training", MACRO, IMAGES, LABELS[:10], seed=0, **SHORT)


def test_weights_are_counted_by_the_closed_form():
    assert made("weights").score(CELLS[:1]) == MACRO.weights(CELLS[:1])


def test_spikes_are_counted_once_a_lif():
    score = made("spikes", batches=1)
    network, seen = CellNetwork(MACRO, CELLS[1:2]), []
    network.watch(lambda name, t, spikes: seen.append(spikes.sum().item()))
    with torch.no_grad():
        network(score.batches[0])
    assert score.score(CELLS[1:2]) == sum(seen) / 8


@pytest.mark.parametrize("name, settings, text", [
    ("sahd", {"batchsize": 8}, r"unknown setting 'batchsize'; did you mean 'batch_size'\?"),
    ("sahd", {"batch_size": 1}, r"batch_size must be in 2\.\.4096, not 1"),
    ("sahd", {"batches": 0}, r"batches must be in 1\.\.1000, not 0"),
    ("sahd", {"batches": "two"}, "settings must be as in Settings"),
    ("sahd", {"variant": "C"}, "unknown variant 'C'"),
    ("sahd", {"batches": 5}, "images must be at least 40, which its settings ask for, not 32"),
    ("qafe", {"bits": 2}, r"bits must be in 4\.\.16, not 2"),
    ("qafe", {"scale": "q"}, "unknown scale 'q'"),
    ("spikes", {"batch_size": 0}, r"batch_size must be in 2\.\.4096, not 0"),
    ("depth", {"bits": 4}, "unknown setting 'bits'"),
])
def test_settings_out_of_range_are_told(name, settings, text):
    with pytest.raises(ConfigError, match=text):
        made(name, **settings)


def test_images_of_another_shape_are_told():
    with pytest.raises(ConfigError, match=r"uint8 \[n, 1, 8, 8\], not uint8 \[32, 1, 4, 8\]"):
        scores.load("sahd")(MACRO, IMAGES[:, :, :4], **SMALL)
    with pytest.raises(ConfigError, match=r"uint8 \[n, 1, 8, 8\], not float64"):
        scores.load("sahd")(MACRO, IMAGES / 255, **SMALL)


def test_closed_forms_load_no_torch():
    code = ("import sys; from spikeloom.nas import scores; scores.load('depth'); "
            "scores.load('weights'); sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
