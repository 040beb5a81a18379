"""The search space from Python: what it counts, what it refuses, and what is loaded for it."""

import subprocess
import sys

import numpy as np
import pytest

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import SearchSpace
from spikeloom.nas.api.space import Architecture

TUTORIAL = {"n_inputs": 64, "n_outputs": 10, "min_layers": 1, "max_layers": 3,
            "width_choices": [16, 32, 64, 128, 256], "L_choices": [32, 64, 128, 256],
            "neuron_choices": ["LIF", "Izhikevich", "HomeostaticLIF", "FixedPointLIF"]}


def test_the_tutorials_space_has_518480_architectures():
    assert SearchSpace(**TUTORIAL).space_size == 80 + 80**2 + 80**3 == 518_480
    assert SearchSpace(**TUTORIAL | {"n_inputs": 784}).space_size == 518_480
    told = SearchSpace.space_size.__doc__
    assert "518,480" in told and "100,000" in told
    twice = SearchSpace(**TUTORIAL, delay_choices=(0, 2), weight_bits_choices=(2, 3))
    assert twice.space_size == 320 + 320**2 + 320**3


def test_the_defaults():
    space = SearchSpace(100, 5)
    assert (space.min_layers, space.max_layers) == (1, 3)
    assert space.width_choices == [8, 16, 32, 64, 128, 256]
    assert space.L_choices == [8, 16, 32, 64, 128, 256, 512]
    assert space.neuron_choices == ["LIF", "FixedPointLIF", "HomeostaticLIF", "Izhikevich"]
    assert space.delay_choices == [0] and len(space.weight_bits_choices) == 1


def test_an_architecture_says_what_was_chosen():
    space = SearchSpace(64, 10, width_choices=[16], L_choices=[32], delay_choices=[3],
                        neuron_choices=["SCIzhikevichNeuron"], min_layers=2, max_layers=2)
    genome = space.space.genome(space.space.sample(np.random.default_rng(0)))
    found = space.architecture(genome, fitness_accuracy=0.5)
    assert isinstance(found, Architecture) and found.fitness_accuracy == 0.5
    assert found.layer_widths == [16, 16] and found.bitstream_lengths == [32, 32]
    assert found.layer_sizes == [(64, 16), (16, 16), (16, 10)]
    assert found.neuron_types == ["Izhikevich"] * 2
    assert found.delays == found.delay_ranges == [3, 3]
    assert (found.n_inputs, found.n_outputs) == (64, 10)
    assert found.text() == "64-16-16-10, Izhikevich L=32 delay 3 + Izhikevich L=32 delay 3"
    graph = space.space.graph(genome)
    assert graph.num_steps == 8 and [d.max_delay for d, _ in graph.layers] == [0, 3, 3]


def test_timesteps_grow_with_the_delays():
    space = SearchSpace(64, 10, delay_choices=range(9))
    assert space.settings.num_steps == (1 + 3 * 8,)


@pytest.mark.parametrize("changes, words", [
    ({"width_choices": []}, "width_choices must be a list of at least one choice"),
    ({"L_choices": []}, "L_choices must be a list of at least one choice"),
    ({"neuron_choices": []}, "neuron_choices must be a list of at least one choice"),
    ({"delay_choices": []}, "delay_choices must be a list of at least one choice"),
    ({"weight_bits_choices": []}, "weight_bits_choices must be a list of at least one choice"),
    ({"min_layers": 4}, "min_layers must be at most max_layers = 3, not 4"),
    ({"min_layers": 0}, "min_layers must be an integer in 1..7, not 0"),
    ({"max_layers": 8}, "max_layers must be an integer in 1..7, not 8"),
    ({"neuron_choices": ["LIFF"]}, "unknown neuron 'LIFF'; did you mean 'LIF'?"),
    ({"neuron_choices": ["LIF", "StochasticLIFNeuron"]}, "neuron_choices must name each kind once"),
    ({"neuron_choices": "LIF"}, "neuron_choices must be a list, not 'LIF'"),
    ({"L_choices": [32, 48]}, "L_choices must be powers of two in 8..512, not 48"),
    ({"L_choices": [1024]}, "L_choices must be an integer in 8..512, not 1024"),
    ({"width_choices": [0]}, "width_choices must be an integer in 1..4096, not 0"),
    ({"width_choices": [16, 16]}, "width_choices must be different values, not [16, 16]"),
    ({"width_choices": [16.5]}, "width_choices must be an integer in 1..4096, not 16.5"),
    ({"delay_choices": [9]}, "delay_choices must be an integer in 0..8, not 9"),
    ({"weight_bits_choices": [7]}, "weight_bits_choices must be an integer in 2..6, not 7"),
    ({"n_inputs": 0}, "n_inputs must be an integer in 1..65535, not 0"),
    ({"n_outputs": 1}, "n_outputs must be an integer in 2..256, not 1"),
])
def test_what_cannot_be_a_space_is_refused(changes, words):
    with pytest.raises(ConfigError) as error:
        SearchSpace(**TUTORIAL | changes)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["StochasticLIFNeuron", "FixedPointLIFNeuron",
                                  "HomeostaticLIFNeuron", "SCIzhikevichNeuron"])
def test_long_names_of_neurons_do_as_well(name):
    short = {"StochasticLIFNeuron": "LIF", "SCIzhikevichNeuron": "Izhikevich"}
    found = SearchSpace(64, 10, neuron_choices=[name]).neuron_choices
    assert found == [short.get(name, name.removesuffix("Neuron"))]


def test_the_names_are_there_and_load_no_torch():
    code = ("import sys, spikeloom.nas as nas\n"
            "assert set(nas.__all__) <= set(dir(nas))\n"
            "nas.SearchSpace(64, 10).space_size, nas.estimate, nas.Architecture\n"
            "assert 'torch' not in sys.modules\n"
            "from spikeloom.nas import nas, evaluate, train_epoch, SpikingNet, Result\n"
            "assert callable(evaluate) and callable(nas) and 'torch' in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(ImportError):
        from spikeloom.nas import nothing_of_this_name  # noqa: F401
