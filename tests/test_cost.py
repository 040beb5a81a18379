"""The structural count against a real build, and the energy model against its figures."""

import numpy as np
import pytest
from networks import random_graph, residual_graph

from spikeloom.flow import targets
from spikeloom.flow.cost.energy import energy_nj
from spikeloom.flow.cost.features import assume_weights, estimate
from spikeloom.flow.errors import ConfigError, GraphError
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.synthesis import build_graph


@pytest.mark.parametrize("encoder,readout,lanes", [
    ("stream", "membrane", None), ("rate", "spike_count", None), ("stream", "membrane", [3, 2])])
def test_the_count_is_near_the_measurement(encoder, readout, lanes):
    """EBRs are exact; cells within 15 % on a small network with its link."""
    graph = compile_graph(random_graph(np.random.default_rng(3), sizes=(32, 10, 5),
                                       encoder=encoder, readout=readout, lanes=lanes))
    counted = estimate(graph)
    report = build_graph(graph, targets.board("icebreaker"))
    assert counted.ebr == report.ebr
    assert counted.cycles == inference_cycles(graph)
    assert not counted.assumed
    assert abs(counted.lc / report.lc - 1) < 0.15, (counted.lc, report.lc)


def test_shapes_are_priced_on_assumed_weights_and_say_so():
    graph = random_graph(np.random.default_rng(0))
    bare = graph.replace(fc1={"weight": None, "bias": None}, fc2={"weight": None, "bias": None})
    assert estimate(bare).assumed
    assert estimate(bare) == estimate(bare)
    assert estimate(bare).lc == estimate(assume_weights(bare)).lc


def test_there_is_no_estimate_of_maps():
    with pytest.raises(GraphError, match="no estimate of cells: conv1 is a conv2d; build it"):
        estimate(residual_graph(np.random.default_rng(0)))


def test_zero_weights_cost_nothing():
    dense = random_graph(np.random.default_rng(0), sizes=(40, 8, 4), zeros=0)
    sparse = random_graph(np.random.default_rng(0), sizes=(40, 8, 4), zeros=0.7)
    assert estimate(sparse).layers[0] < 0.6 * estimate(dense).layers[0]


def test_energy_is_the_documented_sum():
    energy = energy_nj("UP5K", lc=1000, cycles=1200, clock_hz=12e6)
    assert energy.static_nj == pytest.approx(90e-6 * 100e-6 * 1e9)
    assert energy.clock_nj == pytest.approx(53e-12 * 1200 * 1e9)
    assert energy.logic_high_nj == pytest.approx(198e-15 * 1000 * 1200 * 1e9)
    assert energy.low_nj < energy.total_nj and not energy.borrowed
    assert energy_nj("HX8K", 1, 1, 12e6).borrowed


def test_a_device_without_figures_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'UP5K'"):
        energy_nj("UP5", 1, 1, 12e6)
