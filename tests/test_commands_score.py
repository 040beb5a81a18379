"""`spikeloom score`: one line a network, what none has, and bad input in one line."""

import json

import pytest

from spikeloom.flow.cli import main
from spikeloom.nas import datasets, scores
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.pixels import maps

SIZES = ["--channels", "2", "--num-steps", "2", "--hidden", "8", "--voters", "1", "--set",
         "batch_size=8", "--set", "batches=1"]


def said(capsys, *arguments):
    assert main(["score", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_score_is_that_of_the_library(capsys):
    found = said(capsys, "sahd", "--cells", "3|01|234", "--cells", "3,3|33|333", "--seed", "0", "1",
                 *SIZES)
    macro = Macro(in_channels=1, image_size=8, channels=2, num_steps=2, hidden=8, voters=1)
    images = maps(datasets.load("digits").train.inputs, macro)
    for row, cells in zip(found["networks"], ([parse("3|01|234")],
                                              [parse("3"), parse("3|33|333")])):
        wanted = [scores.load("sahd")(macro, images, seed=seed, batch_size=8, batches=1)
                  .score(cells) for seed in (0, 1)]
        assert row["scores"] == wanted and row["mean"] == sum(wanted) / 2
        assert row["weights"] == macro.weights(cells) and row["sd"] > 0
    assert found["settings"] == {"batch_size": 8, "batches": 1, "variant": "B"}
    assert found["seeds"] == [0, 1] and found["macro"]["channels"] == 2


def test_a_table_has_a_line_for_each_network(capsys):
    assert main(["score", "depth", "--cells", "3|01|234", "--cells", "0|00|000"]) == 0
    text = capsys.readouterr().out
    assert "3|01|234" in text and "none: nothing gets through" in text and "digits" in text


def test_none_is_null(capsys):
    row, = said(capsys, "qafe", "--cells", "0|00|000", *SIZES)["networks"]
    assert row["mean"] is None and row["scores"] == [None] and row["sd"] is None


def test_images_are_averaged_to_the_size_asked_for(capsys):
    found = said(capsys, "spikes", "--cells", "3", "--image-size", "4", *SIZES)
    assert found["macro"]["image_size"] == 4


def test_workers_do_not_change_the_outcome(capsys):
    words = ["short_training", "--cells", "3|01|234", "--cells", "0|00|000", "--seed", "0", "1",
             *SIZES[:8], "--set", "fit=16", "--set", "held=8", "--set", "epochs=1"]
    here, there = said(capsys, *words), said(capsys, *words, "--workers", "2")
    assert here.pop("seconds") > 0 and there.pop("seconds") > 0
    assert here == there and here["networks"][1]["scores"] == [None, None]
    assert all(value is not None for value in here["networks"][0]["scores"])


@pytest.mark.parametrize("arguments, text", [
    (["sahd", "--cells", "3", "--workers", "0"], "--workers must be at least 1, not 0"),
    (["sahd", "--cells", "3", "--cluster", "here"], "--cluster must be the address of a Dask"),
    (["short_training", "--cells", "3", "--set", "fit=1149"], "images must be at least 1,405"),
    (["sahdd", "--cells", "3"], "unknown score 'sahdd'; did you mean 'sahd'?"),
    (["sahd", "--cells", "9"], "cell must be numbers of operations in 0..6"),
    (["sahd", "--cells", "3,3,3"], "cells must be 1, used everywhere, or 2"),
    (["sahd", "--cells", "3", "--data", "temporal"], "--data must be a data set of images"),
    (["sahd", "--cells", "3", "--data", "digit"], "unknown dataset 'digit'"),
    (["sahd", "--cells", "3", "--channels", "0"], "score.channels must be in 1..4096, not 0"),
    (["sahd", "--cells", "3", "--image-size", "5"], "images of 'digits' must have"),
    (["sahd", "--cells", "3", "--places", "4"], "image_size must be in 16..1024 with 4 cells"),
    (["sahd", "--cells", "3", "--set", "batches"], "--set must be KEY=VALUE, such as batch_size="),
    (["sahd", "--cells", "3", "--set", "bits=4"], "unknown setting 'bits'"),
    (["sahd", "--cells", "3", "--seed", "-1"], "--seed must be"),
])
def test_bad_input_is_one_line(capsys, arguments, text):
    assert main(["score", *arguments]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
