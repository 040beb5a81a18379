"""Shifts: where each pixel of a moved image is from, and that an epoch repeats itself."""

import numpy as np
import pytest
import torch

from spikeloom.flow import config, ir
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.shifts import Shifts
from spikeloom.nas.task import Task


def given(*shape: int, encoder: str = "stream") -> ir.Input:
    return ir.Input(name="image", shape=shape, encoder=encoder, sng="ramp")


def test_images_are_moved_and_what_comes_in_is_zero():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(1, 256, (60, 2, 4, 5), dtype=np.uint8))
    moves = Shifts(given(2, 4, 5), 2, 1)
    found = moves.moved(images.flatten(1)).view_as(images)
    seen = set()
    for before, after in zip(images.numpy(), found.numpy()):
        ways = [(down, right) for down in range(-2, 3) for right in range(-2, 3)
                if (np.pad(before, ((0, 0), (2, 2), (2, 2)))[
                    :, 2 + down:6 + down, 2 + right:7 + right] == after).all()]
        assert len(ways) == 1
        seen |= set(ways)
    assert len(seen) > 15, "each image is moved by itself"


def test_an_epoch_repeats_itself_and_the_next_one_differs():
    images = torch.arange(1, 13, dtype=torch.uint8).repeat(20, 1)
    first, again, other = (Shifts(given(3, 4), 1, epoch).moved(images)
                           for epoch in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.dtype == torch.uint8


@pytest.mark.parametrize("shape, encoder", [((12,), "stream"), ((2, 4, 4), "spikes")])
def test_what_is_no_image_is_refused(shape, encoder):
    with pytest.raises(ConfigError, match="shift must be 0 for"):
        Shifts(given(*shape, encoder=encoder), 1, 1)
    with pytest.raises(ConfigError, match=r"train\.shift must be 0 for 'temporal'"):
        Task(config.experiment_from({"data": {"name": "temporal"}, "train": {"shift": 1}, "space": {
            "encoders": ["spikes"], "num_steps": [48]}}))
