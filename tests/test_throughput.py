"""The smallest lowering that is fast enough, and what limits it."""

import pytest

from spikeloom.flow.errors import FitError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles, load_cycles
from spikeloom.flow.throughput import choices, choose, throughput
from spikeloom.nas.figures.networks import uniform

CLOCK = 12_000_000


def test_choices_go_from_few_lanes_in_memory_to_a_popcount_a_neuron():
    found = choices(uniform((16, 8, 4)))
    assert found[:4] == [("folded", 1), ("folded", 2), ("folded", 4), ("folded", 8)]
    assert found[4:] == [("spatial", 1), ("spatial", 2), ("spatial", 4), ("spatial", None)]


def test_the_first_that_is_fast_enough_is_taken():
    graph = uniform((16, 8, 4), num_steps=4)
    slow, candidate, found = choose(graph, CLOCK, 1)
    assert slow == "folded, 1 lane" and {d.lowering for d, _ in candidate.layers} == {"folded"}
    name, faster, more = choose(graph, CLOCK, found.per_second * 2)
    assert more.per_second >= 2 * found.per_second and name != slow
    assert more.cycles == inference_cycles(faster) and more.load == load_cycles(faster)


def test_the_bottleneck_is_the_layer_with_the_most_clocks():
    wide = compile_graph(uniform((32, 4, 12)).replace(
        fc1={"lowering": "folded", "lanes": 4}, fc2={"lowering": "folded", "lanes": 1}))
    assert throughput(wide, CLOCK).bottleneck == "fc2"
    narrow = compile_graph(uniform((64, 16, 3)).replace(
        fc1={"lowering": "folded", "lanes": 1}, fc2={"lowering": "folded", "lanes": 3}))
    assert throughput(narrow, CLOCK).bottleneck == "fc1"
    assert 0 < throughput(narrow, CLOCK).share <= 1


def test_what_is_too_fast_for_any_lowering_names_the_fastest():
    with pytest.raises(FitError, match=r"must be at most \d+ at 12 MHz, not 1e\+09: .* limits it"):
        choose(uniform((16, 8, 4)), CLOCK, 1e9)
