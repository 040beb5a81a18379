"""Sparsity-aware Hamming distance: how differently a network's neurons fire for different images.

Y. Kim et al., "Neural architecture search for spiking neural networks", ECCV 2022, section 3. For
every population and timestep, x_i is the binary spike vector of image i, N its length, p_i its
mean, and

    H_ij = Hamming distance of x_i and x_j
    E_ij = N (p_i (1 - p_j) + (1 - p_i) p_j), what it would be if x_i and x_j had nothing in common
    K_ij = N - 0.5 H_ij / (E_ij + 1e-3)

The score is log|det| of the mean of K over populations and timesteps. Whatever gives spikes can be
scored: cells, or chains of dense layers.
"""

import math

import torch
from torch import Tensor

#: B divides by the distance that is expected, A by its share of N, as an older version did.
VARIANTS = ("B", "A")
_SMALL = 1e-3
#: Columns of one product in float32, which counts exactly below 2**24.
_COLUMNS = 1 << 23


class Kernel:
    """The mean of K over the spikes of one batch of images.

    0.5 H / E is summed in float64 and apart from N, which is thousands of times larger.
    """

    def __init__(self, variant: str = "B") -> None:
        self.variant = variant
        self.count, self.length = 0, 0
        self.share: Tensor | None = None

    def add(self, spikes: Tensor, times: int = 1) -> None:
        """Spikes 0/1 float [B, ...] of one population in one timestep, which counts `times`."""
        x = spikes.detach()
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
            x = x.movedim(1, -1)  # the order of neurons is nothing to K, and this copies nothing
        x = x.flatten(1)
        both = sum((part @ part.T).double() for part in x.split(_COLUMNS, 1))
        length, own = x.shape[1], both.diagonal()
        fired = own[:, None] + own
        expected = fired - (2 / length) * own[:, None] * own
        if self.variant == "A":
            expected /= length
        share = (fired - 2 * both).div_(expected.add_(_SMALL)).mul_(0.5 * times)
        self.share = share if self.share is None else self.share.add_(share)
        self.length += times * length
        self.count += times

    def mean(self) -> Tensor:
        """The mean of K, float64 [B, B]."""
        return (self.length - self.share) / self.count

    def log_det(self) -> float:
        """log|det| of the mean; nan where it is singular, or nothing was added.

        The first row and column are taken from all others, which changes no determinant and leaves
        N in a single place: the rest of the matrix is as exact as the shares.
        """
        if self.share is None:
            return math.nan
        matrix = -self.share / self.count
        matrix[1:] -= matrix[0].clone()
        matrix[:, 1:] -= matrix[:, :1].clone()
        matrix[0, 0] += self.length / self.count
        if not bool(matrix.isfinite().all()):
            return math.nan
        sizes = torch.linalg.eigvalsh(matrix[1:, 1:]).abs()
        if len(sizes) and sizes.min() <= len(sizes) * torch.finfo(sizes.dtype).eps * sizes.max():
            return math.nan
        value = torch.linalg.slogdet(matrix).logabsdet.item()
        return value if math.isfinite(value) else math.nan
