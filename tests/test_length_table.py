"""The table of accuracy, clocks and energy against the run-time bitstream length."""

import json
from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import cli, length_table
from spikeloom.flow.cost.energy import energy_nj
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.report import Report, read_report, write_report
from spikeloom.flow.run import Run
from spikeloom.sim import reference


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(3)
    opened = Run.create(tmp_path / "run")
    graph = random_graph(rng, sizes=(12, 6, 3), num_steps=3, lengths=[16, 8])
    replace(graph, max_shift=1).save(opened.graph_file)
    opened.save_samples(rng.integers(0, 256, (40, 12)), rng.integers(0, 3, 40))
    return opened


def report(graph, **changes):
    return Report(**{
        "design": graph.digest(), "board": "icebreaker", "device": "UP5K", "lc": 900, "lut4": 800,
        "ff": 300, "carry": 200, "ebr": 3, "spram": 0, "dsp": 0, "fmax_mhz": 30.0,
        "clock_mhz": 12.0, "meets_clock": True, "fits": True, "problem": "", "router": "router2",
        "tools": {}, "seed": 1, "seconds": {}, "cached": False, "plan": "", "bitstream": "top.bin",
        "bitstream_bytes": 0, "bitstream_sha256": "", **changes})


def test_the_rows_are_those_of_the_reference_model_and_of_the_formulas(run):
    graph = compile_graph(run.graph())
    images, labels = run.samples()
    rows, why = length_table.lengths(run, graph)
    assert why is None and [row.shift for row in rows] == [0, 1, 2, 3]
    assert [row.bitstream_lengths for row in rows] == [(16, 8), (8, 4), (4, 2), (2, 1)]
    assert [row.served for row in rows] == [True, True, False, False]
    for row in rows:
        right = reference.run(graph, images, shift=row.shift).classes == labels
        assert (row.images, row.accuracy) == (40, right.mean())
        assert row.cycles == inference_cycles(graph, shift=row.shift)
    for row in length_table.costed(rows, report(graph)):
        energy = energy_nj("UP5K", 900, row.cycles, 12e6)
        assert row.microseconds == row.cycles / 12
        assert (row.low_nj, row.high_nj) == (energy.low_nj, energy.total_nj)
    for row in length_table.costed(rows, report(graph, device="HX1K")):
        assert row.low_nj is row.high_nj is None and row.microseconds


@pytest.mark.parametrize("changes,words", [
    ({"fc1": {"sng": "lfsr"}}, "fc1: max_shift must be 0 with the generator 'lfsr'"),
    ({"fc2": {"lowering": "folded"}}, "fc2: max_shift must be 0 with the lowering 'folded'"),
    ({"fc1": {"lanes": 2}}, "fc1: max_shift must be 0 where 2 lanes serve 6 neurons")])
def test_a_network_without_run_time_lengths_has_one_row_and_the_reason(run, changes, words):
    graph = compile_graph(replace(run.graph().replace(**changes), max_shift=0))
    rows, why = length_table.lengths(run, graph)
    assert [row.shift for row in rows] == [0] and words in why


def test_the_report_shows_it_and_says_over_how_many_images(run, capsys):
    graph = compile_graph(run.graph())
    folder = run.build_dir("icebreaker")
    folder.mkdir(parents=True)
    rows, _ = length_table.lengths(run, graph)
    wanted = tuple(length_table.costed(rows, report(graph)))
    write_report(report(graph, lengths=wanted), folder / "report.json")
    assert read_report(folder / "report.json").lengths == wanted
    assert cli.main(["report", "--run", str(run.path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    (build,) = data["builds"]
    assert build["lengths"] == build["report"]["lengths"] and len(build["lengths"]) == 4
    assert data["network"]["lengths"][1]["accuracy"] == wanted[1].accuracy
    assert cli.main(["report", "--run", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "accuracy over 40 test images" in shown and f"{wanted[2].accuracy:.2%}" in shown


def test_a_device_without_energy_figures_has_a_report_all_the_same(run, capsys):
    graph = compile_graph(run.graph())
    folder = run.build_dir("icestick")
    folder.mkdir(parents=True)
    write_report(report(graph, board="icestick", device="HX1K"), folder / "report.json")
    assert cli.main(["report", "--run", str(run.path), "--json"]) == 0
    (build,) = json.loads(capsys.readouterr().out)["builds"]
    assert build["energy_estimate"] is None and build["lengths"][0]["high_nj"] is None
    assert cli.main(["report", "--run", str(run.path)]) == 0
    assert "no energy figures of the HX1K are known" in capsys.readouterr().out


def test_a_run_without_test_images_has_clocks_alone(run):
    run.samples_file.unlink()
    rows, _ = length_table.lengths(run, compile_graph(run.graph()))
    assert [(row.images, row.accuracy) for row in rows] == [(0, None)] * 4
