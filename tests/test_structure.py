"""Structure: what is counted of a design equals what the gateware instantiates."""

import gc

import numpy as np
import pytest
from amaranth.hdl import Fragment, Module
from networks import random_graph, residual_graph

from spikeloom.flow import ir, targets
from spikeloom.flow.cost.features import VERSION, describe
from spikeloom.flow.cost.measured import Measurement
from spikeloom.flow.cost.predict import CHARACTERISED
from spikeloom.flow.cost.spatial import packed
from spikeloom.flow.cost.store import read_lines
from spikeloom.flow.cost.structure import assume_weights, structure
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles, load_cycles
from spikeloom.flow.synthesis import build_graph
from spikeloom.hdl.packing import pack_neuron


def shipped() -> tuple[list, dict[str, ir.Graph]]:
    """The measurements that come with the package, and their networks by design."""
    with CHARACTERISED.open("rb") as file:
        lines = list(read_lines(file, str(CHARACTERISED)))
    return ([item for item in lines if isinstance(item, Measurement)],
            {item[0]: ir.from_bytes(item[1], item[0]) for item in lines
             if not isinstance(item, Measurement)})


@pytest.mark.parametrize("max_shift", [0, 1, 3])
@pytest.mark.parametrize("zeros", [0.0, 0.6, 1.0])
def test_slots_are_those_of_the_gateware(max_shift, zeros):
    rng = np.random.default_rng(max_shift)
    for size, inputs, length in ((1, 1, 8), (3, 7, 8), (9, 40, 16), (5, 64, 128)):
        weights = rng.integers(-length, length + 1, (size, inputs))
        weights[rng.random(weights.shape) < zeros] = 0
        signs = [pack_neuron(row, length, max_shift) for row in weights]
        each = [len(pair[sign]) for sign in (0, 1) for pair in signs]
        slots = {(sign, slot) for pair in signs for sign in (0, 1) for slot in pair[sign]}
        ups = [slot.up for _, slot in slots]
        downs = [slot.down for _, slot in slots if slot.down is not None]
        found = packed(weights, length, max_shift)
        assert found.each.tolist() == each
        assert found.distinct == len(slots)
        assert found.ups.tolist() == sorted({count for _, count in ups})
        assert found.downs.tolist() == sorted({count for _, count in downs})
        assert set(np.flatnonzero(found.up_inputs)) == {place for place, _ in ups}
        assert set(np.flatnonzero(found.down_inputs)) == {place for place, _ in downs}


def test_memories_are_counted_exactly_whatever_was_measured():
    measurements, graphs = shipped()
    counted = {design: structure(graph) for design, graph in graphs.items()}
    checked = 0
    for item in measurements:
        if item.counted and not item.variant and item.design in counted:
            found = counted[item.design]
            assert (found.ebr, found.spram) == (item.ebr, item.spram), item.design
            checked += 1
    assert checked >= 10


def test_features_that_ship_are_those_of_their_networks():
    measurements, graphs = shipped()
    known = {item.design: item.features for item in measurements}
    for design in sorted(graphs)[:4]:
        found = describe(structure(graphs[design]))
        assert found["version"] == VERSION == known[design]["version"]
        assert set(found) == set(known[design])
        for name, value in found.items():
            assert value == pytest.approx(known[design][name], abs=1e-6), name


@pytest.mark.parametrize("encoder,readout,lanes,lowering", [
    ("stream", "membrane", None, "spatial"), ("rate", "spike_count", None, "spatial"),
    ("stream", "membrane", [3, 2], "spatial"), ("rate", "membrane", [4, 2], "folded")])
def test_the_count_is_near_the_measurement(encoder, readout, lanes, lowering):
    """EBRs and clocks are exact; cells within 15 % on a small network with its link."""
    graph = random_graph(np.random.default_rng(3), sizes=(32, 10, 5), encoder=encoder,
                         readout=readout, lanes=lanes)
    graph = compile_graph(graph.replace(fc1={"lowering": lowering}, fc2={"lowering": lowering}))
    counted = structure(graph)
    report = build_graph(graph, targets.board("icebreaker"))
    assert counted.ebr == report.ebr
    assert (counted.cycles, counted.load_cycles) == (inference_cycles(graph), load_cycles(graph))
    assert abs(counted.cells.lc / report.lc - 1) < 0.15, (counted.cells.lc, report.lc)


def test_a_graph_is_counted_alike_before_and_after_it_is_compiled():
    graph = random_graph(np.random.default_rng(2), sizes=(20, 9, 4))
    assert structure(graph).parts == structure(compile_graph(graph)).parts


def test_maps_are_counted_too():
    found = structure(residual_graph(np.random.default_rng(0)))
    assert {"walk", "lanes", "serving", "words"} <= set(found.parts) and found.ebr > 3
    assert found.cells.lc == pytest.approx(sum(part.lc for part in found.parts.values()))


def test_counting_gateware_that_is_not_built_is_no_warning(recwarn):
    """Amaranth warns of components that nothing elaborates, once anything was elaborated."""
    Fragment.get(Module(), None)
    structure(residual_graph(np.random.default_rng(0)))
    gc.collect()
    assert not recwarn.list


def test_zero_weights_cost_nothing():
    dense = random_graph(np.random.default_rng(0), sizes=(40, 8, 4), zeros=0)
    sparse = random_graph(np.random.default_rng(0), sizes=(40, 8, 4), zeros=0.7)
    assert structure(sparse).layers[0] < 0.6 * structure(dense).layers[0]


def bare(**options) -> ir.Graph:
    graph = random_graph(np.random.default_rng(0), **options)
    return graph.replace(**{name: {"weight": None, "bias": None} for name in ("fc1", "fc2")})


def test_assumed_weights_are_the_same_each_time_and_as_sparse_as_asked():
    graph = bare(sizes=(40, 30, 10))
    assert assume_weights(graph).digest() == assume_weights(graph).digest()
    for share in (0.0, 0.5, 0.9):
        for synapses, _ in assume_weights(graph, share).layers:
            assert (synapses.weight == 0).mean() >= share
            assert np.abs(synapses.weight).max() == synapses.max_code
    low, typical = (structure(assume_weights(graph, spread=spread)).cells.lc
                    for spread in (0.35, 0.7))
    assert low < typical


def test_features_tell_networks_apart_that_cost_the_same_clocks():
    rng = np.random.default_rng(1)
    dense, sparse = (describe(structure(random_graph(rng, sizes=(30, 8, 4), zeros=zeros)))
                     for zeros in (0.0, 0.7))
    assert sparse["zeros"] == pytest.approx(0.7, abs=0.15) and dense["zeros"] < 0.2
    assert sparse["synapses"] < dense["synapses"] and sparse["fan_in"] < dense["fan_in"]
    assert dense["inputs"] == 30 and dense["classes"] == 4 and dense["neurons"] == 12
    assert all(isinstance(value, float) for value in dense.values())
    assert sum(value for name, value in dense.items() if name.startswith("part_")) == \
        pytest.approx(dense["lc"])
