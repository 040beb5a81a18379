"""Gradual magnitude pruning: while a network trains, its smallest weights become zero for good.

A weight of zero costs nothing in the `spatial` lowering: no gate, no input of a popcount; with
shared lanes what costs nothing is a slot whose weights are all zero, so that those go together. The
schedule is that of Zhu and Gupta 2017 (arXiv 1710.01878, equation 1), s_t = s_f (1 - (1 - (t - t_0)
/ (n dt))**3): fast at first, while many weights are redundant. t_0 and n dt are shares of the
training, so that it fits one of any length; the rest fine-tunes what is left.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..flow import ir

#: When pruning begins and ends, as shares of the training.
START, END = 0.1, 0.7

#: How often weights are pruned in between: n + 1 of the schedule, with the last the whole share.
UPDATES = 32

#: Passes of a lane that fit one LUT, with a sign.
PASSES = 4


def schedule(steps: int) -> dict[int, float]:
    """After which of 1..steps weights are pruned, and what part of the final share is zero then."""
    out = {}
    for update in range(1, UPDATES + 1):
        done = update / UPDATES
        out[max(1, round(steps * (START + (END - START) * done)))] = 1 - (1 - done) ** 3
    return out


def units(dense) -> np.ndarray:
    """For each row of a layer's weights the row of units that it is in: int [rows].

    A unit is what goes together: a weight; or, where neurons share lanes (`hdl.shared`, neuron j in
    pass j // P of lane j mod P), the weights of one input in up to PASSES passes of a lane, which
    are one LUT and one input of a popcount, empty only if all of them are zero.
    """
    rows = np.arange(dense.weight_shape[0])
    if dense.lanes is None or dense.lowering == "folded":
        return rows
    return rows // (dense.lanes * PASSES) * dense.lanes + rows % dense.lanes


def masks(weights: Sequence[Tensor], graphs: Sequence[ir.Graph], shares: Sequence[float]
          ) -> list[Tensor]:
    """Masks like `weights`, [C, rows, columns] per layer: 0 for a candidate's smallest, else 1.

    shares: how many of a candidate's weights are masked, at least, as a share of those of all its
    layers; padding has 1. The root mean square of a unit decides, equal ones go in the order of
    layers, rows and columns. A candidate's masks depend on itself alone.
    """
    out = [torch.ones_like(w) for w in weights]
    for c, (graph, share) in enumerate(zip(graphs, shares)):
        means, sizes, places = [], [], []
        for w, mask, (dense, _) in zip(weights, out, graph.layers):
            row = torch.from_numpy(units(dense))
            part = w[c, :len(row), :dense.fan_in]
            size = torch.bincount(row).to(w.dtype)[:, None].expand(-1, part.shape[1])
            square = torch.zeros_like(size).index_add_(0, row, part * part)
            means.append((square / size).flatten())
            sizes.append(size.flatten())
            places.append((mask[c, :len(row), :part.shape[1]], row, size.shape))
        order = torch.cat(means).argsort(stable=True)
        size = torch.cat(sizes)[order].long()
        before = size.cumsum(0) - size
        kept = torch.ones(len(order), dtype=out[0].dtype)
        kept[order[before < round(share * int(size.sum()))]] = 0
        for (mask, row, shape), part in zip(places, kept.split([len(m) for m in means])):
            mask.copy_(part.view(shape)[row])
    return out
