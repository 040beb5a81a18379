"""`spikeloom estimate` and `spikeloom show`: what they print and how they refuse."""

import json
import math

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow.cli import main
from spikeloom.flow.cost.energy import energy_nj
from spikeloom.flow.cost.estimate import estimate
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run


@pytest.fixture
def run_dir(tmp_path):
    opened = Run.create(tmp_path / "run")
    random_graph(np.random.default_rng(3)).save(opened.graph_file)
    return opened


def shown(capsys, *argv, code=0):
    assert main(list(argv)) == code
    return capsys.readouterr().out


def as_json(capsys, *argv, code=0):
    return json.loads(shown(capsys, *argv, "--json", code=code))


def refused(capsys, *argv):
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_estimate_of_layers_says_that_its_weights_are_assumed(capsys):
    data = as_json(capsys, "estimate", "--layers", "12-7-4")
    assert data["estimate"]["assumed"] and data["synapses"] == 12 * 7 + 7 * 4
    assert data["fits"] and data["problem"] == ""
    text = shown(capsys, "estimate", "--layers", "12-7-4")
    assert "ESTIMATE" in text and "assumed weights" in text
    assert f"{data['estimate']['lc']:,.0f}" in text
    low, high = (f"{data['estimate'][f'lc_{end}']:,.0f}" for end in ("low", "high"))
    assert f"{low}..{high}" in text
    assert ("unlike anything" in text) == bool(data["estimate"]["outside"])
    huge = shown(capsys, "estimate", "--layers", "900-100-10", code=2)
    assert "unlike anything that was measured, so trust no interval: " in huge


def test_estimate_of_a_run_counts_its_own_weights(capsys, run_dir):
    found = estimate(compile_graph(run_dir.graph()), "UP5K")
    data = as_json(capsys, "estimate", "--run", str(run_dir.path))
    assert data["estimate"]["lc"] == found.lc and not data["estimate"]["assumed"]
    assert data["microseconds_per_inference"] == pytest.approx(found.cycles / 12)
    energy = energy_nj("UP5K", found.lc, found.cycles, 12e6)
    assert data["energy"]["total_nj"] == pytest.approx(energy.total_nj)
    assert "assumed" not in shown(capsys, "estimate", "--run", str(run_dir.path))


def test_longer_bitstreams_and_more_timesteps_cost_clocks(capsys):
    def cycles(*options):
        return as_json(capsys, "estimate", "--layers", "12-4", *options)["estimate"]["cycles"]

    plain = cycles()
    assert cycles("--bitstream-length", "16") == plain + 8 * 8
    assert cycles("--num-steps", "9") > plain


def test_a_network_that_does_not_fit_is_told_by_how_much_and_what_holds_it(capsys):
    argv = ("estimate", "--layers", "64-48-10")
    data = as_json(capsys, *argv, code=2)
    more = math.ceil(data["estimate"]["lc"]) - 5280
    assert not data["fits"] and f"({more:,} too many)" in data["problem"]
    assert "LCs do not fit the UP5K's 5,280" in data["problem"]
    assert "HX8K, on board ice40_hx8k_b_evn" in data["problem"]
    assert data["problem"] in shown(capsys, *argv, code=2)
    assert as_json(capsys, *argv, "--board", "ice40_hx8k_b_evn")["fits"]


@pytest.mark.parametrize(("options", "message"), [
    (("--layers", "64"), "at least two widths"),
    (("--layers", "64-x-10"), "at least two widths"),
    (("--layers", "64-0-10"), "at least two widths"),
    (("--layers", "65536-65536"), "at most 4,194,304 synapses, not 4,294,967,296"),
    (("--layers", "8-4", "--encoder", "strem"), "did you mean 'stream'?"),
    (("--layers", "8-4", "--encoder", "spikes"), "unknown encoder 'spikes'"),
    (("--layers", "8-4", "--readout", "membrain"), "did you mean 'membrane'?"),
    (("--layers", "8-4", "--weight-bits", "9"), "weight_bits must be an integer in 2..4, not 9"),
    (("--layers", "8-4", "--bitstream-length", "12"), "power of two, not 12"),
    (("--layers", "8-4", "--num-steps", "0"), "num_steps must be an integer in 1..1024, not 0"),
    (("--layers", "8-4", "--board", "icebraker"), "did you mean 'icebreaker'?"),
    (("--run", "nowhere"), "is not a run directory"),
])
def test_estimate_refuses_in_one_line(capsys, options, message):
    assert message in refused(capsys, "estimate", *options)


def test_show_graph_prints_the_canonical_text_and_the_digest(capsys, run_dir):
    graph = compile_graph(run_dir.graph())
    data = as_json(capsys, "show", "graph", "--run", str(run_dir.path))
    assert data["text"] == graph.text() and data["digest"] == graph.digest()
    assert [(layer["in"], layer["out"]) for layer in data["layers"]] == [(12, 7), (7, 4)]
    assert [layer["longest_delay"] for layer in data["layers"]] == [0, 0]
    text = shown(capsys, "show", "graph", "--run", str(run_dir.path))
    assert text.startswith(graph.text()) and graph.digest() in text


def test_show_sng_errors_are_those_of_counting_by_hand(capsys):
    data = as_json(capsys, "show", "sng")
    pair, = (p for p in data["pairs"] if (p["x"], p["w"], p["length"]) == ("ramp", "sobol1", 8))
    ramp, sobol = range(8), [0, 4, 2, 6, 1, 5, 3, 7]
    errors = [abs(sum(p > r and m > s for r, s in zip(ramp, sobol, strict=True)) / 8 - p * m / 64)
              for p in range(9) for m in range(8)]
    assert pair["worst_error"] == pytest.approx(max(errors))
    assert pair["mean_error"] == pytest.approx(sum(errors) / len(errors))
    lengths = [8, 16, 32, 64, 128, 256, 512]
    for length in lengths:
        worst = [p["worst_error"] for p in data["pairs"] if p["length"] == length]
        assert worst == sorted(worst) and len(worst) == 11 * 11
    text = shown(capsys, "show", "sng")
    row = next(line for line in text.splitlines() if "ramp " in line and "sobol1 " in line)
    cells = [cell.strip() for cell in row.split("│")[3:-1]]
    assert cells == [f"{p['worst_error']:.2%}"[:-1] for p in data["pairs"]
                     if (p["x"], p["w"]) == ("ramp", "sobol1")]
    assert len(cells) == len(lengths) and "mean, % of full scale" in text
    assert max(len(line) for line in text.splitlines() if line[0] in "│┏") <= 80
    one = as_json(capsys, "show", "sng", "--bits", "5", "--weight-bits", "6")
    assert {p["length"] for p in one["pairs"]} == {32} and len(one["pairs"]) == 121
    assert {p["length"] for p in as_json(capsys, "show", "sng", "--weight-bits", "9")["pairs"]
            } == {256, 512}


def test_show_boards_names_every_board_whole_and_its_device(capsys):
    data = as_json(capsys, "show", "boards")
    devices = {device["name"]: device for device in data["devices"]}
    for board in data["boards"]:
        assert devices[board["device"]]["lc"] >= 1280
    assert {board["name"] for board in data["boards"]} == {
        "icebreaker", "icebreaker_bitsy", "ice40_hx8k_b_evn", "ice40_up5k_b_evn", "icestick",
        "icesugar", "icesugar_nano", "tinyfpga_bx", "upduino_v3"}
    text = shown(capsys, "show", "boards")
    assert all(f" {board['name']} " in text for board in data["boards"])
    assert "upduino_v3: solder its OSC jumper" in text


@pytest.mark.parametrize(("options", "message"), [
    (("grph",), "did you mean 'graph'?"),
    (("sng", "--bits", "10"), "--bits must be in 3..9, not 10"),
    (("sng", "--weight-bits", "11"), "--weight-bits must be in 2..10 with --bits 9, not 11"),
    (("sng", "--weight-bits", "5", "--bits", "3"),
     "--weight-bits must be in 2..4 with --bits 3, not 5"),
    (("graph", "--run", "nowhere"), "is not a run directory"),
])
def test_show_refuses_in_one_line(capsys, options, message):
    assert message in refused(capsys, "show", *options)
