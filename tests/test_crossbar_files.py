"""Files of a chip: conductances, ranges of converters, netlists that SPICE solves."""

import csv
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from networks import random_graph, residual_graph

from spikeloom.flow.cim.array import Array
from spikeloom.flow.errors import ConfigError
from spikeloom.sim.crossbar import files, network, wires
from spikeloom.sim.crossbar.effects import Effects


@pytest.fixture
def chip():
    graph = random_graph(np.random.default_rng(5), sizes=(12, 6, 3), encoder="rate",
                         readout="spike_count")
    array = Array(rows=8, cols=16, r_row=2.0)
    return network.program(graph, array, Effects(variation=0.1, ir_drop="full", adc_bits=4), seed=3)


def test_conductances_are_the_chips_own(chip, tmp_path):
    written = files.export(chip, tmp_path)
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()}
    with np.load(tmp_path / "conductances.npz") as found:
        assert sorted(found) == ["fc1", "fc2"]
        assert found["fc1"].shape == (3 * 2, 8, 16) and found["fc2"].shape == (2, 8, 16)
        number = 0
        for block in chip.layers["fc1"].G:
            for G in block[:, 0]:
                assert (found["fc1"][number] == G).all()
                text = (tmp_path / f"fc1-{number}.csv").read_text()
                assert (np.array([line.split(",") for line in text.split()], float) == G).all()
                number += 1
    assert number == 6 and len(written) == 2 + 6 + 2


def test_ranges_are_in_counts_and_amperes(chip):
    first, second = csv.DictReader(files.ranges(chip).splitlines())
    full = chip.layers["fc1"].full_scale
    assert first["layer"] == "fc1" and second["layer"] == "fc2"
    assert float(first["full_scale_counts"]) == full == 15 and first["adc_bits"] == "4"
    assert float(first["step_counts"]) == 1.0
    assert float(first["full_scale_ampere"]) == pytest.approx(15 * 0.1 * 45e-6)
    assert float(first["leakage_ampere_per_row"]) == pytest.approx(0.1 * 5e-6)
    assert first["column_scales"] == "1 -1 2 -2 4 -4"
    ideal = network.program(chip.graph, chip.array)
    assert "fc1,,,,,5" in files.ranges(ideal)


def ngspice(netlist, n, folder):
    """Currents of the sources VOUT, by ngspice."""
    if not shutil.which("ngspice") and not os.environ.get("CI"):
        pytest.skip("ngspice is missing (apt-get install ngspice)")
    shown = "\n".join(f"print i(vout{j})" for j in range(n))
    path = folder / "crossbar.cir"
    path.write_text(netlist.replace(
        ".end\n", f".control\nset numdgt=16\nop\n{shown}\nquit\n.endc\n.end\n"))
    done = subprocess.run(["ngspice", "-b", str(path)], capture_output=True, text=True, check=True)
    found = dict(re.findall(r"i\(vout(\d+)\) = (\S+)", done.stdout))
    return np.array([float(found[str(j)]) for j in range(n)])


@pytest.mark.parametrize("r_row,r_col", [(2.0, 5.0), (0.0, 5.0), (2.0, 0.0), (0.0, 0.0)])
def test_spice_agrees(chip, r_row, r_col, tmp_path):
    name, G, V = files.crossbar(chip, "fc1:1")
    assert name == "fc1-1" and G.shape == (8, 16)
    assert V.tolist() == [0.1] * 4 + [0] * 4, "inputs 8..11 of 12"
    found = ngspice(files.spice(G, V, r_row, r_col, name), 16, tmp_path)
    assert np.abs(found / (V @ wires.effective(G, r_row, r_col)) - 1).max() < 1e-9


def test_a_cell_that_does_not_conduct_is_left_out():
    text = files.spice(np.array([[0.0, 1e-5]]), np.array([0.1]), 0.0, 5.0, "two cells")
    assert "RX0_0" not in text and "RX0_1 in0 c0_1 " in text
    assert text.splitlines()[0] == "* two cells: 1 x 2 cells, r_row 0 ohm, r_col 5 ohm"


@pytest.mark.parametrize("which,words", [
    ("fc3:0", "unknown layer on crossbars 'fc3'; did you mean"),
    ("fc1", "a crossbar is LAYER:NUMBER"),
    ("fc1:6", r"crossbars of fc1 must be numbered 0\.\.5, not '6'"),
    ("fc1:-1", "must be numbered"),
    ("fc1:", "must be numbered"),
])
def test_a_crossbar_that_is_not_there_is_refused(chip, which, words):
    with pytest.raises(ConfigError, match=words):
        files.crossbar(chip, which)


def test_streamed_layers_have_no_crossbars():
    graph = residual_graph(np.random.default_rng(1))
    chip = network.program(graph)
    first = graph.layers[0][0].name
    with pytest.raises(ConfigError, match="unknown layer on crossbars"):
        files.crossbar(chip, f"{first}:0")
