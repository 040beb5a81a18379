"""AutoSNN's evolution: sizes of its rounds, who is bred of whom, constraints, and that it ends."""

import math

import numpy as np
import pytest

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import strategies
from spikeloom.nas.blocks.block import BLOCKS
from spikeloom.nas.blocks.macro import Macro
from spikeloom.nas.blocks.space import BlockSpace, blocks_of

SPACE = BlockSpace(BLOCKS, Macro())
WORTH = {"skip": 0.0, "scb_k3": 1.0, "scb_k5": 2.0, "srb_k3": 3.0, "srb_k5": 4.0}


def begun(space=SPACE, *, population=20, seed=3, excess=lambda genome: 0.0, deduplicate=True,
          **options):
    cls = strategies.load("autosnn")
    return cls(space, objectives=1, constraints=1, population=population, seed=seed, excess=excess,
               deduplicate=deduplicate, options=strategies.options(cls, options))


def value(genome) -> float:
    """Of a network: different at each place, so that no two are alike."""
    return sum(WORTH[block] * 1.01 ** place for place, block in enumerate(blocks_of(genome)))


def ran(strategy, rounds=20, constraint=lambda genome: -1.0) -> list[list]:
    asked = []
    while len(asked) < rounds and (genomes := strategy.ask()):
        asked.append(genomes)
        strategy.tell(np.array([[-value(genome)] for genome in genomes]),
                      np.array([[constraint(genome)] for genome in genomes]))
    return asked


def flat(asked) -> list:
    return [genome for genomes in asked for genome in genomes]


def best(genomes, count=10) -> list[tuple]:
    return [blocks_of(genome) for genome in sorted(genomes, key=value, reverse=True)[:count]]


def test_twenty_rounds_are_400_different_networks():
    asked = ran(begun())
    assert [len(genomes) for genomes in asked] == [20] * 20
    assert len(set(flat(asked))) == 400


def test_it_repeats_itself_and_a_seed_changes_it():
    assert ran(begun()) == ran(begun()) != ran(begun(seed=4))


def test_mutants_and_offspring_are_of_the_ten_best_so_far():
    """Mutants come first, then offspring, then newcomers; with a mutation of 1 every block of a
    mutant is another one than its parent's.
    """
    asked = ran(begun(mutation=1.0), 12)
    bred = []
    for number in range(1, 12):
        parents = best(flat(asked[:number]))
        found = [blocks_of(genome) for genome in asked[number]]
        assert all(any(all(a != b for a, b in zip(one, parent)) for parent in parents)
                   for one in found[:10])
        children = {a[:cut] + b[cut:] for a in parents for b in parents for cut in range(1, 5)}
        bred.append(sum(one in children for one in found[10:]))
        assert all(one in children for one in found[10:10 + bred[-1]])
    assert bred[:3] == [10] * 3, "the first rounds have offspring enough"


def test_offspring_are_cut_at_one_place():
    """With no mutants and as many tries as it takes, all are offspring until these run out."""
    strategy = begun(mutants=0, crossovers=20, top=2, seed=0)
    first = strategy.ask()
    strategy.tell(np.array([[-value(genome)] for genome in first]), np.full((20, 1), -1.0))
    one, other = (tuple(SPACE.offered[vector[name]] for name in SPACE.choices)
                  for vector in strategy.top)
    assert [one, other] == best(first, 2)
    children = {one[:cut] + other[cut:] for cut in range(1, 5)}
    children |= {other[:cut] + one[cut:] for cut in range(1, 5)}
    children -= {one, other, *map(blocks_of, first)}
    second = [blocks_of(genome) for genome in strategy.ask()]
    assert set(second[:len(children)]) == children and len(children) == 8
    assert len(set(second)) == 20, "newcomers fill the round"


def test_a_block_changes_with_the_probability_of_mutation():
    """Of five places with 0.2 each, of networks that are new: binomial, given at least one."""
    strategy = begun(population=2, mutants=1, crossovers=0)
    genomes = strategy.ask()
    strategy.tell(np.array([[0.0], [1.0]]), np.full((2, 1), -1.0))
    strategy.top = strategy.top[:1]
    parent = blocks_of(genomes[0])
    changed = np.zeros(6)
    for _ in range(4000):
        vector = strategy._mutant()
        found = blocks_of(SPACE.genome(vector))
        changed[sum(a != b for a, b in zip(found, parent))] += 1
    wanted = np.array([math.comb(5, k) * 0.2 ** k * 0.8 ** (5 - k) for k in range(6)]) * 4000
    assert np.all(np.abs(changed - wanted) < 5 * np.sqrt(wanted) + 3)


def test_what_breaks_a_constraint_breeds_last():
    """Networks with a skip break it by half; others rank before them, whatever they are worth."""
    def constraint(genome) -> float:
        return 0.5 if "skip" in blocks_of(genome) else -1.0

    strategy = begun()
    asked = ran(strategy, 5, constraint)
    kept = [genome for genome in flat(asked) if constraint(genome) <= 0]
    found = [SPACE.genome(vector) for vector in strategy.top]
    assert found == sorted(kept, key=value, reverse=True)[:10]


def test_nothing_above_a_bound_is_asked_for():
    def excess(genome) -> float:
        return float(blocks_of(genome).count("srb_k5"))

    asked = flat(ran(begun(excess=excess)))
    assert len(asked) == 400 and all("srb_k5" not in blocks_of(genome) for genome in asked)


def test_a_small_space_is_asked_for_whole_and_then_no_more():
    space = BlockSpace(("skip", "scb_k3"), Macro(stages=(1, 2)))
    asked = flat(ran(begun(space, population=4, mutants=1, crossovers=1), 100))
    assert len(asked) == len(set(asked)) == space.size() == 8


def test_it_finds_the_best_network_of_the_paper_s_space():
    """400 of 3,125 networks, drawn at random, hold it one time in eight."""
    found = [max(map(value, flat(ran(begun(seed=seed))))) for seed in range(4)]
    top = value(SPACE.genome(dict.fromkeys(SPACE.choices, BLOCKS.index("srb_k5"))))
    assert found == [pytest.approx(top)] * 4


def test_without_deduplication_networks_come_again():
    asked = flat(ran(begun(deduplicate=False, mutation=0.01), 10))
    assert len(asked) == 200 > len(set(asked))


def test_revised_answers_rank_anew():
    strategy = begun()
    genomes = strategy.ask()
    strategy.tell(np.array([[-value(genome)] for genome in genomes]), np.full((20, 1), -1.0))
    strategy.revise({genome: (np.array([value(genome)]), np.array([-1.0])) for genome in genomes})
    worst = sorted(best(genomes), key=lambda blocks: value(SPACE.genome(
        {name: BLOCKS.index(block) for name, block in zip(SPACE.choices, blocks)})))
    assert [blocks_of(SPACE.genome(vector)) for vector in strategy.top] == worst


@pytest.mark.parametrize("options, text", [
    ({"mutants": 15}, "search.options.mutants and search.options.crossovers must be together at "
                      "most search.population = 20, not 25"),
    ({"top": 1}, "search.options.top must be in 2..4096, not 1"),
    ({"mutation": 0.0}, "search.options.mutation must be in 0..1, above 0, not 0.0"),
    ({"pool": 20}, "unknown key 'pool'"),
])
def test_bad_options(options, text):
    with pytest.raises(ConfigError) as caught:
        begun(**options)
    assert text in str(caught.value)
