"""The score straight from its definition, as slow as it is plain: what the quick one must equal.

Every edge has a LIF of its own, dead edges are never asked for, and the kernel is filled image by
image. Nothing here is shared with `nas.cells.network` but the first weights and dropout's draws.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .cell import KERNELS, Cell
from .macro import Macro
from .network import CellNetwork


def spikes(macro: Macro, cells: tuple[Cell, ...], images: Tensor, seed: int) -> list[np.ndarray]:
    """Spikes 0/1 [B, N] of every LIF in every timestep, for images [B, C, H, W] in 0..1.

    Normalised by the batch as in training; computed in the type of the images.
    """
    first = {name: layer.weight.detach().to(images) for name, layer
             in CellNetwork(macro, cells, seed=seed).layers.items()}
    kept = torch.rand(len(images), macro.flat, generator=torch.Generator().manual_seed(seed))
    kept = (kept >= macro.dropout).to(images) / (1 - macro.dropout)
    found: list[np.ndarray] = []
    membranes: dict[str, Tensor] = {}
    back: dict[tuple[int, int], Tensor] = {}

    def fire(name: str, x: Tensor) -> Tensor:
        v = membranes.get(name, torch.zeros_like(x))
        v = v + (x - v) / (4 / 3)
        fired = v >= 1
        membranes[name] = torch.where(fired, torch.zeros_like(v), v)
        found.append(fired.flatten(1).numpy())
        return fired.to(x)

    def convolved(name: str, x: Tensor) -> Tensor:
        return _normal(F.conv2d(x, first[name], padding=first[name].shape[-1] // 2))

    def through(place: int, edge, x: Tensor) -> Tensor:
        name = f"cell{place + 1}_{edge.source}_{edge.target}"
        if edge.operation in KERNELS:
            return convolved(name, fire(name, x))
        return x if edge.operation == "skip" else F.avg_pool2d(x, 3, stride=1, padding=1)

    stem = convolved("stem", images)
    for _ in range(macro.num_steps):
        x = stem
        for place, cell in enumerate(cells):
            if place:
                name = f"wider{place}"
                x = F.avg_pool2d(convolved(name, fire(name, _normal(x))), 2)
            nothing = torch.zeros_like(x)
            node = [x]
            for k in range(cell.nodes):
                if k:
                    node.append(sum((through(place, edge, node[edge.source]) for edge in cell.live
                                     if edge.target == k and not edge.backward), nothing))
                node[k] = node[k] + back.get((place, k), nothing)
            for k in range(cell.nodes - 1):
                back[place, k] = sum((through(place, edge, node[edge.source]) for edge in cell.live
                                      if edge.target == k and edge.backward), nothing)
            x = node[-1]
        x = F.avg_pool2d(fire("out", _normal(x)), 2).flatten(1)
        fire("fc1", F.linear(x * kept, first["fc1"]))
    return found


def score(found: list[np.ndarray]) -> float:
    """log|det| of the mean of K over LIFs and timesteps, pair by pair in float64."""
    count = len(found[0])
    K = np.zeros((count, count))
    for x in found:
        N = x.shape[1]
        p = x.sum(1) / N
        for i in range(count):
            for j in range(count):
                H = np.count_nonzero(x[i] != x[j])
                E = N * (p[i] * (1 - p[j]) + (1 - p[i]) * p[j])
                K[i, j] += N - 0.5 * H / (E + 1e-3)
    return float(np.linalg.slogdet(K / len(found))[1])


def _normal(x: Tensor) -> Tensor:
    """Normalised by the batch, channel by channel."""
    mean = x.mean((0, 2, 3), keepdim=True)
    return (x - mean) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
