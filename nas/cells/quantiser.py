"""Weights of n bits in floating point, for training and for scores.

A code is an integer and a weight is a code times a power of two. Scale `power_of_two` takes, for
each tensor, the smallest power with which its largest weight is a code of n - 1 bits and a sign.
Scale `fixed` is the format Q1.(n-1) of R. V. W. Putra and M. Shafique, "NeuroNAS", 2024: steps of
2**(1-n) in -1..1, whatever the weights are, so few bits round all small weights to zero.
"""

import torch
from torch import Tensor
from torch.autograd import Function

from ...flow.errors import ConfigError, unknown

ROUNDINGS = ("nearest", "floor", "stochastic")
SCALES = ("power_of_two", "fixed")
MIN_BITS, MAX_BITS = 4, 16


def trained_bits(weight_bits: int | None) -> int | None:
    """Bits for training: None, floating point, for more than there are here, too."""
    return weight_bits if weight_bits and weight_bits <= MAX_BITS else None


def check(bits: int, rounding: str = "nearest", scale: str = "power_of_two",
          where: str = "quantiser") -> None:
    """Raise ConfigError for the first of them that is out of range."""
    if not MIN_BITS <= bits <= MAX_BITS:
        raise ConfigError(f"{where}: bits must be in {MIN_BITS}..{MAX_BITS}, not {bits}")
    if rounding not in ROUNDINGS:
        raise ConfigError(f"{where}: " + unknown("rounding", rounding, ROUNDINGS))
    if scale not in SCALES:
        raise ConfigError(f"{where}: " + unknown("scale", scale, SCALES))


def step(weight: Tensor, bits: int, scale: str = "power_of_two") -> Tensor:
    """What a code of 1 is worth, a power of two, as a tensor of no axes like `weight`."""
    if scale == "fixed":
        return torch.tensor(2.0 ** (1 - bits), dtype=weight.dtype, device=weight.device)
    mantissa, exponent = torch.frexp(weight.detach().abs().max() / top(bits))
    exponent = torch.where(mantissa > 0.5, exponent, exponent - 1)
    one = torch.ones((), dtype=weight.dtype, device=weight.device)
    return torch.where(mantissa > 0, torch.ldexp(one, exponent), one)


def top(bits: int) -> int:
    """The largest code."""
    return (1 << (bits - 1)) - 1


def quantise(weight: Tensor, bits: int, *, rounding: str = "nearest", scale: str = "power_of_two",
             generator: torch.Generator | None = None) -> Tensor:
    """Weights that are codes times `step`; the gradient passes as if nothing was rounded.

    rounding: `nearest` with ties to even codes, `floor` downward, `stochastic` up with the
    probability of what is left of it, drawn from `generator`. Codes are in -top..top, those of
    scale `fixed` from -top - 1 on; what lies outside saturates. Raises ConfigError for settings.
    """
    check(bits, rounding, scale)
    noise = None
    if rounding == "stochastic":
        if generator is None:
            raise ConfigError("quantiser: generator must be given for rounding 'stochastic'")
        noise = torch.rand(weight.shape, generator=generator, device=generator.device,
                           dtype=weight.dtype).to(weight.device)
    unit = step(weight, bits, scale)
    return _Rounded.apply(weight, unit, -top(bits) - (scale == "fixed"), top(bits), rounding, noise)


class _Rounded(Function):
    """Forward: the nearest, lower or drawn code, times its unit. Backward: straight through."""

    @staticmethod
    def forward(ctx, weight: Tensor, unit: Tensor, low: int, high: int, rounding: str,
                noise: Tensor | None) -> Tensor:
        codes = weight / unit
        if rounding == "nearest":
            codes.round_()
        elif noise is None:
            codes.floor_()
        else:
            codes.add_(noise).floor_()
        return codes.clamp_(low, high).mul_(unit)

    @staticmethod
    def backward(ctx, g: Tensor):
        return g, None, None, None, None, None
