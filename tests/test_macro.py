"""The macro network: weights as the papers count, shapes as the mapper takes them, bad sizes."""

import msgspec
import pytest

from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.cost.price import price
from spikeloom.flow.cim.mapper import map_network
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro

#: Cells of a connected row of so many 3x3 convolutions, the rest skips.
SKIPS = parse("1|11|111")


def convs(count: int, operation: int = 3):
    """A cell with so many live edges of one operation; the others are skips."""
    digits = [str(operation)] * count + ["1"] * (6 - count)
    return parse(f"{digits[0]}|{''.join(digits[1:3])}|{''.join(digits[3:])}")


@pytest.mark.parametrize("a", range(7))
@pytest.mark.parametrize("b", range(7))
def test_weights_as_published(a, b):
    assert Macro().weights([convs(a), convs(b)]) == 298_368 + 147_456 * a + 589_824 * b


@pytest.mark.parametrize("wanted", [888_192, 1_772_928, 3_837_312, 4_722_048])
def test_weights_that_the_papers_name_are_reached(wanted):
    assert wanted in {Macro().weights([convs(a), convs(b)]) for a in range(7) for b in range(7)}


def test_a_1x1_has_a_ninth_of_the_weights():
    assert Macro().weights([convs(1, 2), SKIPS]) == 298_368 + 16_384
    assert Macro().weights([SKIPS, convs(1, 2)]) == 298_368 + 65_536
    assert Macro().weights([convs(1, 5), SKIPS]) == 298_368 + 25 * 16_384


def test_dead_edges_have_no_weights():
    assert Macro().weights([parse("3|00|100"), SKIPS]) == 298_368
    assert Macro().weights([parse("3|00|100")]) == 298_368


def test_the_classifier_counts_where_it_is_asked_for():
    macro = Macro()
    assert macro.flat == 256 * 8 * 8 and macro.outputs == 100
    assert macro.weights([SKIPS], classifier=True) == 298_368 + 1024 * (16_384 + 100)


def test_one_cell_is_used_everywhere():
    macro = Macro(cells=3)
    one = parse("3|01|210")
    assert macro.all_of([one]) == (one,) * 3
    assert macro.convolutions([one]) == macro.convolutions([one] * 3)
    with pytest.raises(ConfigError, match="cells must be 1, used everywhere, or 3, one for each"):
        macro.all_of([one, one])


def test_the_network_is_what_the_mapper_takes():
    macro = Macro(channels=16, cells=3, hidden=32)
    network = macro.network([parse("3|02|314"), SKIPS, convs(6)], weight_bits=4, classifier=True)
    layers = {layer.name: layer for layer in network.layers}
    assert [layers[f"wider{k}"].out_channels for k in (1, 2)] == [32, 64]
    assert layers["wider1"].pool == 2 and layers["wider1"].out_size == (32, 32)
    assert layers["cell3_0_1"].in_size == (8, 8) and layers["cell1_0_1"].magnitude_bits == 3
    assert layers["fc1"].in_channels == 64 * 4 * 4 and network.num_steps == 5
    assert sum(layer.weights for layer in network.layers) == macro.weights(
        [parse("3|02|314"), SKIPS, convs(6)], classifier=True)
    plan = map_network(network, Array())
    assert price(network, Array(), plan=plan).area_mm2 > 0


def test_snasnet_is_priced_as_neuronas_printed():
    """One 3x3 and three 1x1 in each cell: 1,281,408 weights, 634 mm2, 468 ms, 1425 uJ."""
    cell = parse("3|02|202")
    assert [cell.count(name) for name in ("conv3x3", "conv1x1")] == [1, 3]
    network = Macro().network([cell], weight_bits=32)
    cost = price(network, Array(), "neuronas")
    assert Macro().weights([cell]) == 1_281_408
    assert (int(cost.area_mm2), int(cost.latency_ms), int(cost.energy_uj)) == (634, 468, 1425)


@pytest.mark.parametrize("change, words", [
    ({"num_classes": 1}, r"macro.num_classes must be in 2\.\.10000, not 1"),
    ({"in_channels": 0}, r"macro.in_channels must be in 1\.\.64, not 0"),
    ({"channels": 5000}, r"macro.channels must be in 1\.\.4096, not 5000"),
    ({"cells": 9}, r"macro.cells must be in 1\.\.8, not 9"),
    ({"num_steps": 0}, r"macro.num_steps must be in 1\.\.256, not 0"),
    ({"hidden": 0}, r"macro.hidden must be in 1\.\.65536, not 0"),
    ({"voters": 101}, r"macro.voters must be in 1\.\.100, not 101"),
    ({"image_size": 3}, r"macro.image_size must be in 4\.\.1024 with 2 cells, not 3"),
    ({"dropout": 1.0}, r"macro.dropout must be in 0\.\.1, below 1, not 1"),
])
def test_sizes_that_no_network_has(change, words):
    with pytest.raises(ConfigError, match=words):
        msgspec.structs.replace(Macro(), **change).check()
    assert Macro().check() == Macro()
