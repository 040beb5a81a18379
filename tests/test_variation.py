"""Training on varying cells: their spread is the crossbars', and evaluation stays exact."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import random_graph

from spikeloom.flow import cli, ir
from spikeloom.flow.cim.array import ENCODINGS, Array
from spikeloom.flow.errors import ConfigError
from spikeloom.hdl import sng
from spikeloom.hdl.neurons import Lif
from spikeloom.nas import datasets
from spikeloom.nas.program import Program
from spikeloom.nas.train import TrainSettings, train
from spikeloom.nas.variation import spreads
from spikeloom.sim import reference
from spikeloom.sim.crossbar import network
from spikeloom.sim.crossbar.effects import Effects

DIGITS = datasets.load("digits")
RECIPE = {"init": 0.4, "gain": 3.0, "surrogate": 0.8}


def shape(width=12, encoder="rate", readout="membrane", bits=4):
    layer = {"weight_bits": bits, "bitstream_length": 8, "sng": "sobol1",
             "neuron": Lif(v_threshold=1)}
    return ir.chain(shape=(8, 8), encoder=encoder, readout=readout, num_steps=4,
                    input_sng="ramp" if encoder == "stream" else None,
                    layers=[{"out_features": n, **layer} for n in (width, 10)])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("cell_bits", [1, 2])
def test_weights_spread_as_those_of_programmed_crossbars(encoding, cell_bits):
    array = Array(encoding=encoding, cell_bits=cell_bits)
    graph = random_graph(np.random.default_rng(1), sizes=(60, 40, 3), encoder="rate",
                         readout="membrane", num_steps=3)
    node = graph.layers[0][0]
    table = sng.weight_table(node.sng, node.bits, node.weight_bits)
    wanted = spreads(table, array, 0.1)[node.weight.astype(int) + node.max_code]
    drawn = np.stack([network.program(graph, array, Effects(variation=0.1), draw=draw)
                      .layers[node.name].weights for draw in range(60)])
    off = (drawn - reference.effective_weights(node)) / wanted
    assert off.mean() == pytest.approx(0, abs=0.02) and off.std() == pytest.approx(1, abs=0.02)
    for code in np.unique(node.weight):
        assert off[:, node.weight == code].std() == pytest.approx(1, abs=0.12), code


def test_spreads_by_hand():
    # codes 0..2 of one cell each: leakage 5 uS in both columns, or 50 uS in one, over 45 uS
    low, high = 2 * 5**2, 50**2 + 5**2
    assert spreads(np.array([0, 3]), Array(), 0.1) == pytest.approx(
        3 * 0.1 * np.sqrt([high, low, high]) / 45)
    assert (spreads(np.array([0, 1, 2, 3]), Array(), 0.0) == 0).all()


def test_noise_is_in_the_loss_alone():
    images = DIGITS.train.inputs[:30]
    exact, noisy = (Program([shape()], [3], images, variation=variation, **RECIPE)
                    for variation in (0.0, 0.2))
    inputs, labels = torch.from_numpy(images.astype(np.int64)), torch.tensor([1] * 30)
    losses = [float(noisy.loss(inputs, labels)[0].detach()) for _ in range(3)]
    assert len(set(losses)) == 3 and float(exact.loss(inputs, labels)[0].detach()) not in losses
    graph, = noisy.trained()
    scores, spikes = noisy.infer(images)
    wanted = reference.run(graph, images, trace=True)
    assert (scores[0] == wanted.scores).all() and (spikes[0][0] == wanted.spikes[0]).all()
    assert graph.digest() == next(exact.trained()).digest()


@pytest.mark.parametrize("encoder,readout", [("stream", "spike_count"), ("rate", "spike_count")])
def test_gradients_pass_and_streams_stay_digital(encoder, readout):
    images = DIGITS.train.inputs[:16]
    program = Program([shape(encoder=encoder, readout=readout)], [0], images, variation=0.3,
                      **RECIPE)
    drawn = []
    real = program.chips.noise
    program.chips.noise = lambda k, *rest: drawn.append(k) or real(k, *rest)
    loss, _ = program.loss(torch.from_numpy(images.astype(np.int64)),
                           torch.from_numpy(DIGITS.train.labels[:16].copy()))
    loss.sum().backward()
    assert drawn == ([1] if encoder == "stream" else [0, 1])
    assert all(float(leaf.grad.abs().sum()) > 0 for leaf in program.weights.leaves)


def test_draws_depend_on_seed_and_shape_alone():
    images = DIGITS.train.inputs[:8]

    def draw(program, c, times=2):
        for _ in range(times):
            layer = program.layers[0]
            out = layer.weight(program.chips) - layer.weight()
        return out.detach()[c, :12]

    alone = Program([shape()], [5], images, variation=0.1, **RECIPE)
    others = Program([shape(20), shape(), shape(30)], [1, 5, 2], images, variation=0.1, **RECIPE)
    assert torch.equal(draw(alone, 0), draw(others, 1))
    kept = others.select([1, 2])
    assert torch.equal(draw(alone, 0, 1), draw(kept, 0, 1))
    assert draw(others, 0).abs().sum() > 0
    padded = (others.layers[0].weight(others.chips) - others.layers[0].weight())[1, 12:]
    assert (padded == 0).all()


def test_maps_share_a_kernels_cells_at_all_places():
    from spikeloom.nas.figures import conv

    graph = conv.shape()
    source = replace(graph.input, encoder="rate", sng=None)
    graph = replace(graph, nodes=(source, *graph.nodes[1:]))
    program = Program([graph], [0], DIGITS.train.inputs[:4], variation=0.2, **RECIPE)
    added = (program.layers[0].weight(program.chips) - program.layers[0].weight())[0]
    node = graph.layers[0][0]
    assert len(np.unique(added.detach().abs().numpy().round(4))) <= 1 + node.weight_shape[0] * 9
    assert (added != 0).sum() > 8 * 8 * node.weight_shape[0]


def test_training_with_variation_repeats_and_off_is_as_ever():
    fit = datasets.Split(DIGITS.train.inputs[:200].copy(), DIGITS.train.labels[:200].copy())

    def digest(**settings):
        done, = train([shape()], fit, None, TrainSettings(epochs=2, **settings), [1])
        return done.graph.digest()

    assert digest(cim_variation=0.2) == digest(cim_variation=0.2)
    plain = digest()
    assert digest(cim_variation=0.0, cim_cell_bits=2, cim_encoding="offset") == plain
    assert len({plain, digest(cim_variation=0.2), digest(cim_variation=0.2, cim_cell_bits=2)}) == 3


@pytest.mark.parametrize("change,words", [
    ({"cim_variation": -0.1}, "cim_variation must be in 0..1.0, not -0.1"),
    ({"cim_cell_bits": 0}, "cim.cell_bits must be in 1..8, not 0"),
    ({"cim_encoding": "ofset"}, "did you mean 'offset'"),
])
def test_absurd_settings_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        TrainSettings(**change).check()


def test_the_command_trains_for_crossbars_and_keeps_images_to_calibrate_with(tmp_path, capsys):
    path = tmp_path / "run"
    assert cli.main(["train", "--run", str(path), "--encoder", "rate", "--hidden", "8", "--epochs",
                     "1", "--num-steps", "2", "--cim-variation", "0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cim_variation"] == 0.1
    assert cli.main(["sim", "--run", str(path), "--level", "crossbar", "--as-built", "--draws",
                     "2", "--repair", "gain", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["repair"]["calibration_images"] == 256 and len(data["accuracy"]) == 2
