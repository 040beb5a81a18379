"""Datasets and their pinned splits."""

import hashlib

import numpy as np
import pytest

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import datasets


def test_digits_split_is_pinned():
    digits = datasets.load("digits")
    assert (digits.shape, digits.num_classes) == ((8, 8), 10)
    assert [len(s) for s in (digits.train, digits.validation, digits.test)] == [1149, 288, 360]
    found = hashlib.sha256(digits.test.inputs.tobytes() + digits.test.labels.tobytes()).hexdigest()
    assert found[:16] == "a2fc2790f951761e"


def test_splits_are_disjoint_stratified_and_cover_all_images():
    from sklearn.datasets import load_digits

    digits = datasets.load("digits")
    images, labels = load_digits(return_X_y=True)
    splits = (digits.train, digits.validation, digits.test)
    ours = np.concatenate([s.inputs for s in splits])
    assert sorted(map(bytes, ours)) == sorted(map(bytes, ((255 * images.astype(int) + 8) // 16
                                                          ).astype(np.uint8)))
    assert len(digits.final) == 1149 + 288
    for split in splits:
        share = np.bincount(split.labels, minlength=10) / len(split)
        assert np.abs(share - np.bincount(labels) / len(labels)).max() < 0.01


def test_pixels_are_read_only_8_bit():
    split = datasets.load("digits").train
    assert split.inputs.dtype == np.uint8 and split.inputs.shape == (1149, 64)
    assert sorted(np.unique(split.inputs)) == [(255 * x + 8) // 16 for x in range(17)]
    with pytest.raises(ValueError, match="read-only"):
        split.inputs[0, 0] = 1


def test_unknown_dataset_is_answered_with_a_suggestion():
    with pytest.raises(ConfigError, match="unknown dataset 'digit'; did you mean 'digits'"):
        datasets.load("digit")
