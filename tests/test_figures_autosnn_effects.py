"""Figures of AutoSNN's study: effects by hand, from the file that ships."""

import json
from types import SimpleNamespace

import pytest
from msgspec import structs, to_builtins

from spikeloom.flow.errors import RunError
from spikeloom.nas.bench import Bench
from spikeloom.nas.blocks import trials
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.recipe import BlockTraining
from spikeloom.nas.figures import autosnn_effects as effects


def points(path, arms):
    """A file of points: by changes of the macro network, accuracy and spikes from each seed."""
    held = {}
    for changes, values in arms:
        macro = structs.replace(Macro(channels=4, image_size=16), **changes)
        for seed, (accuracy, spikes) in enumerate(values):
            key = {"data": "digits", "images": "0", "macro": to_builtins(macro),
                   "blocks": ["scb_k3"] * macro.places,
                   "training": to_builtins(BlockTraining(seed=seed, images=100))}
            held[json.dumps(key)] = {"accuracy": accuracy, "spikes": spikes}
    path.write_text(json.dumps({"format": 1, "points": held}))
    return path


ARMS = (({}, [(0.5, 100.0), (0.6, 120.0)]),
        ({"global_pooling": True}, [(0.4, 150.0), (0.4, 180.0)]),
        ({"down": "avg"}, [(0.55, 90.0)]))


def test_effects_are_paired_by_seed(tmp_path, monkeypatch):
    monkeypatch.setattr(effects, "SHIPPED", points(tmp_path / "points.json", ARMS))
    monkeypatch.setattr(effects, "_sample", lambda text: {"accuracy": 0.5})
    found = effects.effects(Bench(lambda text: None))
    value, detail = found["autosnn.gap_effect"]
    assert value == pytest.approx(0.15) and "-55 (" in detail and "over 2 seeds" in detail
    value, detail = found["autosnn.maxpool_effect"]
    assert value == pytest.approx(-0.05) and "over 1 seed;" in detail and ".." not in detail.split(
        ";")[0]
    assert "trained again here: 0.5000 (shipped: 0.5000)" in detail


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"holds no trainings of blocks .* study autosnn"):
        effects.load(tmp_path / "none.json")
    with pytest.raises(RunError, match=r"lacks trainings with \{'down': 'avg'\}"):
        effects.effect(effects.load(points(tmp_path / "p.json", ARMS[:2])), {"down": "avg"})


def test_what_ships_is_of_the_study():
    found = effects.load(effects.SHIPPED)
    for other in ({"global_pooling": True}, {"down": "avg"}):
        accuracy, _, seeds = effects.effect(found, other)
        assert seeds >= 3 and accuracy[1] <= accuracy[0] <= accuracy[2]
    for item in found:
        bed = trials.Trials(SimpleNamespace(name=item.key["data"]), item.macro, item.key["images"],
                            item.training)
        key = bed.train(item.macro, item.key["blocks"], item.training.seed)
        assert json.loads(json.dumps(key)) == item.key
