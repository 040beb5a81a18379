"""Strategies over cells: phases, budgets, isomorphism, what the papers do, and evolution."""

import numpy as np
import pytest
import tiny_cells
from tiny_cells import task

from spikeloom.flow.errors import ConfigError
from spikeloom.nas import strategies
from spikeloom.nas.cells.cell import parse
from spikeloom.nas.cells.space import CellSpace, cells_of, genome_of
from spikeloom.nas.problem import WORST

FEW = ("skip", "conv3x3")
SNASNET = ("zeroize", "skip", "conv1x1", "conv3x3", "avgpool3x3")


def begun(name: str, space: CellSpace, *, excess=None, broken=None, population=16,
          deduplicate=True, seed=3, **options):
    cls = strategies.load(name)
    return cls(space, objectives=1, constraints=1, population=population, seed=seed,
               excess=excess or (lambda genome: 0.0), broken=broken, deduplicate=deduplicate,
               options=strategies.options(cls, options))


def convs(genome) -> list[int]:
    found = [cell.count("conv3x3") for cell in cells_of(genome)]
    return found * 2 if len(found) == 1 else found


def ran(strategy, score, most=1000, constraint=lambda genome: -1.0) -> list:
    """Everything that a strategy asks for, by generation."""
    asked = []
    while len(asked) < most and (genomes := strategy.ask()):
        asked.append(genomes)
        strategy.tell(np.array([[-score(genome)] for genome in genomes]),
                      np.array([[constraint(genome)] for genome in genomes]))
    return asked


def flat(asked) -> list:
    return [genome for genomes in asked for genome in genomes]


@pytest.mark.parametrize("name, operations, per_phase", [
    ("spikenas", FEW, 39), ("neuronas", (*FEW, "avgpool3x3"), 483)])
def test_phases_try_every_class_of_cells(name, operations, per_phase):
    space = CellSpace(SNASNET)

    def score(genome):
        a, b = convs(genome)
        return -abs(a - 4) - 3 * abs(b - 2)

    strategy = begun(name, space, population=50)
    genomes = flat(ran(strategy, score))
    assert len(genomes) == len(set(genomes)) == 2 * per_phase - 1, "the best one is not asked twice"
    assert all(len(cells_of(genome)) == 1 for genome in genomes[:per_phase])
    assert len({cells_of(genome)[0] for genome in genomes[per_phase:]}) == 1
    assert {edge.operation for genome in genomes for cell in cells_of(genome)
            for edge in cell.live} == set(operations)
    # the first phase has one cell for both places, the second chooses the other one for itself
    assert convs(strategy.best) == [2, 2] or score(strategy.best) > -2
    assert score(strategy.best) == max(map(score, genomes))


def test_all_cells_are_tried_where_isomorphic_ones_are_none():
    space = CellSpace(SNASNET)
    genomes = flat(ran(begun("spikenas", space, isomorphic=False), lambda genome: 0.0))
    assert len(genomes) == len(set(genomes)) == 2 * 64 - 1
    again = flat(ran(begun("spikenas", space, isomorphic=False, deduplicate=False),
                     lambda genome: 0.0))
    assert len(again) == 2 * 64 and set(again) == set(genomes)


@pytest.mark.parametrize("places", [1, 2, 3, 4])
def test_cell_by_cell_for_any_number_of_cells(places):
    space = CellSpace(SNASNET, places=places)
    wanted = [3, 1, 5, 0][:places]

    def score(genome):
        cells = cells_of(genome)
        counts = [cell.count("conv3x3") for cell in (cells * places if len(cells) == 1 else cells)]
        return -sum(8.0 ** (places - k) * abs(n - m)
                    for k, (n, m) in enumerate(zip(counts, wanted)))

    strategy = begun("spikenas", space)
    genomes = flat(ran(strategy, score))
    assert score(strategy.best) == 0.0 and len(genomes) == places * 39 - (places - 1)
    shared = begun("spikenas", CellSpace(SNASNET, places=places, shared=True))
    assert len(flat(ran(shared, lambda genome: 0.0))) == 39


def test_a_budget_is_checked_before_scoring_and_kept():
    space = CellSpace(SNASNET)

    def excess(genome):
        return max(0.0, sum(convs(genome)) - 4)

    strategy = begun("spikenas", space, excess=excess)
    genomes = flat(ran(strategy, lambda genome: sum(convs(genome))))
    assert all(excess(genome) == 0 for genome in genomes) and 0 < len(genomes) < 77
    assert sum(convs(strategy.best)) == 4


def test_a_budget_that_nothing_meets_asks_for_nothing():
    assert begun("spikenas", CellSpace(SNASNET), excess=lambda genome: 1.0).ask() == []


def test_what_was_measured_beyond_a_limit_is_not_kept():
    strategy = begun("spikenas", CellSpace(SNASNET))
    ran(strategy, lambda genome: sum(convs(genome)),
        constraint=lambda genome: sum(convs(genome)) - 6)
    assert sum(convs(strategy.best)) == 6


def test_networks_without_a_score_are_not_kept():
    strategy = begun("spikenas", CellSpace(SNASNET))
    ran(strategy, lambda genome: -WORST)
    assert strategy.best is None


def test_neuronas_as_published_may_break_limits_and_ours_does_not():
    """Phase 0 looks at the memory alone, and its best score is kept for phase 1."""
    space = CellSpace(SNASNET)

    def broken(genome):
        a, b = convs(genome)
        return {"weights": (a + b - 12) / 12, "cim_ms": (a + b - 6) / 6}

    def excess(genome):
        return sum(max(0.0, value) for value in broken(genome).values())

    def score(genome):
        return float(sum(convs(genome)))

    options = {"excess": excess, "broken": broken, "operations": FEW}
    theirs = begun("neuronas", space, as_published=True, **options)
    genomes = flat(ran(theirs, score))
    assert theirs.result == theirs.best == genome_of([parse("3|33|333")])
    assert broken(theirs.best)["cim_ms"] > 0
    assert len(genomes) == 64 + 1, "with six in the first cell, none fits into the second one"
    ours = begun("neuronas", space, **options)
    ran(ours, score)
    assert ours.result is None and excess(ours.best) == 0 and sum(convs(ours.best)) == 6


def test_operations_must_be_of_the_space_and_few():
    with pytest.raises(ConfigError, match=r"operations must be of cells\.operations: unk"):
        begun("spikenas", CellSpace(("skip", "conv1x1")))
    with pytest.raises(ConfigError, match="must leave at most 131,072 cells to try, not 268,435,4"):
        begun("spikenas", CellSpace(SNASNET, nodes=8))


@pytest.mark.parametrize("name", ["random", "nsga2", "regularised_evolution"])
def test_without_deduplication_networks_come_again(name):
    space = CellSpace(FEW, places=1)
    genomes = flat(ran(begun(name, space, deduplicate=False, population=20), lambda genome: 0.0, 8))
    assert len(genomes) == 160 and len(set(genomes)) <= 64
    once = flat(ran(begun(name, space, population=20), lambda genome: 0.0, 2))
    assert len(once) == len(set(once)) == 40


def test_evolution_repeats_itself_ages_and_learns():
    space = CellSpace(SNASNET)

    def once(seed):
        strategy = begun("regularised_evolution", space, population=10, alive=30, sample=8,
                         seed=seed)
        return flat(ran(strategy, lambda genome: sum(convs(genome)), 20)), strategy

    genomes, strategy = once(1)
    assert once(1)[0] == genomes != once(2)[0] and len(set(genomes)) == 200
    means = [np.mean([sum(convs(genome)) for genome in genomes[k:k + 50]]) for k in (0, 150)]
    assert means[1] > means[0] + 1
    assert [space.genome(vector) for vector in strategy.alive] == genomes[-30:], "the young live"


def test_evolution_prefers_what_breaks_nothing():
    strategy = begun("regularised_evolution", CellSpace(SNASNET), population=10, alive=30, sample=8)
    genomes = flat(ran(strategy, lambda genome: sum(convs(genome)), 20,
                       constraint=lambda genome: sum(convs(genome)) - 1))
    kept = [np.mean([sum(convs(genome)) <= 1 for genome in part])
            for part in (genomes[:30], genomes[150:])]
    assert kept[1] > kept[0] + 0.1
    strategy.revise({genomes[-1]: (np.array([-99.0]), np.array([-1.0]))})
    assert strategy.ranks[genomes[-1]] == (0.0, -99.0)


def test_evolution_searches_the_digits_too(monkeypatch):
    from tiny_search import task as digits

    found = digits("data.name='digits'", "search.strategy='regularised_evolution'",
                   "search.options={ alive = 6, sample = 2 }")
    strategy = found.strategy(found.space, objectives=1, constraints=1, population=4, seed=1,
                              excess=found.excess, options=found.options)
    genomes = flat(ran(strategy, lambda genome: -len(genome), 6))
    assert len(set(genomes)) == 24 and all(found.excess(genome) == 0 for genome in genomes)
    with pytest.raises(ConfigError, match=r"options.sample must be in 1\.\.alive = 6, not 7"):
        digits("data.name='digits'", "search.strategy='regularised_evolution'",
               "search.options={ alive = 6, sample = 7 }")


def test_nsga2_searches_cells(monkeypatch):
    tiny_cells.install(monkeypatch)
    found = task("search.strategy='nsga2'", "search.objectives=['score', 'weights']",
                 "search.constraints={ weights = 3000 }")
    strategy = found.strategy(found.space, objectives=2, constraints=1, population=12, seed=1,
                              excess=found.excess)
    asked = []
    for _ in range(5):
        genomes = strategy.ask()
        asked += genomes
        costs = [found.free(genome)[0]["weights"] for genome in genomes]
        assert max(costs) <= 3000
        strategy.tell(np.array([[-sum(convs(genome)), cost] for genome, cost in
                                zip(genomes, costs)]), np.full((len(genomes), 1), -1.0))
    assert len(set(asked)) == len(asked) == 60
