"""Networks of blocks: neurons, the forward pass, gradients, and what counts as a spike."""

import os

import numpy as np
import plain_blocks
import pytest
import torch
from msgspec import structs

from spikeloom.flow.errors import ConfigError
from spikeloom.nas.blocks.block import KNOWN
from spikeloom.nas.blocks.evaluate import evaluate
from spikeloom.nas.blocks.inputs import arrays, seen
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.network import BlockNetwork, Plif, draw, neurons
from spikeloom.nas.datasets import Split

MACRO = Macro(num_classes=3, in_channels=2, image_size=8, channels=3, num_steps=4, voters=2)
MIXED = ("srb_k5", "scb_k3", "skip", "sib_k3_e3", "srb_k3")


def images(count=5, seed=0, macro=MACRO, steps=()):
    rng = np.random.default_rng(seed)
    shape = (*steps, count, macro.in_channels, *2 * (macro.image_size,))
    return torch.from_numpy(rng.random(shape))


def network(blocks=MIXED, macro=MACRO, seed=0):
    """A lively one in evaluation: batch norms, and decays, that differ."""
    net = BlockNetwork(macro, blocks, seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5, generator=generator)
                module.running_var.uniform_(0.2, 1, generator=generator)
                module.weight.uniform_(0.5, 2, generator=generator)
                module.bias.uniform_(-0.5, 1.5, generator=generator)
            if isinstance(module, Plif):
                module.w.uniform_(-1, 1, generator=generator)
        net.fc.weight.mul_(2)
    return net.eval()


@pytest.mark.parametrize("blocks, changes", [
    *(([name], {}) for name in KNOWN), (MIXED, {}), (MIXED, {"down": "avg"}),
    (MIXED, {"global_pooling": True}), (MIXED, {"growth": 1}), (MIXED, {"num_steps": 1}),
    (["srb_k3"], {"down": "strided"}), (["sib_k3_e1"], {"down": "strided"}),
    (["skip"], {"down": "strided", "image_size": 11}), (MIXED, {"image_size": 11}),
    (MIXED, {"stem_down": 1, "image_size": 16}), (MIXED, {"stem_down": 2, "image_size": 32})])
def test_spikes_rates_and_gradients_are_those_of_the_definition(blocks, changes):
    macro = structs.replace(MACRO, **changes)
    net = network(blocks, macro)
    x = images(macro=macro)
    rates, spikes = plain_blocks.run(net, x)
    passed = net.counted(x)
    torch.testing.assert_close(passed.rates, rates)
    assert list(passed.spikes) == list(spikes) == list(neurons(macro, blocks))
    for name, each in spikes.items():
        assert passed.spikes[name].item() == pytest.approx(each.sum().item() / len(x)), name
        assert neurons(macro, blocks)[name] == each[0, 0].numel()
    assert passed.total.item() == pytest.approx(sum(s.item() for s in passed.spikes.values()))
    wanted = torch.autograd.grad(rates.square().sum() + sum(s.sum() for s in spikes.values()) / 500,
                                 list(net.parameters()))
    found = torch.autograd.grad(passed.rates.square().sum() + passed.total * len(x) / 500,
                                list(net.parameters()))
    for (name, _), one, other in zip(net.named_parameters(), found, wanted):
        torch.testing.assert_close(one, other, msg=name)
    assert any(one.any() for one in found) and any(s.any() for s in spikes.values())


def test_frames_of_events_are_fed_one_a_timestep():
    net, x = network(), (images(steps=(4,)) < 0.3).double()
    rates, spikes = plain_blocks.run(net, x)
    passed = net.counted(x)
    torch.testing.assert_close(passed.rates, rates)
    assert all(passed.spikes[name].item() == pytest.approx(each.sum().item() / 5)
               for name, each in spikes.items())
    steady = images()
    torch.testing.assert_close(net(steady.expand(4, *steady.shape)), net(steady))
    with pytest.raises(ConfigError, match="frames must be 4, one a timestep, not 3"):
        net(x[:3])


def test_plifs_are_those_of_spikingjelly(yardsticks):
    """Spikes and gradients, of its multi-step mode with a detached hard reset and ATan."""
    if not os.environ.get("CI"):
        for name in ("loguru", "tqdm", "spikingjelly"):
            pytest.importorskip(name, reason=f"{name} is missing", exc_type=ImportError)
    from spikingjelly.activation_based import neuron, surrogate

    torch.manual_seed(0)
    x, g = 3 * torch.randn(2, 8, 5, 4, dtype=torch.float64) - 0.5
    theirs = neuron.ParametricLIFNode(init_tau=2.0, surrogate_function=surrogate.ATan(),
                                      detach_reset=True, step_mode="m").double()
    ours, results = Plif().double(), []
    for node, run in ((theirs, theirs), (ours, lambda x: ours(x, 8))):
        with torch.no_grad():
            node.w.fill_(0.3)
        own = x.clone().requires_grad_()
        spikes = run(own)
        spikes.backward(g)
        results.append((spikes, own.grad, node.w.grad))
    for one, other in zip(*results):
        torch.testing.assert_close(one, other)
    assert 0.1 < results[0][0].mean() < 0.9


def test_a_plif_by_hand():
    """w = 0 halves the way to the current: 2 makes 1 at once, 1.2 in the third timestep."""
    plif = Plif()
    for current, wanted in ((2.0, [1, 1, 1, 1]), (1.2, [0, 0, 1, 0]), (1.0, [0, 0, 0, 0])):
        assert plif(torch.full((1, 1), current), 4).flatten().tolist() == wanted, current
    with torch.no_grad():
        plif.w.fill_(20.0)  # no memory
    assert plif(torch.tensor([[1.1], [0.9], [1.1], [0.5]]), 4).flatten().tolist() == [1, 0, 1, 0]


def test_a_mean_of_spikes_is_summed_or_it_would_never_reach_the_threshold():
    mean = torch.full((1, 1), 0.75)
    assert Plif(summing=True)(mean, 4).flatten().tolist() == [0, 1, 0, 1]
    assert not Plif()(mean, 64).any() and not Plif()(torch.ones(1, 1), 8).any()


def test_each_pass_begins_with_membranes_at_rest():
    net, x = network(), images()
    assert torch.equal(net(x), net(x))
    assert torch.equal(net(x)[:2], net(x[:2]))


def test_everything_that_counts_is_told():
    net, x, seen = network(), images(), []
    net.watch(lambda name, t, spikes: seen.append((name, t, spikes)))
    passed = net.counted(x)
    net.watch(None)
    net(x)
    assert len(seen) == 4 * len(neurons(MACRO, MIXED))
    assert all(set(spikes.unique().tolist()) <= {0.0, 1.0} and len(spikes) == 5
               for _, _, spikes in seen)
    _, wanted = plain_blocks.run(net, x)
    for name, t, spikes in seen:
        assert torch.equal(spikes.reshape(wanted[name][t].shape), wanted[name][t])
    assert sum(spikes.sum().item() for *_, spikes in seen) / 5 == pytest.approx(
        passed.total.item())


def test_what_a_skip_counts():
    """Nothing where it changes nothing; its PLIF where there is a 1 x 1 convolution."""
    assert list(neurons(MACRO, ["skip"])) == [
        "stem", "pool1", "block2_conv1", "pool3", "block4_conv1", "pool5", "fc"]
    assert neurons(MACRO, ["skip"])["block2_conv1"] == 6 * 16
    flat = structs.replace(MACRO, growth=1)
    assert list(neurons(flat, ["skip"])) == ["stem", "pool1", "pool3", "pool5", "fc"]


def test_evaluation_counts_whole_spikes():
    net = network()
    pixels = (255 * images(50)).byte().numpy()
    split = Split(pixels, np.arange(50) % 3)
    found, other = evaluate(net.float(), split), evaluate(net, split, batch_size=7)
    assert found.spikes == other.spikes and found.classes.tolist() == other.classes.tolist()
    assert found.accuracy == (found.classes == split.labels).mean()
    assert found.spikes_per_image == found.scored.spikes_per_image
    assert found.rates["fc"] == found.spikes["fc"] / (6 * 4)
    assert 0 < found.firing_rate < 1
    assert found.firing_rate == pytest.approx(
        found.spikes_per_image / (4 * sum(neurons(MACRO, MIXED).values())))
    assert not net.training


def test_first_weights_are_keyed_by_seed_name_and_shape():
    one, two, other = (BlockNetwork(MACRO, blocks, seed=seed) for blocks, seed in (
        (MIXED, 0), (("scb_k5", *MIXED[1:]), 0), (MIXED, 1)))
    assert torch.equal(one.blocks[1].convs["conv1"].weight, two.blocks[1].convs["conv1"].weight)
    assert not torch.equal(one.fc.weight, other.fc.weight)
    weight = draw(0, "x", (64, 16, 3, 3))
    assert weight.abs().max() <= 1 / 12
    assert weight.std() == pytest.approx(1 / 12 / 3 ** 0.5, rel=0.03)
    assert weight.dtype == torch.float32 and float(one.plifs["stem"].w.detach()) == 0


def test_inputs():
    pixels = np.arange(2 * 128, dtype=np.uint8).reshape(2, 128)
    assert arrays(pixels, MACRO).shape == (2, 2, 8, 8)
    events = np.ones((3, 4, 128), np.uint8)
    assert arrays(events, MACRO).shape == (3, 4, 2, 8, 8)
    device = torch.device("cpu")
    assert seen(torch.full((2, 2, 8, 8), 255, dtype=torch.uint8), device).unique().tolist() == [1.0]
    assert seen(torch.from_numpy(arrays(events, MACRO)), device).shape == (4, 3, 2, 8, 8)
    with pytest.raises(ConfigError, match=r"frames must be uint8 \[n, 4, 128\], .*, not uint8 "
                                          r"\[3, 5, 128\]"):
        arrays(np.ones((3, 5, 128), np.uint8), MACRO)
    with pytest.raises(ConfigError, match="images must have 2 x 8 x 8 pixels"):
        arrays(np.ones((3, 127), np.uint8), MACRO)


def test_networks_that_are_none():
    with pytest.raises(ConfigError, match="blocks must be 1, used everywhere, or 5"):
        BlockNetwork(MACRO, ["skip"] * 4)
    with pytest.raises(ConfigError, match="unknown block 'srb'"):
        BlockNetwork(MACRO, ["srb"])
    with pytest.raises(ConfigError, match=r"macro\.channels must be in"):
        BlockNetwork(structs.replace(MACRO, channels=0), ["skip"])
