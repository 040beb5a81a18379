"""Builds for the bitstream rung: another seed where nextpnr finds no way."""

import types

import pytest

from spikeloom.flow import targets
from spikeloom.flow.errors import FitError
from spikeloom.sim import bitstream

BOARD = targets.board("icestick")
GRAPH = types.SimpleNamespace(digest=lambda: "d")


def fake(monkeypatch, fits, lc=900):
    """A build that fits with the seeds in `fits`; returns the seeds that are asked for."""
    asked = []

    def made(graph, board, *, seed, **options):
        asked.append(seed)
        return types.SimpleNamespace(fits=seed in fits, lc=lc, ebr=1, problem="no way")

    monkeypatch.setattr(bitstream, "build_graph", made)
    return asked


def test_the_first_seed_that_routes_is_taken(monkeypatch, tmp_path):
    asked = fake(monkeypatch, fits={3})
    assert bitstream.routed(None, GRAPH, BOARD, tmp_path, False, None).fits
    assert asked == [1, 2, 3]


def test_a_design_that_is_too_large_is_not_tried_again(monkeypatch, tmp_path):
    asked = fake(monkeypatch, fits=set(), lc=1281)
    with pytest.raises(FitError, match="icestick: no way"):
        bitstream.routed(None, GRAPH, BOARD, tmp_path, False, None)
    assert asked == [1]


def test_after_the_last_seed_it_is_refused(monkeypatch, tmp_path):
    asked = fake(monkeypatch, fits=set())
    with pytest.raises(FitError):
        bitstream.routed(None, GRAPH, BOARD, tmp_path, False, None)
    assert asked == list(bitstream.SEEDS)
