"""Training of the neuron kinds beside the LIF: exact forward, sound gradients, and it learns."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.flow import cli, ir
from spikeloom.flow.errors import GraphError
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import FixedPointLif, HomeostaticLif, Lif
from spikeloom.nas import datasets, neurons
from spikeloom.nas.neurons.lif import LifTraining
from spikeloom.nas.program import Program, shape_class
from spikeloom.nas.train import TrainSettings, train
from spikeloom.sim import reference

DIGITS = datasets.load("digits")
RECIPE = {"init": 0.3, "gain": 1.0, "surrogate": 1.0}


def fixed(beta, n, **more):
    return FixedPointLif(v_threshold=1, beta=beta, n=n, **more)


def homeostatic(up, down, lo, hi, **more):
    return HomeostaticLif(v_threshold=1, up=up, down=down, lo=lo, hi=hi, **more)


def net(neuron, *hidden, encoder="stream", readout="membrane", num_steps=6, length=8, sng="sobol1"):
    """A digits network; `neuron` may be a list with one per layer."""
    widths = (*hidden, 10)
    each = neuron if isinstance(neuron, list) else [neuron] * len(widths)
    return ir.chain(
        shape=(8, 8), encoder=encoder, readout=readout, num_steps=num_steps,
        input_sng="ramp" if encoder == "stream" else None,
        layers=[{"out_features": n, "neuron": item, "weight_bits": 4, "bitstream_length": length,
                 "sng": sng} for n, item in zip(widths, each)]).verify()


def stepped(program, steps=4):
    """The program after some training steps at a high rate."""
    p8 = torch.from_numpy(DIGITS.train.inputs[:256].astype(np.int64))
    labels = torch.from_numpy(DIGITS.train.labels[:256].copy())
    for _ in range(steps):
        loss, _ = program.loss(p8, labels)
        loss.sum().backward()
        program.step(0.2, 0.01)
    return program


def batch(kind, **common):
    """Networks of one kind whose parameters, widths, lengths and timesteps differ."""
    reset = common.pop("reset")
    if kind == "resting":
        each = [Lif(v_threshold=1, refractory=r, leak_shift=leak, reset=reset)
                for r, leak in ((2, None), (0, 1), (5, 3))]
        each.append([Lif(v_threshold=1, refractory=r, reset=reset) for r in (1, 0, 3)])
    elif kind == "saturating":
        each = [[Lif(v_threshold=1, saturate_bits=bits, leak_shift=leak, reset=reset, refractory=r)
                 for bits in (7, 5, 6)] for leak, r in ((None, 0), (2, 1), (None, 1))]
        each.append([Lif(v_threshold=1, reset=reset)] * 3)
    elif kind == "fixed":
        # beta of 0 forgets all, 2**n nothing; 16 bits of n need more than float32 has
        each = [fixed(7, 3, reset=reset), fixed(64_123, 16, reset=reset),
                [fixed(0, 1, reset=reset), fixed(5, 4, reset=reset), fixed(32, 5, reset=reset)],
                [fixed(16, 4, reset=reset), fixed(65_535, 16, reset=reset),
                 fixed(1, 1, reset=reset)]]
    else:
        each = [homeostatic(4, 1, 8, 255, reset=reset), homeostatic(9, 3, 1, 40, reset=reset),
                homeostatic(0, 2, 3, 3, reset=reset),
                homeostatic(1, 5, 500, 1000, leak_shift=2, refractory=3, reset=reset)]
    return [net(each[0], 24, 11, **common), net(each[1], 9, 20, num_steps=4, length=32, **common),
            net(each[2], 17, 8, num_steps=9, sng="lfsr", **common),
            net(each[3], 12, 30, length=64, **common)]


@pytest.mark.parametrize("readout", ["membrane", "spike_count"])
@pytest.mark.parametrize("encoder", ["stream", "rate"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("kind", ["fixed", "homeostatic", "resting", "saturating"])
def test_evaluation_mode_equals_the_reference_model(kind, reset, encoder, readout):
    graphs = batch(kind, reset=reset, encoder=encoder, readout=readout)
    assert len({shape_class(g) for g in graphs}) == 1
    program = Program(graphs, range(len(graphs)), DIGITS.train.inputs, **RECIPE)
    p8 = DIGITS.validation.inputs[:60]
    for trained in (False, True):
        if trained:
            stepped(program)
        scores, spikes = program.infer(p8)
        assert 0 < spikes[0].mean() < 1, "a layer that is silent proves nothing"
        for c, graph in enumerate(program.trained()):
            assert graph.layers[0][1].neuron.kind == {
                "resting": "lif", "saturating": "lif"}.get(kind, kind)
            trace = reference.run(graph, p8, trace=True)
            np.testing.assert_array_equal(scores[c], trace.scores)
            for ours, theirs in zip(spikes, trace.spikes):
                np.testing.assert_array_equal(ours[c, :len(theirs), :, :theirs.shape[2]], theirs)


@pytest.mark.parametrize("v", [2**23 + 1, -(2**23) - 3, 12_345_679])
def test_products_of_the_leak_are_exact_in_float32(v):
    neuron = fixed(64_123, 16)
    kind = neurons.KINDS["fixed"]([neuron], 2, torch.float32, 1.0)
    found = kind.leaked(torch.full((1, 1, 1), float(v)))
    assert found.dtype == torch.float32 and found.item() == neuron.leak(v)


def test_a_fixed_point_leak_of_a_power_of_two_is_the_lif_s():
    rng = torch.Generator().manual_seed(0)
    drive = torch.randint(-9, 16, (1, 7, 5, 6), generator=rng).float()
    threshold = torch.full((1, 1, 1), 11.0)
    none = LifTraining([Lif(v_threshold=1)], 7, torch.float32, 1.0)
    whole = neurons.KINDS["fixed"]([fixed(8, 3)], 7, torch.float32, 1.0)
    assert whole.keep is None and torch.equal(none.memory, whole.memory)
    assert torch.equal(none.spikes(drive, threshold), whole.spikes(drive, threshold))


@settings(max_examples=80, deadline=None)
@given(kind=st.sampled_from(["fixed", "homeostatic"]), reset=st.sampled_from(["subtract", "zero"]),
       rests=st.sampled_from([(0, 0), (2, 0), (1, 3)]), constant=st.booleans(),
       seed=st.integers(0, 1000))
def test_surrogate_gradient_is_that_of_plain_autograd(kind, reset, rests, constant, seed):
    """Against a step-by-step model: reset, rest, width and moves detached, floor passes gradients.
    """
    rng = torch.Generator().manual_seed(seed)
    drive = torch.randint(-5, 12, (2, 1 if constant else 6, 3, 4), generator=rng).double()
    first = torch.tensor([7.0, 3.0]).double()[:, None, None]
    weight = torch.randn(2, 6, 3, 4, generator=rng).double()
    if kind == "fixed":
        each = [fixed(13, 4, reset=reset, refractory=rests[0]),
                fixed(1, 1, reset=reset, refractory=rests[1])]
        keep = torch.tensor([13 / 16, 0.5]).double()[:, None, None]
        up = down = lo = hi = None
    else:
        each = [homeostatic(3, 1, 5, 12, reset=reset, refractory=rests[0]),
                homeostatic(2, 2, 1, 8, reset=reset, refractory=rests[1])]
        keep = torch.ones(2, 1, 1).double()
        moves = torch.tensor([[3, 2], [1, 2], [5, 1], [12, 8]]).double()
        up, down, lo, hi = moves[..., None, None]
    population = neurons.KINDS[kind](each, 6, torch.float64, 0.5)

    def plain(drive, threshold):
        v, total, wait = torch.zeros(2, 3, 4).double(), 0, torch.zeros(2, 3, 4)
        rest = torch.tensor(rests)[:, None, None]
        for t in range(6):
            held, before = wait > 0, v
            v = v * keep - (v * keep - (v * keep).floor()).detach()
            v = torch.where(held, before, v + drive[:, 0 if constant else t])
            x = v - threshold
            width = (0.5 * threshold).detach()
            soft = width * torch.atan(x / width)
            fired = ((x >= 0) & ~held).double()
            free = (~held).double()
            total = total + ((fired + free * (soft - soft.detach())) * weight[:, t]).sum()
            wait = torch.where(fired > 0, rest, (wait - 1).clamp(min=0))
            v = v * (1 - fired) if reset == "zero" else v - fired * threshold.detach()
            if up is not None:
                moved = threshold + fired * up - (1 - fired) * down
                threshold = torch.where(moved < lo, lo, torch.where(moved > hi, hi, moved))
        return total

    grads = []
    for run in (plain, lambda d, th: (population.spikes(d, th) * weight).sum()):
        d, th = drive.clone().requires_grad_(), first.clone().requires_grad_()
        total = run(d, th)
        grads.append((total.detach(), *torch.autograd.grad(total, (d, th))))
    for ours, theirs in zip(*grads):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_first_weights_do_not_depend_on_companions():
    for kind in ("fixed", "homeostatic"):
        graphs = batch(kind, reset="subtract")
        together = list(Program(graphs, [5, 6, 7, 8], DIGITS.train.inputs, **RECIPE).trained())
        for graph, seed, found in zip(graphs, [5, 6, 7, 8], together):
            alone, = Program([graph], [seed], DIGITS.train.inputs, **RECIPE).trained()
            assert alone.digest() == found.digest()


@pytest.mark.parametrize("readout", ["membrane", "spike_count"])
def test_learns_the_digits(readout):
    graphs = [net(neuron, 32, readout=readout, num_steps=8) for neuron in (
        fixed(7, 3), fixed(200, 8), homeostatic(4, 1, 8, 255), homeostatic(2, 1, 1, 100))]
    found = train(graphs, DIGITS.train, DIGITS.validation, TrainSettings(epochs=8), [0, 1, 2, 3])
    assert min(t.accuracy for t in found) > 0.92, [t.accuracy for t in found]
    for graph, done in zip(graphs, found):
        asked, got = graph.layers[0][1].neuron, done.graph.layers[0][1].neuron
        assert got.kind == asked.kind and got.v_threshold > 1, "the threshold is learned"
        assert all(getattr(got, name) == getattr(asked, name)
                   for name in ("beta", "n", "up", "down", "lo", "hi") if hasattr(asked, name))


def test_what_cannot_be_trained_is_refused_by_name():
    with pytest.raises(GraphError, match="pop1: hi must be at most 4194304 for training, not 5"):
        train([net(homeostatic(1, 1, 1, 5_000_000), 8)], DIGITS.train)


def command(capsys, *argv):
    code = cli.main(["train", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(("argv", "expected"), [
    (["fixed"], {"kind": "fixed", "beta": 7, "n": 3}),
    (["fixed", "--beta", "200", "--beta-bits", "8"], {"kind": "fixed", "beta": 200, "n": 8}),
    (["homeostatic", "--leak-shift", "3"],
     {"kind": "homeostatic", "up": 4, "down": 1, "lo": 8, "hi": 255, "leak_shift": 3}),
    (["homeostatic", "--up", "6", "--down", "0", "--lo", "5", "--hi", "90"],
     {"up": 6, "down": 0, "lo": 5, "hi": 90}),
])
def test_command_trains_the_kind_that_it_is_given(argv, expected, tmp_path, capsys):
    code, out, _ = command(capsys, "--run", str(tmp_path / "run"), "--json", "--epochs", "2",
                           "--neuron", *argv)
    graph = Run.open(tmp_path / "run").graph()
    assert code == 0 and json.loads(out)["design"] == graph.digest()
    for _, population in graph.layers:
        assert {k: getattr(population.neuron, k) for k in expected} == expected


@pytest.mark.parametrize(("argv", "message"), [
    (["--neuron", "fxed"], "did you mean 'fixed'"),
    (["--up", "3"], "--up must be left out unless --neuron is homeostatic, not lif"),
    (["--neuron", "homeostatic", "--beta-bits", "3"], "unless --neuron is fixed, not homeostatic"),
    (["--neuron", "fixed", "--beta", "9"], "beta must be in 0..8 at n = 3, not 9"),
    (["--neuron", "fixed", "--leak-shift", "2"], "leak_shift must be None for a FixedPointLIF"),
    (["--neuron", "homeostatic", "--lo", "9", "--hi", "3"], "lo and hi must be 1 <= lo <= hi"),
])
def test_command_answers_bad_neurons_with_one_line(argv, message, tmp_path, capsys):
    code, out, err = command(capsys, "--run", str(tmp_path / "run"), *argv)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert message in err
