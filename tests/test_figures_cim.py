"""Figures of compute-in-memory, at a small size where they would take long."""

import numpy as np
import pytest

from spikeloom.nas import bench, datasets
from spikeloom.nas.bench import Bench
from spikeloom.nas.figures import cim
from spikeloom.nas.train import TrainSettings

SILENT = Bench(lambda text: None)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(cim, "SETTINGS", TrainSettings(epochs=2))
    monkeypatch.setattr(cim, "SEEDS", range(1))
    monkeypatch.setattr(cim, "DRAWS", 2)
    cim.digits_trained.cache_clear()
    yield
    cim.digits_trained.cache_clear()


def test_names_and_goals():
    found = {name: goal for group in bench.groups() for name, (_, goal) in group.goals.items()
             if name.startswith("cim.")}
    assert found == {
        "cim.released_error": "<= 1e-9", "cim.neuronas_error": "<= 0.005",
        "cim.ir_drop_error": "<= 1e-9", "cim.column_speedup": ">= 50",
        "cim.digits_seconds": "<= 10", "cim.vgg9_pricing_ms": "<= 10", "cim.digits_ideal": "",
        "cim.digits_faulty": "", "cim.digits_repaired": "", "cim.conv_faulty": ""}


def test_truths_are_met():
    for measure, name in ((cim.released, "released_error"), (cim.neuronas, "neuronas_error"),
                          (cim.ir_drop, "ir_drop_error")):
        (key, (value, detail)), = measure(SILENT).items()
        goal = next(group.goals[key][1] for group in bench.groups() if key in group.goals)
        assert key == f"cim.{name}" and bench.holds(value, goal) and detail


def test_without_a_checkout_they_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(cim, "CASES", tmp_path)
    said = []
    for measure in (cim.released, cim.neuronas, cim.ir_drop, cim.pricing):
        assert measure(Bench(said.append)) == {}
    assert len(said) == 4 and "spikesim_ela.json is part of a checkout alone" in said[0]


def test_speeds_are_of_the_same_results(monkeypatch):
    value, detail = cim.columns(SILENT)["cim.column_speedup"]
    assert value > 5 and float(detail.rsplit(" ", 1)[1]) < 1e-9
    value, detail = cim.pricing(SILENT)["cim.vgg9_pricing_ms"]
    assert 0 < value < 1000 and "96 PEs in 14 tiles" in detail
    value, detail = cim.seconds(SILENT)["cim.digits_seconds"]
    assert 0 < value < 60 and "variation, stuck cells, drift, read noise, ir drop, adc" in detail


def test_digits_before_and_after_repair():
    found = cim.digits(SILENT)
    ideal, faulty, repaired = (found[f"cim.digits_{name}"][0]
                               for name in ("ideal", "faulty", "repaired"))
    assert 0.5 < faulty < ideal <= 1 and repaired > 0.5
    detail = found["cim.digits_repaired"][1]
    assert f"{ideal - repaired:.4f} below the ideal" in detail and "fc1 0." in detail


def test_images_of_cifar(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 4)

    def split(index):
        return datasets.Split(rng.integers(0, 256, (len(index), 3072), np.uint8), labels[index])

    data = datasets.Dataset(name="few-pixels", shape=(3, 32, 32), num_classes=10,
                            train=split(np.arange(40)), validation=split(np.arange(0, 40, 2)),
                            test=split(np.arange(0, 40, 4)))
    monkeypatch.setitem(datasets.LOADERS, "few-pixels", lambda: data)
    monkeypatch.setattr(cim, "SUBSET", "few-pixels")
    monkeypatch.setattr(cim, "CONV_SETTINGS", TrainSettings(epochs=1, learning_rate=0.06))
    monkeypatch.setattr(cim, "CONV_DRAWS", 1)
    value, detail = cim.conv(SILENT)["cim.conv_faulty"]
    assert 0 <= value <= 1 and detail.startswith("few-pixels: 40 train") and "conv1 0." in detail
    monkeypatch.setattr(cim, "SUBSET", "cifar10-small")
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path))
    datasets.load.cache_clear()
    said = []
    assert cim.conv(Bench(said.append)) == {} and "data_batch_1.bin: cannot be read" in said[0]
