"""The temporal data set: what tells its classes apart, and runs that hold events."""

import json

import numpy as np
import pytest
import torch

from spikeloom.flow import cli, ir
from spikeloom.flow.errors import ConfigError, GraphError
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import FixedPointLif, HomeostaticLif, Lif
from spikeloom.nas import datasets
from spikeloom.nas.datasets import temporal
from spikeloom.nas.program import Program, shape_class
from spikeloom.nas.space import spread
from spikeloom.nas.train import TrainSettings, train
from spikeloom.sim import reference
from spikeloom.sim.images import payload

DATA = datasets.load("temporal")
SPLITS = (DATA.train, DATA.validation, DATA.test)


def net(*hidden, delays=None, neuron=None, readout="membrane", seed=0, **layer):
    """A network for the data set; `delays` is the largest of each layer, drawn by a seed."""
    widths, delays = (*hidden, temporal.CLASSES), delays or [0] * (len(hidden) + 1)
    each = {"weight_bits": 4, "bitstream_length": 16, "sng": "sobol1", **layer,
            "neuron": neuron or Lif(v_threshold=1, leak_shift=2)}
    return ir.chain(
        shape=DATA.shape, encoder="spikes", readout=readout, num_steps=DATA.num_steps,
        layers=[{"out_features": n, "delay": spread(d, axons, seed), **each}
                for n, d, axons in zip(widths, delays, (temporal.CHANNELS, *hidden))]).verify()


def test_spike_counts_say_nothing_of_the_class():
    """The best guess from how often each channel and each pair spiked is no better than chance."""
    def counts(split):
        per_channel = split.inputs.sum(1).astype(float)
        return np.hstack([per_channel, per_channel[:, ::2] - per_channel[:, 1::2]])

    fit, check = counts(DATA.train), DATA.test
    means = np.array([fit[DATA.train.labels == k].mean(0) for k in range(temporal.CLASSES)])
    distance = ((counts(check)[:, None] - means) ** 2).sum(2)
    assert (distance.argmin(1) == check.labels).mean() < 1.4 / temporal.CLASSES


def test_when_a_channel_spikes_says_nothing_either():
    """Each channel and timestep has the same rate in every class, at the edges too."""
    x = np.concatenate([split.inputs for split in SPLITS]).astype(float)
    labels = np.concatenate([split.labels for split in SPLITS])
    rates = np.array([x[labels == k].mean((0, 2)) for k in range(temporal.CLASSES)])
    spread = 5 * (rates.mean() / (len(x) / temporal.CLASSES * temporal.CHANNELS / 2)) ** 0.5
    assert (abs(rates - rates.mean()) < spread).all()


def test_the_lag_of_the_ears_tells_the_class():
    """Counting coincidences at each lag finds most classes from events alone."""
    x, labels = DATA.validation.inputs.astype(int), DATA.validation.labels
    left, right = x[:, :, ::2], x[:, :, 1::2]
    scores = [(np.roll(left, lag, 1) * right).sum((1, 2)) for lag in temporal.LAGS]
    assert (np.argmax(scores, 0) == labels).mean() > 0.95


def test_splits_are_seeded_balanced_and_disjoint():
    again = temporal.generate(*temporal.SPLITS["train"])
    np.testing.assert_array_equal(again[0], DATA.train.inputs)
    np.testing.assert_array_equal(again[1], DATA.train.labels)
    samples = [set(map(bytes, split.inputs)) for split in SPLITS]
    assert not samples[0] & samples[2] and not samples[1] & samples[2]
    for split in SPLITS:
        counts = np.bincount(split.labels, minlength=temporal.CLASSES)
        assert counts.max() - counts.min() <= 1
    assert DATA.train.inputs.shape[1:] == (DATA.num_steps, temporal.CHANNELS)
    assert DATA.final.inputs.shape[0] == len(DATA.train) + len(DATA.validation)


@pytest.mark.parametrize("readout", ["membrane", "spike_count"])
@pytest.mark.parametrize("neuron", [
    Lif(v_threshold=1, leak_shift=2, refractory=2), FixedPointLif(v_threshold=1, beta=5, n=3),
    HomeostaticLif(v_threshold=1, up=4, down=1, lo=8, hi=255, leak_shift=3)])
def test_evaluation_mode_equals_the_reference_model(neuron, readout):
    graphs = [net(9, 7, delays=delays, neuron=neuron, readout=readout)
              for delays in ([0, 8, 0], [3, 2, 8], [0, 0, 0])]
    assert len({shape_class(graph) for graph in graphs}) == 1
    program = Program(graphs, [0, 1, 2], DATA.train.inputs, init=0.4, gain=0.7, surrogate=0.8)
    x, labels = torch.tensor(DATA.train.inputs[:128]).long(), torch.tensor(DATA.train.labels[:128])
    for _ in range(3):
        loss, _ = program.loss(x, labels)
        loss.sum().backward()
        program.step(0.1, 0.01)
    inputs = DATA.validation.inputs[:80]
    scores, spikes = program.infer(inputs)
    assert all(0 < s.mean() < 1 for s in spikes[:2]), "a layer that is silent proves nothing"
    for c, graph in enumerate(program.trained()):
        trace = reference.run(graph, inputs, trace=True)
        np.testing.assert_array_equal(scores[c], trace.scores)
        for ours, theirs in zip(spikes, trace.spikes):
            np.testing.assert_array_equal(ours[c], theirs)


def test_gradients_flow_through_delays_to_when_the_spikes_left():
    """Against plain autograd: a shift of each axon, with zeros before the first timestep."""
    program = Program([net(5, delays=[0, 4])], [0], DATA.train.inputs, init=0.4, gain=1.0,
                      surrogate=1.0)
    layer = program.layers[1]
    spikes = torch.rand(1, DATA.num_steps, 3, 5, requires_grad=True)
    weight = torch.rand(1, DATA.num_steps, 3, 5)
    from spikeloom.nas.operations import Delayed

    columns = [torch.cat([torch.zeros(1, d, 3), spikes[:, :DATA.num_steps - d, :, i]], 1)
               for i, d in enumerate(range(5))]
    wanted = torch.stack(columns, 3)
    found = Delayed.apply(spikes, *layer.delays)
    assert torch.equal(found, wanted)
    grads = [torch.autograd.grad((out * weight).sum(), spikes)[0] for out in (wanted, found)]
    assert torch.equal(*grads)


def test_delays_help_where_time_matters():
    graphs = [net(20, delays=delays, seed=1, neuron=Lif(v_threshold=1, leak_shift=1)).replace(
        pop2={"neuron": Lif(v_threshold=1)}) for delays in ([4, 0], [0, 0])]
    found = train(graphs, DATA.train, DATA.validation,
                  TrainSettings(epochs=12, gain=1.0, learning_rate=0.03), [0, 0])
    assert found[0].accuracy > found[1].accuracy + 0.05 and found[0].accuracy > 0.5


def test_networks_that_cannot_take_the_events_are_refused():
    with pytest.raises(ConfigError, match="num_steps must be 48 for the events of 'temporal'"):
        DATA.check(ir.chain(shape=DATA.shape, encoder="spikes", readout="membrane", num_steps=9,
                            layers=[{"out_features": 8, "weight_bits": 4, "bitstream_length": 16,
                                     "sng": "sobol1", "neuron": Lif(v_threshold=1)}]))
    with pytest.raises(GraphError, match="delays must sum to less than num_steps = 48"):
        net(9, 9, 9, 9, 9, delays=[8] * 6)


def command(capsys, *argv):
    code = cli.main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_run_of_events_is_trained_replayed_and_inferred(tmp_path, capsys):
    where = ["--run", str(tmp_path / "run"), "--json"]
    code, out, _ = command(capsys, "train", *where, "--dataset", "temporal", "--epochs", "3",
                           "--gain", "1", "--learning-rate", "0.03", "--hidden", "8",
                           "--delays", "0,3", "--delay-seed", "2")
    assert code == 0
    opened = Run.open(tmp_path / "run")
    events, labels = opened.samples()
    graph = opened.graph()
    assert graph.input.encoder == "spikes" and graph.layers[1][0].max_delay == 3
    assert events.reshape(DATA.test.inputs.shape).tobytes() == DATA.test.inputs.tobytes()
    found = (reference.run(graph, DATA.test.inputs).classes == labels).mean()
    assert json.loads(out)["test_accuracy"] == found
    code, out, _ = command(capsys, "sim", *where, "--level", "amaranth", "--count", "2")
    assert code == 0 and json.loads(out)["images_equal"] == 2
    code, out, _ = command(capsys, "infer", *where, "--sim", "--count", "1")
    assert code == 0 and json.loads(out)["equal"] == 1
    assert len(payload(graph, DATA.test.inputs[0])) == 2 * DATA.num_steps


def test_samples_of_another_shape_are_one_line(tmp_path, capsys):
    where = ["--run", str(tmp_path / "run")]
    assert command(capsys, "train", *where, "--data", "temporal", "--epochs", "4", "--gain", "1",
                   "--learning-rate", "0.03", "--leak-shift", "1", "--readout", "spike_count",
                   "--hidden", "16")[0] == 0
    np.save(tmp_path / "short.npy", np.zeros((2, 5, temporal.CHANNELS), np.uint8))
    np.save(tmp_path / "loud.npy", DATA.test.inputs[:1] * 9)
    for file, words in (("short.npy", "768 events each, 48 x 16, not the shape [2, 5, 16]"),
                        ("loud.npy", "events must be in 0..1, not 9")):
        code, out, err = command(capsys, "infer", *where, "--sim", str(tmp_path / file))
        assert (code, out) == (2, "") and err.count("\n") == 1 and words in err
