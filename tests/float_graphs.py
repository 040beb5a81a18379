"""Networks that sum currents, evaluated step by step in float64: a second opinion.

Every number in them is an integer below 2**53, so nothing is rounded, whatever the order of sums.
"""

import numpy as np
import torch
from torch.nn import functional as F


def run(graph, p8):
    """Spikes int64 [T, batch, n] of each population by name, and classes int64 [batch]."""
    values, v, found = {}, {}, {}
    images = torch.from_numpy(p8.astype(np.float64))
    largest = 0.0
    for _ in range(graph.num_steps):
        before, values = values, {graph.input.name: images}
        for node in graph.nodes[1:-1]:
            values[node.name] = x = _OPS[node.op](node, values, before, v, graph)
            largest = max(largest, float(x.abs().max()))
            if node.op == "population":
                found.setdefault(node.name, []).append(x.numpy().astype(np.int64))
    assert largest < 2 ** 53
    scores = v[graph.readout.src] if graph.readout.kind == "membrane" else torch.from_numpy(
        sum(found[graph.readout.src])).double()
    return {name: np.stack(x) for name, x in found.items()}, scores.argmax(1).numpy()


def _tensor(array):
    return torch.from_numpy(array.astype(np.float64))


def _conv2d(node, values, before, v, graph):
    x = values[node.src].reshape(-1, *node.in_shape)
    return F.conv2d(x, _tensor(node.weight), _tensor(node.bias), node.stride, node.padding
                    ).flatten(1)


def _dense(node, values, before, v, graph):
    return F.linear(values[node.src], _tensor(node.weight), _tensor(node.bias))


def _avg_pool2d(node, values, before, v, graph):
    x = values[node.src].reshape(-1, *node.in_shape)
    return F.avg_pool2d(x, node.kernel_size, divisor_override=1).flatten(1)


def _current_pool2d(node, values, before, v, graph):
    x = values[node.src].reshape(-1, *node.in_shape)
    return F.avg_pool2d(x, node.kernel_size, node.stride, node.padding, divisor_override=1
                        ).flatten(1)


def _current_sum(node, values, before, v, graph):
    each = node.size // node.shape[0]
    total = _tensor(node.bias).repeat_interleave(each)
    for name, delay, scale in zip(node.src, node.delay, node.scale):
        source = before if delay else values
        if name in source:
            total = total + source[name] * _tensor(scale).repeat_interleave(each)
    return total.expand(len(values[graph.input.name]), -1)


def _population(node, values, before, v, graph):
    x, p = values[node.src], node.neuron
    u = v.get(node.name, torch.zeros_like(x))
    u = x + (torch.floor(u * p.beta / 2 ** p.n) if p.kind == "fixed" else u)
    if graph.readout.kind == "membrane" and node.name == graph.readout.src:
        v[node.name] = u
        return torch.zeros_like(u)
    assert p.reset == "zero"
    v[node.name] = torch.where(u >= p.v_threshold, 0.0, u)
    return (u >= p.v_threshold).double()


_OPS = {"conv2d": _conv2d, "dense": _dense, "avg_pool2d": _avg_pool2d,
        "current_pool2d": _current_pool2d, "current_sum": _current_sum, "population": _population}
