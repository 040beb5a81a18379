"""Wires of a crossbar: effective matrices against nodal analysis, a third party, and cases."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow.errors import ConfigError, SpikeloomError
from spikeloom.sim.crossbar import wires

CASES = json.loads((Path(__file__).parent / "cases" / "crossbar_ir_drop.json").read_text())["cases"]


def binary(rng, rows, cols):
    return np.where(rng.random((rows, cols)) < 0.5, 1 / 20e3, 1 / 200e3)


def worst(got, wanted):
    return np.abs(np.asarray(got) / np.asarray(wanted) - 1).max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_cases_of_nodal_analysis(case):
    G, V, wanted = (np.array(case[key]) for key in ("G_siemens", "V_volt", "I_nodal_A"))
    r_row, r_col = case["r_row_ohm"], case["r_col_ohm"]
    assert worst(V @ G, case["I_ideal_A"]) < 1e-12
    assert worst(V @ wires.effective(G, r_row, r_col), wanted) < 1e-12
    assert worst(wires.nodal(G, V, r_row, r_col)[0], wanted) < 1e-9
    if r_row == 0:
        assert worst(wires.column_currents(G, V[None], r_col)[0], wanted) < 1e-12


def test_two_cells_by_hand():
    # y = G, then G + G / (1 + 5 G): the currents of the case "hand_2x1"
    G = 1 / 20e3
    below = G + G / (1 + 5 * G)
    W = wires.effective(np.full((2, 1), G), 0, 5)
    assert W[1, 0] == pytest.approx(G / (1 + 5 * below), rel=1e-14)
    assert W[0, 0] == pytest.approx(G / (1 + 5 * G) / (1 + 5 * below), rel=1e-14)


resistances = st.one_of(st.just(0.0), st.floats(1e-3, 1e5))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7), resistances, resistances)
def test_effective_matrices_are_nodal_analysis(seed, rows, cols, r_row, r_col):
    rng = np.random.default_rng(seed)
    G = 10 ** rng.uniform(-7, -3, (2, rows, cols))
    V = rng.uniform(0, 1, (3, rows))
    W = wires.effective(G, r_row, r_col)
    for k in range(2):
        assert worst(V @ W[k], wires.nodal(G[k], V, r_row, r_col)) < 1e-9
    assert (W > 0).all() and (W.sum(2) <= G.sum(2) * (1 + 1e-12)).all(), "wires add no current"


def test_wires_lose_what_is_known_of_64_x_64():
    rng = np.random.default_rng(0)
    G, V = binary(rng, 64, 64), 0.1 * (rng.random((16, 64)) < 0.2)
    lost = [1 - (V @ wires.effective(G, r, 5.0)).sum() / (V @ G).sum() for r in (0.0, 5.0)]
    assert lost == pytest.approx([0.152, 0.272], abs=0.015)


def test_a_batch_through_columns_alone_is_what_nodal_analysis_finds():
    rng = np.random.default_rng(1)
    G, V = binary(rng, 64, 64), 0.1 * (rng.random((128, 64)) < 0.2)
    assert worst(wires.column_currents(G, V, 5.0), wires.nodal(G, V, 0.0, 5.0)) < 1e-9


def test_64_x_64_is_what_badcrossbar_computes(yardsticks):
    if not os.environ.get("CI"):
        pytest.importorskip("badcrossbar", reason="badcrossbar is missing", exc_type=ImportError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its plots, which need cairo
        import badcrossbar
    rng = np.random.default_rng(2)
    G, V = binary(rng, 64, 64), 0.1 * (rng.random((4, 64)) < 0.2)
    found = badcrossbar.compute(V.T, 1 / G, r_i_word_line=5.0, r_i_bit_line=5.0)
    assert worst(V @ wires.effective(G, 5.0, 5.0), found.currents.output) < 1e-9
    assert worst(wires.nodal(G, V, 5.0, 5.0), found.currents.output) < 1e-9


def test_rows_that_do_not_spike_draw_current():
    G = np.full((2, 1), 1e-4)
    one = wires.nodal(G, [[0.1, 0.0]], 0.0, 1e3)[0, 0]
    alone = wires.nodal(G[:1], [[0.1]], 0.0, 2e3)[0, 0]
    assert one < alone


@pytest.mark.parametrize("G,r_row,r_col,words", [
    ([[1e-5, -1e-6]], 0, 5, "0 or more siemens and finite, not -1e-06"),
    ([[float("nan")]], 0, 5, "not nan"),
    ([1e-5], 0, 5, r"must have rows and columns, not the shape \[1\]"),
    (np.zeros((0, 3)), 0, 5, "must have rows and columns"),
    ([[1e-5]], -1, 5, "r_row must be at least 0 ohm and finite, not -1"),
    ([[1e-5]], 0, float("inf"), "r_col must be at least 0 ohm"),
    ([[1e-5]], 0, 1e-9, "r_col must be 0, or at least 1e-07 ohm beside cells of 1e.05 ohm"),
])
def test_what_no_array_has_is_refused(G, r_row, r_col, words):
    for solve in (lambda: wires.effective(G, r_row, r_col),
                  lambda: wires.nodal(G, np.ones((1, 1)), r_row, r_col)):
        with pytest.raises(ConfigError, match=words):
            solve()


def test_a_solve_of_minutes_is_refused():
    with pytest.raises(ConfigError, match="at most 512 x 512 cells, not 513 x 512"):
        wires.effective(np.full((513, 512), 1e-5), 5.0, 5.0)
    assert wires.effective(np.full((513, 512), 1e-5), 0.0, 5.0).shape == (513, 512)


def test_a_solve_that_fails_is_an_error(monkeypatch):
    import scipy.sparse.linalg

    def singular(_matrix):
        raise RuntimeError("Factor is exactly singular")

    class Wrong:
        def solve(self, right):
            return np.full_like(right, 7.0)

    G = np.full((2, 2), 1e-5)
    monkeypatch.setattr(scipy.sparse.linalg, "splu", singular)
    with pytest.raises(SpikeloomError, match=r"cannot be solved \(Factor is exactly singular"):
        wires.nodal(G, np.ones((1, 2)), 5, 5)
    monkeypatch.setattr(scipy.sparse.linalg, "splu", lambda _matrix: Wrong())
    with pytest.raises(SpikeloomError, match="ill-conditioned"):
        wires.nodal(G, np.ones((1, 2)), 5, 5)
    assert np.isfinite(wires.effective(np.full((900, 2), 1e-2), 0.0, 1e6)).all()


def test_cells_that_do_not_conduct_are_no_current():
    assert wires.nodal(np.zeros((2, 2)), np.ones((1, 2)), 5, 5).tolist() == [[0, 0]]
    assert wires.effective(np.zeros((2, 2)), 5, 5).tolist() == [[0, 0], [0, 0]]
