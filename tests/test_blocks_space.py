"""The space of networks of blocks: sizes, genomes, and what is smaller."""

import json

import numpy as np
import pytest

from spikeloom.nas.blocks.block import BLOCKS
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.space import BlockSpace, blocks_of, genome_of
from spikeloom.nas.space import describe


@pytest.mark.parametrize("offered, macro, size", [
    (BLOCKS, Macro(), 3125), (BLOCKS[:2], Macro(stages=(1, 2)), 8), (BLOCKS[:1], Macro(), 1),
    (BLOCKS, Macro(down="strided"), 5 ** 8)])
def test_sizes_are_exact(offered, macro, size):
    space = BlockSpace(offered, macro)
    assert space.size() == size
    if size < 4000:
        genomes = list(space.every())
        assert len(genomes) == len(set(genomes)) == size


def test_genomes_have_a_block_for_each_place():
    space = BlockSpace(BLOCKS, Macro())
    vector = {f"block{k + 1}": value for k, value in enumerate((4, 4, 0, 3, 4))}
    genome = space.genome(vector)
    assert json.loads(genome) == {"network": "blocks", "blocks": [
        "srb_k5", "srb_k5", "skip", "srb_k3", "srb_k5"]}
    assert genome_of(blocks_of(genome)) == genome
    assert describe(genome) == "blocks srb_k5 srb_k5 skip srb_k3 srb_k5"


def test_every_network_is_drawn_alike():
    space = BlockSpace(BLOCKS[:3], Macro(stages=(1, 1)))
    rng = np.random.default_rng(0)
    drawn = [space.genome(space.sample(rng)) for _ in range(4500)]
    counts = [drawn.count(genome) for genome in space.every()]
    assert sum(counts) == 4500 and max(abs(count - 500) for count in counts) < 100


def test_smaller_networks_have_fewer_weights():
    """Of SCB and SRB, equal where channels stay, none is smaller than the other."""
    macro = Macro(stages=(1, 1), growth=1)
    space = BlockSpace(BLOCKS, macro)
    vector = {"block1": BLOCKS.index("srb_k3"), "block2": BLOCKS.index("skip")}
    found = [blocks_of(space.genome(item)) for item in space.smaller(vector)]
    assert found == [("skip", "skip")]
    vector["block2"] = BLOCKS.index("scb_k5")
    weights = macro.weights(blocks_of(space.genome(vector)))
    found = [blocks_of(space.genome(item)) for item in space.smaller(vector)]
    assert found == [("skip", "scb_k5"), ("srb_k3", "skip"), ("srb_k3", "scb_k3"),
                     ("srb_k3", "srb_k3")]
    assert all(macro.weights(blocks) < weights for blocks in found)
