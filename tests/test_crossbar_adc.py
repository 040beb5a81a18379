"""Converters: clipping and rounding, what they see, the ranges that suit it."""

import numpy as np
import pytest
from networks import random_graph, random_images

from spikeloom.flow.errors import ConfigError
from spikeloom.sim.crossbar import adc, network
from spikeloom.sim.crossbar.adc import Seen
from spikeloom.sim.crossbar.effects import Effects


def test_a_converter_clips_and_rounds_to_its_steps():
    counts = np.array([-3.0, 0.4, 0.6, 6.9, 14.6, 99.0])
    assert adc.convert(counts, 4, 15.0).tolist() == [0, 0, 1, 7, 15, 15]
    assert adc.convert(counts, 2, 12.0).tolist() == [0, 0, 0, 8, 12, 12]
    assert adc.convert(counts, 1, 7.0).tolist() == [0, 0, 0, 7, 7, 7]
    # 4 bits over 64 counts: 15 steps of 64 / 15, wrong by half of one at most
    spread = np.linspace(0, 64, 1001)
    assert np.abs(adc.convert(spread, 4, 64.0) - spread).max() == pytest.approx(32 / 15, rel=0.01)


def test_the_width_that_loses_nothing():
    assert [adc.lossless_bits(most) for most in (0, 1, 2, 15, 16, 64)] == [1, 1, 2, 4, 5, 7]
    assert adc.lossless_scale(10, 4) == 15 and adc.lossless_scale(64, 4) == 64
    for most in (1, 7, 24, 64):
        counts = np.arange(most + 1.0)
        bits = adc.lossless_bits(most)
        assert adc.convert(counts, bits, adc.lossless_scale(most, bits)) == pytest.approx(counts)


def seen(*batches, scales=(1, -1)):
    found = Seen(scales=scales)
    for batch in batches:
        found.add(np.array(batch, float))
    return found


def test_a_histogram_by_column_and_count():
    found = seen([[0, 2, 1, 2]], [[5, 0.26, -1, 0]])
    assert found.least == -1 and found.most == 5
    assert found.counts.sum(1).tolist() == [4, 4]
    assert found.histogram() == [4, 1, 2, 0, 0, 1]
    assert found.counts[0][[0, 16, 80]].tolist() == [2, 1, 1], "columns of scale 1: 0, 1, 5, -1"
    assert found.values[found.counts[1] > 0].tolist() == [0, 0.25, 2]


def test_ranges_by_each_method():
    values = np.repeat([0, 1, 2, 3, 30], [5000, 5000, 3000, 1998, 2])
    found = seen(values[:, None], scales=(1,))
    assert adc.full_scale(found, 4, "max") == 30
    assert adc.full_scale(found, 4, "percentile", 99.9) == 3
    assert adc.full_scale(found, 4, "percentile", 100) == 30
    mse = adc.full_scale(found, 4, "mse")
    assert mse == 15, "steps of one count, and the few at 30 clipped"
    errors = {scale: np.square(adc.convert(values, 4, scale) - values).sum()
              for scale in (mse, 3, 10, 20, 30)}
    assert min(errors, key=errors.get) == mse
    weighted = seen(np.stack([values, np.where(values == 30, 30, 0)], 1), scales=(1, 64))
    assert adc.full_scale(weighted, 4, "mse") == 30, "what the heavy column sees comes first"


def test_nothing_seen_has_a_range_too():
    assert adc.full_scale(seen(), 4, "max") == 1.0
    assert adc.full_scale(seen([[0, 0], [-1, 0]]), 4, "mse") == 1.0
    assert adc.full_scale(seen([[0.01, 0]]), 4, "mse") == 0.01


@pytest.mark.parametrize("options,words", [
    ({"method": "least"}, "unknown method 'least'"),
    ({"percentile": 0}, "percentile must be more than 0 and at most 100, not 0"),
    ({"percentile": 101}, "not 101"),
])
def test_wrong_calibrations_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        adc.full_scale(seen([[1, 2]]), 4, **options)


def test_calibration_takes_error_out_of_a_network():
    rng = np.random.default_rng(3)
    graph = random_graph(rng, sizes=(64, 20, 5), encoder="rate", readout="spike_count",
                         num_steps=6)
    images = random_images(rng, graph, 40)
    observed = network.observe(graph, images)
    assert observed["fc1"].counts.sum() == 6 * 40 * 20 * 6 and observed["fc2"].scales[-1] == -4
    assert observed["fc1"].most == float(int(observed["fc1"].most)), "counts are whole"
    effects = Effects(adc_bits=3, full_scale="calibrated")
    ideal = network.program(graph).run(images, trace=True).current[0]
    wrong = {}
    for method in adc.METHODS:
        ranges = network.calibrate(graph, images, effects=effects, method=method)
        chip = network.program(graph, effects=effects, ranges=ranges)
        assert {name: item.full_scale for name, item in chip.layers.items()} == ranges
        wrong[method] = np.square(chip.run(images, trace=True).current[0] - ideal).mean()
    lossless = network.program(graph, effects=Effects(adc_bits=3)).run(images, trace=True)
    assert wrong["mse"] <= min(wrong.values())
    assert wrong["mse"] < 0.5 * np.square(lossless.current[0] - ideal).mean()
    fixed = network.program(graph, effects=Effects(adc_bits=3, full_scale=9.0))
    assert fixed.layers["fc2"].full_scale == 9.0
    assert fixed.with_ranges({"fc1": 3.0, "fc2": 4.0}).layers["fc1"].full_scale == 3.0
