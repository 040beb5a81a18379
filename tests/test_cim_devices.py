"""Cells: presets with sources, users' tables, laws of variation, programming."""

from math import exp, sqrt

import numpy as np
import pytest
from msgspec import structs

from spikeloom.flow.cim import devices
from spikeloom.flow.cim.array import Array
from spikeloom.flow.config import section
from spikeloom.flow.errors import ConfigError

#: The published conductances of the second preset, in siemens.
AG_ASI = (3.8462e-8, 3.0769e-9)


def test_presets_are_what_their_sources_say():
    cell = devices.preset("spikesim65")
    assert (cell.r_on, cell.r_off, cell.v_read, cell.variation) == (20e3, 200e3, 0.1, 0.1)
    assert cell.states == 2 and "Table I" in cell.source
    array = devices.with_device(Array(), "spikesim65")
    assert array == Array(), "the defaults of an array are that device's"
    other = devices.with_device(Array(cell_bits=4), "ag_asi")
    assert [1 / other.r_on, 1 / other.r_off] == pytest.approx(AG_ASI, rel=1e-4)
    assert other.v_read == 0.5 and other.cell_bits == 4
    with pytest.raises(ConfigError, match="unknown device 'spikesim'; did you mean 'spikesim65'"):
        devices.preset("spikesim")
    with pytest.raises(ConfigError, match="cell_bits must be at most 1 with spikesim65"):
        devices.with_device(Array(cell_bits=2), "spikesim65")


@pytest.mark.parametrize("key,value,words", [
    ("r_on", 2e5, "r_on must be less than r_off, 200000 ohm, not 200000.0"),
    ("r_off", -1.0, "r_off must be more than 0 and finite"),
    ("v_read", float("nan"), "v_read must be more than 0"),
    ("states", 1, "states must be in 2..256, not 1"),
    ("pulses", 0, "pulses must be more than 0"),
    ("law", "normal", "law must be one of proportional, state_independent"),
])
def test_a_device_of_absurd_values_is_refused(key, value, words):
    item = {**structs.asdict(devices.preset("spikesim65")), key: value}
    with pytest.raises(ConfigError, match=words):
        section(devices.Device, item, "mine.toml", "mine")


def test_programming_is_told_where_the_source_has_it():
    found = devices.programming("ag_asi")
    assert found.pulses == 97 and found.seconds == pytest.approx(97 * 300e-6)
    assert found.joules == pytest.approx(3.2 ** 2 * sum(AG_ASI) / 2 * 97 * 300e-6, rel=1e-4)
    with pytest.raises(ConfigError, match=r"spikesim65\.pulses is not known.*SpikeSim"):
        devices.programming("spikesim65")


def test_states_lie_evenly_between_the_resistances():
    found = devices.states(Array(cell_bits=2))
    assert found.mean == pytest.approx([5e-6, 20e-6, 35e-6, 50e-6]) and found.sigma is None
    assert (found.off, found.on) == pytest.approx((5e-6, 50e-6))
    assert found.step == pytest.approx(15e-6)
    for wrong in ({"r_on": 2e5}, {"r_off": -1.0}, {"r_on": 0.0}, {"r_off": float("inf")},
                  {"r_on": float("nan")}):
        with pytest.raises(ConfigError, match="must be"):
            devices.states(structs.replace(Array(), **wrong))


@pytest.mark.parametrize("law,sigma,off,on", [
    ("proportional", 0.1, 5e-7, 5e-6),
    ("state_independent", 0.02, 1e-6, 1e-6),
    ("absolute", 1e-6, 1e-6, 1e-6),
])
def test_spreads_follow_their_law(law, sigma, off, on):
    cells = devices.states(Array())
    digits = np.repeat(np.array([0, 1], np.uint8), 40000)
    G = devices.programmed(cells, digits, law, sigma, np.random.default_rng(0))
    assert [G[:40000].std(), G[40000:].std()] == pytest.approx([off, on], rel=0.02)
    assert [G[:40000].mean(), G[40000:].mean()] == pytest.approx([5e-6, 5e-5], rel=0.01)


def test_lognormal_keeps_the_median():
    G = devices.programmed(devices.states(Array()), np.ones(40000, np.uint8), "lognormal", 0.5,
                           np.random.default_rng(1))
    assert np.median(G) == pytest.approx(5e-5, rel=0.01) and np.log(G).std() == pytest.approx(
        0.5, rel=0.02)
    assert G.mean() == pytest.approx(5e-5 * exp(0.5 ** 2 / 2), rel=0.02)


def test_conductances_are_never_negative_and_a_seed_repeats_them():
    cells, digits = devices.states(Array()), np.zeros(1000, np.uint8)
    first, second = (devices.programmed(cells, digits, "proportional", 2.0,
                                        np.random.default_rng(7)) for _ in range(2))
    assert (first == second).all() and first.min() == 0 and (first == 0).mean() > 0.2
    with pytest.raises(ConfigError, match="another than states where no table of states is given"):
        devices.programmed(cells, digits, "states", 1.0, np.random.default_rng(7))
    with pytest.raises(ConfigError, match="unknown law of variation 'lognorm'; did you mean"):
        devices.programmed(cells, digits, "lognorm", 0.1, np.random.default_rng(7))


def table(path, *rows, head="state,mean_siemens,sigma_siemens"):
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_users_table_gives_mean_and_spread_by_state(tmp_path):
    path = table(tmp_path / "mine.csv", "1, 2e-5, 0", "0, 1e-6, 1e-7", "3, 5e-5, 2e-6",
                 "2, 4e-5, 1e-6")
    found = devices.load_states(path, Array(cell_bits=2))
    assert found.mean.tolist() == [1e-6, 2e-5, 4e-5, 5e-5]
    assert found.sigma.tolist() == [1e-7, 0, 1e-6, 2e-6] and found.step == pytest.approx(49e-6 / 3)
    digits = np.repeat(np.arange(4, dtype=np.uint8), 10000)
    G = devices.programmed(found, digits, "states", 1.0, np.random.default_rng(2))
    G = G.reshape(4, -1)
    assert G.std(1) == pytest.approx(found.sigma, rel=0.03, abs=1e-15)
    assert np.abs(G.mean(1) - found.mean).max() < 3 * 2e-6 / sqrt(10000)


@pytest.mark.parametrize("rows,words", [
    (["0,1e-6,0"], r"must have the states 0\.\.1 of 1 bits a cell, not 0; set array.cell_bits"),
    (["0,1e-6,0", "1,2e-6,0", "2,3e-6,0"], r"not 0, 1, 2"),
    (["0,2e-6,0", "1,1e-6,0"], "must grow with the state, not fall from 2e-06 to 1e-06 at state 1"),
    (["0,1e-6,0", "1,1e-6,0"], "must grow with the state"),
    (["0,-1e-6,0", "1,1e-6,0"], "row 2: mean_siemens must be 0 or more and finite, not -1e-06"),
    (["0,1e-6,nan", "1,1e-6,0"], "row 2: sigma_siemens must be 0 or more"),
    (["0,1e-6,0", "1,inf,0"], "row 3: mean_siemens must be 0 or more and finite, not inf"),
    (["0,1e-6,0", "0,2e-6,0"], "row 3: state 0 must not come twice"),
    (["0,1e-6", "1,2e-6,0"], "row 2 must be a state and two numbers, not 0,1e-6"),
    (["zero,1e-6,0"], "row 2 must be a state and two numbers"),
])
def test_a_wrong_table_is_refused(tmp_path, rows, words):
    path = table(tmp_path / "mine.csv", *rows)
    with pytest.raises(ConfigError, match=words) as raised:
        devices.load_states(path, Array())
    assert str(path) in str(raised.value)


def test_a_table_without_head_or_file_is_refused(tmp_path):
    path = table(tmp_path / "mine.csv", "0,1e-6,0", head="state,ohm")
    with pytest.raises(ConfigError, match="first line must be state,mean_siemens,sigma_siemens"):
        devices.load_states(path, Array())
    with pytest.raises(ConfigError, match=r"no\.csv: cannot be read"):
        devices.load_states(tmp_path / "no.csv", Array())
