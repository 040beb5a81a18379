"""The data of a search from Python: arrays and data sets, cut and checked."""

import numpy as np
import pytest
from tiny_search import few

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import SearchSpace, datasets
from spikeloom.nas.api.data import dataset, subset


def arrays(count=60, pixels=8, classes=3, kind=float):
    rng = np.random.default_rng(0)
    x = rng.random((count, 2, pixels // 2))
    return (x if kind is float else (255 * x).astype(kind)), np.arange(count) % classes


def space(inputs=8, classes=3) -> SearchSpace:
    return SearchSpace(inputs, classes)


@pytest.mark.parametrize("kind", [float, np.uint8])
def test_arrays_become_three_splits(kind):
    x, y = arrays(kind=kind)
    found = dataset(space(), (x, y))
    assert [len(part) for part in (found.train, found.validation, found.test)] == [38, 10, 12]
    assert found.shape == (8,) and found.num_classes == 3 and found.name.startswith("arrays-")
    assert found.train.inputs.dtype == np.uint8 and found.train.labels.dtype == np.int64
    every = np.concatenate([part.inputs for part in (found.train, found.validation, found.test)])
    wanted = np.rint(255 * x) if kind is float else x
    assert (np.sort(every.reshape(-1)) == np.sort(wanted.reshape(-1))).all()
    assert np.bincount(found.test.labels).tolist() == [4, 4, 4]
    assert dataset(space(), (x, y)).name == found.name, "the same images have the same name"
    assert dataset(space(), (x[::-1], y[::-1])).name != found.name
    x[0, 0, 0] = x[0, 0, 0]  # what was given is still the caller's


def test_a_data_set_of_ones_own_is_told_from_another_of_its_name():
    full = few()
    found = dataset(SearchSpace(64, 10), full)
    assert found.name.startswith("few-") and found.train is full.train


def test_without_data_a_space_takes_its_own(monkeypatch):
    assert dataset(SearchSpace(64, 10), None).name == "digits"
    monkeypatch.setitem(datasets.LOADERS, "mnist", few)
    with pytest.raises(ConfigError, match="n_inputs = 784 pixels a sample, not 64"):
        dataset(SearchSpace(784, 10), None)


def test_a_subset_trains_on_a_part_and_at_last_on_all():
    full = datasets.load("digits")
    found = subset(full, 500, 100)
    assert (len(found.train), len(found.validation)) == (500, 100)
    assert found.test is full.test and len(found.final) == 1437
    assert found.name == "digits[500+100]" and subset(full, 5000, 5000) is full
    again = subset(full, 500, 100)
    assert (again.train.inputs == found.train.inputs).all()


@pytest.mark.parametrize("change, words", [
    (lambda x, y: (x * 2, y), "data must have x of uint8, or of floats in 0..1, not float64 of"),
    (lambda x, y: (x * np.nan, y), "data must have x of uint8, or of floats in 0..1, not float64"),
    (lambda x, y: (x.astype(int), y), "data must have x of uint8, or of floats in 0..1, not int64"),
    (lambda x, y: (x, y + 1), "data must have y of integers in 0..2, not int64 of 1..3"),
    (lambda x, y: (x, y / 2), "data must have y of integers in 0..2, not float64"),
    (lambda x, y: (x, y[:-1]), "data must be x [n, ...] and y [n], not of shapes"),
    (lambda x, y: (x[:0], y[:0]), "data must be x [n, ...] and y [n], not of shapes"),
    (lambda x, y: (x, y * 0), "data must have at least 5 samples of each class, not 0 of class 1"),
    (lambda x, y: (x[:, :1], y), "data must have n_inputs = 8 pixels a sample, not 4"),
])
def test_arrays_that_cannot_be_trained_on_are_refused(change, words):
    with pytest.raises(ConfigError) as error:
        dataset(space(), change(*arrays()))
    assert words in str(error.value)
