"""Pruning while training: the schedule, which weights go, and that they stay gone."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_train import DIGITS, RECIPE, assert_equals_reference, net, stepped

from spikeloom.flow import cli, config, ir
from spikeloom.flow.errors import ConfigError
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import Lif
from spikeloom.nas import pruning
from spikeloom.nas.program import Program
from spikeloom.nas.train import TrainSettings, train, zeros


@pytest.mark.parametrize("steps", [1, 2, 23, 1380, 100_000])
def test_schedule_ends_with_the_whole_share_in_time(steps):
    found = pruning.schedule(steps)
    times, shares = list(found), list(found.values())
    assert times == sorted(times) and shares == sorted(shares) and shares[-1] == 1
    assert 1 <= times[0] and times[-1] == max(1, round(steps * pruning.END))
    assert len(found) <= pruning.UPDATES


def test_schedule_is_cubic():
    found = pruning.schedule(320_000)
    assert len(found) == pruning.UPDATES
    first, last = 320_000 * pruning.START, 320_000 * pruning.END
    for step, share in found.items():
        assert share == pytest.approx(1 - (1 - (step - first) / (last - first)) ** 3, abs=1e-4)
    half = min(found, key=lambda step: abs(step - (first + last) / 2))
    assert found[half] == 0.875, "seven eighths go in the first half"


def chain(*sizes, lanes=None):
    """A network of these sizes, whose layers have `lanes`, one each."""
    lanes = lanes or [None] * (len(sizes) - 1)
    layers = [{"out_features": n, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
               "neuron": Lif(v_threshold=1), "lanes": p} for n, p in zip(sizes[1:], lanes)]
    return ir.chain(shape=sizes[:1], encoder="rate", readout="membrane", num_steps=2,
                    layers=layers)


def test_the_smallest_of_all_layers_go():
    first = torch.tensor([[[0.1, -0.2, 0.9], [0.3, -0.05, 0.6]]])
    second = torch.tensor([[[-0.15, 0.5]]])
    masks = pruning.masks([first, second], [chain(3, 2, 1)], [0.5])
    assert masks[0].tolist() == [[[0, 0, 1], [1, 0, 1]]] and masks[1].tolist() == [[[0, 1]]]
    for share, zero in ((0, 0), (0.3, 2), (0.95, 8)):
        masks = pruning.masks([first, second], [chain(3, 2, 1)], [share])
        assert sum(int((mask == 0).sum()) for mask in masks) == zero


def test_of_equal_weights_exactly_the_share_goes():
    mask, = pruning.masks([torch.ones(1, 4, 5)], [chain(5, 4)], [0.3])
    assert mask.flatten().tolist() == [0] * 6 + [1] * 14


@pytest.mark.parametrize(("size", "lanes", "wanted"), [
    (5, None, [0, 1, 2, 3, 4]), (5, 5, [0, 1, 2, 3, 4]), (6, 3, [0, 1, 2, 0, 1, 2]),
    (10, 3, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]), (7, 1, [0, 0, 0, 0, 1, 1, 1]),
    (11, 2, [0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2]),
])
def test_units_are_up_to_four_passes_of_a_lane(size, lanes, wanted):
    (dense, _), = chain(3, size, lanes=[lanes]).layers
    assert pruning.units(dense).tolist() == wanted
    assert pruning.units(replace(dense, lowering="folded")).tolist() == list(range(size))


def test_weights_that_share_a_slot_go_together():
    graph = chain(2, 5, lanes=[2])
    # lane 0 serves neurons 0, 2 and 4, lane 1 neurons 1 and 3; mean squares of the units:
    # lane 0: 3, 2.67; lane 1: 2.5, 8.5
    weight = torch.tensor([[[0.0, 0], [2, 4], [0, 2], [1, 1], [3, 2]]])
    for share, gone in ((0.0, []), (0.1, [1]), (0.2, [1]), (0.3, [1, 2]), (0.5, [1, 2]),
                        (0.6, [0, 1, 2]), (0.8, [0, 1, 2])):
        mask, = pruning.masks([weight], [graph], [share])
        units = [mask[0, rows, i].tolist() for rows, i in (([0, 2, 4], 0), ([1, 3], 0),
                                                           ([0, 2, 4], 1), ([1, 3], 1))]
        assert units == [[float(n not in gone)] * len(unit) for n, unit in enumerate(units)]


def test_training_empties_slots_of_shared_lanes():
    graph = chain(64, 16, 10, lanes=[4, 3])
    found, = train([graph], DIGITS.train, None, TrainSettings(epochs=2, sparsity=0.7), [1])
    empty = total = 0
    for dense, _ in found.graph.layers:
        rows = pruning.units(dense)
        for row in set(rows):
            empty += int((dense.weight[rows == row] == 0).all(0).sum())
            total += dense.in_features
    assert dense.lanes == 3 and 0.69 < empty / total < 0.85 and zeros(found.graph) >= 0.7


def test_a_candidate_is_pruned_the_same_alone_or_among_wider_ones():
    graphs = [net(16, weight_bits=3), net(40, num_steps=8), net(9, leak=2)]
    shares = [0.6, 0.0, 0.9]
    together = Program(graphs, [5, 6, 7], DIGITS.train.inputs, **RECIPE)
    before = [g.digest() for g in together.trained()]
    together.prune(shares)
    after = list(together.trained())
    assert after[1].digest() == before[1] and after[0].digest() != before[0]
    for graph, seed, share, found in zip(graphs, [5, 6, 7], shares, after):
        alone = Program([graph], [seed], DIGITS.train.inputs, **RECIPE)
        alone.prune([share])
        assert next(alone.trained()).digest() == found.digest()
        assert zeros(found) >= share - 1e-3


def pruned(shares, graphs=None):
    graphs = graphs or [net(40, leak=2, num_steps=7), net(16), net(20, weight_bits=3)]
    program = stepped(Program(graphs, range(len(graphs)), DIGITS.train.inputs, **RECIPE))
    program.prune(shares)
    return program


def test_what_is_pruned_stays_zero_and_the_rest_learns_on():
    program = pruned([0.5, 0.0, 0.8])
    before = [layer.u.detach().clone() for layer in program.layers]
    stepped(program)
    for layer, was in zip(program.layers, before):
        now = layer.u.detach()
        assert not now[was == 0].any()
        assert (now != was)[was != 0].float().mean() > 0.5
    assert zeros(next(program.trained())) >= 0.5
    assert_equals_reference(program)


def test_going_on_with_some_candidates_keeps_their_zeros():
    program = pruned([0.5, 0.7, 0.0])
    fewer = program.select([1, 2])
    assert [g.digest() for g in fewer.trained()] == [g.digest() for g in program.trained()][1:]
    gone = [layer.u.detach()[0] == 0 for layer in fewer.layers]
    assert sum(int(part.sum()) for part in gone) == round(0.7 * (64 * 16 + 160)) + 4 * (64 + 10)
    stepped(fewer)
    assert not any(layer.u[0][part].any() for layer, part in zip(fewer.layers, gone))
    fewer.prune([0.9, 0.0])
    assert zeros(next(fewer.trained())) >= 0.9


def test_training_reaches_each_share_and_leaves_companions_alone():
    graphs = [net(16), net(24, weight_bits=3), net(12, 9)]
    settings = TrainSettings(epochs=3)

    def trained(*shares):
        return [t.graph for t in train(graphs, DIGITS.train, None, settings, [1, 2, 3],
                                       sparsities=shares)]

    dense, some, again = trained(0, 0, 0), trained(0, 0.6, 0.95), trained(0, 0.6, 0.95)
    assert [g.digest() for g in some] == [g.digest() for g in again]
    assert some[0].digest() == dense[0].digest()
    assert zeros(dense[1]) < 0.5 and zeros(some[1]) == pytest.approx(0.6, abs=0.02)
    assert zeros(some[2]) == pytest.approx(0.95, abs=0.005)


def test_the_setting_is_the_share_of_every_graph():
    found = train([net(8), net(9)], DIGITS.train, None, TrainSettings(epochs=1, sparsity=0.75),
                  [0, 1])
    assert all(zeros(item.graph) >= 0.749 for item in found)


def test_learns_the_digits_with_three_quarters_zero():
    done = train([net(32, num_steps=8)] * 4, DIGITS.train, DIGITS.validation,
                 TrainSettings(epochs=30, sparsity=0.75), range(4))
    assert all(0.749 < zeros(item.graph) < 0.77 for item in done)
    assert np.mean([item.accuracy for item in done]) > 0.945


def test_shares_out_of_range():
    with pytest.raises(ConfigError, match=re.escape("sparsity must be in 0..0.95, not 1.0")):
        train([net(8)], DIGITS.train, None, TrainSettings(sparsity=1.0))
    for wrong in ([0.5], [0.5, 0.96], [0.5, -0.1], [float("nan"), 0]):
        with pytest.raises(ConfigError, match=r"sparsities must be one in 0\.\.0\.95 per graph, 2"):
            train([net(8)] * 2, DIGITS.train, sparsities=wrong)


def test_command_says_the_share_reached(tmp_path, capsys):
    argv = ["train", "--run", str(tmp_path / "run"), "--epochs", "3", "--fit", "train", "--seeds",
            "2", "--hidden", "12", "--sparsity", "0.7"]
    assert cli.main(argv) == 0
    left = zeros(Run.open(tmp_path / "run").graph())
    assert 0.6 <= left <= 0.75  # neurons that lost every weight are dropped, and their zeros
    assert f"{100 * left:.0f} % of the weights are zero" in capsys.readouterr().out
    assert cli.main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sparsity"] == 0.7
    assert found["zero_weights"] == zeros(Run.open(tmp_path / "run").graph()) == left
    assert found["zero_weights_each"][0] == found["zero_weights"]
    assert cli.main([*argv[:-1], "0.99"]) == 2
    assert "sparsity must be in 0..0.95, not 0.99" in capsys.readouterr().err


def test_config_key():
    with pytest.raises(ConfigError, match=re.escape("space.sparsities must be in 0..0.95, not "
                                                    "[0.5, 0.99]")):
        config.experiment_from({"space": {"sparsities": [0.5, 0.99]}})
    with pytest.raises(ConfigError, match="must be a list, each a number, not"):
        config.experiment_from({"space": {"sparsities": 0.5}})
