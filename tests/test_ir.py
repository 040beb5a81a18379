"""The graph: its rules, its text, its hash, and its file."""

import dataclasses
import json

import numpy as np
import pytest
from networks import random_graph, residual_graph

from spikeloom.flow import ir
from spikeloom.flow.builder import Builder
from spikeloom.flow.errors import GraphError, RunError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.neurons import Lif


@pytest.fixture
def graph():
    return random_graph(np.random.default_rng(0), sizes=(6, 4, 2))


@pytest.fixture
def maps():
    return residual_graph(np.random.default_rng(0), shape=(6, 7), channels=2, encoder="rate")


def test_canonical_text(graph):
    lines = graph.text().splitlines()
    assert lines[0] == "graph num_steps=4"
    assert lines[1] == "input input shape=6 encoder=stream sng=ramp"
    assert lines[2].startswith("dense fc1 <- input in_features=6 out_features=4 weight_bits=4 "
                               "bitstream_length=8 sng=sobol1 delay=0 weight=i2[4,6]:")
    assert lines[3].startswith("population pop1 <- fc1 size=4 neuron=lif(v_threshold=")
    assert lines[-1] == "readout readout <- pop2 size=2 kind=membrane"


def test_canonical_text_of_maps(maps):
    lines = maps.text().splitlines()
    assert lines[2].startswith("conv2d conv1 <- input in_shape=1x6x7 out_channels=2 kernel_size=3 "
                               "stride=1 padding=1 weight_bits=4 bitstream_length=8 sng=sobol1 "
                               "delay=0 weight=i2[2,1,3,3]:")
    assert lines[4] == "max_pool2d pool1 <- pop1 in_shape=2x6x7 kernel_size=2"
    assert lines[8].startswith("sum sum3 <- conv3,pool1 c_skip=")
    assert lines[10] == "avg_pool2d pool3 <- pop3 in_shape=2x3x3 kernel_size=2"
    assert lines[11].startswith("dense fc4 <- pool3 in_features=2 out_features=3 ")


def test_a_graph_knows_its_shapes_and_its_ways(maps, graph):
    assert [maps.shape(node.name) for node in maps.nodes] == [
        (6, 7), (2, 6, 7), (2, 6, 7), (2, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3),
        (2, 3, 3), (2, 1, 1), (3,), (3,), (3,)]
    assert [(a.name, b.name) for a, b in maps.layers] == [
        ("conv1", "pop1"), ("conv2", "pop2"), ("conv3", "pop3"), ("fc4", "pop4")]
    assert [node.name for node in maps.readers("pool1")] == ["conv2", "sum3"]
    assert [maps.skip(k) and maps.skip(k).name for k in range(4)] == [None, None, "sum3", None]
    assert maps.source(maps.node("sum3")).name == "conv3"
    assert maps.size("pop1") == maps.layers[0][0].size == 84 and maps.layers[0][0].in_features == 42
    assert graph.is_chain and not maps.is_chain
    with pytest.raises(GraphError, match="unknown node 'conv'; did you mean 'conv"):
        maps.node("conv")


def test_strides_and_borders():
    conv = ir.Conv2d(name="c", src="i", in_shape=(3, 8, 9), out_channels=5, kernel_size=3, stride=2,
                     padding=1, weight_bits=4, bitstream_length=8, sng="ramp")
    assert conv.out_shape == (5, 4, 5) and conv.size == 100 and conv.weight_shape == (5, 3, 3, 3)
    pool = ir.MaxPool2d(name="p", src="c", in_shape=(5, 4, 5), kernel_size=2)
    assert pool.out_shape == (5, 2, 2)


def test_a_file_gives_the_same_graph_and_the_same_bytes(graph, maps, tmp_path):
    scheduled = compile_graph(graph)
    for g in (graph, scheduled, maps):
        g.save(tmp_path / "a")
        back = ir.load_graph(tmp_path / "a")
        back.save(tmp_path / "b")
        assert back.digest() == g.digest() and back.text() == g.text() and back.stage == g.stage
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_delays_are_one_for_the_layer_or_one_for_each_axon(graph, tmp_path):
    mixed = graph.replace(fc2={"delay": [0, 3, 0, 1]}).verify()
    dense = mixed.layers[1][0]
    assert dense.delay == (0, 3, 0, 1) and dense.delays.tolist() == [0, 3, 0, 1]
    assert dense.max_delay == 3 and " delay=0,3,0,1 " in mixed.text()
    mixed.save(tmp_path / "a")
    assert ir.load_graph(tmp_path / "a").layers[1][0] == dense
    assert ir.load_graph(tmp_path / "a").digest() == mixed.digest()
    one, four = graph.replace(fc2={"delay": 2}), graph.replace(fc2={"delay": np.full(4, 2)})
    assert four.layers[1][0].delay == 2 and four.layers[1][0].delays.tolist() == [2] * 4
    assert len({g.digest() for g in (graph, mixed, one, four)}) == 3


def test_the_digest_sees_every_part(graph):
    weight = graph.layers[0][0].weight.copy()
    weight[0, 0] ^= 1
    neuron = dataclasses.replace(graph.layers[0][1].neuron, reset="zero")
    others = [
        graph.replace(fc1={"weight": weight}), graph.replace(pop1={"neuron": neuron}),
        graph.replace(fc2={"bias": graph.layers[1][0].bias + 1}), graph.replace(fc1={"lanes": 2}),
        dataclasses.replace(graph, num_steps=5), compile_graph(graph),
    ]
    assert len({g.digest() for g in [graph, *others]}) == 7


RULES = {
    "num_steps must be an integer in 1..1024, not 0": lambda g: dataclasses.replace(g, num_steps=0),
    "unknown encoder 'strem'; did you mean 'stream'?":
        lambda g: g.replace(input={"encoder": "strem"}),
    "unknown number generator 'sobel1'; did you mean 'sobol1'?":
        lambda g: g.replace(fc1={"sng": "sobel1"}),
    "unknown readout 'membranes'": lambda g: g.replace(readout={"kind": "membranes"}),
    "bitstream_length must be a power of two, not 12":
        lambda g: g.replace(fc1={"bitstream_length": 12}),
    "weight_bits must be an integer in 2..4, not 5": lambda g: g.replace(fc1={"weight_bits": 5}),
    "fc1: lanes must be an integer in 1..4, not 5": lambda g: g.replace(fc1={"lanes": 5}),
    "fc1: unknown lowering 'foldet'; did you mean 'folded'?":
        lambda g: g.replace(fc1={"lowering": "foldet"}),
    "in_features must be 4": lambda g: g.replace(fc2={"in_features": 3}),
    "weight must have shape [4, 6]": lambda g: g.replace(fc1={"weight": np.zeros((4, 5), "i2")}),
    "weight codes must be in -7..7": lambda g: g.replace(fc1={"weight": np.full((4, 6), 8, "i2")}),
    "weight and bias must be finite":
        lambda g: g.replace(fc1={"weight": np.full((4, 6), np.nan, "f4")}),
    "v_threshold must be at least 1, not 0":
        lambda g: g.replace(pop1={"neuron": Lif(v_threshold=0)}),
    "v_threshold must be int, not None":
        lambda g: g.replace(pop1={"neuron": Lif(v_threshold=None)}),
    "leak_shift must be int | None, not 'a'":
        lambda g: g.replace(pop1={"neuron": Lif(v_threshold=1, leak_shift="a")}),
    "refractory must be int, not 1.5":
        lambda g: g.replace(pop1={"neuron": Lif(v_threshold=1, refractory=1.5)}),
    "saturate_bits must be in 2..24 or None, not 25":
        lambda g: g.replace(pop1={"neuron": Lif(v_threshold=1, saturate_bits=25)}),
    "bias must be integers": lambda g: g.replace(fc1={"bias": np.zeros(4, "f4")}),
    "reset must be 'subtract' or 'zero'":
        lambda g: g.replace(pop1={"neuron": Lif(v_threshold=1, reset="none")}),
    "leak_shift must be in 1..15": lambda g: g.replace(
        pop1={"neuron": Lif(v_threshold=1, leak_shift=0)}),
    "delay must be 0 for a layer fed by stream": lambda g: g.replace(fc1={"delay": 1}),
    "delays must sum to less than num_steps = 4, not 0 + 4 = 4, or spikes would never reach the "
    "read-out; use num_steps of at least 5 or shorter delays":
        lambda g: g.replace(fc2={"delay": (1, 4, 0, 2)}),
    "fc2: delay must be an integer in 0..8, not 9": lambda g: g.replace(fc2={"delay": 9}),
    "fc2: delay must be an integer in 0..8, not '1'": lambda g: g.replace(fc2={"delay": "1"}),
    "fc2: delay of axon 2 must be an integer in 0..8, not 1.5":
        lambda g: g.replace(fc2={"delay": (0, 1, 1.5, 1)}),
    "fc2: delay must be one integer, or one for each of 4 input axons, not 3 of them":
        lambda g: g.replace(fc2={"delay": (1, 1, 1)}),
    "fc2: src must be the input, a population or a pool, not fc1, a dense":
        lambda g: g.replace(fc2={"src": "fc1"}),
    "pop2: src must be 'fc2', the node before it, not 'fc1'":
        lambda g: g.replace(pop2={"src": "fc1"}),
    "fc2: src: unknown node 'pop'; did you mean": lambda g: g.replace(fc2={"src": "pop"}),
    "fc1: src must stand before it, and 'pop2' does not; an edge that goes backward (recurrence)":
        lambda g: g.replace(fc1={"src": "pop2"}),
    "must go from one input to a population and one readout, not input -> dense":
        lambda g: dataclasses.replace(g, nodes=g.nodes[:2]),
}


@pytest.mark.parametrize("words", RULES)
def test_a_broken_rule_is_named(graph, words):
    with pytest.raises(GraphError) as caught:
        RULES[words](graph).verify()
    assert words in str(caught.value)


RULES_OF_MAPS = {
    "conv2: in_shape must be [2, 3, 3], the shape of pool1, not [2, 3, 4]":
        lambda g: g.replace(conv2={"in_shape": (2, 3, 4)}),
    "conv2: kernel_size must be an integer in 1..5, not 6":
        lambda g: g.replace(conv2={"kernel_size": 6}),
    "conv2: padding must be less than kernel_size = 3, not 3":
        lambda g: g.replace(conv2={"padding": 3}),
    "conv2: stride must be an integer in 1..65536, not 0":
        lambda g: g.replace(conv2={"stride": 0}),
    "conv2: out_channels must be an integer in 1..65536, not 0":
        lambda g: g.replace(conv2={"out_channels": 0}),
    "conv2: delay must be 0 for a conv2d, not 1": lambda g: g.replace(conv2={"delay": 1}),
    "conv2: weight must have shape [2, 2, 3, 3], not [2, 2, 9]":
        lambda g: g.replace(conv2={"weight": np.zeros((2, 2, 9), "i2")}),
    "conv2: bias must have shape [2]":
        lambda g: g.replace(conv2={"bias": np.zeros(18, "i4")}),
    "conv2: lanes must be an integer in 1..18, not 19": lambda g: g.replace(conv2={"lanes": 19}),
    "pool1: kernel_size must be an integer in 1..6, not 7":
        lambda g: g.replace(pool1={"kernel_size": 7}),
    "pool1: src must be the input, a population or a max_pool2d, not conv1, a conv2d":
        lambda g: g.replace(pool1={"src": "conv1"}),
    "conv1: src must have shape [channels, rows, columns], not input of shape [42]":
        lambda g: g.replace(input={"shape": (42,)}),
    "pool1: src must be spikes, not input, whose encoder is 'stream'; put a layer between them":
        lambda g: dataclasses.replace(g, nodes=(
            dataclasses.replace(g.input, encoder="stream", sng="ramp"),
            dataclasses.replace(g.node("pool1"), src="input"), *g.nodes[4:])),
    "input: stream input must feed one layer, not 2 (conv1, conv2)":
        lambda g: g.replace(input={"encoder": "stream", "sng": "ramp"}, conv2={"src": "input"}),
    "sum3: src must be a dense or a conv2d, then a population or a max_pool2d, not pool1, a":
        lambda g: dataclasses.replace(g, nodes=tuple(
            ir.AvgPool2d(**vars(n)) if n.name == "pool1" else n for n in g.nodes)),
    "sum3: src must be the names of synapses and of what spikes, not 'conv3'":
        lambda g: g.replace(sum3={"src": "conv3"}),
    "sum3: both of src must have the same size, not 18 of conv3 and 84 of pop1":
        lambda g: g.replace(sum3={"src": ("conv3", "pop1")}),
    "sum3: src must be 'conv3', the node before it, not 'conv2'":
        lambda g: g.replace(sum3={"src": ("conv2", "pool1")}),
    "sum3: c_skip must be an integer in -8388608..8388608, not None":
        lambda g: g.replace(sum3={"c_skip": None}),
    "pop3: src must be 'sum3', the node before it, not 'conv3'":
        lambda g: g.replace(pop3={"src": "conv3"}),
    "fc4: delay must be 0 behind the window sums of pool3, not 1":
        lambda g: g.replace(fc4={"delay": 1}),
    "pool3: some node must read it; leave it out":
        lambda g: g.replace(fc4={"src": "pop3", "in_features": 18,
                                 "weight": np.zeros((3, 18), "i2")}),
}


@pytest.mark.parametrize("words", RULES_OF_MAPS)
def test_a_broken_rule_of_maps_is_named(maps, words):
    with pytest.raises(GraphError) as caught:
        RULES_OF_MAPS[words](maps).verify()
    assert words in str(caught.value)


def test_delays_count_along_the_longest_way():
    """Around the first block goes a skip; two timesteps lie on its other way, and two behind it."""
    builder = Builder(shape=(4,), encoder="rate")
    common = {"neuron": Lif(v_threshold=1), "weight_bits": 4, "bitstream_length": 8, "sng": "ramp"}
    first = builder.dense(4, **common)
    builder.dense(4, delay=2, **common)
    builder.dense(4, delay=0, skip=first, **common)
    builder.dense(2, delay=2, **common)
    assert builder.graph(num_steps=5, readout="membrane").verify().stage == "shape"
    with pytest.raises(GraphError, match=r"less than num_steps = 4, not 0 \+ 2 \+ 0 \+ 2 = 4"):
        builder.graph(num_steps=4, readout="membrane").verify()


def test_an_unknown_neuron_or_parameter_is_named():
    with pytest.raises(GraphError, match="unknown neuron 'lyf'; did you mean 'lif'"):
        ir.neuron_from({"kind": "lyf"})
    with pytest.raises(GraphError, match="did you mean 'v_threshold'"):
        ir.neuron_from({"kind": "lif", "threshold": 3})


def _header(data: bytes, change) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    inner = json.loads(header["__metadata__"]["spikeloom"])
    change(inner)
    header["__metadata__"]["spikeloom"] = json.dumps(inner)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size:]


DAMAGE = {
    "empty": (lambda d: b"", "is damaged"),
    "half written": (lambda d: d[:len(d) // 2], "is damaged"),
    "something else": (lambda d: b"\x80\x04pickle" * 20, "is damaged"),
    "another version": (lambda d: _header(d, lambda h: h.update(format=9)), "has format 9"),
    "an unknown node": (lambda d: _header(d, lambda h: h["nodes"][1].update(op="conv4d")),
                        "unknown node kind 'conv4d'"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line(graph, tmp_path, what):
    path = tmp_path / "graph.safetensors"
    graph.save(path)
    change, words = DAMAGE[what]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises((RunError, GraphError)) as caught:
        ir.load_graph(path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_says_what_writes_it(tmp_path):
    with pytest.raises(RunError, match="spikeloom train"):
        ir.load_graph(tmp_path / "none")
