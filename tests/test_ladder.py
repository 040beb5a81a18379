"""A case that fails is saved, replayed by `spikeloom sim`, and can be looked at as waveforms."""

import json
import shlex

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ladder import saved_on_failure
from networks import random_graph, random_images

from spikeloom.flow import cli, lower
from spikeloom.flow.passes import legalize
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.sim import gateware, reference
from spikeloom.sim.compare import compare


def check(graph, images, folder):
    with saved_on_failure(graph, images, "amaranth", folder):
        got, _ = gateware.simulate(graph, images)
        assert compare(reference.run(graph, images, trace=True), got) == []


def replay(error) -> list[str]:
    """The arguments of the command in an error's notes."""
    (note,) = [note for note in error.__notes__ if note.startswith("replay: ")]
    words = shlex.split(note)
    assert words[1] == "spikeloom"
    return words[2:]


@pytest.fixture
def faulty(monkeypatch):
    """The lowering mistakes the signs of the first neuron's weights."""
    def wrong(dense):
        weights = legalize.effective_weights(dense)
        weights[0] *= -1
        return weights

    monkeypatch.setattr(lower, "effective_weights", wrong)


def case(encoder="rate"):
    rng = np.random.default_rng(8)
    graph = compile_graph(random_graph(rng, sizes=(6, 4, 3), num_steps=3, encoder=encoder))
    return graph, random_images(rng, graph, 2)


@pytest.mark.parametrize("encoder", ["rate", "spikes", "stream"])
def test_a_failure_is_saved_and_replayed(encoder, faulty, tmp_path, capsys, monkeypatch):
    graph, images = case(encoder)
    with pytest.raises(AssertionError) as caught:
        check(graph, images, tmp_path)
    argv = replay(caught.value)
    assert cli.main([*argv, "--json"]) == 1
    faulted = json.loads(capsys.readouterr().out)
    assert faulted["mismatches"] > 0 and faulted["first"]["layer"] == 0
    assert faulted["correct"] == faulted["images"] == 2
    names = vcd_names(faulted["waves"])
    assert names >= {"layer1.neuron0.v", "layer1.neuron0.count", "layer1.step",
                     "layer1.o__payload.spikes", "encoder.o__valid"}
    assert not [name for name in names if "$sig" in name]
    monkeypatch.undo()
    assert cli.main([*argv, "--json"]) == 0
    healthy = json.loads(capsys.readouterr().out)
    assert healthy["mismatches"] == 0 and healthy["images"] == 2


def vcd_names(path) -> set[str]:
    """Hierarchical names below the core, of a waveform file."""
    scopes, names = [], set()
    with open(path) as file:
        for line in file:
            words = line.split()
            if words[:1] == ["$scope"]:
                scopes.append(words[2])
            elif words[:1] == ["$upscope"]:
                scopes.pop()
            elif words[:1] == ["$var"]:
                names.add(".".join([*scopes, words[4]]).split("top.", 1)[-1].replace("\\", ""))
            elif words[:1] == ["$enddefinitions"]:
                break
    return names


def test_hypothesis_leaves_the_smallest_case_alone(tmp_path):
    tried = []

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(st.integers(1, 9), st.integers(1, 5))
    def fails(inputs, classes):
        graph = compile_graph(random_graph(np.random.default_rng(0), sizes=(inputs, classes),
                                           num_steps=2))
        images = random_images(np.random.default_rng(0), graph, 1)
        with saved_on_failure(graph, images, "rtl", tmp_path):
            if inputs * classes > 5:
                tried.append(graph)
            assert inputs * classes <= 5

    with pytest.raises(AssertionError) as caught:
        fails()
    (kept,) = tmp_path.iterdir()
    assert len({graph.digest() for graph in tried}) > 1
    assert Run.open(kept).graph().text() == tried[-1].text()
    assert replay(caught.value) == ["sim", "--run", str(kept), "--level", "rtl", "--count", "1",
                                    "--waves"]


def test_no_failure_leaves_nothing(tmp_path):
    check(*case(), tmp_path)
    assert not list(tmp_path.iterdir())
