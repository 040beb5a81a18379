"""Weights of n bits: codes, scales, roundings, and a gradient that passes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow.errors import ConfigError
from spikeloom.nas.cells.quantiser import ROUNDINGS, SCALES, quantise, step, top

WEIGHTS = st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=20)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(WEIGHTS, st.integers(4, 16))
def test_a_power_of_two_is_the_smallest_that_the_largest_weight_fits(values, bits):
    weight = torch.tensor(values, dtype=torch.float64)
    unit, most = step(weight, bits).item(), weight.abs().max().item()
    if most == 0:
        assert unit == 1
    else:
        assert float(unit).hex().partition("p")[0] == "0x1.0000000000000"
        assert unit * top(bits) >= most > unit / 2 * top(bits)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(WEIGHTS, st.integers(4, 16), st.sampled_from(ROUNDINGS), st.sampled_from(SCALES))
def test_what_is_rounded_is_a_code_next_to_the_weight(values, bits, rounding, scale):
    weight = torch.tensor(values)
    unit = step(weight, bits, scale)
    codes = quantise(weight, bits, rounding=rounding, scale=scale, generator=generator()) / unit
    low = -top(bits) - (scale == "fixed")
    assert torch.equal(codes, codes.round()) and codes.min() >= low and codes.max() <= top(bits)
    exact = weight.double() / unit.double()
    inside = (exact >= low) & (exact <= top(bits))
    away = (codes - exact)[inside]
    assert ({"nearest": away.abs() <= 0.5, "floor": (away <= 0) & (away >= -1),
             "stochastic": away.abs() <= 1}[rounding]).all()


def test_the_fixed_format_is_of_steps_that_no_weight_changes():
    weight = torch.tensor([0.06, 0.07, -0.3, 3.0, -3.0])
    assert quantise(weight, 4, scale="fixed").tolist() == [0.0, 0.125, -0.25, 0.875, -1.0]
    assert quantise(weight[:1], 4).item() == pytest.approx(0.0625)


def test_rounding_up_is_as_likely_as_what_is_left_is_large():
    weight = torch.full((20_000,), 0.125 * 0.3)
    found = quantise(weight, 4, rounding="stochastic", scale="fixed", generator=generator())
    assert found.count_nonzero().item() / len(found) == pytest.approx(0.3, abs=0.02)
    again = quantise(weight, 4, rounding="stochastic", scale="fixed", generator=generator())
    other = quantise(weight, 4, rounding="stochastic", scale="fixed", generator=generator(1))
    assert torch.equal(found, again) and not torch.equal(found, other)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_the_gradient_passes_straight_through(rounding):
    weight = torch.tensor([0.3, -0.01, 0.7], requires_grad=True)
    slope = torch.tensor([1.0, 2.0, 3.0])
    quantise(weight, 4, rounding=rounding, generator=generator()).backward(slope)
    assert torch.equal(weight.grad, slope)


@pytest.mark.parametrize("arguments, text", [
    ({"bits": 3}, "bits must be in 4..16, not 3"),
    ({"bits": 17}, "bits must be in 4..16, not 17"),
    ({"bits": 8, "rounding": "floo"}, "unknown rounding 'floo'; did you mean 'floor'?"),
    ({"bits": 8, "scale": "layer"}, "unknown scale 'layer'"),
    ({"bits": 8, "rounding": "stochastic"}, "generator must be given for rounding 'stochastic'"),
])
def test_settings_out_of_range_are_told(arguments, text):
    with pytest.raises(ConfigError, match=text.replace("?", r"\?")):
        quantise(torch.ones(2), **arguments)
