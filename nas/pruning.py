"""Gradual magnitude pruning: while a network trains, its smallest weights become zero for good.

A weight of zero costs nothing in the `spatial` lowering: no gate, no input of a popcount. The
schedule is that of Zhu and Gupta 2017 (arXiv 1710.01878, equation 1), s_t = s_f (1 - (1 - (t - t_0)
/ (n dt))**3): fast at first, while many weights are redundant. t_0 and n dt are shares of the
training, so that it fits one of any length; the rest fine-tunes what is left.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

#: When pruning begins and ends, as shares of the training.
START, END = 0.1, 0.7

#: How often weights are pruned in between: n + 1 of the schedule, with the last the whole share.
UPDATES = 32


def schedule(steps: int) -> dict[int, float]:
    """After which of 1..steps weights are pruned, and what part of the final share is zero then."""
    out = {}
    for update in range(1, UPDATES + 1):
        done = update / UPDATES
        out[max(1, round(steps * (START + (END - START) * done)))] = 1 - (1 - done) ** 3
    return out


def largest(weights: Sequence[Tensor], sizes: Sequence[Sequence[tuple[int, int]]],
            shares: Sequence[float]) -> list[Tensor]:
    """Masks like `weights`, [C, N, n] per layer: 0 for the smallest weights of a candidate, else 1.

    sizes: per candidate and layer what is not padding. shares: how many of a candidate's weights
    are masked, as a share of those of all its layers; padding has 1. A candidate's masks depend on
    its own weights alone; those of equal magnitude go in the order of layers, rows and columns.
    """
    masks = [torch.ones_like(w) for w in weights]
    for c, share in enumerate(shares):
        magnitude = torch.cat([w[c, :rows, :cols].abs().flatten()
                               for w, (rows, cols) in zip(weights, sizes[c])])
        order = magnitude.argsort(stable=True)
        kept = torch.ones_like(magnitude)
        kept[order[:round(share * len(order))]] = 0
        parts = kept.split([rows * cols for rows, cols in sizes[c]])
        for mask, part, (rows, cols) in zip(masks, parts, sizes[c]):
            mask[c, :rows, :cols] = part.view(rows, cols)
    return masks
