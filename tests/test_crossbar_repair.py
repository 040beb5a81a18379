"""Repair of chips: what each switch gives back, alone and together, by layer and by network."""

import json

import numpy as np
import pytest
from msgspec import structs
from networks import random_graph, random_images, residual_graph

from spikeloom.flow import cli
from spikeloom.flow.cim.array import Array
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.run import CALIBRATION, Run
from spikeloom.sim import reference
from spikeloom.sim.crossbar import files, network, remap, repair, report
from spikeloom.sim.crossbar.effects import Effects, as_built
from spikeloom.sim.crossbar.repair import Repair

ARRAY = Array()
WORN = as_built(ARRAY, 0.1, stuck_on=0.01, stuck_off=0.03)


def rated(images=80, **options):
    rng = np.random.default_rng(5)
    graph = random_graph(rng, sizes=(64, 32, 10), encoder="rate", readout="membrane", num_steps=4,
                         **options)
    return graph, random_images(rng, graph, images), random_images(rng, graph, images)


def measured(graph, images, effects, names=(), array=ARRAY, draws=3, fit=None, **how):
    labels = reference.run(graph, images).classes
    ranges = network.calibrate(graph, images, array, effects.nominal)
    fixed = Repair(names=names, **how).fitter(fit, reference.run(graph, fit).classes
                                              ) if names else None
    return report.measure(graph, images, labels, array, effects, draws=draws, ranges=ranges,
                          repair=fixed)


def own(found):
    return [item.own for item in found.layers]


@pytest.mark.parametrize("encoding", ["differential", "offset", "twos_complement"])
def test_gains_give_back_what_wires_take(encoding):
    graph, images, fit = rated()
    array, effects = Array(encoding=encoding), Effects(ir_drop="columns")
    before = measured(graph, images, effects, array=array)
    one, each = (measured(graph, images, effects, ("gain",), array, fit=fit, gains=gains)
                 for gains in ("layer", "column"))
    worst, better, best = own(before)[0], own(one)[0], own(each)[0]
    assert worst > 1.4 * better and better > 1.4 * best
    assert best < (0.18 if encoding == "offset" else 0.07)
    assert before.mean <= each.mean


def test_a_chip_of_its_own_gains_is_better_than_one_of_everybodys():
    graph, images, fit = rated()
    effects = Effects(ir_drop="columns", variation=0.2)
    plain, same, each = (own(measured(graph, images, effects, names, fit=fit, **how)) for names, how
                         in (((), {}), (("gain",), {"fitted": "nominal"}), (("gain",), {})))
    assert plain[0] > 1.1 * same[0] > 1.3 * each[0]


def test_a_range_is_searched_for_where_it_was_wrong():
    graph, images, fit = rated()
    effects = Effects(adc_bits=4, full_scale=60.0)
    before = measured(graph, images, effects)
    error, right = (measured(graph, images, effects, ("adc",), fit=fit, search=search)
                    for search in repair.OBJECTIVES)
    assert own(before)[0] > 3 * own(error)[0]
    assert right.mean >= error.mean > before.mean
    assert all(0 < item.full_scale < 40 for item in error.layers)


def test_repairs_together_are_better_than_each_alone():
    graph, images, fit = rated()
    alone = [own(measured(graph, images, WORN, (name,), fit=fit))[0] for name in repair.NAMES]
    whole = measured(graph, images, WORN, repair.NAMES, fit=fit)
    before = measured(graph, images, WORN)
    assert max(alone) < 1.02 * own(before)[0] and own(whole)[0] < 0.9 * min(alone)
    assert whole.mean > before.mean


def test_gains_of_a_residual_network_over_crossbars_and_bits():
    graph = residual_graph(np.random.default_rng(4), encoder="rate", channels=5)
    images = random_images(np.random.default_rng(1), graph, 3)
    array = Array(rows=4, cols=40)
    chip = network.program(graph, array, Effects(variation=0.2))
    fixed = Repair(names=("gain",)).fitter(images)(chip)
    for name, item in fixed.layers.items():
        assert item.gains.shape == (len(item.counts), 1, item.counts.shape[2])
        assert 0.05 < np.std(item.gains) < 0.5 or name == "fc4", "which no spike reaches"
    wanted, before, after = (found.run(images, trace=True).current for found in (
        network.program(graph), chip, fixed))
    # a column of the first layer has one cell in use, whose gain is all that it can have wrong
    assert (before[0] != wanted[0]).any() and (after[0] == wanted[0]).all()
    assert 0 < abs(after[1] - wanted[1]).mean() < 0.2 * abs(before[1] - wanted[1]).mean()


def test_nothing_wrong_is_left_exact():
    graph, images, fit = rated(20)
    chip = network.program(graph, ARRAY, Effects(adc_bits=8))
    fixed = Repair(names=("remap", "gain")).fitter(fit)(chip)
    assert all((item.gains == 1).all() for item in fixed.layers.values())
    assert (fixed.run(images).scores == reference.run(graph, images).scores).all()


def test_remapping_puts_digits_on_cells_that_agree():
    graph, images, fit = rated()
    effects = Effects(stuck_on=0.05, stuck_off=0.15)
    chip = network.program(graph, ARRAY, effects, seed=3)
    moved = remap.remapped(chip)
    for name, item in moved.layers.items():
        before, after = remap.misfit(chip.layers[name]), remap.misfit(item)
        assert 0 < after < 0.1 * before
        rows, cols = item.order.rows, item.order.cols
        assert (np.sort(rows) == np.arange(64)).all() and (np.sort(cols) == np.arange(64)).all()
        wrong = item.counts - item.exact_counts
        scales = np.tile(item.digits.scales, wrong.shape[-1] // len(item.digits.scales))
        assert np.square(wrong * scales).sum() == pytest.approx(after)
    before, after = (measured(graph, images, effects, names, fit=fit)
                     for names in ((), ("remap",)))
    assert own(after)[0] < 0.6 * own(before)[0] and after.mean > before.mean


def test_moved_digits_keep_the_faults_and_variation_of_their_cells():
    graph, _, _ = rated(10)
    effects = Effects(stuck_on=0.02, stuck_off=0.05, ir_drop="columns", variation=0.1)
    chip = network.program(graph, ARRAY, effects)
    for name, item in remap.remapped(chip).layers.items():
        where = remap.stuck(item)
        assert (item.G[where > 0] == item.cells.on).all()
        assert (item.G[where < 0] == item.cells.off).all()
        same = (item.order.placed(item.digits.cells) == item.digits.cells)
        assert same.mean() > 0.5 and (item.G == chip.layers[name].G)[same].all()
    healthy = network.program(graph, ARRAY, Effects(variation=0.1))
    assert remap.remapped(healthy) is healthy


def test_a_crossbar_without_spares_is_remapped_too():
    graph, _, _ = rated()
    array = Array(rows=64, cols=6)
    chip = network.program(graph, array, Effects(stuck_off=0.05))
    for name, item in remap.remapped(chip).layers.items():
        assert remap.misfit(item) < 0.7 * remap.misfit(chip.layers[name])


def test_files_of_a_repaired_chip(tmp_path):
    graph, _, fit = rated(10)
    chip = network.program(graph, ARRAY, WORN, ranges={"fc1": 12.0, "fc2": 6.0})
    fixed = Repair(names=("remap", "gain")).fitter(fit)(chip)
    names = {path.name for path in files.export(fixed, tmp_path)}
    assert {"order.csv", "gains.csv"} <= names
    assert not {"order.csv", "gains.csv"} & {path.name for path in files.export(chip, tmp_path)}
    rows = [line.split(",") for line in (tmp_path / "order.csv").read_text().splitlines()][1:]
    item = fixed.layers["fc1"]
    crossbar = item.order.rows.reshape(-1, 64)
    assert all(crossbar[int(number), int(planned)] == int(at) for name, number, line, planned, at
               in rows if (name, line) == ("fc1", "row"))
    lines = (tmp_path / "gains.csv").read_text().splitlines()
    assert len(lines) == 1 + 6 * 42
    name, number, column, gain = lines[1 + 65].split(",")
    assert (name, number, column) == ("fc1", "1", "5") and float(gain) == item.gains[0, 0, 65]


def test_the_same_seed_repairs_the_same():
    graph, images, fit = rated(20)
    noisy = structs.replace(WORN, read_noise=0.05)
    first, second = (measured(graph, images, noisy, repair.NAMES, draws=2, fit=fit)
                     for _ in range(2))
    assert json.dumps(first.data()["layers"]) == json.dumps(second.data()["layers"])


def test_what_cannot_be_repaired_is_refused():
    graph, images, fit = rated(5)
    chip = network.program(graph)
    for wrong, words in ((Repair(names=("gian",)), "unknown repair 'gian'; did you mean 'gain'"),
                         (Repair(names=()), "repair must be some of remap, adc, gain"),
                         (Repair(names=("gain",), gains="rows"), "repair.gains: unknown choice"),
                         (Repair(names=("adc",), search="accuracy"), "images have no labels")):
        with pytest.raises(ConfigError, match=words):
            wrong.fitter(fit)
    with pytest.raises(ConfigError, match="at least one image"):
        Repair(names=("gain",)).fitter(fit[:0])
    with pytest.raises(ConfigError, match="leave out adc where converters are ideal"):
        Repair(names=("adc",)).fitter(fit)(chip)
    streamed = random_graph(np.random.default_rng(1), sizes=(12, 3), encoder="stream")
    nothing = network.program(streamed)
    assert Repair(names=("gain",)).fitter(images[:1])(nothing).layers == {}


@pytest.fixture
def run(tmp_path):
    graph, images, fit = rated(30)
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    opened.save_samples(images, reference.run(graph, images).classes)
    opened.save_calibration(np.tile(fit, (10, 1)), np.tile(reference.run(graph, fit).classes, 10))
    return opened


def sim(run, *argv):
    return cli.main(["sim", "--run", str(run.path), "--level", "crossbar", "--count", "30", *argv])


def test_the_command_measures_before_and_after(run, capsys):
    argv = ["--as-built", "--stuck-off", "0.03", "--draws", "3"]
    assert sim(run, *argv, "--repair", "remap,adc,gain", "--fitted", "nominal", "--export",
               "--json") == 0
    data = json.loads(capsys.readouterr().out)
    after = data["repair"]
    assert after["calibration_images"] == CALIBRATION and after["fitted"] == "nominal"
    assert len(after["accuracy"]) == 3 and after["mean"] >= data["mean"]
    assert after["layers"][0]["own"] < 0.7 * data["layers"][0]["own"]
    assert str(run.path / "sim/crossbar/gains.csv") in data["files"]
    assert sim(run, *argv, "--repair", "gain", "--gains", "layer") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "repair: gain" in text and "fitted to each chip, on 256 validation images" in text
    assert "calibrated on validation images on a chip" in text


@pytest.mark.parametrize("argv,words", [
    (["--repair", "gian"], "did you mean 'gain'"), (["--repair", ","], "repair must be some of"),
    (["--gains", "column"], "--gains must be used with --repair"),
    (["--repair", "gain", "--fitted", "chop"], "--fitted: unknown choice 'chop'"),
    (["--repair", "adc"], "leave out adc where converters are ideal"),
])
def test_bad_options(run, argv, words, capsys):
    assert sim(run, *argv) == 2
    assert words in capsys.readouterr().err


def test_without_calibration_images_nothing_is_repaired(run, capsys):
    run.calibration_file.unlink()
    assert sim(run, "--as-built", "--repair", "gain") == 2
    assert "calibration.safetensors is missing" in capsys.readouterr().err
    assert sim(run, "--variation", "0.1", "--repair", "gain") == 2
    assert "calibration.safetensors: is missing; train or search again" in capsys.readouterr().err
