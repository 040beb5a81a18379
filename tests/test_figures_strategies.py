"""Figures of the searches over cells, at a small size."""

from spikeloom.nas.figures import strategies


def test_networks_are_counted_and_times_stand_beside(monkeypatch):
    monkeypatch.setattr(strategies, "SAMPLE", 1)
    monkeypatch.setattr(strategies, "seconds", lambda genomes, rng: 0.5)
    found = strategies.speedups(None)
    value, detail = found["strategies.spikenas_speedup"]
    assert value == 5000 / 77 and "over 77 different networks of spikenas" in detail
    assert "over the 128 of the paper 39.1" in detail
    value, detail = found["strategies.neuronas_speedup"]
    assert value == 5000 / 965 >= 5 and "by wall time 5.2" in detail


def test_no_limit_is_broken_and_impossible_ones_are_named(monkeypatch):
    monkeypatch.setattr(strategies, "SHARES", {"weights": (0.0, 1.0), "cim_ms": (0.4,)})
    value, detail = strategies.violations(None)["strategies.neuronas_violations"]
    assert value == 0 and "of 1 that nothing meets none is returned" in detail
    assert "as published returns 1 that break a limit" in detail
