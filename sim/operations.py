"""Integer operations of the reference model: exact products, windows of maps, delays.

Written from the arithmetic contract and not from the gateware. Matrix products run in BLAS, of
float32 where the largest possible sum is below 2**24, of float64 below 2**53, which are exact for
integers.
"""

import numpy as np

from ..flow.ir import AvgPool2d, Conv2d, CurrentPool2d, MaxPool2d

#: What floating point takes for a sum of integers, by the bits of its significand.
_SIGNIFICANDS = {24: np.float32, 53: np.float64}


def exact_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integer matrix product of `a` [..., n] and `b` [n, m], exact, through BLAS where it can."""
    bound = int(np.abs(a).max(initial=0)) * int(np.abs(b).max(initial=0)) * a.shape[-1]
    kind = next((kind for bits, kind in _SIGNIFICANDS.items() if bound < 1 << bits), np.int64)
    return (a.astype(kind) @ b.astype(kind)).astype(np.int64)


def delayed(spikes: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Spikes [T, ..., n], those of axon i as of delays[i] timesteps ago, zero before the first."""
    if not np.any(delays):
        return spikes
    out = np.zeros_like(spikes)
    steps = len(spikes)
    for delay in np.unique(delays):
        axons = np.flatnonzero(delays == delay)
        out[delay:, ..., axons] = spikes[:max(0, steps - delay), ..., axons]
    return out


def windows(x: np.ndarray, node: Conv2d | CurrentPool2d) -> np.ndarray:
    """The windows of maps: [n, C*H*W] -> [n, C, rows, columns, k, k], zeros on the border."""
    border = (node.padding, node.padding)
    maps = np.pad(x.reshape(-1, *node.in_shape), ((0, 0), (0, 0), border, border))
    window = (node.kernel_size, node.kernel_size)
    seen = np.lib.stride_tricks.sliding_window_view(maps, window, axis=(2, 3))
    return seen[:, :, ::node.stride, ::node.stride]


def patches(x: np.ndarray, conv: Conv2d) -> np.ndarray:
    """What each output of a convolution sees: [..., C*H*W] -> [..., rows * columns, C*k*k]."""
    seen = windows(x.reshape(-1, x.shape[-1]), conv).transpose(0, 2, 3, 1, 4, 5)
    places = seen.shape[1] * seen.shape[2]
    return seen.reshape(*x.shape[:-1], places, conv.in_shape[0] * conv.kernel_size ** 2)


def convolve(x: np.ndarray, kernels: np.ndarray, conv: Conv2d) -> np.ndarray:
    """Exact convolution of [..., C*H*W] with kernels [out, C, k, k]: int64 [..., out_features]."""
    found = exact_matmul(patches(x, conv), kernels.reshape(len(kernels), -1).T)
    return np.moveaxis(found, -1, -2).reshape(*x.shape[:-1], conv.out_features)


def pooled(x: np.ndarray, pool: MaxPool2d | AvgPool2d) -> np.ndarray:
    """Any spike, or the number of spikes, of each window: [..., C*H*W] -> [..., pool.size]."""
    k, (channels, rows, columns) = pool.kernel_size, pool.out_shape
    maps = x.reshape(-1, *pool.in_shape)[:, :, :rows * k, :columns * k]
    windows = maps.reshape(-1, channels, rows, k, columns, k)
    found = windows.max((3, 5)) if isinstance(pool, MaxPool2d) else windows.sum((3, 5))
    return found.reshape(*x.shape[:-1], pool.size)


def summed(x: np.ndarray, pool: CurrentPool2d) -> np.ndarray:
    """The sum of each window: [..., C*H*W] -> [..., pool.size]."""
    found = windows(x.reshape(-1, x.shape[-1]), pool).sum((4, 5))
    return found.reshape(*x.shape[:-1], pool.size)
