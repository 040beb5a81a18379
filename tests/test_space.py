"""Search spaces: the exact count, canonical genomes, and what repair promises."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow import config
from spikeloom.nas.space import Space, describe, identity, repair, sparsity, spread

KINDS = ("lif", "fixed", "homeostatic", "izhikevich")


def small(**changes) -> Space:
    keys = {"layers": (1, 2), "min_width": 8, "max_width": 9, "weight_bits": (2, 5),
            "bitstream_lengths": (8, 16), "num_steps": (4,), "leak_shifts": (0, 2),
            "encoders": ("rate", "stream"), "input_sng": ("ramp", "lfsr"),
            "readouts": ("membrane", "spike_count"), "resets": ("subtract", "zero")} | changes
    return Space(config.Space(**keys), (2, 3), 4)


def everything(space: Space) -> set[str]:
    """The genome of every vector there is."""
    ranges = {name: range(lo, hi + 1) for name, (lo, hi) in space.bounds.items()}
    ranges |= {name: range(len(values)) for name, values in space.choices.items()}
    return {space.genome(dict(zip(ranges, values)))
            for values in itertools.product(*ranges.values())}


@pytest.mark.parametrize("changes", [
    {}, {"layers": (2,)}, {"layers": (1,)}, {"encoders": ("rate",)}, {"weight_bits": (2,)},
    {"readouts": ("membrane",)}, {"bitstream_lengths": (8, 16, 64)},
    {"delays": (0, 2, 3), "leak_shifts": (2,)}, {"delays": (1,), "num_steps": (4, 5)},
    {"delays": (0, 1), "encoders": ("spikes",), "num_steps": (1, 2, 3)},
    {"delays": (0, 2), "delay_seeds": (0, 1, 7), "leak_shifts": (2,)},
    {"neurons": KINDS, "betas": (3, 7), "adaptations": ((4, 1, 8, 255), (1, 1, 1, 9)),
     "presets": ("chattering", "fast_spiking"), "weight_bits": (2,), "encoders": ("rate",)},
    {"neurons": ("fixed",), "refractory": (0, 2), "weight_bits": (2,)},
    {"sparsities": (0.7, 0.0, 0.5), "leak_shifts": (2,), "weight_bits": (2,)},
    {"neurons": ("fixed", "izhikevich"), "weight_bits": (2,), "encoders": ("spikes",)},
])
def test_the_size_is_the_number_of_different_genomes(changes):
    space = small(**changes)
    assert space.size() == len(everything(space))


def test_the_default_space_on_digits():
    space = Space(config.Space(), (8, 8), 10)
    # 32 pairs of weight bits and length, 249 widths, 6 * 5 * (1 + 1) settings of the network.
    assert space.size() == 60 * (32 + 249 * 32**2 + 249**2 * 32**3)


def test_later_genes_leave_a_space_without_them_as_it_was():
    """The vectors of the digits search, and so its front, hang on these draws."""
    space = Space(config.Space(), (8, 8), 10)
    rng = np.random.default_rng(7)
    vectors = [space.sample(rng) for _ in range(50)]
    found = hashlib.sha256("".join(map(space.genome, vectors)).encode()).hexdigest()
    assert found[:16] == "12aff00ea99ec9e1"
    assert set(space.choices) == {"leak_shift", "encoder", "sng", "input_sng", "readout", "reset"}


def wide(**changes) -> Space:
    return small(**{"neurons": KINDS, "betas": (3, 7), "delays": (0, 4, 8), "num_steps": (6, 12),
                    "refractory": (0, 2), "adaptations": ((4, 1, 8, 255), (1, 1, 1, 9)),
                    "presets": ("chattering", "fast_spiking"),
                    "encoders": ("rate", "spikes")} | changes)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_genome_and_its_graph_say_the_same(seed):
    space = wide()
    genome = space.genome(space.sample(np.random.default_rng(seed)))
    item, graph = json.loads(genome), space.graph(genome)
    assert [layer.get("delay", 0) for layer in item["layers"]] == [
        dense.max_delay for dense, _ in graph.layers]
    assert sum(dense.max_delay for dense, _ in graph.layers) < graph.num_steps
    first, last = graph.layers[0][1].neuron, graph.layers[-1][1].neuron
    assert first.kind == item.get("neuron", "lif")
    if first.kind == "izhikevich":
        assert last.kind == ("lif" if graph.readout.kind == "membrane" else "izhikevich")
        assert "refractory" not in item and "reset" not in item
    else:
        assert last == first and first.refractory == item.get("refractory", 0)
    assert ("leak_shift" in item) == (last.kind in ("lif", "homeostatic"))
    words = describe(genome)
    assert ("d8" in words) == (8 in [dense.max_delay for dense, _ in graph.layers])
    assert ("rest=2" in words) == (item.get("refractory") == 2)


def test_different_genomes_are_different_graphs():
    space = wide(weight_bits=(2,), bitstream_lengths=(8,), max_width=8, leak_shifts=(2,),
                 num_steps=(9,), presets=("chattering",))
    genomes = everything(space)
    assert len({space.graph(genome).digest() for genome in genomes}) == len(genomes)
    assert len(genomes) == space.size()


@pytest.mark.parametrize(("largest", "axons", "wanted"), [
    (0, 5, 0), (3, 1, 3), (8, 2, (0, 8)), (3, 4, (0, 1, 2, 3)), (2, 6, (0, 0, 1, 1, 2, 2)),
])
def test_delays_are_spread_evenly(largest, axons, wanted):
    assert spread(largest, axons) == wanted


def test_delays_are_drawn_from_a_seed():
    drawn = [spread(4, 50, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2] and set(drawn[0]) == {0, 1, 2, 3, 4}


def test_inactive_genes_do_not_count():
    space = small(layers=(1, 2))
    rng = np.random.default_rng(0)
    vector = space.sample(rng) | {"layers": 0, "encoder": 0, "readout": 0, "weight_bits0": 0}
    other = vector | {"width0": 17 - vector["width0"], "input_sng": 1 - vector["input_sng"],
                      "reset": 1 - vector["reset"], "length1": 1 - vector["length1"]}
    assert space.genome(vector) == space.genome(other)
    other = vector | {"length0": 1 - vector["length0"]}
    assert space.genome(vector) != space.genome(other)
    item = json.loads(space.genome(vector))
    assert "input_sng" not in item and "reset" not in item and "width" not in item["layers"][0]


def test_every_genome_is_a_graph_with_legal_streams():
    space = small()
    for genome in everything(space):
        graph = space.graph(genome)
        assert graph.stage == "shape" and graph.layers[-1][0].out_features == 4
        assert graph.input.size == 6
        for dense, _ in graph.layers:
            assert dense.weight_bits - 1 <= dense.bits


def test_a_stream_too_short_for_its_weights_is_lengthened():
    space = small(layers=(1,))
    vector = space.sample(np.random.default_rng(0)) | {"weight_bits0": 1, "length0": 0}
    layer = json.loads(space.genome(vector))["layers"][0]
    assert layer == {"weight_bits": 5, "bitstream_length": 16}


def test_sampling_is_within_bounds_and_log_uniform_in_width():
    space = Space(config.Space(), (8, 8), 10)
    rng = np.random.default_rng(1)
    vectors = [space.sample(rng) for _ in range(2000)]
    widths = np.array([vector["width0"] for vector in vectors])
    assert widths.min() == 8 and 200 < widths.max() <= 256
    assert 40 <= np.median(widths) <= 52  # sqrt(8 * 257) = 45
    for vector in vectors:
        assert all(lo <= vector[name] <= hi for name, (lo, hi) in space.bounds.items())
    assert {space.sample(rng, layers=2)["layers"] for _ in range(20)} == {2}


def synapses(space: Space, genome: str) -> int:
    return sum(d.in_features * d.out_features for d, _ in space.graph(genome).layers)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), limit=st.sampled_from([640, 1200, 5000, 20000]))
def test_repair_makes_a_candidate_fit_and_only_smaller(seed, limit):
    space = Space(config.Space(), (8, 8), 10)
    rng = np.random.default_rng(seed)
    vector = space.sample(rng)
    fixed = repair(space, vector, lambda g: max(0, synapses(space, g) - limit), rng)
    assert synapses(space, space.genome(fixed)) <= limit
    assert all(fixed[name] <= vector[name] for name in space.bounds)
    assert all(fixed[name] == vector[name] for name in space.choices)
    if synapses(space, space.genome(vector)) <= limit:
        assert fixed == vector


def test_repair_gives_up_where_nothing_helps():
    space = small()
    rng = np.random.default_rng(0)
    assert repair(space, space.sample(rng), lambda genome: 1.0, rng) is None


def test_a_share_of_zeros_is_of_the_genome_and_not_of_the_graph():
    space = small(sparsities=(0.7, 0.0))
    vector = space.sample(np.random.default_rng(0))
    dense, sparse = (space.genome(vector | {"sparsity": n}) for n in (0, 1))
    assert (sparsity(dense), sparsity(sparse)) == (0.0, 0.7)
    assert describe(sparse) == describe(dense) + " zeros=0.7"
    assert space.graph(dense).digest() == space.graph(sparse).digest()


def test_names_of_a_genome():
    space = Space(config.Space(), (8, 8), 10)
    vector = {name: lo for name, (lo, _) in space.bounds.items()} | {"layers": 1, "width0": 24}
    vector |= dict.fromkeys(space.choices, 0) | {"encoder": 1}
    genome = space.genome(vector)
    assert describe(genome) == "stream 24w2/8-w2/8 T=2 leak=no"
    assert len(identity(genome)) == 12 and identity(genome) != identity(genome + " ")
