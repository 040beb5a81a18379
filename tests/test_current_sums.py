"""Sums and pools of currents in the IR, edges that go backward, and pixels as integers."""

import dataclasses

import numpy as np
import pytest

from spikeloom.flow import cli, ir
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import FixedPointLif, Lif
from spikeloom.sim import reference

FIRES = FixedPointLif(v_threshold=40, beta=1, n=2, reset="zero")


def conv(name, src, weight, in_shape=(1, 2, 2), **more):
    weight = np.array(weight, np.int16)
    return ir.Conv2d(**{
        "name": name, "src": src, "in_shape": in_shape, "out_channels": len(weight),
        "kernel_size": weight.shape[-1], "padding": weight.shape[-1] // 2, "weight_bits": 4,
        "bitstream_length": 8, "sng": "ramp", "weight": weight,
        "bias": np.zeros(len(weight), np.int32), **more})


def total(name, sources, scale, bias, shape=(1, 2, 2), delay=None):
    return ir.CurrentSum(name=name, src=tuple(sources), shape=shape,
                         delay=tuple(delay or (0,) * len(sources)),
                         scale=np.array(scale, np.int64), bias=np.array(bias, np.int64))


@pytest.fixture
def graph():
    """Pixels times 2, plus ten times the neurons' spikes of the timestep before, plus three."""
    return ir.Graph(num_steps=3, nodes=(
        ir.Input(name="input", shape=(1, 2, 2), encoder="direct"),
        conv("c1", "input", [[[[1]]]], bias=np.array([1], np.int32)),
        total("s1", ["c1", "c2"], [[2], [10]], [3], delay=(0, 1)),
        ir.Population(name="p1", src="s1", size=4, neuron=FIRES),
        conv("c2", "p1", [[[[-3]]]]),
        ir.CurrentPool2d(name="pool", src="s1", in_shape=(1, 2, 2), kernel_size=3, stride=1,
                         padding=1),
        total("s2", ["pool", "c2"], [[1], [100]], [-7]),
        ir.Population(name="p2", src="s2", size=4, neuron=Lif(v_threshold=1)),
        ir.Readout(name="readout", src="p2", size=4, kind="membrane"))).verify()


def test_every_step_by_hand(graph):
    """Pixels 10, 20, 0, 5: x = 2 (p + 1) + 3 is 25, 45, 5, 15 at first; the second neuron fires."""
    trace = reference.run(graph, np.array([[10, 20, 0, 5]]), trace=True)
    first = [[25, 45, 5, 15], [25, 15, 5, 15], [25, 45, 5, 15]]
    np.testing.assert_array_equal(trace.current[0][:, 0], first)
    # v: 25, 25//4 + 25 = 31, 31//4 + 25 = 32; the second: fires, 15, 15//4 + 45 = 48 fires
    np.testing.assert_array_equal(trace.spikes[0][:, 0], [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    np.testing.assert_array_equal(trace.v[0][:, 0], [[25, 0, 5, 15], [31, 15, 6, 18],
                                                     [32, 0, 6, 19]])
    # a window of three covers all of two by two: 90, 60, 90; and c2 of this timestep
    pooled = np.array([90, 60, 90])[:, None] - 7 + 100 * -3 * trace.spikes[0][:, 0]
    np.testing.assert_array_equal(trace.current[1][:, 0], pooled)
    np.testing.assert_array_equal(trace.scores[0], pooled.sum(0))


def test_a_file_gives_the_same_graph(graph, tmp_path):
    graph.save(tmp_path / "a")
    again = ir.load_graph(tmp_path / "a")
    assert (again.text(), again.digest()) == (graph.text(), graph.digest())
    assert again.recurrent and again.stage == "integer" and again.sums == graph.sums
    again.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    lines = graph.text().splitlines()
    assert lines[3].startswith("current_sum s1 <- c1,c2 shape=1x2x2 delay=0,1 scale=i8[2,1]:")
    assert lines[6] == "current_pool2d pool <- s1 in_shape=1x2x2 kernel_size=3 stride=1 padding=1"
    others = [graph.replace(s1={"delay": (1, 1)}), graph.replace(s1={"bias": np.array([4])}),
              graph.replace(s1={"scale": np.array([[2], [9]])}),
              graph.replace(pool={"kernel_size": 1, "padding": 0})]
    assert len({g.digest() for g in (graph, *others)}) == 5


def test_a_delay_without_a_cycle_is_the_same_shift(graph):
    """All timesteps are computed at once, and what is late is zero in the first one."""
    late = dataclasses.replace(graph, nodes=tuple(
        dataclasses.replace(node, src=("pool", "c1"), delay=(0, 1)) if node.name == "s2" else node
        for node in graph.nodes))
    straight = dataclasses.replace(late, nodes=tuple(
        dataclasses.replace(node, src=("c1",), delay=(1,), scale=node.scale[:1])
        if node.name == "s1" else node for node in late.nodes if node.name not in ("p1", "c2")))
    images = np.random.default_rng(0).integers(0, 256, (5, 4))
    assert straight.verify().recurrent is False
    (current,) = reference.run(straight, images, trace=True).current
    shown = 2 * (images + 1) + 3
    pooled = [np.full((5, 1), 12), shown.sum(1)[:, None], shown.sum(1)[:, None]]
    late = [0 * images, 100 * (images + 1), 100 * (images + 1)]
    np.testing.assert_array_equal(current, np.array(late) + np.array(pooled) - 7)


RULES = {
    "s1: src must stand before it, and 'c2' does not; an edge that goes backward":
        lambda g: g.replace(s1={"delay": (0, 0)}),
    "s1: delay must be 0 or 1 for each of 2 sources, not (2, 1)":
        lambda g: g.replace(s1={"delay": (2, 1)}),
    "s1: delay must be 0 or 1 for each of 2 sources, not (0,)":
        lambda g: g.replace(s2={"src": ("pool", "c1")}, s1={"src": ("c1", "c1"), "delay": (0,)}),
    "s1: src must be the names of what carries currents, not 'c1'":
        lambda g: g.replace(s1={"src": "c1"}),
    "s2: src must be a dense, a conv2d, a current_sum or a current_pool2d, not p1, a population":
        lambda g: g.replace(s2={"src": ("pool", "p1")}),
    "s1: every source must have shape [1, 1, 4], not c1 of shape [1, 2, 2]":
        lambda g: g.replace(s1={"shape": (1, 1, 4)}),
    "s1: scale must be int64 of shape [2, 1], not int64 [2, 2]":
        lambda g: g.replace(s1={"scale": np.ones((2, 2), np.int64)}),
    "s1: scale must be int64 of shape [2, 1], not float64 [2, 1]":
        lambda g: g.replace(s1={"scale": np.ones((2, 1))}),
    "s1: bias must be int64 of shape [1], not None": lambda g: g.replace(s1={"bias": None}),
    "pool: in_shape must be [1, 2, 2], the shape of s1, not [1, 4, 1]":
        lambda g: g.replace(pool={"in_shape": (1, 4, 1)}),
    "pool: padding must be less than kernel_size = 1, not 1":
        lambda g: g.replace(pool={"kernel_size": 1}),
    "pool: src must be a dense, a conv2d, a current_sum or a current_pool2d, not p1, a population":
        lambda g: g.replace(pool={"src": "p1"}),
    "c1: src must be the input, a population or a pool, not s1, a current_sum":
        lambda g: dataclasses.replace(g, nodes=tuple(
            conv("c1", "s1", [[[[1]]]]) if node.name == "c2" else
            dataclasses.replace(node, name="c2") if node.name == "c1" else
            dataclasses.replace(node, src=("c2", "c1")) if node.name == "s1" else
            dataclasses.replace(node, src=("pool", "c1")) if node.name == "s2" else node
            for node in g.nodes)),
    "p2: must follow a dense, a conv2d or a sum, not s2, a current_sum":
        lambda g: g.replace(p2={"src": "c2"}),
    "s1: currents must stay below": lambda g: g.replace(s1={"scale": np.array([[1 << 60], [1]])}),
}


@pytest.mark.parametrize("words", RULES)
def test_a_broken_rule_is_named(graph, words):
    with pytest.raises(GraphError) as caught:
        RULES[words](graph).verify()
    assert words in str(caught.value)


def test_what_a_cycle_adds_to_itself_is_bounded(graph):
    """A skip back onto itself doubles in each timestep: 2**60 is reached before the last one."""
    nodes = list(graph.nodes)
    nodes[2] = total("s1", ["c1", "s1"], [[2], [2]], [3], delay=(0, 1))
    looped = dataclasses.replace(graph, num_steps=40, nodes=tuple(nodes)).verify()
    images = np.array([[1, 2, 3, 4]])
    trace = reference.run(looped, images, trace=True)
    np.testing.assert_array_equal(trace.current[0][-1], (2 * (images + 1) + 3) * (2 ** 40 - 1))
    with pytest.raises(GraphError, match="currents must stay below"):
        dataclasses.replace(looped, num_steps=60).verify()


def test_gateware_has_neither_sums_nor_pixels_nor_huge_layers(graph):
    with pytest.raises(GraphError, match="s1: an edge that goes backward, from c2"):
        compile_graph(graph)
    plain = ir.Graph(num_steps=2, nodes=(
        graph.nodes[0], graph.nodes[1],
        ir.Population(name="p", src="c1", size=4, neuron=FIRES),
        ir.Readout(name="readout", src="p", size=4, kind="spike_count"))).verify()
    found = reference.run(plain, np.array([[10, 20, 0, 50]]), trace=True)
    np.testing.assert_array_equal(found.current[0][:, 0], [[10, 20, 0, 50]] * 2)
    with pytest.raises(GraphError, match="input: encoder 'direct' has no gateware"):
        compile_graph(plain)
    wide = (16, 64, 65)
    huge = ir.Graph(num_steps=1, nodes=(
        ir.Input(name="input", shape=(1, 64, 65), encoder="rate"),
        conv("c1", "input", np.ones((16, 1, 1, 1)), (1, 64, 65)),
        ir.Population(name="p", src="c1", size=int(np.prod(wide)), neuron=FIRES),
        ir.Readout(name="readout", src="p", size=int(np.prod(wide)), kind="spike_count"))).verify()
    with pytest.raises(GraphError, match="c1: gateware takes at most 65536 neurons of a layer"):
        compile_graph(huge)


def test_show_graph_shows_it_as_it_is(graph, tmp_path, capsys):
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    assert cli.main(["show", "graph", "--run", str(opened.path)]) == 0
    assert "current_sum s1 <- c1,c2" in capsys.readouterr().out
    assert cli.main(["synth", "--run", str(opened.path)]) == 2
    assert "has no gateware" in capsys.readouterr().err
