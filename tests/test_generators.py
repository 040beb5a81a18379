"""Which pair of number generators serves a `stream` layer: found by the exact table, said, chosen.
"""

import numpy as np
import pytest
from networks import random_graph

from spikeloom.flow import ir
from spikeloom.flow.cli import main
from spikeloom.flow.errors import GraphError
from spikeloom.flow.passes import generators
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.generators import best_pair, pair_errors
from spikeloom.flow.run import Run
from spikeloom.hdl import sng
from spikeloom.hdl.neurons import Lif
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import compare


@pytest.mark.parametrize("bits,weight_bits", [(3, 4), (4, 2), (6, 7), (9, 3)])
def test_errors_are_those_of_the_exact_table(bits, weight_bits):
    length, numbers = 1 << bits, sng.stream_number(np.arange(2 ** (weight_bits - 1)), bits,
                                                   weight_bits)
    product = np.arange(length + 1)[:, None] * numbers / length**2
    pairs = pair_errors(bits, weight_bits)
    assert {(p.x, p.w) for p in pairs} == {(x, w) for x in sng.KINDS for w in sng.KINDS}
    for pair in pairs:
        error = np.abs(sng.count_table(pair.x, pair.w, bits, weight_bits) / length - product)
        assert (pair.worst, pair.mean) == pytest.approx((error.max(), error.mean()))
    assert list(pairs) == sorted(pairs, key=lambda p: (p.worst, p.mean, p.x, p.w))


@pytest.mark.parametrize("bits", range(3, 10))
def test_two_streams_of_one_source_are_never_the_choice(bits):
    """Their AND is the smaller of the two, a quarter of full scale off where both are a half."""
    for pair in pair_errors(bits, 4):
        if pair.x == pair.w:
            assert pair.worst >= 0.25
    assert best_pair("auto", "auto", bits, 4).worst < 0.11


def chosen(input_sng, *weights, encoder="stream", length=8, weight_bits=4):
    graph = ir.chain(
        shape=(5,), encoder=encoder, input_sng=input_sng, readout="membrane", num_steps=2,
        layers=[{"out_features": 3, "weight_bits": weight_bits, "bitstream_length": length,
                 "sng": kind, "neuron": Lif(v_threshold=1)} for kind in weights]).verify()
    return graph.input.sng, *(dense.sng for dense, _ in graph.layers)


@pytest.mark.parametrize("length", [8, 64, 512])
def test_auto_is_the_best_pair_given_what_is_named(length):
    bits = length.bit_length() - 1
    x, w = chosen("auto", "auto", length=length)
    best = pair_errors(bits, 4)[0]
    assert (x, w) == (best.x, best.w)
    x, w = chosen("auto", "sobol3", length=length)
    assert w == "sobol3" and x == min(
        p for p in pair_errors(bits, 4) if p.w == "sobol3").x != "sobol3"
    x, w = chosen("lfsr", "auto", length=length)
    assert x == "lfsr" and w == best_pair("lfsr", "auto", bits, 4).w
    assert chosen("ramp", "sobol1", "lfsr", length=length) == ("ramp", "sobol1", "lfsr")


def test_auto_for_weights_that_meet_spikes_is_exact():
    assert chosen("ramp", "sobol2", "auto")[2] == "sobol1"
    assert chosen(None, "auto", encoder="rate") == (None, "sobol1")
    numbers = sng.stream_number(np.arange(8), 5, 4)
    assert (sng.weight_table(generators.best_weights(5, 4), 5, 4) == numbers).all()


def test_auto_leaves_broken_sizes_and_names_to_be_named():
    with pytest.raises(GraphError, match="power of two, not 12"):
        chosen("auto", "auto", length=12)
    with pytest.raises(GraphError, match="weight_bits must be"):
        chosen("auto", "auto", weight_bits=9)
    with pytest.raises(GraphError, match="did you mean 'sobol1'"):
        chosen("auto", "sobel1")


def advice(input_sng, kind, encoder="stream"):
    lines = []
    generators.advise(random_graph(np.random.default_rng(0), encoder=encoder, sng=kind,
                                   input_sng=input_sng), lines.append)
    return lines


def test_a_correlated_pair_is_warned_about_with_both_errors_and_computed_exactly():
    line, = advice("sobol1", "sobol1")
    best = best_pair("auto", "auto", 3, 4)
    assert line.startswith("warning: fc1: ") and "correlated sobol1 x sobol1: worst 0.25" in line
    assert line.endswith(f"better: {best.x} x {best.w}: worst {best.worst:.4f}, "
                         f"mean {best.mean:.4f}")
    assert advice(best.x, best.w)[0].endswith("no pair does better")
    assert "the best pair: " in advice("ramp", "sobol1")[0]
    assert not advice("ramp", "sobol1")[0].startswith("warning")
    assert advice(None, "sobol1", encoder="rate") == []
    graph = compile_graph(random_graph(np.random.default_rng(0), sng="sobol1", input_sng="sobol1"))
    images = np.random.default_rng(1).integers(0, 256, (2, 12))
    assert compare(reference.run(graph, images, trace=True),
                   gateware.simulate(graph, images)[0]) == []


def test_commands_warn_and_go_on(tmp_path, capsys):
    rng = np.random.default_rng(0)
    opened = Run.create(tmp_path / "run")
    graph = random_graph(rng, sng="sobol1", input_sng="sobol1")
    graph.save(opened.graph_file)
    opened.save_samples(rng.integers(0, 256, (2, 12)), np.zeros(2, np.int64))
    assert main(["sim", "--level", "amaranth", "--run", str(opened.path)]) == 0
    assert "warning: fc1: counts of stream input" in " ".join(capsys.readouterr().err.split())
    assert main(["train", "--run", str(tmp_path / "b"), "--hidden", "4", "--epochs", "1",
                 "--sng", "auto", "--input-sng", "auto"]) == 0
    assert "no pair does better" in " ".join(capsys.readouterr().err.split())
    best = best_pair("auto", "auto", 3, 4)
    trained = Run.open(tmp_path / "b").graph()
    assert (trained.input.sng, trained.layers[0][0].sng) == (best.x, best.w)
