"""The space of residual networks on maps, its prices, and a search in it."""

import json
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from spikeloom.boards import BOARDS
from spikeloom.flow import config, ir
from spikeloom.flow.cost.structure import structure
from spikeloom.flow.cost.work import work
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.passes.simplify import simplify
from spikeloom.nas.columns import price
from spikeloom.nas.loop import Search
from spikeloom.nas.residual import ResidualSpace
from spikeloom.nas.space import describe
from spikeloom.nas.store import Store
from spikeloom.nas.task import Task

SETTINGS = {"network": "residual", "min_width": 4, "max_width": 6, "weight_bits": [3, 4],
            "bitstream_lengths": [8, 16], "num_steps": [2, 3], "leak_shifts": [0],
            "encoders": ["stream"]}


def space(**changes) -> ResidualSpace:
    settings = config.section(config.Space, {**SETTINGS, **changes}, "test", "space")
    return ResidualSpace(settings, (8, 8), 10)


def test_a_genome_is_a_residual_network():
    one = space(input_sng=["auto"], sng=["auto"])
    genome = one.genome({**one.sample(np.random.default_rng(0)), "width0": 5, "width1": 6})
    graph = one.graph(genome)
    assert [node.op for node in graph.nodes] == [
        "input", "conv2d", "population", "max_pool2d", "conv2d", "population", "conv2d", "sum",
        "population", "dense", "population", "readout"]
    assert [graph.shape(synapses.name) for synapses, _ in graph.layers] == [
        (5, 8, 8), (6, 4, 4), (5, 4, 4), (10,)]
    assert graph.node("sum3").src == ("conv3", "pool1") and graph.stage == "shape"
    assert describe(genome).startswith("stream residual 5w")
    assert graph.input.sng != "auto" and graph.layers[2][0].sng != "auto"


def test_the_size_is_the_number_of_genomes():
    small = space(min_width=7, max_width=9, weight_bits=[4], num_steps=[2, 3])
    rng = np.random.default_rng(1)
    found = {small.genome(small.sample(rng)) for _ in range(4000)}
    assert len(found) == small.size() == (2 * 2 + 1) * 2 ** 4 * 2
    assert all(set(json.loads(genome)["layers"][2]) == {"weight_bits", "bitstream_length", "width"}
               for genome in found)


def test_inside_a_block_are_as_many_words_as_around_it():
    one = space(min_width=4, max_width=20)
    vector = one.sample(np.random.default_rng(0))
    for width, inner, wanted in ((5, 8, 8), (5, 9, 8), (9, 8, 9), (17, 4, 17), (16, 20, 16)):
        item = json.loads(one.genome({**vector, "width0": width, "width1": inner}))
        assert [layer.get("width") for layer in item["layers"]] == [width, wanted, width, None]


def test_only_maps_have_one():
    with pytest.raises(ConfigError, match=r"must be 'chain' for inputs that are no maps"):
        ResidualSpace(config.Space(network="residual"), (64,), 10)
    with pytest.raises(ConfigError, match=r"space.network must be one of chain, layered, residual"):
        space(network="residul")
    with pytest.raises(ConfigError, match=r"space.neurons must be of fixed, lif with netw"):
        space(neurons=["lif", "homeostatic"])
    with pytest.raises(ConfigError, match=r"space.delays must be \[0\] with network = 'residual'"):
        space(delays=[0, 1])


def test_work_counts_weights_and_what_they_reach():
    one = space()
    vector = {**one.sample(np.random.default_rng(0)), "width0": 4, "width1": 6, "num_steps": 1,
              **{f"weight_bits{k}": 1 for k in range(4)}}
    graph = one.graph(one.genome(vector))
    found = work(graph)
    assert found.weight_memory == 4 * (4 * 9 + 6 * 4 * 9 + 4 * 6 * 9 + 64 * 10)
    # on n x n pixels, 3n - 2 rows and as many columns are met
    assert found.additions == 3 * (4 * 22 ** 2 + 2 * 24 * 10 ** 2 + 64 * 10)
    columns = price(graph, BOARDS["icebreaker"])
    assert columns["weight_memory"] == found.weight_memory
    assert columns["additions"] == found.additions and columns["lc"] > 300


def test_synapses_of_strides_and_borders_are_counted():
    node = ir.Conv2d(name="c", src="i", in_shape=(2, 7, 5), out_channels=3, kernel_size=3, stride=2,
                     padding=1, weight_bits=4, bitstream_length=8, sng="ramp")
    inside = np.pad(np.ones((7, 5), int), 1)
    met = sum(inside[y:y + 3, x:x + 3].sum() for y in range(0, 7, 2) for x in range(0, 5, 2))
    assert node.synapses == 6 * met and node.out_shape == (3, 4, 3)


def test_a_search_trains_them(tmp_path):
    experiment = config.experiment_from({
        "space": {**SETTINGS, "max_width": 4},
        "search": {"population": 3, "generations": 2, "repeats": 1, "routed": 0,
                   "objectives": ["accuracy", "weight_memory", "additions"]},
        "train": {"epochs": 1}})
    task = Task(experiment)
    with Store(tmp_path / "store") as store, ThreadPoolExecutor(1) as executor:
        rows = Search(task, store, executor, tmp_path).run().rows
        graphs = [store.graph(row.trainings[0]) for row in rows]
    assert len(rows) == 6 and all(task.feasible(row.counted) for row in rows)
    for row, graph in zip(rows, graphs, strict=True):
        assert graph.stage == "integer" and 0 <= row.counted["zeros"] < 1
        assert row.counted["weight_memory"] == work(graph).weight_memory
        assert row.counted["accuracy"] > 0.1
        assert row.counted["lc"] == structure(simplify(graph)).cells.lc
    assert msgspec.to_builtins(task.experiment)["space"]["network"] == "residual"
