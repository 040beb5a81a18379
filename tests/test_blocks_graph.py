"""Networks of blocks as integers: their graphs, what has no gateware, training, and gateware."""

import numpy as np
import pytest
from msgspec import structs
from networks import random_images

from spikeloom.flow import config, ir
from spikeloom.flow.errors import ConfigError, GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.nas.blocks.block import BLOCKS
from spikeloom.nas.blocks.final import graph_spikes
from spikeloom.nas.blocks.graph import Gateware, check, graph
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.datasets import Split
from spikeloom.nas.train import TrainSettings, train
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import ALL, compare

MACRO = Macro(in_channels=1, image_size=8, channels=4, growth=1, num_steps=3, stages=(1, 1))

TEXT = """\
graph num_steps=3
input input shape=1x8x8 encoder=stream sng=ramp
conv2d conv1 <- input in_shape=1x8x8 out_channels=4 kernel_size=3 stride=1 padding=1 LAYER
population pop1 <- conv1 size=256 neuron=NEURON
conv2d conv2 <- pop1 in_shape=4x8x8 out_channels=4 kernel_size=5 stride=1 padding=2 LAYER
population pop2 <- conv2 size=256 neuron=NEURON
conv2d conv3 <- pop2 in_shape=4x8x8 out_channels=4 kernel_size=5 stride=1 padding=2 LAYER
sum sum3 <- conv3,pop1
population pop3 <- sum3 size=256 neuron=NEURON
max_pool2d pool3 <- pop3 in_shape=4x8x8 kernel_size=2
max_pool2d pool3_2 <- pool3 in_shape=4x4x4 kernel_size=2
dense fc4 <- pool3_2 in_features=16 out_features=10 LAST
population pop4 <- fc4 size=10 neuron=NEURON
readout readout <- pop4 size=10 kind=membrane
"""


def test_the_graph_of_a_network():
    found = graph(MACRO, ("srb_k5", "skip"), Gateware())
    layer = "weight_bits=4 bitstream_length=8 sng=sobol1 delay=0 lanes=4"
    last = layer.replace("lanes=4", "lanes=8")
    neuron = ("fixed(v_threshold=1,leak_shift=none,reset=zero,refractory=0,saturate_bits=none,"
              "beta=1,n=1)")
    wanted = TEXT.replace("LAST", last).replace("LAYER", layer).replace("NEURON", neuron)
    assert found.text() == wanted


@pytest.mark.parametrize("change, blocks", [
    ({}, ("scb_k3", "sib_k3_e1")), ({"growth": 2}, ("skip", "scb_k5")),
    ({"growth": 3}, ("scb_k3", "skip")), ({"stem_down": 2, "stages": (1,)}, ("srb_k3",)),
    ({"down": "strided"}, ("scb_k3", "scb_k3", "skip", "skip")),
    ({"in_channels": 3, "image_size": 16}, ("srb_k3", "srb_k5"))])
def test_its_convolutions_are_those_of_the_macro_network(change, blocks):
    macro = structs.replace(MACRO, **change)
    found = [node for node in graph(macro, blocks, Gateware()).nodes
             if isinstance(node, ir.Conv2d)]
    wanted = macro.convolutions(blocks)
    assert [(node.in_shape[0], node.out_channels, node.kernel_size, node.in_shape[1],
             node.out_shape[1]) for node in found] == [
        (layer.in_channels, layer.out_channels, layer.kernel_size, layer.in_size[0],
         layer.out_size[0]) for layer in wanted]
    assert sum(int(np.prod(node.weight_shape)) for node in found) == macro.weights(
        blocks, classifier=False)


@pytest.mark.parametrize("change, offered, words", [
    ({"growth": 2}, ("scb_k3", "srb_k3"), "e: blocks.offered must be without srb_k3 with e: "
     "blocks.gateware: srb_k3 at place 2: a 1x1 convolution of what is added has no gateware"),
    ({}, ("sib_k3_e1_dw",), "sib_k3_e1_dw at place 1: a depth-wise convolution has no gateware"),
    ({"channels": 8}, ("sib_k3_e3",), "must be without sib_k3_e3 with e: blocks.gateware: sum4: "
     "'folded' takes a skip beside"),
    ({"down": "avg"}, BLOCKS, "blocks.down must be 'max' or 'strided' with e: blocks.gateware"),
    ({"global_pooling": True}, BLOCKS, "blocks.global_pooling must be false"),
    ({"down": "strided"}, ("srb_k3",), "must be without srb_k3"),
])
def test_what_has_no_gateware_is_named(change, offered, words):
    with pytest.raises(ConfigError) as caught:
        check(structs.replace(MACRO, **change), offered, Gateware(), "e: blocks")
    assert words in str(caught.value)


def test_all_blocks_of_the_paper_have_gateware_where_channels_stay():
    check(MACRO, (*BLOCKS, "sib_k3_e1"), Gateware(), "e: blocks")


@pytest.mark.parametrize("given, words", [
    ({"weight_bits": 5}, "weight_bits must be in 2..4 with a bitstream of 8, not 5"),
    ({"bitstream_length": 12}, "bitstream_length must be a power of two in 8..512, not 12"),
    ({"lanes": 0}, "lanes must be in 1..64, not 0"),
    ({"encoder": "spikes"}, "encoder must be stream or rate"),
    ({"readout": "votes"}, "readout must be"),
    ({"sng": "sobol"}, "sng must be one of auto,"),
    ({"beta": 3}, "beta must be in 0..2 with beta_bits = 1, not 3"),
    ({"reset": "soft"}, "reset must be zero or subtract"),
    ({"lane": 4}, "unknown key 'lane'"),
])
def test_bad_integers(given, words):
    with pytest.raises(ConfigError) as caught:
        config.section(Gateware, given, "e.toml", "blocks.gateware")
    assert words in str(caught.value)


@pytest.fixture(scope="module")
def made() -> ir.Graph:
    """Trained a little: a residual block that reads a pool, whose own spikes are pooled twice."""
    macro = structs.replace(MACRO, stages=(1, 1, 1), channels=3, num_steps=2)
    rng = np.random.default_rng(0)
    images = Split(rng.integers(256, size=(32, 64)).astype(np.uint8), np.arange(32) % 10)
    shape = graph(macro, ("skip", "srb_k3", "skip"), Gateware(lanes=2))
    (found,) = train([shape], images, None, TrainSettings(epochs=2, batch_size=16, gain=1.0))
    return compile_graph(found.graph)


def test_its_gateware_equals_the_reference_model(made):
    images = random_images(np.random.default_rng(1), made, 1)
    wanted = reference.run(made, images, trace=True)
    got, _ = gateware.simulate(made, images, currents=True)
    assert compare(wanted, got, ALL) == []
    assert sum(int(spikes.sum()) for spikes in wanted.spikes) > 20, "something fires"


def test_spikes_are_counted_by_hand(made):
    """Of neurons that fire, and of pools as the largest of each window, here pixel by pixel."""
    images = random_images(np.random.default_rng(2), made, 3)
    traced = reference.run(made, images, trace=True)
    total = 0
    for (_, population), spikes in zip(made.layers, traced.spikes):
        if population.name == made.readout.src:
            continue  # its membrane is read
        total += int(spikes.sum())
        extent = round((population.size // 3) ** 0.5)
        maps = spikes.reshape(2, 3, 3, extent, extent)  # T, images, channels, rows, columns
        pools = {8: 1, 4: 0}[extent] if population is not made.layers[-2][1] else 2
        for _ in range(pools):
            extent //= 2
            maps = np.array([[[[[maps[t, b, c, 2 * y:2 * y + 2, 2 * x:2 * x + 2].max()
                                 for x in range(extent)] for y in range(extent)]
                               for c in range(3)] for b in range(3)] for t in range(2)])
            total += int(maps.sum())
    assert graph_spikes(made, images, batch=2) == pytest.approx(total / 3)


def test_graphs_that_no_block_explains_are_refused():
    with pytest.raises(GraphError):
        graph(structs.replace(MACRO, growth=2), ("srb_k3", "srb_k3"), Gateware())
