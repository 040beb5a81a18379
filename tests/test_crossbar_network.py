"""Networks on crossbars: equal to the reference model with nothing wrong; what each effect does."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from networks import maps, networks, random_graph, random_images, residual_graph

from spikeloom.flow.cim import mapper, shapes
from spikeloom.flow.cim.array import ENCODINGS, Array
from spikeloom.flow.cim.devices import States
from spikeloom.flow.errors import ConfigError, FitError, GraphError
from spikeloom.sim import reference
from spikeloom.sim.compare import ALL, compare
from spikeloom.sim.crossbar import layer, network
from spikeloom.sim.crossbar.effects import Effects

arrays = st.builds(Array, rows=st.integers(1, 9), cols=st.integers(18, 40),
                   cell_bits=st.integers(1, 4), encoding=st.sampled_from(ENCODINGS))
#: As many steps as the longest column of those arrays can count.
LOSSLESS = Effects(adc_bits=8)


def rated(seed=0, sizes=(64, 32, 10), images=60, **options):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, sizes=sizes, encoder="rate", readout="spike_count", num_steps=8,
                         **options)
    return graph, random_images(rng, graph, images)


def equal(graph, images, array=None, effects=None):
    wanted = reference.run(graph, images, trace=True)
    return compare(wanted, network.program(graph, array, effects).run(images, trace=True),
                   ALL) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), arrays, st.sampled_from([Effects(), LOSSLESS]))
def test_chains_are_equal_with_nothing_wrong(graph, array, effects):
    assert equal(graph, random_images(np.random.default_rng(1), graph, 2), array, effects)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(maps(), arrays, st.sampled_from([Effects(), LOSSLESS]))
def test_maps_are_equal_with_nothing_wrong(graph, array, effects):
    assert equal(graph, random_images(np.random.default_rng(1), graph, 2), array, effects)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_residual_network_in_passes_over_its_batch(encoding, monkeypatch):
    graph = residual_graph(np.random.default_rng(2), encoder="rate", readout="spike_count")
    images = random_images(np.random.default_rng(3), graph, 3)
    monkeypatch.setattr(layer, "_NUMBERS", 1)
    assert equal(graph, images, Array(encoding=encoding), Effects(adc_bits=7))


def test_no_images_are_no_classes():
    graph, images = rated()
    assert network.program(graph, effects=Effects(read_noise=0.1)).run(images[:0]).scores.shape == (
        0, 10)


def test_digits_lie_where_the_plan_says():
    graph = residual_graph(np.random.default_rng(4), encoder="rate", channels=5)
    array = Array(rows=3, cols=16, cell_bits=2)
    plan = mapper.map_network(shapes.of_graph(graph), array)
    chip = network.program(graph, array)
    assert [mapped.layer.name for mapped in plan.layers] == list(chip.layers)
    for mapped in plan.layers:
        item = chip.layers[mapped.layer.name]
        cells = item.digits.cells.reshape(-1, array.rows, array.cols)
        crossbars = list(mapped.crossbar_list(array))
        assert len(cells) == mapped.crossbars == len(crossbars)
        weight = reference.effective_weights(item.node)
        weight = weight.reshape(*weight.shape[:2], -1) if weight.ndim > 2 else weight[:, :, None]
        for found, where in zip(cells, crossbars, strict=True):
            held = found[:where.rows_used, :where.outputs_used * mapped.columns_per_weight]
            held = held.reshape(where.rows_used, where.outputs_used, -1) @ np.array(
                item.digits.scales) - item.digits.offset
            position = where.ky * mapped.layer.kernel_size + where.kx
            wanted = weight[slice(*where.outputs), slice(*where.inputs), position].T
            assert (held * item.digits.unit == wanted).all()
            found[:where.rows_used, :where.outputs_used * mapped.columns_per_weight] = 0
            assert not found.any(), "cells that hold no weight"


ONE_BY_ONE = {
    "variation": Effects(variation=0.1), "stuck on": Effects(stuck_on=0.02),
    "stuck off": Effects(stuck_off=0.05), "drift": Effects(drift_nu=0.05, drift_ratio=1e4),
    "read noise": Effects(read_noise=0.1), "columns": Effects(ir_drop="columns"),
    "full": Effects(ir_drop="full"), "adc": Effects(adc_bits=3),
}


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_each_effect_alone_changes_currents_and_repeats(name):
    graph, images = rated()
    array = Array(r_row=5.0)
    first, second, other = (network.program(graph, array, ONE_BY_ONE[name], seed=seed, draw=draw
                                            ).run(images, trace=True)
                            for seed, draw in ((1, 0), (1, 0), (1, 1)))
    ideal = reference.run(graph, images, trace=True)
    assert compare(first, second, ALL) == []
    assert (first.current[0] != ideal.current[0]).mean() > 0.05
    assert bool(compare(first, other, ALL)) == ONE_BY_ONE[name].random
    assert len(ONE_BY_ONE[name].on) == 1 and Effects().on == ()


def test_effects_do_not_change_what_others_draw():
    graph, _ = rated()
    alone = network.program(graph, effects=Effects(variation=0.1)).layers["fc1"]
    both = network.program(graph, effects=Effects(variation=0.1, stuck_on=0.1, stuck_off=0.2)
                           ).layers["fc1"]
    cells = both.cells
    kept = ~np.isin(both.G, [cells.on, cells.off])
    assert (alone.G == both.G)[kept].all() and 0.69 < kept.mean() < 0.71
    assert [(both.G == G).mean() for G in (cells.on, cells.off)] == pytest.approx(
        [0.1, 0.2], abs=0.01)


def test_cells_vary_drift_and_stick_in_that_order():
    graph, _ = rated()
    drifted = network.program(graph, effects=Effects(drift_nu=0.1, drift_ratio=100, stuck_on=0.1))
    G = drifted.layers["fc1"].G
    assert np.unique(G / 1e-6).round(9).tolist() == pytest.approx(
        [5 * 100 ** -0.1, 50 * 100 ** -0.1, 50])


def test_without_converters_a_layer_is_its_effective_weights():
    graph = residual_graph(np.random.default_rng(6), encoder="rate", channels=3)
    images = random_images(np.random.default_rng(7), graph, 2)
    effects = Effects(variation=0.2, ir_drop="columns")
    chip = network.program(graph, Array(rows=2, encoding="offset"), effects, seed=9)
    found = {}

    def currents(node, x):
        item = chip.layers[node.name]
        found[node.name] = np.abs(item.currents(x) - _sums(x, item.weights, node)).max()
        return reference.product(x, reference.effective_weights(node), node)

    reference.run(graph, images, synapses=currents)
    assert len(found) == 4 and max(found.values()) <= 0.5 + 1e-9
    ideal = network.program(graph)
    for synapses, _ in graph.layers:
        assert ideal.layers[synapses.name].weights == pytest.approx(
            reference.effective_weights(synapses), abs=1e-9)


def _sums(x, weights, node):
    """Sums of inputs over real weights."""
    scaled = np.rint(weights * 2**30).astype(np.int64)
    return reference.product(x, scaled, node) / 2**30


def test_wires_take_from_every_count():
    graph, _ = rated()
    array = Array(r_row=5.0)
    chips = [network.program(graph, array, Effects(ir_drop=kind)).layers["fc1"].counts
             for kind in ("none", "columns", "full")]
    assert (chips[0] > chips[1] + 1e-9).all()
    assert chips[0].sum() > chips[1].sum() > chips[2].sum() > 0.5 * chips[0].sum()


def test_read_noise_has_the_spread_of_its_cells():
    graph, _ = rated(sizes=(50, 1))
    item = network.program(graph, effects=Effects(read_noise=0.05)).layers["fc1"]
    seen = network.program(graph, effects=Effects(read_noise=0.05)).watch()["fc1"]
    x = np.ones((1, 20000, 50), np.int64)
    item.currents(x, seen)
    wanted = 0.05 * np.sqrt(np.square(item.G[0, 0, 0, :50, :6]).sum(0)) / item.cells.step
    middle = (seen.counts * seen.values).sum(1) / 20000
    spread = np.sqrt((seen.counts * np.square(seen.values - middle[:, None])).sum(1) / 20000)
    assert spread == pytest.approx(wanted, rel=0.05)


def test_a_table_of_states_bends_what_digits_are_worth():
    graph, images = rated()
    array = Array(cell_bits=2)
    even = States(np.array([1e-6, 2e-6, 3e-6, 4e-6]), np.zeros(4))
    bent = States(np.array([1e-6, 2.5e-6, 3.5e-6, 4e-6]), np.zeros(4))
    wanted = reference.run(graph, images, trace=True)
    found = [network.program(graph, array, table=table).run(images, trace=True)
             for table in (even, bent)]
    assert compare(wanted, found[0], ALL) == [] and compare(wanted, found[1], ALL)
    with pytest.raises(ConfigError, match="must have 2 of 1 bits a cell, not 4"):
        network.program(graph, Array(), table=bent)
    item = network.program(graph, array, Effects(variation=1.0, variation_law="states"),
                           table=with_sigma(bent)).layers["fc1"]
    assert np.ptp(item.G[item.digits.cells == 3]) > 0
    assert np.ptp(item.G[item.digits.cells == 0]) == 0


def with_sigma(table):
    return States(table.mean, np.array([0, 0, 0, 1e-7]))


def test_what_cannot_be_programmed_is_refused():
    graph, _ = rated()
    with pytest.raises(FitError, match="a weight takes 6 columns"):
        network.program(graph, Array(cols=5))
    with pytest.raises(ConfigError, match="r_on must be less than r_off"):
        network.program(graph, structs.replace(Array(), r_on=3e5))
    with pytest.raises(ConfigError, match="no range has been calibrated"):
        network.program(graph, effects=Effects(adc_bits=4, full_scale="calibrated"))
    changes = {name: {"weight": None, "bias": None} for name in ("fc1", "fc2")}
    with pytest.raises(GraphError, match="hold integer graphs, not stage 'shape'"):
        network.program(graph.replace(**changes))


@pytest.mark.parametrize("changes,words", [
    ({"variation": -0.1}, "variation must be 0 or more and finite, not -0.1"),
    ({"variation": float("nan")}, "variation must be 0 or more"),
    ({"variation_law": "normal"}, "variation_law must be one of proportional"),
    ({"stuck_on": 1.5}, r"stuck_on must be in 0\.\.1, not 1.5"),
    ({"stuck_on": 0.6, "stuck_off": 0.5}, r"stuck_off must be in 0\.\.1 - stuck_on, not 0.5"),
    ({"drift_ratio": 0.5}, "drift_ratio must be 1 or more"),
    ({"ir_drop": "rows"}, "ir_drop must be one of none, columns, full, not rows"),
    ({"adc_bits": 0}, r"adc_bits must be in 1\.\.16, not 0"),
    ({"full_scale": "largest"}, "full_scale must be lossless or calibrated, or counts"),
    ({"full_scale": 0.0}, "full_scale must be lossless or calibrated, or counts, more than 0"),
])
def test_absurd_effects_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        network.program(rated(sizes=(4, 2))[0], effects=Effects(**changes))
