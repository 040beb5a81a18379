"""Figures of MNIST that need no search: rates, and the weights that lanes take, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from spikeloom.flow import ir
from spikeloom.flow.cost.structure import assume_weights
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.hdl.neurons import Lif
from spikeloom.nas.bench import Bench, Unmeasured, names
from spikeloom.nas.datasets import Split
from spikeloom.nas.figures import mnist
from spikeloom.sim import reference
from spikeloom.sim.seen import cycles

LANES, CLASSES, PIXELS = 4, 3, 16


def network(hidden: int = 8) -> ir.Graph:
    layer = {"weight_bits": 3, "bitstream_length": 8, "sng": "sobol1",
             "neuron": Lif(v_threshold=9), "lowering": "folded", "memory": "spram"}
    shape = ir.chain(shape=(4, 4), encoder="stream", input_sng="ramp", readout="membrane",
                     num_steps=3, layers=[{"out_features": n, "lanes": min(n, LANES), **layer}
                                          for n in (hidden, CLASSES)])
    return compile_graph(assume_weights(shape))


def images(count: int, dark: float) -> Split:
    rng = np.random.default_rng(5)
    pixels = rng.integers(1, 256, (count, PIXELS)) * (rng.random((count, PIXELS)) >= dark)
    return Split(pixels.astype(np.uint8), np.zeros(count, np.int64))


def test_weights_that_lanes_take():
    graph, split = network(), images(6, 0.5)
    share, busy = mnist.fetched(graph, split.inputs)
    # each pixel whose code is not 0 takes 8 weights in two clocks of four lanes
    lit = (reference.stream_codes(split.inputs, 3) > 0).sum()
    spikes = reference.run(graph, split.inputs).fired[0].sum()  # each: three weights, a clock
    # of 3 bits, of which four SPRAMs have 64 a clock, not just the 12 of these lanes
    assert share == pytest.approx((lit * 8 + spikes * 3) / (busy * 6 * 64 / 3))
    assert 0 < busy <= np.mean(cycles(graph, split.inputs))


def test_rates_follow_from_clocks(monkeypatch):
    graph, split = network(), images(10, 0.3)
    opened = SimpleNamespace(graph=lambda: graph)
    outcome = {"report": {"clock_mhz": 24.0, "fmax_mhz": 30.0}}
    monkeypatch.setattr(mnist, "data", lambda: SimpleNamespace(test=split))
    monkeypatch.setattr(mnist, "searched", lambda bench: (opened, outcome))
    found = mnist.rates(Bench(lambda text: None))
    clocks = np.mean(cycles(graph, split.inputs))
    assert set(found) <= set(names())
    assert found["mnist.images_per_second"][0] == pytest.approx(24e6 / clocks)
    line = 10 * 4 * (6 + PIXELS + 6 + 5 + 3 * CLASSES + 1)
    assert found["mnist.link_images_per_second"][0] == pytest.approx(24e6 / line)


def test_without_the_files_nothing_is_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKELOOM_DATASETS", str(tmp_path))
    with pytest.raises(Unmeasured, match="cannot be read"):
        mnist.searched(Bench(lambda text: None))
    notes = []
    assert Bench(notes.append).run(["mnist128.lc"], tmp_path / "bench.json") == []
    assert any(note.startswith("not measured: ") for note in notes)
