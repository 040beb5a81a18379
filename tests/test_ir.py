"""The graph: its rules, its text, its hash, and its file."""

import dataclasses
import json

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import ir
from spikeloom.flow.errors import GraphError, RunError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.neurons import Lif


@pytest.fixture
def graph():
    return random_graph(np.random.default_rng(0), sizes=(6, 4, 2))


def test_canonical_text(graph):
    lines = graph.text().splitlines()
    assert lines[0] == "graph num_steps=4"
    assert lines[1] == "input input shape=6 encoder=stream sng=ramp"
    assert lines[2].startswith("dense fc1 <- input in_features=6 out_features=4 weight_bits=4 "
                               "bitstream_length=8 sng=sobol1 delay=0 weight=i2[4,6]:")
    assert lines[3].startswith("population pop1 <- fc1 size=4 neuron=lif(v_threshold=")
    assert lines[-1] == "readout readout <- pop2 size=2 kind=membrane"


def test_a_file_gives_the_same_graph_and_the_same_bytes(graph, tmp_path):
    scheduled = compile_graph(graph)
    for g in (graph, scheduled):
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
    "src must be 'pop1'": lambda g: g.replace(fc2={"src": "fc1"}),
    "must be a chain": lambda g: dataclasses.replace(g, nodes=g.nodes[:2]),
}


@pytest.mark.parametrize("words", RULES)
def test_a_broken_rule_is_named(graph, words):
    with pytest.raises(GraphError) as caught:
        RULES[words](graph).verify()
    assert words in str(caught.value)


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
    "an unknown node": (lambda d: _header(d, lambda h: h["nodes"][1].update(op="conv2d")),
                        "unknown node kind 'conv2d'"),
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
