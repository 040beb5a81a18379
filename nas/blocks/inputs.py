"""Inputs of a data set as networks of blocks take them: maps of images, or frames of events."""

import numpy as np
import torch
from torch import Tensor

from ...flow.errors import ConfigError
from ..cells.pixels import maps
from .macro import Macro


def arrays(inputs: np.ndarray, macro: Macro) -> np.ndarray:
    """Images uint8 [n, ...] as uint8 [n, C, S, S], averaged as `pixels.maps` says; events uint8
    [n, T, C S S], or [n, T, C, S, S], as frames of that shape.

    Raises ConfigError for inputs of another size or number of timesteps.
    """
    if inputs.ndim not in (3, 5):
        return maps(inputs, macro)
    size = macro.in_channels * macro.image_size ** 2
    steps, each = inputs.shape[1], int(np.prod(inputs.shape[2:]))
    if inputs.dtype != np.uint8 or steps != macro.num_steps or each != size:
        raise ConfigError(f"frames must be uint8 [n, {macro.num_steps}, {size}], timesteps and "
                          f"{macro.in_channels} x {macro.image_size} x {macro.image_size} events, "
                          f"as the macro network takes them, not {inputs.dtype} "
                          f"{list(inputs.shape)}")
    return np.array(inputs).reshape(-1, steps, macro.in_channels, *2 * (macro.image_size,))


def seen(batch: Tensor, device: torch.device) -> Tensor:
    """What a network sees of a batch of `arrays`: [B, C, S, S] in 0..1, or [T, B, C, S, S]."""
    found = batch.to(device).float()
    return found / 255 if batch.ndim == 4 else found.transpose(0, 1).contiguous()
