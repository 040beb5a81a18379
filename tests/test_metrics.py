"""NeuroBench's metrics: hand-worked cases, the definition in loops, and the package itself."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import maps, networks, random_graph, random_images, residual_graph

from spikeloom.flow import ir
from spikeloom.flow.cli import main
from spikeloom.flow.errors import ConfigError, GraphError
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import reference
from spikeloom.sim.metrics import DEFINITIONS, fan_out, metrics
from spikeloom.sim.operations import delayed, pooled


def two_layers(**changes):
    """3 events -> 2 neurons -> 2 classes, two timesteps; a spike adds 2 for each unit of weight."""
    common = {"weight_bits": 3, "bitstream_length": 8, "sng": "sobol1",
              "neuron": Lif(v_threshold=4)}
    return ir.chain(
        shape=(3,), encoder="spikes", readout="membrane", num_steps=2, layers=[
            {"out_features": 2, "weight": np.array([[2, 0, -1], [0, 0, 3]], np.int16),
             "bias": np.array([0, -1], np.int32), **common},
            {"out_features": 2, "weight": np.array([[1, 0], [3, 1]], np.int16),
             "bias": np.zeros(2, np.int32), **common}]).verify()


def test_a_network_worked_by_hand():
    # image 0: t = 0 events 1 and 3: currents 4 - 2 = 2 and 6 - 1 = 5, so neuron 2 fires; t = 1
    # event 1: v1 = 2 + 4 = 6 fires, neuron 2 has 1 - 1 = 0. image 1: event 2 twice, nothing fires.
    inputs = np.array([[[1, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]])
    found = metrics(two_layers(), inputs)
    first, second = found.layers
    # event 1 meets one weight that is not zero, event 3 two, event 2 none: 1 + 2 + 1 in image 0
    assert (first.kind, first.weights, first.zeros, first.dense, first.effective) == (
        "AC", 6, 3, 12, 4 / 2)
    # neuron 2 meets one weight, neuron 1 two
    assert (second.weights, second.zeros, second.dense, second.effective) == (4, 1, 8, 3 / 2)
    assert (found.effective_acs, found.effective_macs, found.dense) == (3.5, 0, 20)
    assert found.connection_sparsity == 4 / 10
    assert found.spikes_per_image == 1 and found.activation_sparsity == 1 - 2 / 8
    assert [item.name for item in found.populations] == ["pop1"], "the last only integrates"
    assert found.input_events == (3 + 2) / 2 and found.images == 2
    # 10 weights of 3 bits; biases 0 and -1 in one bit each; the other layer has none
    assert (found.footprint.weights, found.footprint.biases, found.footprint.count) == (30, 2, 14)
    assert found.footprint_bytes == -(-(30 + 2 + found.footprint.state) // 8)


def test_state_is_membranes_counters_and_delay_lines():
    rng = np.random.default_rng(0)
    plain, more = (metrics(graph, random_images(rng, graph, 1)).footprint.state for graph in (
        random_graph(np.random.default_rng(1), encoder="rate", refractory=refractory, delays=delays)
        for refractory, delays in ((0, [0, 0]), (5, [0, 2]))))
    assert more - plain == 3 * (7 + 4) + 2 * 7, "3 bits a counter, 2 of each axon's delay line"


def loops(graph, inputs):
    """Effective operations and spikes of a chain or of maps, from a trace and the definition."""
    trace = reference.run(graph, inputs, trace=True)
    given = {"rate": lambda: reference.rate_spikes(inputs, graph.num_steps),
             "spikes": lambda: np.asarray(inputs).transpose(1, 0, 2), "stream": lambda: None}
    values = {graph.input.name: given[graph.input.encoder]()}
    names = [node.name for node in graph.populations]
    values |= dict(zip(names, trace.spikes))
    found = {}
    for node in graph.nodes[1:-1]:
        if isinstance(node, ir.MaxPool2d | ir.AvgPool2d):
            values[node.name] = pooled(values[node.src], node)
        elif isinstance(node, ir.Dense | ir.Conv2d):
            x = values[node.src]
            x = reference.stream_codes(inputs, node.bits)[None] if x is None else delayed(
                x, node.delays)
            ones = (node.weight != 0).astype(np.int64)
            effective, dense = (int(reference.product(a, b, node).sum()) for a, b in (
                ((x != 0).astype(np.int64), ones), (np.ones_like(x), np.ones_like(ones))))
            found[node.name] = effective, dense
    return found, {name: int(spikes.sum()) for name, spikes in zip(names, trace.spikes)}


@given(st.one_of(networks(), maps()), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_network_counts_what_the_definition_says(graph, seed):
    inputs = random_images(np.random.default_rng(seed), graph, 3)
    found = metrics(graph, inputs)
    wanted, spikes = loops(graph, inputs)
    for item in found.layers:
        assert (item.effective * 3, item.dense * 3) == pytest.approx(wanted[item.name])
    for item in found.populations:
        assert item.spikes * 3 == pytest.approx(spikes[item.name])
    sums = sum(effective for effective, _ in wanted.values())
    assert 3 * (found.effective_acs + found.effective_macs) == pytest.approx(sums)


def test_batches_do_not_matter(monkeypatch):
    graph = residual_graph(np.random.default_rng(3), encoder="rate")
    inputs = random_images(np.random.default_rng(4), graph, 5)
    whole = metrics(graph, inputs)
    monkeypatch.setattr("spikeloom.sim.metrics._HELD", 1)
    assert metrics(graph, inputs) == whole


def test_the_fan_out_of_a_convolution_is_its_transpose():
    conv = ir.Conv2d(name="c", src="i", in_shape=(2, 5, 4), out_channels=3, kernel_size=3, stride=2,
                     padding=1, weight_bits=4, bitstream_length=8, sng="sobol1",
                     weight=np.random.default_rng(0).integers(-1, 2, (3, 2, 3, 3)))
    mask = (conv.weight != 0).astype(np.int64)
    wanted = [reference.product(one[None], mask, conv).sum() for one in np.eye(40, dtype=np.int64)]
    assert fan_out(conv).tolist() == wanted


def direct():
    """A chain that reads pixels as integers."""
    rng = np.random.default_rng(6)
    layer = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1"}
    return ir.chain(shape=(6,), encoder="direct", readout="membrane", num_steps=3, layers=[
        {"out_features": n, "neuron": Lif(v_threshold=theta, leak_shift=2),
         "weight": rng.integers(-2, 8, (n, i)).astype(np.int16) * (rng.random((n, i)) < 0.7),
         "bias": np.zeros(n, np.int32), **layer}
        for n, i, theta in ((5, 6, 3000), (4, 5, 20))]).verify()


@pytest.mark.parametrize("graph", [
    residual_graph(np.random.default_rng(5), encoder="spikes", num_steps=4), direct()],
    ids=["spikes", "pixels"])
def test_neurobench_counts_the_same(graph, yardsticks):
    """A torch model of the same weights, whose neurons are its own, by the package's benchmark."""
    if not os.environ.get("CI"):
        for name in ("tqdm", "snntorch", "neurobench", "torch"):
            pytest.importorskip(name, reason=f"{name} is missing", exc_type=ImportError)
    import torch
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint
    from neurobench.metrics.workload import (
        ActivationSparsity,
        ClassificationAccuracy,
        SynapticOperations,
    )
    from neurobench.models import TorchModel
    from torch.utils.data import DataLoader, TensorDataset

    inputs = random_images(np.random.default_rng(7), graph, 12)
    net, neurons = torch_of(graph)
    model = TorchModel(net)
    model.add_activation_module(neurons)
    labels = torch.from_numpy(reference.run(graph, inputs).classes)
    labels[:3] += 1
    data = DataLoader(TensorDataset(torch.from_numpy(inputs).double(), labels), batch_size=6)
    there = Benchmark(model, data, [], [], [[ConnectionSparsity, Footprint], [
        ActivationSparsity, ClassificationAccuracy, SynapticOperations]]).run(quiet=True)
    here = metrics(graph, inputs)
    operations = there["SynapticOperations"]
    assert there["ClassificationAccuracy"] == pytest.approx(9 / 12), "it is the same network"
    assert min(here.effective_acs, here.effective_macs) > 0
    assert [operations[name] for name in ("Effective_ACs", "Effective_MACs", "Dense")] == (
        pytest.approx([here.effective_acs, here.effective_macs, here.dense]))
    assert there["ActivationSparsity"] == pytest.approx(here.activation_sparsity)
    assert 0.05 < here.activation_sparsity < 0.99
    assert there["ConnectionSparsity"] == round(here.connection_sparsity, 4)
    weights = sum(node.weight.size for node in graph.synapses)
    assert there["Footprint"] == 8 * weights, "it holds float64 without a bias"


def torch_of(graph):
    """A torch module that computes an integer graph in float64, and the class of its neurons.

    What reads pixels is computed once. The biases of layers are the neurons', as in the contract.
    """
    import torch
    from torch import nn

    class Neurons(nn.Module):
        def __init__(self, node, bias, fires):
            super().__init__()
            self.p, self.bias, self.fires, self.v = node.neuron, bias, fires, 0

        def forward(self, current):
            v = self.v - torch.div(torch.as_tensor(self.v).double(), 1 << self.p.leak_shift,
                                   rounding_mode="floor") + current + self.bias
            if not self.fires:
                self.v = v
                return v
            spikes = (v >= self.p.v_threshold).double()
            self.v = v - self.p.v_threshold * spikes
            return spikes

    class Integrates(Neurons):
        """Not an activation: it passes on its membrane."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            parts = {}
            for node in graph.synapses:
                layer = nn.Linear(node.in_features, node.out_features, bias=False).double() \
                    if isinstance(node, ir.Dense) else nn.Conv2d(
                        node.in_shape[0], node.out_channels, node.kernel_size, bias=False,
                        padding=node.padding, stride=node.stride).double()
                layer.weight.data = torch.from_numpy(reference.effective_weights(node)).double()
                parts[node.name] = layer
            for k, node in enumerate(graph.populations):
                bias = graph.synapses[k].bias
                bias = torch.from_numpy(np.repeat(bias, node.size // len(bias))).double()
                kind = Integrates if k == len(graph.populations) - 1 else Fires
                parts[node.name] = kind(node, bias, kind is Fires)
            self.parts = nn.ModuleDict(parts)

        def forward(self, x):
            for node in graph.populations:
                self.parts[node.name].v = 0
            constant = None
            if graph.input.encoder == "direct":
                constant = self.parts[graph.nodes[1].name](x)
            for t in range(graph.num_steps):
                values = {graph.input.name: x if constant is not None else x[:, t]}
                for node in graph.nodes[1:-1]:
                    values[node.name] = self.step(node, values, constant)
            return values[graph.readout.src].argmax(1)

        def step(self, node, values, constant):
            if isinstance(node, ir.Sum):
                return values[node.src[0]] + node.c_skip * values[node.src[1]]
            if node.src == graph.input.name and constant is not None:
                return constant
            x = values[node.src]
            if isinstance(node, ir.Population | ir.Dense):
                return self.parts[node.name](x)
            x = x.reshape(len(x), *node.in_shape)
            if isinstance(node, ir.Conv2d):
                return self.parts[node.name](x).flatten(1)
            pool = nn.functional.max_pool2d if isinstance(node, ir.MaxPool2d) else (
                lambda x, k: k * k * nn.functional.avg_pool2d(x, k))
            return pool(x, node.kernel_size).flatten(1)

    class Fires(Neurons):
        pass

    return Net(), Fires


def test_the_command_prints_each_metric_with_its_definition(tmp_path, capsys):
    graph = random_graph(np.random.default_rng(0), sizes=(12, 7, 4), encoder="rate")
    images = random_images(np.random.default_rng(1), graph, 6)
    opened = Run.create(tmp_path)
    graph.save(opened.graph_file)
    opened.save_samples(images, np.zeros(6, np.int64))
    assert main(["metrics", "--run", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = metrics(graph, images)
    assert found["effective_acs"] == wanted.effective_acs and found["images"] == 6
    assert found["design"] == graph.digest() and found["definitions"] == DEFINITIONS
    assert main(["metrics", "--run", str(tmp_path), "--count", "2"]) == 0
    text = capsys.readouterr().out
    assert "NeuroBench metrics over 2 test images" in text
    assert all(definition in text for definition in DEFINITIONS.values())


def test_bad_input(tmp_path, capsys):
    graph = random_graph(np.random.default_rng(0))
    with pytest.raises(ConfigError, match="at least 1 image, not 0"):
        metrics(graph, np.zeros((0, 12), int))
    with pytest.raises(GraphError, match="inputs must have shape"):
        metrics(graph, np.zeros((1, 11), int))
    with pytest.raises(GraphError, match="not of stage 'shape'"):
        metrics(graph.replace(fc1={"weight": None}), np.zeros((1, 12), int))
    opened = Run.create(tmp_path)
    graph.save(opened.graph_file)
    opened.save_samples(np.zeros((2, 12), np.uint8), np.zeros(2, np.int64))
    assert main(["metrics", "--run", str(tmp_path), "--count", "3"]) == 2
    assert "--count must be in 1..2" in capsys.readouterr().err
    assert main(["metrics", "--run", str(tmp_path), "--float"]) == 2
    assert "network.json" in capsys.readouterr().err
