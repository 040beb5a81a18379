"""Membranes that saturate at a chosen width: the same on every rung, and free where not asked for.
"""

import numpy as np
import pytest
from networks import random_graph, random_images

from spikeloom.flow.cli import main
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles, layer_cycles
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import FixedPointLif, HomeostaticLif, Lif, cell_of
from spikeloom.sim import contract, gateware, reference
from spikeloom.sim.compare import compare
from spikeloom.sim.neurons import KINDS

LIFS = ("lif", "fixed", "homeostatic")


def test_each_statement_saturates():
    """By hand, in 4 bits, -8..7: leak, integrate, reset."""
    state = KINDS["lif"](Lif(v_threshold=6, leak_shift=1, saturate_bits=4), 1, 1)
    steps = []
    for current, bias in ((-20, 0), (2, 1), (3, 90), (5, 0), (-3, -90)):
        spike = state.step(np.array([[current]]), np.array([bias]), True)
        steps.append((int(state.v[0, 0]), int(spike[0, 0])))
    # -20 -> -8; -8 + 4 + 3; -1 + 1 + 93 -> 7, 7 - 6; 1 - 0 + 5, 6 - 6; 0 - 93 -> -8
    assert steps == [(-8, 0), (-1, 0), (1, 1), (0, 1), (-8, 0)]


@pytest.mark.parametrize("kind", LIFS)
@pytest.mark.parametrize("readout", ["membrane", "spike_count"])
@pytest.mark.parametrize("bits", [2, 5, 6])
def test_gateware_is_equal_where_membranes_saturate(kind, readout, bits):
    rng = np.random.default_rng(bits)
    graph = compile_graph(random_graph(
        rng, sizes=(14, 7, 3), kind=kind, encoder="rate", readout=readout, num_steps=6,
        refractory=bits % 2, reset=["subtract", "zero"][bits % 3 == 2], saturate_bits=bits,
        leak_shift=[None, 2][bits % 2], lengths=[1 << bits, 1 << bits] if bits > 2 else None))
    images = random_images(rng, graph, 2)
    wanted = reference.run(graph, images, trace=True)
    edge = 1 << bits - 1
    assert wanted.v[0].min() == -edge and wanted.v[0].max() <= edge - 1
    got, clocks = gateware.simulate(graph, images)
    assert compare(wanted, got) == []
    assert clocks == [inference_cycles(graph)] * 2


@pytest.mark.parametrize("kind", LIFS)
def test_saturation_takes_one_clock_a_timestep_and_changes_what_is_computed(kind):
    rng = np.random.default_rng(4)
    common = {"sizes": (14, 7), "kind": kind, "readout": "spike_count", "num_steps": 6,
              "encoder": "rate", "lengths": [16]}
    free = compile_graph(random_graph(rng, **common))
    graph = compile_graph(random_graph(np.random.default_rng(4), saturate_bits=6, **common))
    assert layer_cycles(graph) == [layer_cycles(free)[0] + 1]
    images = random_images(rng, graph, 3)
    assert compare(reference.run(free, images, trace=True), gateware.simulate(graph, images)[0])
    wide = compile_graph(random_graph(np.random.default_rng(4), saturate_bits=24, **common))
    assert compare(reference.run(free, images, trace=True),
                   reference.run(wide, images, trace=True)) == []


@pytest.mark.parametrize("neuron", [
    Lif(v_threshold=9), FixedPointLif(v_threshold=9, beta=3, n=2),
    HomeostaticLif(v_threshold=9, up=1, down=1, lo=1, hi=20)])
def test_only_a_cell_that_saturates_has_anything_for_it(neuron):
    cell = cell_of(neuron)
    assert "saturat" not in cell.__name__.lower() and cell.operand is cell_of(
        Lif(v_threshold=1)).operand


def test_the_command_line_asks_for_a_width(tmp_path, capsys):
    argv = ["train", "--hidden", "16", "--epochs", "3", "--saturate-bits", "7"]
    assert main([*argv, "--run", str(tmp_path / "a")]) == 0
    layers = Run.open(tmp_path / "a").graph().layers
    assert [population.neuron.saturate_bits for _, population in layers] == [7, 7]
    capsys.readouterr()
    for more, words in ((["--neuron", "izhikevich"], "--saturate-bits must be left out"),
                        (["--saturate-bits", "1"], "saturate_bits must be in 2..24 or None")):
        assert main([*argv, *more, "--run", str(tmp_path / "b")]) == 2
        assert words in capsys.readouterr().err


def test_a_contract_file_names_the_width_in_its_layer():
    case = {
        "num_steps": 2, "readout": "membrane", "input": {"encoder": "spikes", "spikes": [[1], [1]]},
        "layers": [{"codes": [[-3]], "bias": [-1], "weight_bits": 3, "L": 8, "sng": "ramp",
                    "delay": [0], "neuron": {"kind": "lif", "v_threshold": 5}, "v_bits": 4}],
    }
    graph = contract.graph_of(case)
    assert graph.layers[0][1].neuron.saturate_bits == 4 and graph.layers[0][0].delay == 0
    trace = reference.run(graph, np.array([[[1], [1]]]), trace=True)
    assert trace.v[0][:, 0, 0].tolist() == [-7, -8]
