"""Operations of batched training: exact integers forward, straight lines backward.

Tensors have a leading candidate axis C. What is looked up comes from the tables of the contract,
`hdl.sng.weight_table` and `hdl.sng.count_table`; gradients pass the rounding unchanged and see each
table as the straight line that fits it best.
"""

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from ..flow import ir
from ..hdl import sng
from .tensors import Buffers

#: Largest bias, skip and threshold, in counts.
LARGEST = 1 << 22


def rounded(x: Tensor, lowest: int) -> Tensor:
    """x to the nearest integer, ties to even, within lowest..2**22; not a number becomes lowest."""
    return x.round().nan_to_num_(nan=lowest).clamp_(lowest, LARGEST)


def signed_table(table: np.ndarray) -> np.ndarray:
    """A table over codes 0..M as one over -M..M, odd: shape [2 * M + 1, ...]."""
    return np.concatenate([-table[:0:-1], table])


def best_slope(rows: np.ndarray, x: np.ndarray) -> float:
    """s of the line rows[p, c] = s * x[p] * c with the least square error."""
    line = x[:, None] * np.arange(rows.shape[1])
    return float((rows * line).sum() / (line * line).sum())


class StreamTable:
    """Exact current of `stream` input as a matrix product: C[p, c] = sum_r left[p, r] right[c, r].

    left is over p8 0..255, right over codes -M..M. The rank is M; where a dataset has fewer than M
    levels of brightness (`levels`, p8), it is their number, and other pixels have no row.
    """

    def __init__(self, x_kind: str, dense: ir.Dense, dtype: torch.dtype,
                 levels: np.ndarray | None = None) -> None:
        table = sng.count_table(x_kind, dense.sng, dense.bits, dense.weight_bits)
        p = (np.arange(256) * dense.bitstream_length + 127) // 255
        seen = np.arange(1, dense.bitstream_length + 1)
        if levels is not None:
            seen = np.unique(p[levels])
            seen = seen[seen > 0]
        if len(seen) < dense.max_code:
            left = p[:, None] == seen
            right = table[seen].T
        else:
            left = np.diff(table, axis=1)[p]
            right = np.arange(dense.max_code + 1)[:, None] > np.arange(dense.max_code)
        self.buffers = Buffers()
        self.max_code = dense.max_code
        self.left = torch.tensor(left, dtype=dtype)
        self.right = torch.tensor(signed_table(right.astype(np.int64)), dtype=dtype)
        x = p / dense.bitstream_length
        self.linear = torch.tensor(x, dtype=dtype)
        self.slope = best_slope(table[p], x)


class StreamCurrent(Function):
    """Current [C, B, N] of weights u [C, N, n] for pixels p8 int64 [B, n].

    groups: (slice of candidates, StreamTable) pairs that cover all candidates.
    """

    @staticmethod
    def forward(ctx, u: Tensor, p8: Tensor, groups: list) -> Tensor:
        out = u.new_empty(u.shape[0], p8.shape[0], u.shape[1])
        for part, table in groups:
            codes = u[part]
            index = table.buffers.get("index", table.right.new_empty(0, dtype=torch.int32),
                                      codes.numel())
            index.view_as(codes).copy_((codes * table.max_code).round_().add_(table.max_code))
            w = table.buffers.get("w", u, codes.numel(), table.right.shape[1])
            torch.index_select(table.right, 0, index, out=w)
            w = w.view(*codes.shape[:2], -1)
            x = torch.nn.functional.embedding(p8, table.left).view(p8.shape[0], -1)
            torch.bmm(x.expand(len(w), -1, -1), w.transpose(1, 2), out=out[part])
        ctx.p8, ctx.groups = p8, groups
        return out

    @staticmethod
    def backward(ctx, g: Tensor):
        out = g.new_empty(g.shape[0], g.shape[2], ctx.p8.shape[1])
        for part, table in ctx.groups:
            x = (table.linear * (table.slope * table.max_code))[ctx.p8]
            torch.bmm(g[part].transpose(1, 2), x.expand(len(g[part]), -1, -1), out=out[part])
        return out, None, None


class EffectiveWeight(Function):
    """w_eff [C, N, n] of weights u, through a signed table [C, 2 * M + 1] with its slopes."""

    @staticmethod
    def forward(ctx, u: Tensor, max_code: Tensor, table: Tensor, slope: Tensor) -> Tensor:
        index = (u * max_code).round_().add_(table.shape[1] // 2).long()
        ctx.scale = slope * max_code
        return table.gather(1, index.flatten(1)).view_as(u)

    @staticmethod
    def backward(ctx, g: Tensor):
        return g * ctx.scale, None, None, None


class Delayed(Function):
    """Spikes [C, T, B, n] as they arrive: axon i's come delays[c, i] timesteps later, zero before.

    source, target: int64 [C, T, 1, n], the timesteps where arriving spikes come from and where
    leaving ones go, T for nowhere.
    """

    @staticmethod
    def forward(ctx, spikes: Tensor, source: Tensor, target: Tensor) -> Tensor:
        ctx.target = target
        return _moved(spikes, source)

    @staticmethod
    def backward(ctx, g: Tensor):
        return _moved(g, ctx.target), None, None


def _moved(x: Tensor, index: Tensor) -> Tensor:
    """x [C, T, B, n] with timesteps taken from index [C, T, 1, n], T for a zero."""
    padded = torch.cat([x, x.new_zeros(x.shape[0], 1, *x.shape[2:])], 1)
    return padded.gather(1, index.expand(-1, -1, x.shape[2], -1))


class Round(Function):
    """`rounded`; the gradient passes unchanged."""

    @staticmethod
    def forward(ctx, x: Tensor, lowest: int) -> Tensor:
        return rounded(x, lowest)

    @staticmethod
    def backward(ctx, g: Tensor):
        return g, None


class CrossEntropy(Function):
    """Mean cross entropy per candidate [C] of logits [C, B, classes] and labels int64 [B].

    smoothing: share of the target that is spread over all classes.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        x = logits - logits.amax(2, keepdim=True)
        aim = x.new_full((len(labels), x.shape[2]), smoothing / x.shape[2])
        aim[torch.arange(len(labels)), labels] += 1 - smoothing
        chosen = (x * aim).sum(2)
        total = x.exp_().sum(2, keepdim=True)
        ctx.save_for_backward(x.div_(total), aim)
        return (total[:, :, 0].log_() - chosen).mean(1)

    @staticmethod
    def backward(ctx, g: Tensor):
        share, aim = ctx.saved_tensors
        return share.sub_(aim).mul_(g[:, None, None] / len(aim)), None, None


class Unrolled:
    """A convolution as a sparse dense layer: where each weight of a kernel acts.

    node: its geometry; channels in and out are those of the widest candidate. A map of this size
    takes no longer as one matrix product than as many small ones, and is exact for any order of
    its sums.
    """

    def __init__(self, node: ir.Conv2d, out_channels: int, in_channels: int) -> None:
        _, rows, columns = node.in_shape
        _, out_rows, out_columns = node.out_shape
        k = node.kernel_size
        o, y, x, c, dy, dx = np.ogrid[:out_channels, :out_rows, :out_columns, :in_channels, :k, :k]
        row, column = y * node.stride + dy - node.padding, x * node.stride + dx - node.padding
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        self.places = out_rows * out_columns
        self.shape = (out_channels * self.places, in_channels * rows * columns)
        axon = (c * rows + row) * columns + column
        neuron = (o * out_rows + y) * out_columns + x
        weight = ((o * in_channels + c) * k + dy) * k + dx
        synapse = np.broadcast_to(neuron * self.shape[1] + axon, np.broadcast_shapes(
            neuron.shape, axon.shape, inside.shape))
        inside = np.broadcast_to(inside, synapse.shape)
        weights, synapses = out_channels * in_channels * k * k, self.shape[0] * self.shape[1]
        source = np.full(synapses, weights)
        source[synapse[inside]] = np.broadcast_to(weight, synapse.shape)[inside]
        target = np.where(inside, synapse, synapses).transpose(0, 3, 4, 5, 1, 2)
        #: Which weight each synapse has, and which synapses have each weight; the last is none.
        self.source = torch.from_numpy(source)
        self.target = torch.from_numpy(np.ascontiguousarray(target).reshape(-1))


class Unroll(Function):
    """Weights [C, N, n] of all synapses from kernels [C, out, in * k * k]; zero where none is."""

    @staticmethod
    def forward(ctx, kernels: Tensor, maps: Unrolled) -> Tensor:
        ctx.maps, ctx.shape = maps, kernels.shape
        return _picked(kernels, maps.source).view(-1, *maps.shape)

    @staticmethod
    def backward(ctx, g: Tensor):
        return _picked(g, ctx.maps.target).view(*ctx.shape, ctx.maps.places).sum(3), None


def _picked(x: Tensor, index: Tensor) -> Tensor:
    """Entries of each x[c], by flat index, one past the end for a zero: [C, len(index)]."""
    return torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], 1).index_select(1, index)


def pooled(x: Tensor, pool: ir.MaxPool2d | ir.AvgPool2d) -> Tensor:
    """Any spike, or the number of spikes, of each window: [C, T, B, n] to [C, T, B, m].

    The gradient of any spike is shared by the spikes of the window, or by all where none is.
    """
    _, rows, columns = pool.in_shape
    _, out_rows, out_columns = pool.out_shape
    k = pool.kernel_size
    maps = x.view(*x.shape[:3], -1, rows, columns)[..., :out_rows * k, :out_columns * k]
    windows = maps.reshape(*maps.shape[:4], out_rows, k, out_columns, k)
    found = windows.amax((5, 7)) if isinstance(pool, ir.MaxPool2d) else windows.sum((5, 7))
    return found.flatten(3)
