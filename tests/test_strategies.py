"""Strategies: what they ask for, that they repeat themselves, and what they learn from answers."""

import json
from itertools import pairwise

import numpy as np
import pytest

from spikeloom.flow import config
from spikeloom.nas import strategies
from spikeloom.nas.space import Space
from spikeloom.nas.strategies import nsga2


def space(**settings) -> Space:
    return Space(config.Space(**settings), (8, 8), 10)


def size(made: Space, genome) -> int:
    return sum(d.in_features * d.out_features for d, _ in made.graph(genome).layers)


def score(made: Space, genome) -> list[float]:
    graph = made.graph(genome)
    length = sum(d.bitstream_length for d, _ in graph.layers)
    many = size(made, genome)
    return [-many + length, many, length * graph.num_steps, graph.num_steps]


def begun(name: str, made: Space, seed: int = 3, objectives: int = 2, population: int = 12,
          most: int = 2500):
    def excess(genome):
        return max(0.0, size(made, genome) / most - 1)

    return strategies.load(name)(made, objectives=objectives, constraints=1,
                                 population=population, seed=seed, excess=excess)


def answered(strategy, made: Space, generations: int, objectives: int = 2) -> tuple[list, list]:
    """Everything that it asks, and the scores that it is told, by generation."""
    asked, scores = [], []
    for _ in range(generations):
        genomes = strategy.ask()
        F = np.array([score(made, genome)[:objectives] for genome in genomes], float)
        strategy.tell(F, np.full((len(F), 1), -1.0))
        asked += genomes
        scores.append(F)
    return asked, scores


@pytest.mark.parametrize("name", ["nsga2", "random"])
@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_a_strategy_repeats_itself_within_the_bounds(name, objectives):
    made = space()

    def once(seed: int) -> list:
        return answered(begun(name, made, seed, objectives), made, 5, objectives)[0]

    asked = once(3)
    assert all(size(made, genome) <= 2500 for genome in asked)
    assert len(set(asked)) == len(asked) == 60
    assert once(3) == asked and once(4) != asked


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_answers_make_nsga2_better(objectives):
    made = space()
    strategy = begun("nsga2", made, objectives=objectives)
    scores = answered(strategy, made, 5, objectives)[1]
    kind = "NSGA3" if objectives >= nsga2.MANY else "NSGA2"
    assert type(strategy.algorithm).__name__ == kind
    assert scores[-1].mean(axis=0)[-1] < scores[0].mean(axis=0)[-1]


def test_random_search_asks_the_same_whatever_it_is_told():
    made = space()
    one, two = begun("random", made), begun("random", made)
    first = answered(one, made, 3)[0]
    second = []
    for _ in range(3):
        second += two.ask()
        two.tell(np.full((12, 2), 7.0), np.full((12, 1), 7.0))
    assert first == second and not hasattr(one, "revise")
    depths = [len(json.loads(genome)["layers"]) for genome in first]
    assert set(depths) == {1, 2, 3}


@pytest.mark.parametrize("name", ["nsga2", "random"])
def test_a_small_space_is_asked_for_whole_and_then_no_more(name):
    """One of its depths has 4 networks, the other one many too large ones."""
    made = space(layers=(1, 2), min_width=64, max_width=256, weight_bits=(2, 3), num_steps=(2,),
                 bitstream_lengths=(8, 16), leak_shifts=(0,), encoders=("rate",))
    strategy = begun(name, made, population=3, most=700)
    asked = []
    while genomes := strategy.ask():
        asked += genomes
        strategy.tell(np.array([score(made, genome)[:2] for genome in genomes], float),
                      np.full((len(genomes), 1), -1.0))
    assert len(asked) == len(set(asked)) == 4


def test_revised_answers_rank_anew():
    """What seemed best is now worst, so it does not survive, nor is bred from."""
    made = space()

    def survivors(revised: bool) -> tuple[set, list]:
        strategy, known = begun("nsga2", made), {}
        for generation in range(3):
            genomes = strategy.ask()
            F = np.array([score(made, genome)[:2] for genome in genomes], float)
            known |= {genome: (f, np.array([-1.0])) for genome, f in zip(genomes, F, strict=True)}
            if revised and generation == 2:
                # all that came before is as bad as can be now
                strategy.revise({genome: (np.array([9e9, 9e9]), np.array([-1.0]))
                                 for genome in known})
            strategy.tell(F, np.full((len(F), 1), -1.0))
        last = set(genomes)
        alive = {made.genome(item.X) for item in strategy.algorithm.pop}
        return alive & last, [alive, last]

    kept, _ = survivors(False)
    assert 0 < len(kept) < 12
    kept, (alive, last) = survivors(True)
    assert alive == last == kept


def test_revised_constraints_push_out_what_does_not_fit_any_more():
    made = space()
    strategy = begun("nsga2", made)
    genomes = strategy.ask()
    F = np.array([score(made, genome)[:2] for genome in genomes], float)
    strategy.tell(F, np.full((12, 1), -1.0))
    bad = set(genomes[:6])
    strategy.revise({genome: (f, np.array([1.0 if genome in bad else -1.0]))
                     for genome, f in zip(genomes, F, strict=True)})
    more = strategy.ask()
    F = np.array([score(made, genome)[:2] for genome in more], float)
    strategy.tell(F, np.full((12, 1), -1.0))
    alive = [made.genome(item.X) for item in strategy.algorithm.pop]
    assert len(alive) == 12 and not bad & set(alive)
    assert all(item.F is not None and np.isfinite(item.F).all() for item in strategy.algorithm.pop)


def test_revising_before_anything_was_told_does_nothing():
    begun("nsga2", space()).revise({})


def test_the_same_revisions_give_the_same_questions():
    made = space()

    def once() -> list:
        strategy, known, asked = begun("nsga2", made), {}, []
        for generation in range(4):
            genomes = strategy.ask()
            F = np.array([score(made, genome)[:2] for genome in genomes], float)
            known |= {genome: (f * (1 + generation), np.array([-1.0]))
                      for genome, f in zip(genomes, F, strict=True)}
            strategy.revise(known)
            strategy.tell(F, np.full((len(F), 1), -1.0))
            asked.append(genomes)
        return asked

    assert once() == once()
    assert all(a != b for a, b in pairwise(once()))
