"""Training of convolutions, pools and skips: exact in evaluation mode, and able to learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from networks import maps, random_images, residual_graph

from spikeloom.flow import ir
from spikeloom.flow.builder import Builder
from spikeloom.flow.errors import GraphError
from spikeloom.hdl.neurons import Lif
from spikeloom.nas import datasets, operations, train
from spikeloom.nas.program import Program, shape_class
from spikeloom.sim import reference


def program_of(graphs, seed=0, images=6):
    inputs = random_images(np.random.default_rng(seed), graphs[0], images)
    inputs = inputs.astype(np.uint8)
    return Program(graphs, range(seed, seed + len(graphs)), inputs, init=0.4, gain=2.0,
                   surrogate=0.8), inputs


def step(program, inputs, seed=0):
    labels = np.random.default_rng(seed).integers(0, program.classes, len(inputs))
    x, y = torch.from_numpy(inputs.astype(np.int64)), torch.from_numpy(labels)
    program.loss(x, y)[0].sum().backward()
    program.step(0.1, 0.01)


def equals_reference(program, inputs):
    scores, spikes = program.infer(inputs)
    for c, graph in enumerate(program.trained()):
        trace = reference.run(graph.verify(), inputs, trace=True)
        assert (scores[c] == trace.scores).all()
        fire = [k for k in range(len(graph.layers)) if graph.fires(k)]
        for k in fire:
            size = graph.layers[k][1].size
            assert (spikes[k][c][:graph.num_steps, :, :size] == trace.spikes[k]).all()


@settings(max_examples=25, deadline=None)
@given(maps())
def test_evaluation_equals_the_reference(graph):
    program, inputs = program_of([graph])
    equals_reference(program, inputs)
    step(program, inputs)
    equals_reference(program, inputs)


@pytest.mark.parametrize("encoder", ["stream", "rate"])
def test_candidates_of_different_widths_share_a_batch(encoder):
    rng = np.random.default_rng(1)
    graphs = [residual_graph(rng, shape=(6, 6), channels=channels, encoder=encoder, length=length,
                             weight_bits=bits, num_steps=steps)
              for channels, length, bits, steps in ((2, 8, 4, 3), (5, 16, 3, 2), (3, 8, 2, 3))]
    assert len({shape_class(graph) for graph in graphs}) == 1
    program, inputs = program_of(graphs)
    for k in range(3):
        equals_reference(program, inputs)
        step(program, inputs, k)
    alone, _ = program_of(graphs[1:2], seed=1)
    assert (next(alone.trained()).node("conv2").weight.shape == (5, 5, 3, 3))
    fewer = program.select([0, 2])
    assert [g.digest() for g in fewer.trained()] == [
        g.digest() for c, g in enumerate(program.trained()) if c != 1]


def test_ways_of_the_graph_part_batches():
    rng = np.random.default_rng(2)
    graph = residual_graph(rng, encoder="rate")
    others = [residual_graph(rng, shape=(6, 6), encoder="rate"),
              graph.replace(conv2={"kernel_size": 1, "padding": 0, "weight": None, "bias": None})]
    assert len({shape_class(g) for g in (graph, *others)}) == 3


@pytest.mark.parametrize("stride,padding,k", [(1, 1, 3), (2, 0, 3), (2, 1, 2)])
def test_an_unrolled_convolution_and_its_gradient_are_torch_s(stride, padding, k):
    node = ir.Conv2d(name="c", src="i", in_shape=(3, 6, 5), out_channels=4, kernel_size=k,
                     stride=stride, padding=padding, weight_bits=4, bitstream_length=8, sng="ramp")
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    kernels = torch.randn(1, 4, 3, k, k, dtype=torch.float64, requires_grad=True)
    wanted = torch.nn.functional.conv2d(x, kernels[0], stride=stride, padding=padding)
    weights = operations.Unroll.apply(kernels.view(1, 4, -1), operations.Unrolled(node, 4, 3))
    found = (x.view(2, -1) @ weights[0].T).view(wanted.shape)
    torch.testing.assert_close(found, wanted)
    g = torch.randn_like(wanted)
    ours, = torch.autograd.grad((found * g).sum(), kernels, retain_graph=True)
    torch.testing.assert_close(ours, torch.autograd.grad((wanted * g).sum(), kernels)[0])


def test_maps_too_large_to_unroll_are_refused():
    builder = Builder(shape=(64, 64), encoder="rate")
    builder.conv(16, kernel_size=3, padding=1, weight_bits=4, bitstream_length=8, sng="ramp",
                 neuron=Lif(v_threshold=1))
    builder.dense(2, weight_bits=4, bitstream_length=8, sng="ramp", neuron=Lif(v_threshold=1))
    graph = builder.graph(num_steps=2, readout="membrane").verify()
    with pytest.raises(GraphError, match="conv1: at most 16777216 synapses can be trained"):
        shape_class(graph)


def test_it_learns():
    """Six maps tell digits apart after four epochs; the trained graph is the one scored."""
    data = datasets.load("digits")
    shape = residual_graph(np.random.default_rng(0), channels=6, classes=10, average=False)
    done, = train.train([shape], data.train, data.validation, train.TrainSettings(epochs=4))
    assert done.stopped is None and done.accuracy > 0.85
    assert done.graph.node("sum3").c_skip != 0
    assert train.accuracy(done.graph, data.validation) == done.accuracy
