"""Layered spaces: the exact count, what their graphs are, and what is refused before pricing."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_task import task

from spikeloom.flow import config, targets
from spikeloom.flow.errors import ConfigError
from spikeloom.nas.columns import price
from spikeloom.nas.layered import FOLDED, LayeredSpace
from spikeloom.nas.space import describe, repair

KINDS = ("lif", "fixed", "homeostatic", "izhikevich")
ONE = {"num_steps": (8,), "leak_shifts": (4,), "encoders": ("stream",), "network": "layered",
       "widths": (4, 8), "bitstream_lengths": (8, 16), "weight_bits": (3,), "layers": (2, 3),
       "neurons": KINDS}


def layered(shape=(2, 3), classes=4, **changes) -> LayeredSpace:
    section = config.section(config.Space, ONE | changes, "e.toml", "space")
    return LayeredSpace(section, shape, classes)


def everything(space: LayeredSpace) -> list[str]:
    ranges = {name: range(lo, hi + 1) for name, (lo, hi) in space.bounds.items()}
    ranges |= {name: range(len(values)) for name, values in space.choices.items()}
    return [space.genome(dict(zip(ranges, values)))
            for values in itertools.product(*ranges.values())]


@pytest.mark.parametrize("changes", [
    {"neurons": ("lif", "fixed")}, {"layers": (3,), "neurons": ("lif",)},
    {"widths": (4, 5, 6), "neurons": ("lif",)}, {"delays": (0, 2), "neurons": ("lif",)},
    {"weight_bits": (2, 3), "neurons": ("homeostatic",)}])
def test_the_size_is_the_number_of_different_genomes(changes):
    space = layered(**changes)
    assert space.size() == len(set(everything(space)))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_genome_and_its_graph_say_the_same(seed):
    space = layered(delays=(0, 1, 3))
    genome = space.genome(space.sample(np.random.default_rng(seed)))
    hidden, graph = json.loads(genome)["layers"], space.graph(genome)
    assert len(graph.layers) == len(hidden) + 1
    for k, layer in enumerate(hidden):
        dense, population = graph.layers[k]
        assert (dense.out_features, dense.bitstream_length, dense.weight_bits) == (
            layer["width"], layer["bitstream_length"], layer["weight_bits"])
        assert population.neuron.kind == layer["neuron"]
        assert graph.layers[k + 1][0].max_delay == layer.get("delay", 0), "of its own axons"
    last, population = graph.layers[-1]
    assert population.neuron.kind == "lif" and population.neuron.leak_shift is None
    assert last.bitstream_length == hidden[-1]["bitstream_length"]
    assert all(f":{layer['neuron']}" in describe(genome) for layer in hidden)


def test_large_layers_are_folded_where_their_neurons_can_be():
    space = layered((8, 8), 10, widths=(16, FOLDED // 64), layers=(2,), bitstream_lengths=(8,))
    found = {(item["layers"][0]["width"], item["layers"][0]["neuron"]):
             space.graph(genome).layers[0][0].lowering
             for genome in everything(space) for item in [json.loads(genome)]}
    assert {pair for pair, lowering in found.items() if lowering == "folded"} == {
        (64, "lif"), (64, "fixed")}


def test_the_largest_layers_have_their_weights_in_spram():
    """Of 28 x 28 pixels; and as many lanes as it feeds, of rows of up to 64 bits."""
    board, lanes = targets.board("icebreaker"), {}
    space = layered((28, 28), 10, widths=(16, 64), layers=(3,), neurons=("lif",),
                    memories=("ebr", "spram"), weight_bits=(3, 6), bitstream_lengths=(32,))
    for genome in everything(space):
        hidden, graph = json.loads(genome)["layers"], space.graph(genome)
        first, second, last = (synapses for synapses, _ in graph.layers)
        assert first.memory == ("spram" if hidden[0]["width"] == 64 else None)
        assert second.memory is last.memory is None and last.lowering is None
        columns = price(graph, board)
        floor = space.floor(genome)
        assert all(floor[name] <= columns[name] for name in floor)
        assert (columns["spram"] > 0) == (hidden[0]["width"] == 64)
        if first.memory:
            run = 2 if second.lowering else 1  # hidden layers that share lanes
            bits = tuple(layer["weight_bits"] for layer in hidden[:run])
            lanes[bits] = first.lanes
    assert lanes == {(3,): 16, (6,): 9, (3, 3): 16, (3, 6): 9, (6, 3): 9, (6, 6): 9}
    plain = layered((28, 28), 10, widths=(64,), neurons=("lif",), layers=(2,))
    (genome, *_) = everything(plain)
    assert {synapses.memory for synapses, _ in plain.graph(genome).layers} == {None}


def test_adaptation_goes_with_the_bitstream():
    space = layered(neurons=("homeostatic",), layers=(2,), widths=(4,), bitstream_lengths=(8, 32))
    up, hi = zip(*((neuron.up, neuron.hi) for genome in everything(space)
                   for neuron in [space.graph(genome).layers[0][1].neuron]))
    assert sorted(up) == [4, 16] and sorted(hi) == [255, 1020]


def test_the_floor_is_below_the_price():
    board = targets.board("icebreaker")
    space = layered((8, 8), 10, widths=(8, 16, 64), layers=(2, 3, 4), weight_bits=(2, 3, 4),
                    bitstream_lengths=(8, 64))
    rng = np.random.default_rng(3)
    for genome in {space.genome(space.sample(rng)) for _ in range(15)}:
        floor, columns = space.floor(genome), price(space.graph(genome), board)
        assert 0 < floor["lc"] <= columns["lc"] and floor["ebr"] <= columns["ebr"], genome


def test_repair_finds_what_fits():
    space = layered((8, 8), 10, widths=(8, 256), layers=(4,), neurons=("izhikevich", "lif"))
    vector = {name: hi for name, (_, hi) in space.bounds.items()} | dict.fromkeys(space.choices, 0)
    rng = np.random.default_rng(0)
    fitted = repair(space, vector, lambda g: max(0.0, space.floor(g)["lc"] - 4000), rng)
    assert space.floor(space.genome(fitted))["lc"] <= 4000


@pytest.mark.parametrize("changes, words", [
    ({"widths": ()}, "space.widths must be different values in 1..4096, at least one"),
    ({"widths": (4, 4)}, "space.widths must be different values"),
    ({"layers": (1, 2)}, "space.layers must be in 2..8 with network = 'layered'"),
    ({"num_steps": (4, 8)}, "space.num_steps must be one value with network = 'layered'"),
    ({"readouts": ("spike_count",)}, "space.readouts must be ['membrane'] with network"),
    ({"weight_bits": (5,)}, "space.weight_bits must be at most 4 with network = 'layered' and"),
    ({"delays": (0, 4)}, "space.num_steps must be at least 9 with network = 'layered', more"),
    ({"network": "chain"}, "space.widths must be [] with network = 'chain'"),
])
def test_what_a_layered_space_cannot_be(changes, words):
    with pytest.raises(ConfigError) as error:
        layered(**changes)
    assert words in str(error.value)


def test_an_experiment_can_be_layered(monkeypatch):
    from tiny_search import few

    from spikeloom.nas import datasets

    monkeypatch.setitem(datasets.LOADERS, "few", few)
    found = task('space.network="layered"', "space.widths=[8, 16]", "space.leak_shifts=[2]",
                 'space.encoders=["stream"]', "space.layers=[2]",
                 'space.neurons=["lif", "izhikevich"]')
    assert isinstance(found.space, LayeredSpace) and found.space.size() == 2 * 2 * 2 * 2
    genomes = everything(found.space)
    assert all(found.excess(genome) <= 0 for genome in genomes)
