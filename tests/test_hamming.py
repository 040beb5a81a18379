"""The kernel of spikes: against its definition, and where float32 or a singular one would mislead.
"""

import math

import numpy as np
import pytest
import torch
from networks import random_graph, random_images

from spikeloom.nas.cells import plain
from spikeloom.nas.hamming import Kernel
from spikeloom.sim import reference


def spikes(count, length, seed=0, rate=0.2):
    return np.random.default_rng(seed).random((count, length)) < rate


def score(found, variant="B", dtype=np.float32):
    kernel = Kernel(variant)
    for x in found:
        kernel.add(torch.from_numpy(x.astype(dtype)))
    return kernel.log_det()


@pytest.mark.parametrize("count, lengths", [(2, [7]), (6, [100, 30, 1]), (20, [4000, 50])])
def test_the_score_is_that_of_its_definition(count, lengths):
    found = [spikes(count, length, seed) for seed, length in enumerate(lengths)]
    assert score(found) == pytest.approx(plain.score(found), rel=1e-10)


def test_the_kernel_is_that_of_its_definition():
    x = spikes(5, 40)
    kernel = Kernel()
    kernel.add(torch.from_numpy(x.astype(np.float32)))
    for i in range(5):
        for j in range(5):
            p, q = x[i].mean(), x[j].mean()
            H, E = (x[i] != x[j]).sum(), 40 * (p * (1 - q) + (1 - p) * q)
            assert kernel.mean()[i, j].item() == pytest.approx(40 - 0.5 * H / (E + 1e-3), rel=1e-12)


def test_variant_A_divides_by_the_share_of_the_length():
    x = spikes(3, 40)
    kernel = Kernel("A")
    kernel.add(torch.from_numpy(x.astype(np.float32)))
    p, q = x[0].mean(), x[1].mean()
    wanted = 40 - 0.5 * (x[0] != x[1]).sum() / (p * (1 - q) + (1 - p) * q + 1e-3)
    assert kernel.mean()[0, 1].item() == pytest.approx(wanted, rel=1e-12)


def test_shares_are_summed_apart_from_the_length():
    """With N of 2**17 a sum of K in float32 is another score."""
    found = [spikes(12, 1 << 17, seed) for seed in range(4)]
    kernel, rounded = Kernel(), torch.zeros(12, 12)
    for x in found:
        kernel.add(torch.from_numpy(x.astype(np.float32)))
        one = Kernel()
        one.add(torch.from_numpy(x.astype(np.float32)))
        rounded += one.mean().float()
    exact = kernel.log_det()
    assert kernel.share.dtype == torch.float64
    assert exact == pytest.approx(plain.score(found), rel=1e-9)
    assert abs(torch.linalg.slogdet(rounded.double() / 4).logabsdet.item() - exact) > 1e-4


def test_what_counts_several_times_is_that_many_populations():
    one, two = spikes(6, 50), spikes(6, 80, 1)
    kernel = Kernel()
    kernel.add(torch.from_numpy(one.astype(np.float32)), 3)
    kernel.add(torch.from_numpy(two.astype(np.float32)))
    assert kernel.log_det() == pytest.approx(score([one, one, one, two]), rel=1e-12)


def test_maps_may_lie_in_any_order():
    x = torch.from_numpy(spikes(4, 8 * 3 * 3).astype(np.float32)).reshape(4, 8, 3, 3)
    one, two = Kernel(), Kernel()
    one.add(x)
    two.add(x.contiguous(memory_format=torch.channels_last))
    assert one.log_det() == two.log_det()


def test_a_singular_kernel_has_no_score():
    x = spikes(6, 50)
    x[3] = x[1]  # two images that nothing tells apart
    assert math.isnan(score([x]))
    assert math.isnan(score([np.zeros((6, 50), bool)])) and math.isnan(score([]))
    assert not math.isnan(score([x, spikes(6, 50, 1)]))


def test_what_is_not_finite_has_no_score():
    x = spikes(6, 50).astype(np.float32)
    x[2, 3] = np.nan
    assert math.isnan(score([x]))


def test_a_chain_of_dense_layers_can_be_scored():
    """Spikes of the integer reference model, layer by layer and step by step."""
    rng = np.random.default_rng(3)
    graph = random_graph(rng, sizes=(12, 40, 30))
    found = reference.run(graph, random_images(rng, graph, 4), trace=True)
    kernel, plainly = Kernel(), []
    for layer in found.spikes:
        for x in layer:  # of one timestep, [batch, size]
            kernel.add(torch.from_numpy(x.astype(np.float32)))
            plainly.append(x.astype(bool))
    assert kernel.log_det() == pytest.approx(plain.score(plainly), rel=1e-9)
