"""Run-time bitstream lengths: the reference model against a plain count of bits, and refusals."""

from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph, random_images, residual_graph

from spikeloom.flow import ir, lengths
from spikeloom.flow.errors import GraphError
from spikeloom.hdl import sng
from spikeloom.sim import reference


@pytest.mark.parametrize("kind", sng.SHIFTABLE)
@pytest.mark.parametrize("bits", range(3, 10))
def test_what_remains_of_a_sequence_takes_each_multiple_once(kind, bits):
    for shift in range(bits + 1):
        values = sng.sequence(kind, bits, shift)
        assert sorted(values) == list(range(0, 1 << bits, 1 << shift))
        if kind != "ramp":
            assert np.array_equal(values, sng.sequence(kind, bits)[:len(values)])


def ceil_shift(m, shift):
    return -(-m // (1 << shift))


@pytest.mark.parametrize("kind", sng.SHIFTABLE)
def test_a_weight_counts_its_number_over_the_step_rounded_up(kind):
    bits, w = 5, 4
    for shift in range(bits + 1):
        numbers = np.arange(1 << w - 1) << bits - w + 1
        assert np.array_equal(sng.weight_table(kind, bits, w, shift), ceil_shift(numbers, shift))


def ramp(k, _bits, shift):
    return k << shift


def sobol1(k, bits, _shift):
    return int(f"{k:0{bits}b}"[::-1], 2)


def slow_currents(graph, images, shift):
    """Currents of the first layer, bit by bit as the contract words it."""
    source, node = graph.input, graph.layers[0][0]
    bits, rules = node.bits, {"ramp": ramp, "sobol1": sobol1}
    out = np.zeros((len(images), node.out_features), np.int64)
    for image, pixels in enumerate(images):
        for j, i in np.ndindex(*node.weight.shape):
            code = int(node.weight[j, i])
            m, p = abs(code) << bits - node.weight_bits + 1, (int(pixels[i]) * 2**bits + 127) // 255
            ones = sum(p > rules[source.sng](k, bits, shift) and m > rules[node.sng](k, bits, shift)
                       for k in range(node.bitstream_length >> shift))
            out[image, j] += (1 if code > 0 else -1) * ones << shift
    return out


@pytest.mark.parametrize("pair", [("ramp", "sobol1"), ("sobol1", "ramp"), ("sobol1", "sobol1")])
@pytest.mark.parametrize("shift", range(5))
def test_stream_currents_against_a_slow_loop(pair, shift):
    rng = np.random.default_rng(shift)
    graph = random_graph(rng, sizes=(6, 4, 3), lengths=[16, 16], input_sng=pair[0], sng=pair[1])
    images = random_images(rng, graph, 3)
    got = reference.run(graph, images, trace=True, shift=shift)
    assert np.array_equal(got.current[0][2], slow_currents(graph, images, shift))


@pytest.mark.parametrize("shift", range(4))
def test_currents_of_spikes_against_a_slow_loop(shift):
    rng = np.random.default_rng(shift)
    graph = random_graph(rng, sizes=(7, 5, 3), lengths=[8, 32], encoder="spikes", num_steps=3)
    images = random_images(rng, graph, 2)
    got = reference.run(graph, images, trace=True, shift=shift)
    node = graph.layers[1][0]
    for t, image, j in np.ndindex(*got.current[1].shape):
        ones = 0
        for i in range(node.in_features):
            code, s = int(node.weight[j, i]), int(got.spikes[0][t, image, i])
            bits = sum(abs(code) << node.bits - 3 > sobol1(k, node.bits, shift)
                       for k in range(node.bitstream_length >> shift))
            ones += s * bits * (1 if code > 0 else -1)
        assert got.current[1][t, image, j] == ones << shift


def test_a_shift_leaves_bias_threshold_and_skips():
    rng = np.random.default_rng(4)
    graph = residual_graph(rng, num_steps=2)
    images = random_images(rng, graph, 2)
    zero = {node.name: {"weight": np.zeros_like(node.weight)} for node, _ in graph.layers}
    silent = graph.replace(**zero)
    plain, shifted = (reference.run(silent, images, trace=True, shift=h) for h in (0, 2))
    for one, other in zip(plain.v + plain.current, shifted.v + shifted.current, strict=True):
        assert np.array_equal(one, other)


def test_no_shift_is_the_compiled_length():
    rng = np.random.default_rng(5)
    graph = random_graph(rng, sng="lfsr")
    images = random_images(rng, graph, 4)
    assert np.array_equal(reference.run(graph, images).scores,
                          reference.run(graph, images, shift=0).scores)


@pytest.mark.parametrize("more,shift,words", [
    ({"sng": "lfsr"}, 1, "fc1: shift must be 0 with the generator 'lfsr', not 1"),
    ({"sng": "debruijn"}, 2, "fc1: shift must be 0 with the generator 'debruijn'"),
    ({"input_sng": "lfsr"}, 1, "input: shift must be 0 with the generator 'lfsr'"),
    ({"sng": "ramp"}, 1, "fc1: shift must be 0 where a ramp meets a ramp, not 1"),
    ({"lengths": [16, 8]}, 4, "fc2: shift must be at most 3 with a bitstream_length of 8, not 4"),
    ({}, -1, "shift must be an integer in 0..15, not -1"),
    ({}, 1.0, "shift must be an integer in 0..15, not 1.0"),
    ({}, 16, "shift must be an integer in 0..15, not 16")])
def test_what_the_network_does_not_allow_is_refused(more, shift, words):
    rng = np.random.default_rng(6)
    graph = random_graph(rng, **more)
    with pytest.raises(GraphError, match=words):
        reference.run(graph, random_images(rng, graph, 1), shift=shift)


def test_the_shift_of_a_length():
    graph = random_graph(np.random.default_rng(7), lengths=[64, 16])
    assert [lengths.shift_of(graph, length) for length in (64, 16, 4)] == [0, 2, 4]
    for length in (2, 48, 128, 0):
        with pytest.raises(GraphError, match=f"one of 64, 32, 16, 8, 4 for this .*not {length}"):
            lengths.shift_of(graph, length)


def test_the_largest_shift():
    rng = np.random.default_rng(7)
    assert lengths.most_shift(random_graph(rng, lengths=[64, 16])) == 4
    assert lengths.most_shift(random_graph(rng, sng="debruijn")) == 0


def test_a_graph_keeps_its_max_shift():
    graph = random_graph(np.random.default_rng(8))
    shifted = replace(graph, max_shift=3)
    assert ir.from_bytes(ir.to_bytes(graph), "here").max_shift == 0
    again = ir.from_bytes(ir.to_bytes(shifted), "here")
    assert again.max_shift == 3 and again.digest() == shifted.digest() != graph.digest()
    assert "max_shift=3" in again.text() and "max_shift" not in graph.text()
    with pytest.raises(GraphError, match="max_shift must be an integer in 0"):
        replace(graph, max_shift=16).verify()
