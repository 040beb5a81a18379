"""Variation in training: each batch meets other chips, whose cells were programmed with noise.

A network trained so has learned weights that mean the same when each is somewhat off. In evaluation
there is no noise, and the integers are what they always are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..flow import ir
from ..flow.cim import devices
from ..flow.cim.array import Array
from ..flow.cim.weights import magnitude_bits, planes

#: Added to a candidate's seed, so that its noise is not that of its first weights.
_APART = 1 << 40


def spreads(table: np.ndarray, array: Array, sigma: float) -> np.ndarray:
    """Standard deviation of each effective weight, float64 over codes -M..M, of w_eff over 0..M.

    A weight's digits lie in cells of their own (`flow.cim.weights`), whose conductances vary as
    ``G (1 + sigma N)`` (`flow.cim.devices`), those of the digit 0 too. Its columns' variances add
    up, each by the square of what a count on it is worth; the sum of normal numbers is one.
    """
    table = np.asarray(table, np.int64)
    unit = int(np.gcd.reduce(table)) or 1
    values = np.concatenate([-table[:0:-1], table]) // unit
    cells = devices.states(array)
    variance = sum(np.square(plane.scale * cells.mean[plane.digits])
                   for plane in planes(values, magnitude_bits(values), array)[0])
    return unit * sigma * np.sqrt(variance) / cells.step


class Chips:
    """The chips of all candidates: what programming adds to each weight, drawn anew when asked.

    A candidate's draws depend on its seed and its own shape alone.
    """

    def __init__(self, graphs: Sequence[ir.Graph], seeds: Sequence[int]) -> None:
        self.graphs = list(graphs)
        self._generators = [torch.Generator().manual_seed(seed + _APART) for seed in seeds]

    def select(self, candidates: Sequence[int]) -> "Chips":
        """Some of the candidates, whose draws go on where they were."""
        out = Chips([self.graphs[c] for c in candidates], ())
        out._generators = [self._generators[c] for c in candidates]
        return out

    def noise(self, k: int, codes: Tensor, spread: Tensor) -> Tensor:
        """What is added to the weights of layer k, [C, N, n]; 0 for padded ones.

        codes: int64 [C, N, n] from 0 on, the rows of spread [C, codes].
        """
        normal = spread.new_zeros(codes.shape)
        for c, (graph, generator) in enumerate(zip(self.graphs, self._generators)):
            node = graph.layers[k][0]
            rows, fan_in = node.weight_shape[0], node.fan_in
            normal[c, :rows, :fan_in] = torch.randn(rows, fan_in, generator=generator)
        return normal * spread.gather(1, codes.flatten(1)).view_as(normal)
