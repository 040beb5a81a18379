"""CIFAR-10 from binary files: subsets by name, and files that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest

from spikeloom.flow import cli, config
from spikeloom.flow.errors import ConfigError
from spikeloom.nas import datasets
from spikeloom.nas.cim import free_check
from spikeloom.nas.datasets import cifar10
from spikeloom.nas.datasets.cifar10 import Subset
from spikeloom.nas.task import Task

TINY = Subset(batches=(1, 2), train=3, validation=2, test=2, tested=60)


def records(count, seed):
    """Labels in turn, and pixels that tell label, seed and number of the record."""
    rng = np.random.default_rng(seed)
    out = rng.integers(0, 256, (count, 3073), np.uint8)
    out[:, 0] = np.arange(count) % 10
    out[:, 1], out[:, 2], out[:, 3] = out[:, 0], seed, np.arange(count) % 256
    return out


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path))
    monkeypatch.setitem(cifar10.SETS, "tiny", TINY)
    monkeypatch.setattr(cifar10, "_RECORDS", 100)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"data_batch_{number}.bin").write_bytes(records(100, number).tobytes())
    (folder / "test_batch.bin").write_bytes(records(100, 9).tobytes())
    return folder


def pairs():
    data = cifar10.load("tiny")
    return {name: (split.inputs, split.labels) for name in ("train", "validation", "test")
            for split in [getattr(data, name)]}


def test_subsets_are_balanced_disjoint_and_seeded(files, monkeypatch):
    data = pairs()
    assert {name: len(labels) for name, (_, labels) in data.items()} == {
        "train": 30, "validation": 20, "test": 20}
    for name, (pixels, labels) in data.items():
        assert (np.bincount(labels) == len(labels) // 10).all()
        assert (pixels[:, 0] == labels).all() and pixels.shape[1] == 3072
        assert set(pixels[:, 1]) == ({9} if name == "test" else {1, 2})
    assert data["test"][0][:, 2].max() < 60, "of the first `tested` alone"
    fit = {pixels.tobytes() for name in ("train", "validation") for pixels in data[name][0]}
    assert len(fit) == 50
    again = pairs()
    assert all((again[name][0] == data[name][0]).all() for name in data)
    monkeypatch.setitem(cifar10.SETS, "tiny", Subset(**{**vars(TINY), "seed": 1}))
    assert (pairs()["train"][0] != data["train"][0]).any()
    assert cifar10.sizes("tiny") == (30, 20, 20) and "batches 1, 2" in cifar10.about("tiny")


def test_an_excerpt_of_the_test_images_gives_the_same_subset(files):
    wanted = pairs()["test"][0]
    whole = (files / "test_batch.bin").read_bytes()
    (files / "test_batch.bin").unlink()
    (files / "test_batch_first60.bin").write_bytes(whole[:60 * 3073])
    assert (pairs()["test"][0] == wanted).all()


def test_a_dataset_of_its_own_shape_is_trained(files, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(datasets.LOADERS, "tiny", lambda: cifar10.load("tiny"))
    data = datasets.load("tiny")
    assert (data.shape, data.num_classes, data.encoders) == ((3, 32, 32), 10, ("rate", "stream"))
    assert cli.main(["train", "--data", "tiny", "--hidden", "4", "--epochs", "1", "--encoder",
                     "rate", "--num-steps", "1", "--run", str(tmp_path / "run")]) in (0, 1)
    datasets.load.cache_clear()


def spoil_label(raw):
    raw[3073 * 7] = 11


@pytest.mark.parametrize("spoil,words", [
    (lambda raw: raw.__delitem__(slice(-1, None)), "must be 100 or more records of 3073 bytes"),
    (lambda raw: raw.__delitem__(slice(3073 * 50, None)), "not 153,650 bytes"),
    (spoil_label, "labels must be in 0..9, not 11 in record 7"),
])
def test_damaged_files_are_one_line_with_the_file_and_its_source(files, spoil, words):
    path = files / "data_batch_2.bin"
    raw = bytearray(path.read_bytes())
    spoil(raw)
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=words) as caught:
        cifar10.load("tiny")
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text
    assert "cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html" in text


def test_the_example_is_a_search_on_crossbars(files, monkeypatch):
    """Its networks, the smallest and the largest, are on an array and have a price."""
    monkeypatch.setitem(cifar10.SETS, "cifar10-small", TINY)
    datasets.load.cache_clear()
    path = Path(__file__).parents[1] / "examples" / "cifar.toml"
    task = Task(config.load_experiment(path), str(path))
    datasets.load.cache_clear()  # others must not meet these images
    assert task.priced_only and task.data.shape == cifar10.SHAPE
    assert {name for name in task.space.bounds if name.startswith("array_")} == {
        "array_size", "array_adc_bits"}
    costs = []
    for side in (0, 1):
        vector = task.space.sample(np.random.default_rng(0), 0)
        vector |= {name: task.space.bounds[name][side] for name in ("width0", "width1")}
        genome = task.space.genome(vector)
        graph = task.space.graph(genome)
        assert graph.input.encoder == "rate" and task.excess(genome) == 0
        costs.append(free_check(graph, task.array(genome), task.cim)[0])
    assert 0 < costs[0]["cim_uj"] < costs[1]["cim_uj"]


def test_too_few_of_a_class_are_refused(files):
    raw = records(100, 1)
    raw[:, 0] = 3
    for number in (1, 2):
        (files / f"data_batch_{number}.bin").write_bytes(raw.tobytes())
    with pytest.raises(ConfigError, match="must have 5 images of class 0, not 0"):
        cifar10.load("tiny")


def test_missing_files_are_named_by_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path))
    assert cli.main(["train", "--data", "cifar10-small", "--run", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin") in error
    assert "No such file" in error and "SPIKELOOM_DATASETS" in error and error.count("\n") == 1
