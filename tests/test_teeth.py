"""One changed place in what runs must fail the comparison, on every rung."""

import pytest
from pseudo_board import pseudo_board
from teeth import TEETH, bitten, changed

from spikeloom.flow import lower, targets
from spikeloom.sim import bitstream, reference
from spikeloom.sim.compare import CRCS, compare
from spikeloom.sim.levels import LEVELS, Setting

#: The HX1K holds the network and its proof build.
BOARD = targets.board("icestick")
#: What is tried on the rungs that take long.
SIX = ("a weight's lowest bit", "threshold", "generator of the inputs", "an axon's delay",
       "reset mode", "leak")
SLOW = ("netlist", "bitstream")


def differences(level, graph, folder):
    """Where a rung that runs `graph` differs from the unchanged network's reference."""
    network, images = bitten()
    wanted = reference.run(network, images, trace=True)
    if level == "bitstream":  # the build that ships has no other teeth than its scores
        got, _ = bitstream.simulate(graph, images, folder, BOARD)
        return compare(wanted, got, CRCS)
    if level == "board":
        with pseudo_board(lower.top(graph, divisor=4, trace=True)) as port:
            got, _, sees = LEVELS[level].run(graph, images, Setting(
                folder=folder, board=BOARD, port=port))
    else:
        got, _, sees = LEVELS[level].run(graph, images, Setting(folder=folder, board=BOARD))
    return compare(wanted, got, sees)


@pytest.mark.parametrize("level", LEVELS)
def test_without_a_change_they_are_equal(level, tmp_path):
    assert differences(level, bitten()[0], tmp_path) == []


@pytest.mark.parametrize("level,name", [(level, name) for level in LEVELS for name in TEETH
                                        if name in SIX or level not in SLOW])
def test_a_change_is_seen(level, name, tmp_path):
    assert differences(level, changed(name), tmp_path)
