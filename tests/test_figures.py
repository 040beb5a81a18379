"""Figures of the benchmark that are cheap enough to be tried at a small size."""

from spikeloom.nas.bench import Bench
from spikeloom.nas.figures import rungs


def test_the_digits_network_on_a_rung(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    equal, different, figures, detail = rungs.replay(Bench(lambda text: None), "rtl", 1)
    assert (equal, different) == (1, 0) and figures["clock_edges"] > 10_000
    assert f"{3 * 8 * 42 + 11:,} membranes, spikes, currents, scores and classes of 1 " in detail
