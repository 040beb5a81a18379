"""Blocks and the macro network around them, by closed form; blocks by name."""

import pytest
from msgspec import structs

from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.mapper import map_network
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.blocks import block, fitness
from spikeloom.nas.blocks.block import BLOCKS, KNOWN, Conv, plan
from spikeloom.nas.blocks.macro import Macro, Place
from spikeloom.nas.blocks.named import blocks_by, published

FOUND = "srb_k5 M srb_k5 skip M srb_k3 srb_k5 M"
SMALL = Macro(channels=4, image_size=16)


def kernels(name, ins=8, outs=8, stride=1):
    return [(conv.kernel_size, conv.in_channels, conv.out_channels, conv.stride)
            for conv in plan(name, ins, outs, stride).main]


def test_what_blocks_are_made_of():
    assert BLOCKS == ("skip", "scb_k3", "scb_k5", "srb_k3", "srb_k5")
    assert plan("skip", 8, 8).main == () and kernels("skip", 8, 16) == [(1, 8, 16, 1)]
    assert kernels("scb_k5", 8, 16) == [(5, 8, 16, 1), (5, 16, 16, 1)]
    assert not plan("scb_k5", 8, 16).adds and plan("scb_k5", 8, 16).short is None
    assert plan("srb_k3", 8, 8).adds and plan("srb_k3", 8, 8).short is None
    assert plan("srb_k3", 8, 16).short == Conv("short", 8, 16, 1)
    assert kernels("sib_k3_e3", 8, 16) == [(1, 8, 24, 1), (3, 24, 24, 1), (1, 24, 16, 1)]
    assert plan("sib_k3_e3", 8, 16).short == Conv("short", 8, 16, 1)


def test_blocks_that_halve_maps():
    assert kernels("srb_k3", 8, 16, 2) == [(3, 8, 16, 2), (3, 16, 16, 1)]
    assert plan("srb_k3", 8, 16, 2).short == Conv("short", 8, 16, 1, 2)
    assert plan("srb_k3", 8, 8, 2).short == Conv("short", 8, 8, 1, 2)
    assert kernels("sib_k3_e1", 8, 16, 2)[1] == (3, 8, 8, 2)
    assert not plan("sib_k3_e1", 8, 16, 2).adds and plan("sib_k3_e1", 8, 16, 2).short is None
    assert kernels("skip", 8, 8, 2) == [(1, 8, 8, 2)]


def test_depthwise_convolutions_have_a_kernel_a_channel():
    full, own = plan("sib_k3_e3", 8, 8).main[1], plan("sib_k3_e3_dw", 8, 8).main[1]
    assert (full.weights, own.weights) == (24 * 24 * 9, 24 * 9)


def test_the_found_network_has_the_weights_that_the_paper_counts():
    """By hand: stem, two 5x5, two 5x5 and a 1x1, nothing, two 3x3 and a 1x1, two 5x5, FC."""
    macro = Macro()
    parts = [432, 2 * 25 * 16 * 16, 25 * 16 * 32 + 25 * 32 * 32 + 16 * 32,
             9 * 32 * 64 + 9 * 64 * 64 + 32 * 64, 2 * 25 * 64 * 64, 64 * 4 * 4 * 100]
    blocks = macro.parse(FOUND)
    assert sum(parts) == macro.weights(blocks) == 416_688
    assert macro.weights(blocks, classifier=False) == 416_688 - 102_400
    layers = macro.network(blocks, weight_bits=8).layers
    assert sum(layer.weights for layer in layers) == 416_688
    assert {layer.magnitude_bits for layer in layers} == {7}


def test_places_of_the_papers_macro_networks():
    macro = Macro()
    assert [(macro.place(k).ins, macro.width(k), macro.extent(k)) for k in range(macro.places)] == [
        (16, 16, 32), (16, 32, 16), (32, 32, 16), (32, 64, 8), (64, 64, 8)]
    strided = structs.replace(macro, down="strided")  # SNN_3: 16, 32 x 3, 64 x 3, 128
    assert [strided.width(k) for k in range(strided.places)] == [16, 32, 32, 32, 64, 64, 64, 128]
    assert strided.place(1) == Place(16, 32, 32, 16, 2) and strided.flat == 128 * 16
    assert structs.replace(macro, global_pooling=True).flat == 64
    flat = structs.replace(macro, growth=1)
    assert {flat.width(k) for k in range(5)} == {16}
    events = Macro(in_channels=2, image_size=128, stem_down=2)
    assert events.stem_extent == 32 and events.flat == macro.flat
    tiny = Macro(image_size=64, stem_down=1)
    assert tiny.stem_convolutions == events.stem_convolutions == 1
    assert tiny.weights(["skip"]) == macro.weights(["skip"]) + 9 * 16 * 16


def test_odd_maps_are_halved_downward_by_pools_and_upward_by_strides():
    assert [Macro(image_size=28).extent(k) for k in (0, 1, 3)] == [28, 14, 7]
    assert Macro(image_size=28).last_extent == 3
    assert Macro(image_size=28, down="strided").last_extent == 4


def test_layers_read_each_others_spikes():
    macro = Macro()
    network = macro.network(macro.parse(FOUND), weight_bits=8)
    layers = {layer.name: layer for layer in network.layers}
    assert layers["stem"].source == "input" and layers["stem"].pool == 1
    assert layers["block1_conv2"].skip_source == "stem" and layers["block1_conv2"].pool == 2
    assert layers["block2_short"].source == layers["block2_conv1"].source == "block1_conv2"
    assert layers["block2_conv2"].skip_source == "block2_short"
    assert layers["block2_conv2"].pool == 2  # behind the skip of the third place
    assert layers["block4_conv1"].in_size == (8, 8) and layers["block4_short"].kernel_size == 1
    assert layers["fc"].in_channels == 1024 and layers["fc"].source == "block5_conv2"


@pytest.mark.parametrize("blocks", [[name] for name in KNOWN] + [FOUND.replace(" M", "").split()])
@pytest.mark.parametrize("changes", [{}, {"down": "avg"}, {"down": "strided"}, {"stem_down": 2},
                                     {"global_pooling": True}, {"growth": 1}])
def test_every_network_can_be_mapped_onto_crossbars(blocks, changes):
    macro = structs.replace(SMALL, **changes, image_size=32).check()
    if len(blocks) > 1 and macro.places != len(blocks):
        blocks = blocks[:1]
    network = macro.network(blocks, weight_bits=4)
    assert map_network(network, Array(), moves=0).cells > 0
    assert len({layer.name for layer in network.layers}) == len(network.layers)


def test_texts():
    macro = Macro()
    blocks = ("srb_k5", "srb_k5", "skip", "srb_k3", "srb_k5")
    assert macro.parse(FOUND) == blocks and macro.text(blocks) == FOUND
    assert macro.parse("srb_k5, srb_k5, skip, srb_k3, srb_k5") == blocks
    assert macro.parse("scb_k3") == ("scb_k3",) * 5
    assert block.parse(FOUND) == blocks and block.parse(block.text(blocks)) == blocks
    assert structs.replace(macro, down="avg").text(["skip"]) == "skip A skip skip A skip skip A"
    assert "M" not in structs.replace(macro, down="strided").text(["skip"])


@pytest.mark.parametrize("text, words", [
    ("srb_k5 M srb_k5 M skip srb_k3 srb_k5 M", "must be 'srb_k5 M srb_k5 skip M srb_k3 srb_k5 M'"),
    ("srb_k5 A srb_k5 skip A srb_k3 srb_k5 A", "or have no marks, as maps are halved there"),
    ("srb_k5 srb_k7", "unknown block 'srb_k7'; did you mean 'srb_k5'?"),
    ("srb_k5 srb_k5", "blocks must be 1, used everywhere, or 5, one for each place, not 2"),
    ("M M", "blocks must be names of blocks"), ("", "blocks must be names of blocks")])
def test_texts_that_are_no_networks(text, words):
    with pytest.raises(ConfigError) as caught:
        Macro().parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("changes, words", [
    ({"channels": 0}, "m.channels must be in 1..4096, not 0"),
    ({"stages": ()}, r"m.stages must be 1..6 counts of blocks in 1..16, not \[\]"),
    ({"stages": (1, 17)}, "m.stages must be"), ({"growth": 5}, "m.growth must be in 1..4, not 5"),
    ({"down": "mean"}, "m: unknown down 'mean'"), ({"num_steps": 0}, "m.num_steps must be in"),
    ({"image_size": 4}, "m.image_size must be in 8..1024, as maps are halved 3 times, not 4"),
    ({"image_size": 16, "stem_down": 2}, "m.image_size must be in 32..1024"),
    ({"stem_down": 7}, "m.stem_down must be in 0..6"), ({"voters": 0}, "m.voters must be in"),
    ({"channels": 4096, "growth": 4, "stages": (1, 1, 1, 1)},
     "m.channels must be at most 1024, as they grow, not 4096")])
def test_sizes_out_of_range_are_refused_by_name(changes, words):
    with pytest.raises(ConfigError, match=words):
        Macro(**changes).check("m")


def test_published_networks_are_of_their_macro_networks():
    for name, item in published().items():
        macro, blocks = blocks_by(name, Macro())
        assert macro.check() and item.source
        assert item.weights in (None, macro.weights(blocks)), name
    assert published()["autosnn"].weights == 416_688
    assert blocks_by("snn-2", SMALL)[0] == structs.replace(SMALL, global_pooling=True)
    assert blocks_by("snn-3", Macro())[1] == ("scb_k3",) * 8
    assert blocks_by("srb_k3", SMALL) == (SMALL, ("srb_k3",) * 5)
    with pytest.raises(ConfigError, match=r"unknown network of blocks 'autosn'; did you mean "
                                          r"'autosnn'\?"):
        blocks_by("autosn", Macro())


def test_fitness():
    """The paper's: a tenth of the spikes is worth 10 ** 0.08 of the accuracy."""
    assert fitness.fitness(0.9, 1000, 1000) == 0.9
    assert fitness.fitness(0.5, 100, 1000) == pytest.approx(0.5 * 10 ** 0.08)
    assert fitness.fitness(0.5, 100, 1000, 0.0) == fitness.fitness(0.5, 0, 1000, 0.0) == 0.5
    assert fitness.fitness(0.1, 0, 1000) == 0.0
    for wrong in (0.08, float("nan"), -float("inf")):
        with pytest.raises(ConfigError, match="spike_lambda must be a finite number at most 0"):
            fitness.fitness(0.5, 1, 1, wrong)
    with pytest.raises(ConfigError, match="average must be above 0"):
        fitness.fitness(0.5, 1, 0)
