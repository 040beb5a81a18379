"""How candidates become gateware: genes of lowering, lanes and memory, their cost and clocks."""

import itertools
import json

import numpy as np
import pytest

from spikeloom.flow import config, targets
from spikeloom.flow.cost.structure import assume_weights
from spikeloom.flow.errors import ConfigError, GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.nas.columns import price
from spikeloom.nas.datasets import Split
from spikeloom.nas.held import mean_cycles
from spikeloom.nas.space import Space, describe
from spikeloom.nas.task import Task
from spikeloom.sim import gateware

KEYS = {"layers": [2], "min_width": 8, "max_width": 9, "weight_bits": [2, 4],
        "bitstream_lengths": [8], "num_steps": [3], "leak_shifts": [0], "encoders": ["stream"],
        "lowerings": ["spatial", "folded"], "lanes": [4, 8], "memories": ["ebr", "spram"]}


def space(shape=(4, 4), **changes) -> Space:
    return Space(config.section(config.Space, KEYS | changes, "test", "space"), shape, 3)


def vector(made: Space, **genes) -> dict:
    return {**dict.fromkeys((*made.bounds, *made.choices), 0), "width0": 8, **genes}


def test_a_spatial_network_has_neither_lanes_nor_memory():
    made = space()
    found = {made.genome(vector(made, lowering=0, lanes=lanes, memory=memory))
             for lanes, memory in itertools.product(range(2), range(2))}
    assert len(found) == 1 and json.loads(found.pop()).keys().isdisjoint(
        {"lowering", "lanes", "memory"})


def test_every_way_is_counted():
    made = space()
    ranges = {name: range(lo, hi + 1) for name, (lo, hi) in made.bounds.items()}
    ranges |= {name: range(len(values)) for name, values in made.choices.items()}
    found = {made.genome(dict(zip(ranges, values))) for values in
             itertools.product(*ranges.values())}
    assert made.size() == len(found) == 2 * 4 * (1 + 2 * 2)


def test_a_folded_network_is_lowered_as_its_genome_says():
    made = space()
    genome = made.genome(vector(made, lowering=1, lanes=1, memory=1))
    first, last = (synapses for synapses, _ in made.graph(genome).layers)
    assert (first.lowering, first.lanes, first.memory) == ("folded", 8, "spram")
    assert (last.lanes, last.memory) == (3, "spram"), "no more lanes than neurons"
    assert describe(genome).endswith("folded*8 spram")


def test_more_than_the_memories_hold_is_priced_and_refused():
    """Pricing says by how much, which repair needs; building refuses."""
    made = space((28, 28), max_width=400, lanes=[16], weight_bits=[4])
    board = targets.board("icebreaker")
    graph = made.graph(made.genome(vector(made, lowering=1, memory=1, width0=400)))
    assert price(graph, board)["spram"] == 8
    with pytest.raises(GraphError, match="must fit 4 SPRAMs"):
        compile_graph(assume_weights(graph))
    fits = made.graph(made.genome(vector(made, lowering=1, memory=1, width0=256)))
    assert price(fits, board)["spram"] == 4


def test_mean_cycles_are_those_of_the_simulator():
    made, rng = space(), np.random.default_rng(3)
    pixels = rng.integers(0, 256, (9, 16)) * (rng.random((9, 16)) < 0.3)
    split = Split(pixels.astype(np.uint8), np.zeros(9, np.int64))
    for lowering in range(2):
        genome = made.genome(vector(made, lowering=lowering, memory=int(lowering)))
        graph = compile_graph(assume_weights(made.graph(genome)))
        _, clocks = gateware.simulate(graph, split.inputs[:4])
        assert mean_cycles(graph, split, 4) == sum(clocks) / 4
    assert min(clocks) < max(clocks) <= inference_cycles(graph)


@pytest.mark.parametrize(("changes", "message"), [
    ({"lanes": []}, "lanes must be a list of different values"),
    ({"lanes": [0]}, "lanes must be in 1..256"),
    ({"lowerings": ["spatial"]}, "lanes must be [8] without 'folded' in lowerings"),
    ({"lowerings": ["spatial"], "lanes": [8]}, "memories must be ['ebr'] without 'folded'"),
    ({"neurons": ["lif", "izhikevich"]}, "neurons must be of fixed, lif with 'folded'"),
    ({"memories": ["sprom"]}, "unknown memory 'sprom'"),
    ({"network": "residual"}, "lowerings must be ['spatial'] with network = 'residual'"),
])
def test_settings_that_contradict_each_other(changes, message):
    with pytest.raises(ConfigError) as caught:
        config.experiment_from({"space": KEYS | changes})
    assert message in str(caught.value)


def test_a_board_without_the_memory_is_refused():
    item = {"space": {"lowerings": ["folded"], "memories": ["spram"]},
            "target": {"board": "ice40_hx8k_b_evn"}}
    with pytest.raises(ConfigError, match=r"space\.memories must be without 'spram' for board"):
        Task(config.experiment_from(item))
