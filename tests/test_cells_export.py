"""Networks of cells in the IR: the integers compute what the float network computes."""

import float_graphs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow import ir
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.simplify import simplify
from spikeloom.nas.cells.cell import OPERATIONS, Cell, parse
from spikeloom.nas.cells.export import Compared, classes, compare, export
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.network import CellNetwork
from spikeloom.nas.datasets import Split
from spikeloom.sim import reference

MACRO = Macro(channels=2, image_size=8, num_steps=3, hidden=8, voters=3, num_classes=4)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8)).astype(np.uint8)
FLAT = IMAGES.reshape(len(IMAGES), -1)
CELLS = ["3|33|333", "2|22|222", "1|12|243", "4|44|334", "5|06|331", "3|12|300", "1|11|111"]
BACKWARD = ["3|~31|1~2~3", "3|12|~340", "3|13|~31~1"]


def network(*texts, macro=MACRO, exact=False, seed=0, **settings):
    """A network in evaluation mode whose neurons fire, with norms of random numbers.

    exact: norms multiply with powers of two, and add quarters, so that float64 rounds nothing.
    """
    settings = {"weight_bits": 6, **settings}
    found = CellNetwork(macro, [parse(text) for text in texts], seed=seed, **settings).eval()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for norm in found.modules():
            if not isinstance(norm, torch.nn.BatchNorm2d):
                continue
            count = len(norm.weight)
            gains = 2.0 ** rng.integers(0, 3, count) if exact else rng.uniform(0.5, 4, count)
            signs = np.where(rng.random(count) < 0.2, -1, 1)
            shifts = rng.integers(0, 4, count) / 4 if exact else rng.uniform(-0.2, 1, count)
            norm.weight.copy_(torch.from_numpy(gains * signs))
            norm.bias.copy_(torch.from_numpy(shifts))
            norm.running_var.fill_(1.0)
            norm.eps = 0.0 if exact else norm.eps
        if exact:  # a pixel of 255 is 1
            found.layers["stem"].norm.weight.mul_(255 / 256)
        found.layers["fc1"].weight.mul_(64)
    return found


def spikes_of(net):
    """Spikes of the float network in float64, int64 [T, batch, n] by the name of the LIF."""
    seen = {}
    net = net.double()
    net.watch(lambda name, t, s: seen.setdefault(name, []).append(s.flatten(1).numpy()))
    with torch.no_grad():
        found = net(torch.from_numpy(IMAGES).double() / 255).argmax(1).numpy()
    net.watch(None)
    return {name: np.stack(x).astype(np.int64) for name, x in seen.items()}, found


def traced(graph):
    trace = reference.run(graph, FLAT, trace=True)
    names = [node.name for node in graph.populations]
    return dict(zip(names, trace.spikes, strict=True)), trace.classes


@pytest.mark.parametrize("text", [*CELLS, *BACKWARD])
def test_the_reference_model_equals_float64_on_the_exported_weights(text, monkeypatch):
    monkeypatch.setattr("spikeloom.nas.cells.export.PRECISION", (8,))  # exact in float64
    graph = export(network(text)).graph
    found, answers = traced(graph)
    wanted, their_answers = float_graphs.run(graph, FLAT)
    assert found.keys() == wanted.keys() and sum(x.sum() for x in wanted.values())
    for name, spikes in wanted.items():
        np.testing.assert_array_equal(found[name], spikes, name)
    np.testing.assert_array_equal(answers, their_answers)


@pytest.mark.parametrize("text", [text for text in [*CELLS, *BACKWARD] if "4" not in text])
def test_without_averages_and_odd_norms_nothing_changes(text):
    net = network(text, exact=True)
    graph = export(net).graph
    found, answers = traced(graph)
    wanted, their_answers = spikes_of(net)
    assert {f"{name}_lif" for name in wanted} == found.keys() - {"mean"}
    for name, spikes in wanted.items():
        np.testing.assert_array_equal(found[f"{name}_lif"], spikes, name)
    np.testing.assert_array_equal(answers, their_answers)


@pytest.mark.parametrize("text", [*CELLS, *BACKWARD])
def test_hardly_a_spike_changes(text):
    net = network(text, "3|33|333")
    found, _ = traced(export(net).graph)
    wanted, _ = spikes_of(net)
    for name, spikes in wanted.items():
        assert (found[f"{name}_lif"] != spikes).mean() < 0.02, name


@given(st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_cell_is_exported_or_refused_by_name(data):
    operations = tuple(data.draw(st.sampled_from(OPERATIONS)) for _ in range(6))
    cell = Cell(operations, tuple(data.draw(st.booleans()) for _ in range(6)))
    macro = Macro(channels=2, image_size=4, cells=1, num_steps=2, hidden=4, voters=2, num_classes=3)
    try:
        graph = export(network(str(cell), macro=macro)).graph
    except GraphError as error:
        assert not cell.connected or "a cycle must have neurons" in str(error)
        return
    assert cell.connected and graph.recurrent <= bool(cell.backward)
    again = ir.from_bytes(ir.to_bytes(graph), "graph")
    assert (again.text(), again.digest()) == (graph.text(), graph.digest())
    assert ir.to_bytes(again) == ir.to_bytes(graph)
    p8 = np.random.default_rng(1).integers(0, 256, (3, 48))
    trace = reference.run(graph, p8, trace=True)
    wanted, answers = float_graphs.run(graph, p8)
    for node, spikes in zip(graph.populations, trace.spikes, strict=True):
        np.testing.assert_array_equal(spikes, wanted[node.name], node.name)
    np.testing.assert_array_equal(trace.classes, answers)


@pytest.mark.parametrize("cell, words", [
    ("0|00|033", "cell 1 (0|00|033): something must get"),
    ("0|30|000", "cell 1 (0|30|000): something must get"),
])
def test_what_passes_nothing_on_is_refused(cell, words):
    """The second one leads to a node that leads nowhere."""
    with pytest.raises(GraphError) as caught:
        export(network(cell, "3|33|333"))
    assert words in str(caught.value)


def test_averages_in_a_cycle_without_neurons_are_refused():
    with pytest.raises(GraphError, match=r"cell 2 .*: a cycle must have neurons on it"):
        export(network("3|33|333", "1|~41|111"))
    assert export(network("3|33|333", "1|~11|111")).graph.recurrent  # skips alone add up


@pytest.mark.parametrize("text, words", [
    ("3|33|333", "cell1_2: a sum of several synapses' currents has no gateware"),
    ("1|10|100", "cell1_0: a scale of currents has no gateware"),
    ("4|04|004", "cell1_0_pool: a pool of currents has no gateware"),
    ("3|~31|1~2~3", "an edge that goes backward, from "),
])
def test_gateware_and_crossbars_refuse_by_name(text, words):
    one = Macro(channels=2, image_size=4, cells=1, num_steps=2, hidden=4, voters=2)
    graph = export(network(text, macro=one)).graph
    assert simplify(graph) is graph
    for use in (compile_graph, lambda graph: graph.layers):
        with pytest.raises(GraphError) as caught:
            use(graph)
        assert words in str(caught.value)


@pytest.mark.parametrize("setting, bits, noted", [
    ({"weight_bits": 4}, 4, False), ({"weight_bits": 10}, 10, False),
    ({"weight_bits": 16}, 10, True), ({"weight_bits": None}, 10, True),
    ({"weight_bits": 6, "scale": "fixed"}, 6, False),
    ({"weight_bits": 6, "rounding": "floor"}, 6, False),
    ({"weight_bits": 6, "rounding": "stochastic"}, 6, False)])
def test_weights_keep_their_codes_up_to_ten_bits(setting, bits, noted):
    net = network("3|12|340", **setting)
    found = export(net)
    assert found.weight_bits == bits and any("rounded to codes" in note for note in found.notes
                                             ) == noted
    if noted:
        return
    kept = net.weights()
    for node in found.graph.synapses:
        if node.name in kept:
            weight = kept[node.name].detach().double().numpy()
            step = np.abs(weight[weight != 0]).min() / np.abs(node.weight[node.weight != 0]).min()
            np.testing.assert_array_equal(node.weight * step, weight)


def test_voters_are_summed_in_as_many_parts_as_codes_are_wide():
    macro = Macro(channels=2, image_size=4, cells=1, num_steps=2, hidden=4, voters=5, num_classes=3)
    net = network("3|33|333", macro=macro, weight_bits=9)
    with torch.no_grad():
        net.layers["fc2"].weight.fill_(0.01)  # 5 codes of 255 or so need two sums
    graph = export(net).graph
    parts = [node for node in graph.synapses if node.name.startswith("fc2")]
    assert len(parts) > 1 and graph.node("votes").src == tuple(node.name for node in parts)
    whole = sum(node.weight.astype(int) for node in parts)
    assert (whole == 5 * whole.max() // 5).all() and whole.max() > 511


def test_accuracy_names_its_subset():
    net = network("3|12|340")
    graph = export(net).graph
    split = Split(FLAT.copy(), np.arange(6) % 4)
    found = compare(net, graph, split, "digits, validation")
    assert isinstance(found, Compared) and found.subset == "digits, validation"
    assert found.images == 6 and 0 <= found.agreement <= 1
    assert found.after == float((classes(graph, FLAT) == split.labels).mean())


def test_many_timesteps_or_wide_networks_take_coarser_scales_and_say_so(monkeypatch):
    monkeypatch.setattr(ir, "MAX_CURRENT", 1 << 52)
    found = export(network("4|44|444"))
    assert "scales are rounded to" in found.notes[-1]
    monkeypatch.setattr(ir, "MAX_CURRENT", 1 << 12)
    with pytest.raises(GraphError, match="currents must stay below"):
        export(network("4|44|444"))
