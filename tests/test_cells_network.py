"""The network of cells: what a LIF does, in which order, and what equal networks have in common."""

import numpy as np
import pytest
import torch

from spikeloom.flow.errors import ConfigError
from spikeloom.nas.cells import plain
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.macro import Macro
from spikeloom.nas.cells.network import CellNetwork, _Fire, draw

MACRO = Macro(num_classes=3, in_channels=2, image_size=8, channels=4, num_steps=4, hidden=12,
              voters=2)


def images(count=6, macro=MACRO, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((count, macro.in_channels, macro.image_size,
                                        macro.image_size)))


def network(text="3|33|333", macro=MACRO, **settings):
    return CellNetwork(macro, [parse(part) for part in text.split(",")], **settings).double()


def lively(net):
    """With a classifier that fires: so narrow a one is silent at first."""
    with torch.no_grad():
        net.layers["fc1"].weight.mul_(200)
    return net


def watched(net, x):
    """All that is told of one pass: name, timestep and spikes."""
    seen = []
    net.watch(lambda name, t, spikes: seen.append((name, t, spikes.detach().clone())))
    out = net(x)
    net.watch(None)
    return out, seen


@pytest.mark.parametrize("text", ["3|33|333", "1|12|401", "2|0~3|~242", "~1|33|0~23", "3|~33|0~33",
                                  "1|0~1|3~3~3", "3|01|234,4|31|102", "3"])
def test_spikes_are_those_of_the_definition(text):
    """With forward and backward edges; a LIF that stands for several has the spikes of each."""
    net, x = network(text), images()
    _, seen = watched(net, x)
    wanted = plain.spikes(MACRO, net.cells, x, 0)
    found = [spikes.flatten(1).numpy().astype(bool) for name, _, spikes in seen
             for _ in range(net.lifs[name])]
    key = sorted(item.tobytes() for item in found)
    assert key == sorted(item.tobytes() for item in wanted) and any(x.any() for x in wanted)


def test_a_lif_on_edges_that_leave_one_node_is_computed_once():
    net = network("3|32|333")
    _, seen = watched(net, images())
    assert net.lifs == {"cell1_0": 3, "cell1_1": 2, "cell1_2": 1, "cell2_0": 3, "cell2_1": 2,
                        "cell2_2": 1, "wider1": 1, "out": 1, "fc1": 1}
    assert len(seen) == MACRO.num_steps * len(net.lifs)
    assert {name for name, _, _ in seen} == set(net.lifs)


def test_dead_edges_cost_nothing():
    net = network("3|30|100")
    assert {name for name in net.layers if name.startswith("cell")} == set()
    assert [name for name in net.lifs if name.startswith("cell")] == []
    live = network("3|30|010")
    assert {name for name in live.layers if name.startswith("cell1")} == {"cell1_0_1"}


def test_the_membrane_is_the_one_of_the_paper():
    """tau = 4/3, threshold 1, hard reset to 0: by hand, for one neuron at constant current."""
    macro = Macro(channels=1, image_size=2, cells=1, num_steps=6, hidden=1, voters=1, in_channels=1,
                  num_classes=2, dropout=0)
    net = CellNetwork(macro, [parse("1")]).double().eval()
    seen = []
    net.watch(lambda name, t, spikes: seen.append(spikes.flatten()[0].item())
              if name == "out" else None)
    with torch.no_grad():
        net.layers["stem"].weight.zero_()
        for current, wanted in ((1.0, [0] * 6), (1.01, [0, 0, 0, 1, 0, 0]), (2.0, [1] * 6),
                                (1.2, [0, 1, 0, 1, 0, 1])):
            net.layers["stem"].norm.bias.fill_(current * (1 + 1e-5) ** 0.5)
            seen.clear()
            net(torch.zeros(1, 1, 2, 2, dtype=torch.float64))
            assert seen == wanted, current


def test_each_pass_begins_with_membranes_at_rest():
    net, x = network("2|0~3|~242", macro=MACRO).eval(), images()
    (one, seen), (two, again) = watched(net, x), watched(net, x)
    assert torch.equal(one, two)
    assert all(torch.equal(a[2], b[2]) for a, b in zip(seen, again))


def test_equal_edges_have_the_same_first_weights():
    one, two = network("3|03|104"), network("3|23|204")
    for name in one.layers:
        if name in two.layers:
            assert torch.equal(one.layers[name].weight, two.layers[name].weight)
    other = network("3|03|104", seed=1)
    assert not torch.equal(one.layers["stem"].weight, other.layers["stem"].weight)
    weights = [one.layers[name].weight for name in ("cell1_0_1", "cell1_1_2")]
    assert not torch.equal(*weights)


def test_first_weights_are_drawn_as_the_paper_says():
    weight = draw(0, "x", (32, 16, 3, 3))
    bound = (6 / (5 * 16 * 9)) ** 0.5
    assert weight.abs().max() <= bound and weight.std() == pytest.approx(bound / 3 ** 0.5, rel=0.05)
    dense = draw(0, "x", (100, 200))
    assert dense.std() == pytest.approx(0.01, rel=0.05) and dense.mean().abs() < 1e-3
    assert weight.dtype == torch.float32


def test_the_surrogate_is_an_arctangent():
    v = torch.tensor([-1.0, 0.5, 1.0, 1.5], requires_grad=True)
    _Fire.apply(v).backward(torch.ones(4))
    wanted = [1 / (1 + (np.pi * (x - 1)) ** 2) for x in (-1.0, 0.5, 1.0, 1.5)]
    assert v.grad.tolist() == pytest.approx(wanted)


def test_every_live_weight_has_a_gradient():
    net = network("3|~23|124")
    lively(net)(images())[:, 0].sum().backward()
    assert all(layer.weight.grad.isfinite().all() and layer.weight.grad.any()
               for layer in net.layers.values())


def test_logits_are_the_mean_of_votes():
    net = network().eval()
    assert net(images()).shape == (6, 3)
    wide = network(macro=Macro(**{**{f: getattr(MACRO, f) for f in MACRO.__struct_fields__},
                                  "voters": 1})).eval()
    assert wide(images(2)).shape == (2, 3)


def test_dropout_is_the_same_in_all_timesteps_and_gone_after_training():
    net, x = lively(network()), images()
    trained = net(x)
    assert torch.equal(trained, lively(network())(x)) and trained.any()
    assert not torch.equal(trained, net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize("rounding", ["nearest", "floor", "stochastic"])
def test_weights_are_rounded_in_the_loop(rounding):
    net = network(weight_bits=5, rounding=rounding)
    for name, weight in net.weights().items():
        assert len(torch.unique(weight)) <= 31, name
    net(images()).sum().backward()
    assert net.layers["stem"].weight.grad is not None
    net.eval()
    assert all(torch.equal(a, b) for a, b in zip(net.weights().values(), net.weights().values()))


def test_sizes_and_cells_that_do_not_fit_are_told():
    with pytest.raises(ConfigError, match="cells must be 1, used everywhere, or 2"):
        CellNetwork(MACRO, [parse("3")] * 3)
    with pytest.raises(ConfigError, match=r"bits must be in 4\.\.16, not 2"):
        CellNetwork(MACRO, [parse("3")], weight_bits=2)


def test_a_cell_that_lets_nothing_through_is_silent():
    out, seen = watched(network("0|00|000"), images())
    assert not any(spikes.any() for _, _, spikes in seen) and not out.any()


def test_layers_are_those_of_the_closed_form():
    cells = [parse("3|01|234"), parse("~1|33|0~23")]
    net = CellNetwork(MACRO, cells)
    shapes = {layer.name: layer.weights for layer in MACRO.convolutions(cells)}
    found = {name: layer.weight.numel() for name, layer in net.layers.items()}
    assert {name: found[name] for name in shapes} == shapes
    assert sum(found.values()) == MACRO.weights(cells, classifier=True)
