"""The training kit: what it learns, what it takes, and what an accuracy_fn may return of it."""

import numpy as np
import pytest
import torch

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import SpikingNet, evaluate, train_epoch


def toy(count=64, dtype=torch.float32):
    """Two classes, told apart by which half of the pixels is lit."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (count,), generator=generator)
    x = 0.1 * torch.rand(count, 2, 4, generator=generator)
    x[torch.arange(count), y] += 0.8
    if dtype == torch.uint8:
        x = (255 * x).to(torch.uint8)
    return [(x[k:k + 16], y[k:k + 16]) for k in range(0, count, 16)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_it_learns_and_says_so(dtype):
    model = SpikingNet(8, 6, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    before, _ = evaluate(model, toy(dtype=dtype), n_timesteps=5)
    for _ in range(15):
        assert train_epoch(model, toy(dtype=dtype), optimizer, n_timesteps=5) > 0
    after, accuracy = evaluate(model, toy(dtype=dtype), n_timesteps=5)
    assert after < before and 0.9 < accuracy <= 1


def test_weights_have_the_shapes_of_the_layers():
    model = SpikingNet(n_input=8, n_hidden=[5, 4], n_output=3)
    assert [w.shape for w in model.weights()] == [(5, 8), (4, 5), (3, 4)]
    assert all(isinstance(w, np.ndarray) for w in model.weights())
    same = SpikingNet(8, [5, 4], 3)
    assert all((a == b).all() for a, b in zip(model.weights(), same.weights()))
    assert model(torch.zeros(2, 8), 3).shape == (2, 3)


@pytest.mark.parametrize("sizes, words", [
    ((0, 5, 2), "n_input must be an integer in 1..65536, not 0"),
    ((8, 0, 2), "n_hidden must be an integer in 1..65536, not 0"),
    ((8, 5, 2.5), "n_output must be an integer in 1..65536, not 2.5")])
def test_sizes_are_held(sizes, words):
    with pytest.raises(ConfigError) as error:
        SpikingNet(*sizes)
    assert words in str(error.value)


def test_what_does_not_go_together_is_refused():
    model, other = SpikingNet(8, 6, 2), SpikingNet(8, 6, 2)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match=r"optimizer must be made of model\.parameters"):
        train_epoch(model, toy(), optimizer, 5)
    with pytest.raises(ConfigError, match="x must have n_input = 8 values a sample, not 6"):
        evaluate(model, [(torch.zeros(2, 6), torch.zeros(2))], 5)
    with pytest.raises(ConfigError, match="loader must give at least one batch"):
        evaluate(model, iter(()), 5)
    with pytest.raises(ConfigError, match="n_timesteps must be an integer in 1"):
        evaluate(model, toy(), 0)
