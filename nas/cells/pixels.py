"""Images of a data set as the maps that a macro network takes."""

from math import isqrt
from typing import Protocol

import numpy as np

from ...flow.errors import ConfigError


class Macro(Protocol):
    """What a macro network says of its maps: channels, and rows as many as columns."""

    in_channels: int
    image_size: int


def check(shape: tuple[int, ...], macro: Macro, where: str = "images") -> None:
    """Raise ConfigError where images of a shape, [H, W] or [C, H, W], cannot become the maps."""
    channels, *extents = (1, *shape) if len(shape) == 2 else shape
    size = macro.image_size
    if (channels != macro.in_channels or len(set(extents)) != 1 or len(extents) != 2
            or extents[0] % size):
        raise ConfigError(f"{where} must have {macro.in_channels} channels and as many rows as "
                          f"columns, {size} or a multiple of it, as the macro network takes them, "
                          f"not the shape {list(shape)}")


def maps(inputs: np.ndarray, macro: Macro) -> np.ndarray:
    """Pixels uint8 [n, C, S, S] of images uint8 [n, ...] of as many channels.

    Images of k S rows and columns are averaged over k x k pixels, halves rounded up.
    """
    count, size = len(inputs), macro.image_size
    each = int(np.prod(inputs.shape[1:]))
    extent = isqrt(each // macro.in_channels)
    if inputs.ndim == 4:
        check(inputs.shape[1:], macro)
    elif extent * extent * macro.in_channels != each or extent % size or not extent:
        raise ConfigError(f"images must have {macro.in_channels} x {size} x {size} pixels, or "
                          f"multiples of these rows and columns, not {each}")
    if inputs.dtype != np.uint8:
        raise ConfigError(f"images must be pixels of 8 bits, uint8, not {inputs.dtype}")
    window = extent // size
    images = inputs.reshape(count, macro.in_channels, extent, extent)
    if window == 1:
        return np.array(images)
    sums = images.reshape(count, macro.in_channels, size, window, size, window)
    sums = sums.sum((3, 5), dtype=np.int64)
    return ((sums + window ** 2 // 2) // window ** 2).astype(np.uint8)
