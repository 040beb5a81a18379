"""Named cells, and the chosen ones of a search: trained, tested once, exported, kept in the run."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from spikeloom.flow import cli
from spikeloom.flow.errors import FitError
from spikeloom.flow.run import Run
from spikeloom.nas import datasets
from spikeloom.nas.cells import final, train
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.checkpoints import load_network
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.space import genome_of
from spikeloom.nas.cells.train import CellTraining, evaluate
from spikeloom.nas.evaluator import Candidate
from spikeloom.nas.store import Evaluation
from spikeloom.sim import reference

DIGITS = datasets.load("digits")
SIZES = {"image_size": 4, "channels": 2, "cells": 1, "num_steps": 2, "hidden": 8, "voters": 2}
COMMAND = ["train", "--data", "digits", "--weight-bits", "6", "--epochs", "1",
           *(word for key, value in SIZES.items() for word in ("--set", f"cells.{key}={value}")),
           "--set", "train.images=64", "--set", "train.device=cpu"]


def run(folder, *more):
    return cli.main([*COMMAND, "--run", str(folder), *more])


def test_train_cells_keeps_a_network_whose_accuracies_can_be_computed_again(tmp_path, capsys,
                                                                            monkeypatch):
    folder = tmp_path / "run"
    assert run(folder, "--cells", "3|13|333", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cells"], found["weight_bits"], found["epochs"]) == (["3|13|333"], 6, 1)
    assert found["trained_on"] == "digits, train (64 images)"
    assert found["validation_subset"] == "digits, validation"
    assert found["test"]["subset"] == "digits, test" and found["test"]["images"] == 360
    opened = Run.open(folder)
    network, graph = load_network(folder), opened.graph()
    assert evaluate(network, DIGITS.test).accuracy == found["test"]["before"]
    assert evaluate(network, DIGITS.validation).accuracy == found["validation_accuracy"]
    p8, labels = opened.samples()
    assert p8.shape == (360, 16)
    assert float((reference.run(graph, p8).classes == labels).mean()) == found["test"]["after"]
    assert json.loads((folder / "cells.json").read_text())["cells"] == ["3|13|333"]

    def never(*args):
        raise AssertionError("a training that is over trains no more")

    monkeypatch.setattr(train._Training, "step", never)
    for text in ("3|13|333", "chosen"):
        assert run(folder, "--cells", text) == 0
        words = capsys.readouterr().out
        assert "cells 3|13|333 trained on digits, train (64 images), 6-bit weights" in words
        assert "accuracy on digits, test (360 images, looked at once)" in words


@pytest.mark.parametrize("more, words", [
    (["--cells", "3|13|339"], "cell must be numbers of operations in 0..6"),
    (["--cells", "snasnt"], "unknown network of cells 'snasnt'"),
    (["--cells", "0|00|000"], "cell 1 (0|00|000): something must get from its input"),
    (["--cells", "3|13|333,3|13|333"], "cells must be 1, used everywhere"),
    (["--cells", "3|13|333", "--hidden", "16"], "--hidden must be left out with --cells"),
    (["--cells", "3|13|333", "--beta", "3"], "--beta must be left out with --cells, not 3"),
    (["--cells", "3|13|333", "--set", "search.seed=1"], "--set must be of cells or train"),
    (["--cells", "3|13|333", "--set", "cells.widht=1"], "cells.widht: unknown key 'widht'"),
    (["--cells", "3|13|333", "--set", "train.optimiser=adam"], "did you mean 'adamw'"),
    (["--cells", "3|13|333", "--set", "cells.image_size=3"], "cells.image_size: images of"),
    (["--cells", "3|13|333", "--data", "temporal"], "--data must be a data set of images"),
    (["--cells", "chosen"], "cells.json: cannot be read"),
    ([], "--set must be left out without --cells"),
])
def test_bad_input_is_named_before_anything_is_written(tmp_path, capsys, more, words):
    assert run(tmp_path / "run", *more) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run" / "network.json").exists()


def chosen(*texts):
    cells = [parse(text) for text in texts]
    row = Evaluation(genome=genome_of(cells), seed=3, settings="", id="abc", generation=1,
                     position=0, accuracy=None, epochs=0, stopped=None, seconds=0.0,
                     estimate={"score": 1.5}, features=None)
    return Candidate(genome=row.genome, id="abc", generation=1, trainings=[row])


def task(**changes):
    settings = {"epochs": 1, "images": 32, "device": "cpu", "padding": 0, **changes}
    return SimpleNamespace(
        data=DIGITS, macro=Macro(in_channels=1, **SIZES), cells=SimpleNamespace(weight_bits=5),
        settings=CellTraining(**settings))


def test_a_search_finishes_with_its_first_row_and_goes_on_where_it_was(tmp_path, monkeypatch):
    rows = [chosen("3|00|340"), chosen("3|33|333")]
    found, made = final.finish(task(), None, None, tmp_path, rows)
    assert (found.id, found.cells, found.columns) == ("abc", ["3|00|340"], {"score": 1.5})
    assert found.result.seed == 3 and found.result.weight_bits == 5
    (place,) = (tmp_path / "candidates" / "abc").iterdir()
    assert (place / "training.json").exists()
    kept = final.keep(task(), found, made, Run.create(tmp_path / "run"))
    assert any("on export" in line for line in kept) and "graph.safetensors" in kept[-1]
    np.testing.assert_array_equal(Run.open(tmp_path / "run").samples()[1], DIGITS.test.labels)
    other, _ = final.finish(task(padding=1), None, None, tmp_path, [chosen("3|00|340")])
    assert len(list((tmp_path / "candidates" / "abc").iterdir())) == 2
    assert other.cells == found.cells
    monkeypatch.setattr(train._Training, "step", None)  # nothing is left to train
    again, _ = final.finish(task(), None, None, tmp_path, [chosen("3|00|340")])
    assert again == found


def test_a_training_that_has_nothing_to_keep_fails_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(train._Training, "step", lambda *args: (float("nan"), 0))
    with pytest.raises(FitError, match=r"3\|00\|340 diverged in epoch 1: the loss is nan"):
        final.finish(task(), None, None, tmp_path, [chosen("3|00|340")])


def test_wide_weights_are_floats_and_say_so(tmp_path):
    wide = task()
    wide.cells.weight_bits = 32
    found, _ = final.finish(wide, None, None, tmp_path, [chosen("3|00|340")])
    assert found.result.weight_bits is None and found.result.export_bits == 10
    assert "weights of floating point are rounded to codes of 10 bits" in found.result.notes[0]
