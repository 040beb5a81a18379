"""Boards and devices: the registry, capacities, and what is said about a design too large."""

import pytest

from spikeloom.boards import BOARDS
from spikeloom.flow import targets
from spikeloom.flow.errors import ConfigError


def test_every_board_names_a_known_device_and_its_platform_agrees():
    assert {"icebreaker", "ice40_hx8k_b_evn"} <= set(BOARDS)
    for name, board in BOARDS.items():
        platform = board.platform()
        assert board.name == name
        assert platform.device == f"iCE40{targets.device(board.device).name}"
        assert platform.package == board.package
        assert platform.default_clk_frequency == board.clock_hz


def test_names_are_answered_with_a_suggestion():
    assert targets.board("icebreaker").device == "UP5K"
    assert targets.device("up5k") is targets.DEVICES["UP5K"]
    with pytest.raises(ConfigError, match="unknown board 'icebraker'; did you mean 'icebreaker'"):
        targets.board("icebraker")
    with pytest.raises(ConfigError, match="unknown device 'UP4K'; did you mean 'UP5K'"):
        targets.device("up4k")


def test_excess_counts_each_resource():
    up5k = targets.device("UP5K")
    assert up5k.excess({"lc": 5280, "ebr": 30, "spram": 4, "dsp": 8}) == {}
    assert up5k.excess({"lc": 5300, "ebr": 31}) == {"lc": 20, "ebr": 1}


@pytest.mark.parametrize("used, name", [
    ({"lc": 1280}, "HX1K"), ({"lc": 1281}, "UP5K"), ({"lc": 100, "spram": 1}, "UP5K"),
    ({"lc": 5281}, "HX8K"), ({"lc": 5281, "dsp": 1}, None), ({"ebr": 33}, None),
])
def test_smallest_device(used, name):
    found = targets.smallest(used)
    assert (found and found.name) == name


def test_advice_says_by_how_much_and_what_fits():
    assert targets.advice("UP5K", {"lc": 6120, "ebr": 3}) == (
        "6,120 LCs do not fit the UP5K's 5,280 (840 too many); the smallest known device that "
        "holds it is the HX8K, on board ice40_hx8k_b_evn")
    assert targets.advice("HX8K", {"lc": 9000, "ebr": 33}) == (
        "9,000 LCs do not fit the HX8K's 7,680 (1,320 too many) and 33 EBRs do not fit the HX8K's "
        "32 (1 too many); no known device holds it: make the network smaller")
    assert targets.advice("UP5K", {"lc": 6120, "ebr": 33}, at_least=True) == (
        "at least 6,120 LCs do not fit the UP5K's 5,280 (840 too many) and 33 EBRs do not fit the "
        "UP5K's 30 (3 too many); no known device holds it: make the network smaller")
    assert targets.advice("HX1K", {"lc": 2000}).endswith(
        "holds it is the UP5K, on board ice40_up5k_b_evn, icebreaker, icebreaker_bitsy, icesugar "
        "or upduino_v3")
