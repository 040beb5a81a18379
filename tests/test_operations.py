"""Convolutions, pools and skips of the reference model, against loops written one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import maps, networks, random_images, residual_graph

from spikeloom.flow import ir
from spikeloom.hdl import sng
from spikeloom.sim import neurons, operations, reference


def looped_current(synapses, count):
    """Currents as nested loops: count(i, code) is what input i adds through a weight's code."""
    codes = synapses.weight.astype(int)
    if isinstance(synapses, ir.Dense):
        return [sum(count(i, code) for i, code in enumerate(row)) for row in codes]
    C, H, W = synapses.in_shape
    k, out = synapses.kernel_size, []
    for o, y, x in product(*map(range, synapses.out_shape)):
        total = 0
        for c, dy, dx in product(range(C), range(k), range(k)):
            row = y * synapses.stride + dy - synapses.padding
            column = x * synapses.stride + dx - synapses.padding
            if 0 <= row < H and 0 <= column < W:
                total += count((c * H + row) * W + column, codes[o, c, dy, dx])
        out.append(total)
    return out


def looped_pool(pool, x):
    C, H, W = pool.in_shape
    k, out = pool.kernel_size, []
    for c, y, z in product(range(C), range(H // k), range(W // k)):
        window = [x[(c * H + y * k + dy) * W + z * k + dx]
                  for dy, dx in product(range(k), repeat=2)]
        out.append(max(window) if isinstance(pool, ir.MaxPool2d) else sum(window))
    return out


def looped(graph, image):
    """Currents and spikes [layer][T][size] and scores of one image, node by node."""
    events = None
    if graph.input.encoder == "rate":
        events = reference.rate_spikes(image[None], graph.num_steps)[:, 0]
    elif graph.input.encoder == "spikes":
        events = image
    states = {p.name: neurons.KINDS[p.neuron.kind](p.neuron, 1, p.size) for _, p in graph.layers}
    currents, spikes = [[] for _ in graph.layers], [[] for _ in graph.layers]
    for t in range(graph.num_steps):
        values = {} if events is None else {"input": events[t].tolist()}
        for node in graph.nodes[1:-1]:
            if isinstance(node, ir.MaxPool2d | ir.AvgPool2d):
                values[node.name] = looped_pool(node, values[node.src])
            elif isinstance(node, ir.Dense | ir.Conv2d):
                def count(i, code, node=node, values=values):
                    if node.src in values:
                        table = sng.weight_table(node.sng, node.bits, node.weight_bits)
                        return values[node.src][i] * int(np.sign(code)) * int(table[abs(code)])
                    table = sng.count_table(graph.input.sng, node.sng, node.bits, node.weight_bits)
                    p = reference.stream_codes(image, node.bits)[i]
                    return int(np.sign(code)) * int(table[p, abs(code)])
                values[node.name] = looped_current(node, count)
            elif isinstance(node, ir.Sum):
                pairs = zip(values[node.src[0]], values[node.src[1]], strict=True)
                values[node.name] = [current + node.c_skip * s for current, s in pairs]
            else:
                index = [p.name for _, p in graph.layers].index(node.name)
                bias = graph.layers[index][0].bias.tolist()
                each = node.size // len(bias)
                bias = np.array([b for b in bias for _ in range(each)])
                current = np.array(values[node.src])
                s = states[node.name].step(current[None], bias, graph.fires(index))[0]
                values[node.name] = s.tolist()
                currents[index].append(current.tolist())
                spikes[index].append(s.tolist())
    last = graph.layers[-1][1].name
    if graph.readout.kind == "membrane":
        return currents, spikes, states[last].v[0].tolist()
    return currents, spikes, np.sum(spikes[-1], 0).tolist()


def check(graph, seed):
    images = random_images(np.random.default_rng(seed), graph, 2)
    trace = reference.run(graph, images, trace=True)
    for b, image in enumerate(images):
        currents, spikes, scores = looped(graph, image)
        assert [layer[:, b].tolist() for layer in trace.current] == currents
        assert [layer[:, b].tolist() for layer in trace.spikes] == spikes
        assert trace.scores[b].tolist() == scores


@settings(max_examples=60, deadline=None)
@given(maps())
def test_the_reference_equals_plain_loops(graph):
    check(graph, 1)


@pytest.mark.parametrize("encoder", ["stream", "rate"])
def test_a_residual_network_equals_plain_loops(encoder):
    rng = np.random.default_rng(3)
    graph = residual_graph(rng, shape=(2, 6, 5), channels=3, encoder=encoder)
    check(graph, 2)
    trace = reference.run(graph, random_images(rng, graph, 4), trace=True)
    assert all(0 < layer.mean() < 1 for layer in trace.spikes[:-1])


@settings(max_examples=60, deadline=None)
@given(maps() | networks(), st.integers(1, 600))
def test_a_batch_in_parts_is_the_batch_at_once(graph, part):
    images = random_images(np.random.default_rng(2), graph, 5)
    images[..., ::3] = 0
    wanted = reference.run(graph, images, trace=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "PART", part)
        found = reference.run(graph, images)
    for a, b in zip([wanted.scores, wanted.classes, *wanted.fired],
                    [found.scores, found.classes, *found.fired], strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)


@pytest.mark.parametrize("bits", [10, 24, 53, 60])
def test_products_are_exact_where_floating_point_is_not(bits):
    """2**bits + 1 has one bit more than a significand of so many."""
    a, b = np.array([[1 << bits // 2, -1]]), np.array([[1 << bits - bits // 2], [-1]])
    assert operations.exact_matmul(a, b).tolist() == [[(1 << bits) + 1]]


def test_convolution_is_torch_s():
    import torch

    conv = ir.Conv2d(name="c", src="i", in_shape=(3, 7, 6), out_channels=4, kernel_size=3, stride=2,
                     padding=1, weight_bits=4, bitstream_length=8, sng="ramp")
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 10, (2, 5, 126)), rng.integers(-9, 10, conv.weight_shape)
    wanted = torch.nn.functional.conv2d(torch.tensor(x.reshape(10, 3, 7, 6)), torch.tensor(w),
                                        stride=2, padding=1)
    found = operations.convolve(x, w, conv)
    assert found.shape == (2, 5, conv.size)
    assert (found.reshape(10, *conv.out_shape) == wanted.numpy()).all()


def test_a_skip_counts_even_where_the_convolution_is_silent():
    graph = residual_graph(np.random.default_rng(5), encoder="rate")
    weight = np.zeros_like(graph.node("conv3").weight)
    graph = graph.replace(conv3={"weight": weight}, sum3={"c_skip": 7})
    trace = reference.run(graph, random_images(np.random.default_rng(6), graph, 3), trace=True)
    pooled = operations.pooled(trace.spikes[0], graph.node("pool1"))
    assert pooled.any() and (trace.current[2] == 7 * pooled).all()
