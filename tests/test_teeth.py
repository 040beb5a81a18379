"""One changed place in what runs must fail the comparison, on every rung that names signals."""

import pytest
from teeth import TEETH, bitten, changed

from spikeloom.sim import reference
from spikeloom.sim.compare import compare
from spikeloom.sim.levels import LEVELS, Setting

RUNGS = ["amaranth", "rtl"]


def differences(level, graph, folder):
    """Where a rung that runs `graph` differs from the unchanged network's reference."""
    network, images = bitten()
    wanted = reference.run(network, images, trace=True)
    got, _, sees = LEVELS[level].run(graph, images, Setting(folder=folder))
    return compare(wanted, got, sees)


@pytest.mark.parametrize("level", RUNGS)
def test_without_a_change_they_are_equal(level, tmp_path):
    assert differences(level, bitten()[0], tmp_path) == []


@pytest.mark.parametrize("name", TEETH)
@pytest.mark.parametrize("level", RUNGS)
def test_a_change_is_seen(level, name, tmp_path):
    assert differences(level, changed(name), tmp_path)
