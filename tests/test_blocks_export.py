"""Export of networks of blocks: the integers fire as the floating point does."""

import numpy as np
import pytest
import torch
from msgspec import structs

from spikeloom.nas.blocks.evaluate import evaluate
from spikeloom.nas.blocks.export import compare, export
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.network import BlockNetwork
from spikeloom.nas.cells import quantiser
from spikeloom.nas.cells.pixels import maps
from spikeloom.nas.datasets import Split
from spikeloom.sim import reference

MACRO = Macro(in_channels=3, image_size=16, channels=4, num_steps=4, stages=(1, 2), voters=4)
FORMS = [
    ({}, ("srb_k3", "srb_k5", "skip")), ({}, ("sib_k3_e3_dw", "skip", "scb_k5")),
    ({"down": "avg"}, ("srb_k3", "scb_k3", "skip")),
    ({"global_pooling": True}, ("srb_k3", "scb_k3", "skip")),
    ({"down": "strided"}, ("srb_k3", "skip", "scb_k3", "sib_k3_e1", "srb_k3")),
    ({"stem_down": 2, "stages": (1,), "image_size": 32}, ("srb_k3",))]


def lively(macro: Macro, blocks) -> tuple[BlockNetwork, Split]:
    """A network whose parameters are all of their own, with codes of ten bits for weights, in
    double precision, and noise that its batch norms have seen.
    """
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(1)
    size = macro.in_channels * macro.image_size ** 2
    images = Split(rng.integers(256, size=(24, size)).astype(np.uint8), np.arange(24) % 10)
    network = BlockNetwork(macro, blocks, seed=1)
    with torch.no_grad():
        for name, value in network.named_parameters():
            drawn = torch.randn(value.shape, generator=generator)
            if name.endswith(".w"):
                value.copy_(0.5 * drawn)
            elif "norm.weight" in name:
                value.copy_(1.8 + 0.3 * drawn)
            elif "norm.bias" in name:
                value.copy_(0.2 * drawn)
            else:
                value.copy_(quantiser.quantise(6 * value if name == "fc.weight" else value, 10))
        network.train()
        for _ in range(30):
            network(pixels(images, macro).float())
    return network.double().eval(), images


def pixels(images: Split, macro: Macro) -> torch.Tensor:
    return torch.from_numpy(maps(images.inputs, macro)).double() / 255


@pytest.mark.parametrize("change, blocks", FORMS)
def test_spikes_are_those_of_the_network(change, blocks):
    """But for the few that are within rounding of the threshold, and what these lead to."""
    macro = structs.replace(MACRO, **change)
    network, images = lively(macro, blocks)
    seen: dict[str, list] = {}
    network.watch(lambda name, t, spikes: seen.setdefault(name, []).append(spikes.flatten(1)))
    with torch.no_grad():
        network(pixels(images, macro))
    graph = export(network).graph
    traced = reference.run(graph, images.inputs, trace=True)
    names = [node.name for node in graph.populations if node.name in seen]
    assert set(seen) - set(names) == {name for name in seen if "pool" in name} - (
        {"pool1", "pool3"} if change.get("down") == "avg" else set())
    rates = []
    for node, spikes in zip(graph.populations, traced.spikes):
        if node.name in seen:
            wanted = torch.stack(seen[node.name]).numpy()
            rates.append(wanted.mean())
            assert (spikes != wanted).mean() < 1e-2, node.name
    first = torch.stack(seen["stem"]).numpy()
    assert (traced.spikes[0] != first).mean() < 1e-4 and max(rates) > 0.05


def test_votes_are_counted_over_timesteps_and_voters():
    network, images = lively(MACRO, ("srb_k3", "scb_k3", "skip"))
    graph = export(network).graph
    traced = reference.run(graph, images.inputs, trace=True)
    fc = traced.spikes[[node.name for node in graph.populations].index("fc")]
    wanted = fc.reshape(4, 24, 10, 4).sum((0, 3))
    assert np.array_equal(traced.scores, wanted) and wanted.sum() > 0


def test_what_export_does_is_said():
    network, images = lively(MACRO, ("srb_k3", "scb_k3", "skip"))
    found = export(network.float())
    assert found.weight_bits == 10 and "rounded to codes of 10 bits" in found.notes[0]
    compared, spikes = compare(network, found.graph, images, "noise")
    alone = evaluate(network, images)
    assert (compared.subset, compared.images) == ("noise", 24)
    assert (compared.before, spikes) == (alone.accuracy, alone.spikes_per_image)
    assert compared.agreement > 0.8
