"""The rungs: one suite over all of them (`test_teeth` shows that they can fail)."""

import numpy as np
import pytest
from networks import random_graph, random_images
from pseudo_board import pseudo_board

from spikeloom.flow import lower, targets
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.sim import reference
from spikeloom.sim.compare import compare
from spikeloom.sim.levels import LEVELS, Setting

#: The HX1K holds these; the UP5K and HX8K are tried below.
BOARD = targets.board("icestick")

NETWORKS = {
    "stream-membrane": {"sizes": (6, 4, 3), "num_steps": 3},
    "stream-shared": {"sizes": (6, 5, 3), "num_steps": 3, "lanes": [2, 2]},
    "stream-folded": {"sizes": (6, 5, 3), "num_steps": 3, "lanes": [2, 2],
                      "lowerings": ["folded", "folded"]},
    "rate-mixed": {"sizes": (6, 4, 3), "encoder": "rate", "readout": "spike_count",
                   "num_steps": 4, "kind": "fixed", "reset": "zero", "refractory": 1,
                   "delays": [0, (0, 1, 0, 1)], "lanes": [None, 2], "lowerings": [None, "folded"],
                   "memory": "lut"},
    "rate-fixed": {"sizes": (6, 4, 3), "encoder": "rate", "readout": "spike_count",
                   "num_steps": 4, "kind": "fixed", "reset": "zero", "refractory": 1},
    "spikes-delays": {"sizes": (5, 4, 3), "encoder": "spikes", "readout": "spike_count",
                      "num_steps": 6, "kind": "homeostatic", "lengths": [16, 8],
                      "delays": [(0, 1, 2, 1, 0), 1]},
    "rate-memory-saturating": {"sizes": (18, 4, 3), "encoder": "rate", "readout": "spike_count",
                               "num_steps": 9, "saturate_bits": 6, "leak_shift": None,
                               "delays": [(*[2] * 16, 3, 0), 0]},
    "izhikevich": {"sizes": (4, 2, 2), "encoder": "spikes", "readout": "spike_count",
                   "num_steps": 5, "kind": "izhikevich"},
}

#: Too large for the HX1K, or what is new in it is tried on that rung in other networks.
LEFT_OUT = [("netlist", "rate-mixed"), ("bitstream", "rate-mixed"), ("bitstream", "izhikevich")]
#: Bitstreams that take half a minute each; what is in them is tried on the netlist's rung as well.
LONG = ("stream-shared", "spikes-delays", "rate-memory-saturating")


def network(name, seed=3, images=2):
    rng = np.random.default_rng(seed)
    graph = compile_graph(random_graph(rng, **NETWORKS[name]))
    return graph, random_images(rng, graph, images)


def climb(level, graph, images, folder):
    """Where a rung differs from the reference model, and what it saw."""
    wanted = reference.run(graph, images, trace=True)
    if level == "board":
        with pseudo_board(lower.top(graph, divisor=4, trace=True)) as port:
            setting = Setting(folder=folder, board=BOARD, port=port)
            got, _, sees = LEVELS[level].run(graph, images, setting)
    else:
        setting = Setting(folder=folder, board=BOARD, currents=True)
        got, _, sees = LEVELS[level].run(graph, images, setting)
    return compare(wanted, got, sees), got, sees


@pytest.mark.parametrize("level,name", [
    (level, name) for level in LEVELS for name in NETWORKS
    if level != "bitstream" and (level, name) not in LEFT_OUT])
def test_every_rung_is_equal(level, name, tmp_path):
    graph, images = network(name)
    differences, got, sees = climb(level, graph, images, tmp_path)
    assert differences == [] and sees
    assert len(got.crcs) == len(graph.layers) if "crcs" in sees else got.v[0].size


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in NETWORKS
    if ("bitstream", name) not in LEFT_OUT])
def test_bitstreams_of_the_hx1k_are_equal(name, tmp_path):
    graph, images = network(name)
    differences, got, _ = climb("bitstream", graph, images, tmp_path)
    assert differences == [] and got.shipped is not None and len(got.crcs) == 2


@pytest.mark.parametrize("board,name", [("icebreaker", "stream-membrane"),
                                        pytest.param("ice40_hx8k_b_evn", "izhikevich",
                                                     marks=pytest.mark.slow)])
def test_bitstreams_of_the_larger_devices_are_equal(board, name, tmp_path):
    graph, images = network(name)
    wanted = reference.run(graph, images, trace=True)
    setting = Setting(folder=tmp_path, board=targets.board(board))
    got, figures, sees = LEVELS["bitstream"].run(graph, images, setting)
    assert compare(wanted, got, sees) == []
    assert figures["lc"] > figures["shipped"]["lc"] > 300
