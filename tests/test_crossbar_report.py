"""Measured arrays: accuracy over draws, errors by layer; `spikeloom sim --level crossbar`."""

import json

import numpy as np
import pytest
from networks import random_graph, random_images, residual_graph

from spikeloom.flow import cli
from spikeloom.flow.cim.array import Array
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.run import Run
from spikeloom.sim import reference
from spikeloom.sim.crossbar import network, report
from spikeloom.sim.crossbar.effects import Effects, as_built


def labelled(encoder="rate", sizes=(64, 32, 10), images=60):
    rng = np.random.default_rng(0)
    graph = random_graph(rng, sizes=sizes, encoder=encoder, readout="spike_count", num_steps=8)
    inputs = random_images(rng, graph, images)
    return graph, inputs, reference.run(graph, inputs).classes


def test_accuracy_is_a_mean_and_a_deviation_over_draws():
    graph, images, labels = labelled()
    found = report.measure(graph, images, labels, effects=Effects(variation=0.3), draws=4, seed=5)
    assert found.ideal == 1.0 and len(found.accuracy) == 4 and len(set(found.accuracy)) > 1
    runs = [network.program(graph, effects=Effects(variation=0.3), seed=5, draw=draw).run(images)
            for draw in range(4)]
    assert found.accuracy == tuple((run.classes == labels).mean() for run in runs)
    assert found.mean == pytest.approx(np.mean(found.accuracy))
    assert found.std == pytest.approx(np.std(found.accuracy, ddof=1))
    again = report.measure(graph, images, labels, effects=Effects(variation=0.3), draws=4, seed=5)
    assert again.layers == found.layers and again.accuracy == found.accuracy
    json.dumps(found.data())


def test_errors_are_relative_root_mean_squares():
    graph, images, labels = labelled()
    effects = Effects(adc_bits=3, ir_drop="columns")
    found = report.measure(graph, images, labels, effects=effects, draws=9)
    assert len(found.accuracy) == 1 and found.std == 0, "nothing is random"
    got = network.program(graph, effects=effects).run(images, trace=True)
    ideal = reference.run(graph, images, trace=True)
    for layer, a, b in zip(found.layers, got.current, ideal.current, strict=True):
        wanted = np.sqrt(np.square(a - b).sum() / np.square(b).sum())
        assert layer.total == pytest.approx(wanted, rel=1e-12)
    first, second = found.layers
    assert first.own == first.total and second.own < second.total
    assert sum(first.histogram) == 8 * 60 * 32 * 6 and first.most <= first.most_possible
    assert found.not_ideal == ("ir drop", "adc")
    seen, line = np.array(first.histogram), report.tables(found)[1]
    assert line.startswith(f"fc1: {seen[0] / seen.sum():.0%} of 92,160 conversions are of 0 counts")
    most = int(line.split()[-1])
    assert seen[most + 1:].sum() < 0.001 * seen[1:].sum() <= seen[most:].sum()


def test_nothing_wrong_has_no_error():
    graph, images, labels = labelled()
    found = report.measure(graph, images, labels)
    assert found.mean == found.ideal == 1 and not found.not_ideal
    assert [(item.own, item.total, item.full_scale) for item in found.layers] == [(0, 0, None)] * 2
    dark = report.measure(graph, np.zeros_like(images), labels).layers[0]
    assert dark.histogram == [92160] and (dark.own, dark.most) == (0, 0)
    streamed = residual_graph(np.random.default_rng(1))
    inputs = random_images(np.random.default_rng(2), streamed, 2)
    found = report.measure(streamed, inputs, np.zeros(2))
    assert found.digital == (streamed.layers[0][0].name,) and len(found.layers) == 3


def test_a_digits_network_still_classifies_with_everything_on():
    graph, images, labels = labelled(images=360)
    array = Array(r_row=5.0)
    effects = Effects(variation=0.1, stuck_on=0.01, stuck_off=0.01, drift_nu=0.01, drift_ratio=1e3,
                      read_noise=0.02, ir_drop="full", adc_bits=4, full_scale="calibrated")
    assert len(effects.on) == 6
    ranges = network.calibrate(graph, images, array, effects.nominal)
    chip = network.program(graph, array, effects, ranges=ranges)
    found = chip.run(images)
    assert (found.classes == labels).mean() > 0.3


def test_draws_are_held_to_their_range():
    graph, images, labels = labelled(sizes=(4, 2), images=1)
    for draws in (0, 10_001):
        with pytest.raises(ConfigError, match=rf"draws must be in 1\.\.10,000, not {draws}"):
            report.measure(graph, images, labels, draws=draws)


def test_as_built_is_the_array_and_its_device():
    found = as_built(Array(adc_bits=5), 0.1)
    assert (found.variation, found.ir_drop, found.adc_bits) == (0.1, "columns", 5)
    assert as_built(Array(r_row=1.0), 0.1).ir_drop == "full"


@pytest.fixture
def run(tmp_path):
    graph, images, labels = labelled(sizes=(12, 6, 3), images=20)
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    opened.save_samples(images, labels)
    opened.save_calibration(images[::-1], labels[::-1])
    return opened


def sim(run, *argv):
    return cli.main(["sim", "--run", str(run.path), "--level", "crossbar", *argv])


def test_the_level_is_held_to_equality_while_nothing_is_wrong(run, capsys, monkeypatch):
    assert sim(run, "--set", "encoding=offset", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["held_to_equality"] and data["mismatches"] == 0 and data["mean"] == 1
    assert data["array"]["encoding"] == "offset" and data["images"] == 20
    assert json.loads((run.path / "sim/crossbar/report.json").read_text())["mean"] == 1
    assert sim(run) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "every effect is off: 20 of 20 images equal to the reference model" in text
    real = reference.run

    def wrong(*args, **options):
        trace = real(*args, **options)
        if "synapses" not in options and options.get("trace"):
            trace.v[1][2, 0, 1] += 1
        return trace

    monkeypatch.setattr(reference, "run", wrong)
    assert sim(run, "--count", "3") == 1
    assert "image 0, v, layer 1, timestep 2, neuron 1" in capsys.readouterr().out


def test_effects_are_measured_and_files_written(run, capsys):
    assert sim(run, "--as-built", "--draws", "3", "--stuck-on", "0.01", "--set", "r_row=2",
               "--export", "--spice", "fc2:0", "--count", "9", "--seed", "4", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert not data["held_to_equality"] and len(data["accuracy"]) == 3 and data["images"] == 9
    assert data["not_ideal"] == ["variation", "stuck cells", "ir drop", "adc"]
    assert data["effects"]["ir_drop"] == "full" and data["effects"]["variation"] == 0.1
    folder = run.path / "sim" / "crossbar"
    assert {str(path) for path in folder.iterdir()} == set(data["files"])
    assert "r_row 2 ohm, r_col 5 ohm" in (folder / "fc2-0.cir").read_text().splitlines()[0]
    assert sim(run, "--read-noise", "0.1", "--draws", "2", "--adc-bits", "5", "--full-scale",
               "lossless") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "not held to equality" in text and "standard deviation" in text
    assert "64 x 64 cells of 1 bit, differential" in text
    assert "not ideal: read noise, adc" in text and "read noise adds up" in text


def test_converters_are_never_calibrated_on_the_images_that_are_scored(run, capsys, monkeypatch):
    seen, real = [], network.calibrate
    monkeypatch.setattr(network, "calibrate", lambda graph, images, *rest, **options: (
        seen.append(images), real(graph, images, *rest, **options))[1])
    assert sim(run, "--as-built", "--draws", "1") == 0
    assert np.array_equal(seen[0], run.calibration()[0])
    run.calibration_file.unlink()
    capsys.readouterr()
    assert sim(run, "--as-built", "--draws", "1") == 2 and len(seen) == 1
    error = capsys.readouterr().err
    assert "--full-scale must be lossless or counts where" in error and error.count("\n") == 1
    assert sim(run, "--as-built", "--draws", "1", "--full-scale", "lossless") == 0
    assert sim(run, "--variation", "0.1", "--draws", "1") == 0, "ideal converters have no range"


def test_devices_and_tables_of_states(run, capsys, tmp_path):
    assert sim(run, "--device", "ag_asi", "--set", "cell_bits=3", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["array"]["r_on"] == 26e6 and data["held_to_equality"]
    table = tmp_path / "cells.csv"
    table.write_text("state,mean_siemens,sigma_siemens\n0,1e-6,1e-7\n1,2e-5,1e-6\n")
    assert sim(run, "--states", str(table), "--as-built", "--draws", "2", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["effects"]["variation_law"] == "states" and data["effects"]["variation"] == 1
    assert data["not_ideal"] == ["variation", "ir drop", "adc", "states of a table"]


@pytest.mark.parametrize("argv,words", [
    (["--stuck-on", "2"], "effects.stuck_on must be in 0..1, not 2"),
    (["--ir-drop", "rows"], "effects.ir_drop must be one of none, columns, full"),
    (["--full-scale", "losless"], "did you mean 'lossless'"),
    (["--set", "r_on=3e5"], "r_on must be less than r_off"),
    (["--set", "cols=4"], "a weight takes 6 columns"),
    (["--device", "memristor"], "unknown device 'memristor'"),
    (["--device", "ag_asi", "--as-built"], "--as-built must have --variation with ag_asi"),
    (["--device", "ag_asi", "--states", "x.csv"], "--device must not be used with --states"),
    (["--calibration", "min"], "unknown method 'min'"),
    (["--draws", "0"], "draws must be in 1..10,000, not 0"),
    (["--seed", "-1"], "--seed must be in 0..4294967295, not -1"),
    (["--spice", "fc9:0"], "unknown layer on crossbars 'fc9'"),
    (["--count", "21"], "--count must be in 1..20"),
    (["--count", "0"], "--count must be in 1..20"),
    (["--shift", "1"], "--shift must be 0 at --level crossbar"),
    (["--waves"], "--waves must not be used with --level crossbar"),
    (["--contract", "x.json", "--draws", "2"], "--draws must be used with --level crossbar and a"),
    (["--level", "reference", "--as-built"], "--as-built must be used with --level crossbar"),
])
def test_bad_options(run, argv, words, capsys):
    assert sim(run, *argv) == 2
    assert words in capsys.readouterr().err
