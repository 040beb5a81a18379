"""Batched training: exact in its forward pass, repeatable, and good enough to learn the digits."""

import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow import cli, ir
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.run import Run
from spikeloom.hdl import sng
from spikeloom.hdl.neurons import Lif
from spikeloom.nas import datasets, plan
from spikeloom.nas.neurons.lif import LifTraining
from spikeloom.nas.operations import StreamTable
from spikeloom.nas.program import Program, shape_class
from spikeloom.nas.train import TrainSettings, accuracy, rate_benchmark, train
from spikeloom.sim import reference

DIGITS = datasets.load("digits")
RECIPE = {"init": 0.3, "gain": 1.0, "surrogate": 1.0}


def net(*hidden, encoder="stream", input_sng="ramp", readout="membrane", num_steps=5,
        reset="subtract", leak=None, **layer):
    """A digits network; `leak`, and each keyword of `layer`, may be a list with one per layer."""
    count = len(hidden) + 1
    each = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1", **layer, "leak": leak}
    each = {k: v if isinstance(v, list) else [v] * count for k, v in each.items()}
    layers = [{k: v[i] for k, v in each.items()} for i in range(count)]
    return ir.chain(
        shape=(8, 8), encoder=encoder, readout=readout, num_steps=num_steps,
        input_sng=input_sng if encoder == "stream" else None,
        layers=[{"out_features": n, "neuron": Lif(v_threshold=1, leak_shift=item.pop("leak"),
                                                  reset=reset), **item}
                for n, item in zip((*hidden, 10), layers)]).verify()


def assert_equals_reference(program):
    """Scores and spikes of evaluation mode are those of the reference model, bit for bit."""
    p8 = DIGITS.validation.inputs[:100]
    scores, spikes = program.infer(p8)
    for c, graph in enumerate(program.trained()):
        trace = reference.run(graph, p8, trace=True)
        np.testing.assert_array_equal(scores[c], trace.scores)
        for ours, theirs in zip(spikes, trace.spikes):
            np.testing.assert_array_equal(ours[c, :len(theirs), :, :theirs.shape[2]], theirs)
    return spikes


def stepped(program, steps=4):
    """The program after some training steps at a high rate."""
    p8 = torch.from_numpy(DIGITS.train.inputs[:256].astype(np.int64))
    labels = torch.from_numpy(DIGITS.train.labels[:256].copy())
    for _ in range(steps):
        loss, _ = program.loss(p8, labels)
        loss.sum().backward()
        program.step(0.2, 0.01)
    return program


BATCHES = {
    "stream-membrane": [
        net(24), net(9, weight_bits=2, sng="lfsr", num_steps=3),
        net(17, weight_bits=[3, 5], bitstream_length=[16, 64], sng=["debruijn", "lfsr"], leak=2),
        net(33, input_sng="lfsr", sng="ramp", num_steps=8, leak=[1, None])],
    "stream-count-zero": [
        net(12, 20, readout="spike_count", reset="zero", leak=[3, 1, 2], sng="lfsr"),
        net(30, 8, readout="spike_count", reset="zero", num_steps=9,
            weight_bits=[6, 3, 4], bitstream_length=[32, 8, 16], sng=["sobol2", "ramp", "lfsr"])],
    "rate-count": [
        net(16, encoder="rate", readout="spike_count", sng="lfsr", leak=4),
        net(8, encoder="rate", readout="spike_count", sng="debruijn", num_steps=11)],
    "rate-membrane": [
        net(16, encoder="rate", leak=[None, 3], bitstream_length=[256, 8], num_steps=7),
        net(21, encoder="rate", sng=["ramp", "lfsr"], weight_bits=[7, 2], bitstream_length=64)],
    "delays": [net(10, 11, delay=[0, 1, 2], num_steps=6), net(8, 5, delay=[0, 0, 3]),
               net(9, 7, num_steps=8),
               net(6, 12, delay=[0, (0, 3, 1, 0, 2, 5), tuple(range(6)) * 2], num_steps=12)],
    "delays-leak-count": [
        net(6, delay=[0, (4, 0, 1, 3, 0, 2)], leak=[1, 2], readout="spike_count", num_steps=7),
        net(9, delay=[0, 2], leak=3, readout="spike_count"),
        net(5, readout="spike_count", num_steps=9)],
    "delays-rate": [
        net(6, encoder="rate", delay=[tuple(i % 5 for i in range(64)), 1], leak=2, num_steps=9),
        net(8, encoder="rate", delay=[3, 0])],
    "one-layer": [net(num_steps=4), net(num_steps=6, leak=2)],
    "float64": [net(16, encoder="rate", num_steps=600, bitstream_length=512, weight_bits=9)],
}


@pytest.mark.parametrize("graphs", BATCHES.values(), ids=BATCHES)
def test_evaluation_mode_equals_the_reference_model(graphs):
    assert len({shape_class(g) for g in graphs}) == 1
    program = Program(graphs, range(len(graphs)), DIGITS.train.inputs, **RECIPE)
    spikes = assert_equals_reference(program)
    if graphs[0].num_steps < 100:
        spikes += assert_equals_reference(stepped(program))
    assert all(0 < s.mean() < 1 for s in spikes), "a layer that is silent proves nothing"


@pytest.mark.parametrize("x_kind", ["ramp", "lfsr"])
@pytest.mark.parametrize("w_kind", sng.KINDS)
@pytest.mark.parametrize(("length", "weight_bits"), [(8, 4), (32, 3), (64, 7)])
def test_stream_table_is_the_exact_count(x_kind, w_kind, length, weight_bits):
    dense, _ = net(weight_bits=weight_bits, bitstream_length=length, sng=w_kind).layers[0]
    table = sng.count_table(x_kind, w_kind, dense.bits, weight_bits)
    for levels in (None, np.array([0, 16, 128, 255])):
        exact = StreamTable(x_kind, dense, torch.float32, levels)
        found = (exact.left @ exact.right.T).numpy()
        p8 = np.arange(256) if levels is None else levels
        p = (p8 * length + 127) // 255
        np.testing.assert_array_equal(found[p8][:, dense.max_code:], table[p])
        np.testing.assert_array_equal(found[p8], -found[p8][:, ::-1])


@settings(max_examples=60, deadline=None)
@given(reset=st.sampled_from(["subtract", "zero"]), leak=st.sampled_from([None, 1, 3]),
       constant=st.booleans(), seed=st.integers(0, 1000))
def test_surrogate_gradient_is_that_of_plain_autograd(reset, leak, constant, seed):
    """Against a step-by-step model whose reset is detached and whose floor passes gradients."""
    rng = torch.Generator().manual_seed(seed)
    drive = torch.randint(-5, 12, (2, 1 if constant else 6, 3, 4), generator=rng).double()
    threshold = torch.tensor([7.0, 3.0]).double()[:, None, None]
    weight = torch.randn(2, 6, 3, 4, generator=rng).double()
    neuron = Lif(v_threshold=1, leak_shift=leak, reset=reset)
    kind = LifTraining([neuron] * 2, 6, torch.float64, 0.5)
    decay = 0.0 if leak is None else 0.5 ** leak

    def plain(drive, threshold):
        v, total = torch.zeros(2, 3, 4).double(), 0
        for t in range(6):
            v = v - v * decay + (v * decay - (v * decay).floor()).detach()
            v = v + drive[:, 0 if constant else t]
            x = v - threshold
            width = (0.5 * threshold).detach()
            soft = width * torch.atan(x / width)
            s = (x >= 0).double() + soft - soft.detach()
            fired = (x >= 0).double()
            v = v * (1 - fired) if reset == "zero" else v - fired * threshold.detach()
            total = total + (s * weight[:, t]).sum()
        return total

    grads = []
    for run in (plain, lambda d, th: (kind.spikes(d, th) * weight).sum()):
        d, th = drive.clone().requires_grad_(), threshold.clone().requires_grad_()
        total = run(d, th)
        grads.append((total.detach(), *torch.autograd.grad(total, (d, th))))
    for ours, theirs in zip(*grads):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_first_weights_do_not_depend_on_companions():
    graphs = [net(16, weight_bits=3), net(40, num_steps=8), net(9, leak=2)]
    together = list(Program(graphs, [5, 6, 7], DIGITS.train.inputs, **RECIPE).trained())
    for graph, seed, found in zip(graphs, [5, 6, 7], together):
        alone, = Program([graph], [seed], DIGITS.train.inputs, **RECIPE).trained()
        assert alone.digest() == found.digest()
    assert len({g.digest() for g in together}) == 3


def test_padding_never_learns():
    program = stepped(Program([net(8, 30), net(30, 8)], [0, 1], DIGITS.train.inputs, **RECIPE))
    first, second, last = program.layers
    for padded in (first.u[0, 8:], second.u[0, :, 8:], second.u[1, 8:], last.u[1, :, 8:],
                   first.bias[0, :, 8:], second.bias[1, :, 8:]):
        assert padded.numel() and not padded.any()
    assert first.u.grad.count_nonzero() == 0, "a step clears the gradients"


def test_first_gradients_hardly_depend_on_companions():
    graphs = [net(16), net(40, num_steps=9, weight_bits=6, bitstream_length=32, leak=1)]
    p8 = torch.from_numpy(DIGITS.train.inputs[:64].astype(np.int64))
    labels = torch.from_numpy(DIGITS.train.labels[:64].copy())
    grads = []
    for batch in (graphs[:1], graphs):
        program = Program(batch, range(len(batch)), DIGITS.train.inputs, **RECIPE)
        program.loss(p8, labels)[0].sum().backward()
        grads.append([layer.u.grad[0, :n, :m].clone() for layer, n, m in
                      zip(program.layers, (16, 10), (64, 16))])
    for alone, together in zip(*grads):
        assert torch.allclose(alone, together, rtol=1e-4, atol=1e-6) and alone.any()


def test_same_list_gives_the_same_integer_graphs():
    graphs = [net(16), net(12, weight_bits=3, num_steps=4), net(20, encoder="rate")]
    runs = [train(graphs, DIGITS.train, DIGITS.validation, TrainSettings(epochs=3), [1, 2, 3])
            for _ in range(2)]
    assert [t.graph.digest() for t in runs[0]] == [t.graph.digest() for t in runs[1]]
    for found, graph in zip(runs[0], graphs):
        assert found.graph.stage == "integer" and found.epochs == 3 and found.stopped is None
        assert found.graph.layers[0][0].out_features == graph.layers[0][0].out_features
        assert found.accuracy == accuracy(found.graph, DIGITS.validation)


def test_learns_the_digits():
    epochs = []
    done = train([net(32, num_steps=8)] * 6, DIGITS.train, DIGITS.validation,
                 TrainSettings(epochs=30), range(6), on_epoch=lambda *a: epochs.append(a))
    assert np.mean([t.accuracy for t in done]) > 0.965
    assert epochs[0] == (6, 180) and epochs[-1] == (180, 180)
    thresholds = {t.graph.layers[0][1].neuron.v_threshold for t in done}
    assert len(thresholds) > 1, "thresholds are learned"


def test_stop_rule_is_logged_and_the_others_go_on():
    graphs = [net(2, weight_bits=2, num_steps=1), net(32), net(32, num_steps=8)]
    rule = TrainSettings(epochs=6, stop_epoch=3, stop_accuracy=0.7)
    found = train(graphs, DIGITS.train, DIGITS.validation, rule, [0, 1, 2])
    assert found[0].epochs == 3 and "stopped after epoch 3: accuracy on the fit" in found[0].stopped
    assert [t.epochs for t in found[1:]] == [6, 6] and found[1].stopped is None
    assert min(t.accuracy for t in found[1:]) > 0.8 > found[0].accuracy


def test_going_on_with_some_candidates_changes_nothing_but_rounding():
    graphs = [net(40, leak=2, num_steps=7), net(16), net(20, weight_bits=3)]
    program = stepped(Program(graphs, [0, 1, 2], DIGITS.train.inputs, **RECIPE))
    fewer = program.select([1, 2])
    assert fewer.layers[0].u.shape == (2, 20, 64)
    assert [g.digest() for g in fewer.trained()] == [g.digest() for g in program.trained()][1:]
    kept = [stepped(p, 1).weights._parts(p.weights.mean)[0] for p in (program, fewer)]
    assert torch.allclose(kept[0][1:, :20], kept[1], rtol=1e-3, atol=1e-6)


def test_divergence_is_reported():
    # with a rate beyond float range every weight, bias and threshold is lost at once
    found, = train([net(8)], DIGITS.train, DIGITS.validation,
                   TrainSettings(epochs=2, learning_rate=1e38), [0])
    assert found.stopped.startswith("diverged") and "lower learning_rate" in found.stopped
    assert found.graph.stage == "integer" and found.accuracy < 0.5


@pytest.mark.parametrize(("change", "message"), [
    ({"epochs": 0}, "epochs must be in 1..100000, not 0"),
    ({"batch_size": 0}, "batch_size must be in"),
    ({"learning_rate": -1.0}, "learning_rate must be a finite number above 0, not -1"),
    ({"learning_rate": math.nan}, "learning_rate must be a finite number"),
    ({"weight_decay": 2.0}, "weight_decay must be in 0..1"),
    ({"threads": 0}, "threads must be in 1..256, not 0"),
])
def test_settings_out_of_range(change, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        train([net(8)], DIGITS.train, None, TrainSettings(**change))


def test_what_cannot_be_trained_is_refused_by_name():
    with pytest.raises(ConfigError, match="encoder must be rate or stream for the inputs"):
        DIGITS.check(net(8, encoder="spikes"))
    with pytest.raises(ConfigError, match="seeds must be one per graph, 1, not 2"):
        train([net(8)], DIGITS.train, seeds=[1, 2])


def test_plan_batches_are_of_one_class_and_cover_the_list():
    rng = np.random.default_rng(0)
    graphs = [net(*rng.integers(8, 64, rng.integers(1, 4)).tolist(),
                  num_steps=int(rng.integers(2, 12)),
                  encoder=str(rng.choice(["stream", "rate"]))) for _ in range(60)]
    batches = plan.plan(graphs, 8)
    assert sorted(i for b in batches for i in b) == list(range(60))
    assert all(len(b) <= 8 and len({shape_class(graphs[i]) for i in b}) == 1 for b in batches)
    assert max(map(len, batches)) > 3 and batches == plan.plan(graphs, 8)
    assert [len(b) for b in plan.plan([net(32)] * 70, 32)] == [32, 32, 6]
    assert plan.plan([net(8), net(256)] * 2, 32) == [[0, 2], [1, 3]], "no padding of 8 to 256"


def test_rate_benchmark_compares_together_with_alone():
    threads = torch.get_num_threads()
    found = rate_benchmark(count=3, epochs=1, rounds=1)
    assert found["candidates_per_second"] == found["together_per_second"] > 0
    assert found["batch_speedup"] == pytest.approx(
        found["together_per_second"] / found["alone_per_second"])
    assert torch.get_num_threads() == threads, "training leaves torch's threads as they were"


def command(capsys, *argv):
    code = cli.main(["train", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_command_trains_into_a_run_directory(tmp_path, capsys):
    path = tmp_path / "run"
    code, out, _ = command(capsys, "--run", str(path), "--json", "--epochs", "4", "--seeds", "2",
                           "--hidden", "12,8", "--leak-shift", "3", "--seed", "5")
    found = json.loads(out)
    graph = Run.open(path).graph()
    p8, labels = Run.open(path).samples()
    assert code == 0 and found["seeds"] == [5, 6] and graph.digest() == found["design"]
    assert [d.out_features for d, _ in graph.layers] == [12, 8, 10]
    assert graph.layers[0][1].neuron.leak_shift == 3
    assert len(labels) == 360
    expected = float((reference.run(graph, p8).classes == labels).mean())
    assert found["test_accuracy"] == expected == found["test_accuracies"][0]
    assert found["fit"] == "train and validation"


def test_command_with_fit_train_leaves_the_test_split_alone(tmp_path, capsys):
    code, out, _ = command(capsys, "--run", str(tmp_path / "run"), "--epochs", "3",
                           "--fit", "train")
    assert code == 0 and "validation accuracy" in out and "test split was not touched" in out


@pytest.mark.parametrize(("argv", "message"), [
    (["--hidden", "0"], "--hidden must be widths of at least 1"),
    (["--hidden", "x"], "--hidden must be widths of at least 1"),
    (["--epochs", "0"], "epochs must be in 1..100000, not 0"),
    (["--encoder", "strem"], "did you mean 'stream'"),
    (["--data", "digit"], "did you mean 'digits'"),
    (["--readout", "membran"], "did you mean 'membrane'"),
    (["--sng", "sobol9"], "unknown number generator 'sobol9'"),
    (["--bitstream-length", "12"], "bitstream_length must be a power of two, not 12"),
    (["--leak-shift", "slow"], "--leak-shift must be 'none' or an integer"),
    (["--fit", "test"], "--fit must be one of final, train, not 'test'"),
    (["--seeds", "0"], "--seeds must be at least 1, not 0"),
    (["--encoder", "spikes"], "encoder must be rate or stream for the inputs of 'digits'"),
    (["--delays", "9"], "--delays must be one number in 0..8, or 2 separated by commas"),
    (["--delays", "0,1,2"], "one per layer, not '0,1,2'"),
    (["--delays", "0,8"], "delays must sum to less than num_steps = 8"),
    (["--delays", "1"], "delay must be 0 for a layer fed by stream input"),
    (["--num-steps", "0"], "num_steps must be an integer in 1..1024, not 0"),
    (["--refractory", "-1"], "refractory must be in 0..255, not -1"),
    (["--data", "temporal", "--num-steps", "8"],
     "num_steps must be 48 for the events of 'temporal', not 8"),
    (["--data", "temporal", "--encoder", "rate"],
     "encoder must be spikes for the inputs of 'temporal', not rate"),
])
def test_command_answers_bad_input_with_one_line(argv, message, tmp_path, capsys):
    code, out, err = command(capsys, "--run", str(tmp_path / "run"), *argv)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
