"""Spaces of cells: genomes, sizes, what is smaller, and words for them."""

import json
from itertools import product

import numpy as np
import pytest

from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.space import CellSpace, cells_of, genome_of
from spikeloom.nas.space import describe, identity

FEW = ("zeroize", "skip", "conv3x3")


def test_a_genome_has_the_cells_without_dead_edges():
    genome = genome_of([parse("3|30|010"), parse("1|11|111")])
    assert json.loads(genome) == {"cells": ["3|00|010", "1|11|111"], "network": "cells"}
    assert genome == '{"cells":["3|00|010","1|11|111"],"network":"cells"}'
    assert [str(cell) for cell in cells_of(genome)] == ["3|00|010", "1|11|111"]
    assert describe(genome) == "cells 3|00|010 1|11|111" and len(identity(genome)) == 12


def test_equal_cells_are_one_used_everywhere():
    assert genome_of([parse("3|30|010"), parse("3|00|010")]) == genome_of([parse("3|00|010")])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("operations", [FEW, FEW[1:]])
def test_the_size_is_that_of_all_vectors(operations, backward):
    space = CellSpace(operations, places=2, nodes=3, backward=backward)
    ranges = [range(len(values)) for values in space.choices.values()]
    each = space.choices | space.bounds
    shared = CellSpace(operations, places=2, nodes=3, backward=backward, shared=True)
    one = {shared.genome(dict(zip(shared.choices, values)))
           for values in product(*ranges[:len(shared.choices)])}
    assert len(one) == shared.size() and space.size() == shared.size() ** 2
    assert len(each) == 2 * len(shared.choices)


def test_snasnets_space():
    space = CellSpace(("zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3"), shared=True)
    assert space.size() == 9_445 and len(space.choices) == 6 and space.bounds == {}
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng, layers=3) for _ in range(200)]
    assert {value for vector in drawn for value in vector.values()} == set(range(5))
    assert all(cells_of(space.genome(vector)) == tuple(cell.pruned() for cell in
                                                       space.cells(vector)) for vector in drawn)


def test_smaller_vectors_have_fewer_weights():
    space = CellSpace(("zeroize", "skip", "conv1x1", "conv3x3"), places=2, nodes=3)
    vector = dict.fromkeys(space.choices, 3)
    steps = list(space.smaller(vector))
    assert len(steps) == 6 * 3 and all(sum(step.values()) < sum(vector.values()) for step in steps)
    assert list(space.smaller(dict.fromkeys(space.choices, 1))) == []


def test_backward_edges_are_genes():
    space = CellSpace(FEW, places=1, nodes=3, backward=True)
    assert len(space.choices) == 6
    vector = {name: 0 if name.startswith("turn") else 2 for name in space.choices}
    turned = vector | {"turn_cell1_1_2": 1, "turn_cell1_0_1": 1}
    assert cells_of(space.genome(turned))[0].backward == (True, False, True)
    assert space.genome(vector) != space.genome(turned)
