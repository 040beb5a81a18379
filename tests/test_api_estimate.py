"""Estimates from Python: that they are what the cost model says, and what they refuse."""

import math
from types import SimpleNamespace

import pytest

from spikeloom.flow import estimated
from spikeloom.flow.cost.estimate import estimate as predicted
from spikeloom.flow.errors import ConfigError
from spikeloom.nas import estimate
from spikeloom.nas.api import targets
from spikeloom.nas.api.space import plain_graph

SIZES = [(64, 16), (16, 10)]


def test_it_is_the_cost_models():
    found = estimate(SIZES, target="ice40", bitstream_length=64)
    wanted = predicted(plain_graph([64, 16, 10], 64, 3), "UP5K")
    assert found.luts == round(wanted.lc) and found.cycles == wanted.cycles
    assert found.luts_low < found.luts < found.luts_high and found.fits and not found.problem
    assert found.memory_bits == 3 * (64 * 16 + 160) and found.ebr == wanted.ebr
    assert 0 < found.energy_low_nj < found.energy_nj
    assert found.latency_us == pytest.approx(found.cycles / 12)
    text = found.summary()
    assert "ESTIMATE of 64-16-10, L=64, for iCEBreaker (UP5K)" in text and "fits: yes" in text
    assert f"~{found.luts:,}" in text and "drawn from a fixed seed" in text


def test_what_does_not_fit_says_by_how_much():
    found = estimate([(64, 60), (60, 60), (60, 10)], target="hx1k", bitstream_length=8)
    assert not found.fits and "do not fit the HX1K's 1,280" in found.summary()


def test_an_up5k_keeps_the_weights_of_large_layers_in_its_spram():
    sizes = [(784, 128), (128, 10)]
    assert estimate(sizes, target="up5k", bitstream_length=8).fits
    found = estimate(sizes, target="hx8k", bitstream_length=8)
    assert not found.fits and "EBRs do not fit the HX8K's 32" in found.problem


def test_a_layer_without_hidden_ones_will_do():
    assert estimate([(64, 10)], bitstream_length=8).luts < 2000


def test_energy_that_is_not_known_is_nan(monkeypatch):
    found = estimate(SIZES, target="lp1k", bitstream_length=8)
    assert math.isnan(found.energy_nj) == ("no figures" in found.summary())


def test_other_families_are_counted_by_yosys(monkeypatch):
    asked = []

    def synthesise(graph, target, **options):
        asked.append((graph.stage, target))
        return SimpleNamespace(luts=1234, fits=True, problem="")

    monkeypatch.setattr(estimated, "synthesise", synthesise)
    found = estimate(SIZES, target="artix7", bitstream_length=32)
    assert asked == [("scheduled", "artix7")] and found.luts == 1234
    assert math.isnan(found.energy_nj) and not found.target.measured
    assert "Yosys counted the LUTs, nothing was placed and routed" in found.summary()


@pytest.mark.parametrize("sizes, options, words", [
    ([], {}, "layer_sizes must have at least one layer, not none"),
    ([64, 10], {}, "layer_sizes must be a list of pairs (inputs, outputs), not [64, 10]"),
    ([(64, 16), (32, 10)], {}, "layer_sizes must follow each other: 16 outputs are not 32 inputs"),
    ([(64, 1)], {}, "layer_sizes: classes must be an integer in 2..256, not 1"),
    (SIZES, {"bitstream_length": 48}, "bitstream_length must be a power of two in 8..512, not 48"),
    (SIZES, {"bitstream_length": 8, "weight_bits": 5}, "weight_bits must be an integer in 2..4"),
    (SIZES, {"target": "up6k"}, "target: unknown target 'up6k'; did you mean 'up5k'?"),
    ([(60000, 4096), (4096, 10)], {}, "layer_sizes must have at most 4,194,304 synapses, not "),
])
def test_what_cannot_be_estimated_is_refused(sizes, options, words):
    with pytest.raises(ConfigError) as error:
        estimate(sizes, **options)
    assert words in str(error.value)


@pytest.mark.parametrize("name, board", [
    ("ice40", "icebreaker"), ("UP5K", "icebreaker"), ("ice40up5k", "icebreaker"),
    ("ice40-hx8k", "ice40_hx8k_b_evn"), ("hx1k", "icestick"), ("lp8k", "tinyfpga_bx"),
    ("lp1k", "icesugar_nano"), ("upduino_v3", "upduino_v3"),
    ("ice40_hx8k_b_evn", "ice40_hx8k_b_evn")])
def test_names_of_targets(name, board):
    found = targets.find(name)
    assert found.board.name == board and found.measured and "routed" in found.what


@pytest.mark.parametrize("name", estimated.TARGETS)
def test_families_without_boards_are_marked(name):
    found = targets.find(name)
    assert not found.measured and found.what.startswith("ESTIMATES")
    assert found.luts == estimated.TARGETS[name].capacity["luts"] and found.ebr > 100
