"""Section [search] of an experiment: how to look, and what for."""

import math
from collections.abc import Iterator

from msgspec import Struct, field

from .rules import Rule, choice


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """How to look, whatever for: at most population * generations candidates are evaluated.

    population: candidates asked for at once. repeats: evaluations of each candidate, from different
    seeds; what it has is their mean, because one lucky training of a cheap network would push
    better ones off the front. reference: the point from which hypervolumes are measured, a value
    for an objective.
    objectives: columns to optimise, each in its own direction. constraints: a bound per column, the
    largest value of a column that is minimised, the least of one that is maximised. choose: a
    column, whose best candidate becomes the run's network, or the id of one.
    deduplicate: no network is asked for twice; without it, a network that is asked for again is
    evaluated again, from the next seed. options: of the strategy, which knows their names.
    table: a file of evaluations that were made before (`nas.tabular`), which answers in place of
    training; what it does not have is not asked for.
    """

    strategy: str = "nsga2"
    population: int = 50
    generations: int = 20
    repeats: int = 1
    seed: int = 1
    objectives: tuple[str, ...] = ("accuracy", "lc")
    constraints: dict[str, float] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    choose: str = "accuracy"
    deduplicate: bool = True
    options: dict[str, object] = field(default_factory=dict)
    table: str = ""

    def rules(self) -> Iterator[Rule]:
        yield "population", 2 <= self.population <= 4096, "in 2..4096"
        yield "generations", 1 <= self.generations <= 100_000, "in 1..100000"
        yield "repeats", 1 <= self.repeats <= 100, "in 1..100"
        yield "seed", 0 <= self.seed < 1 << 31, "in 0..2**31-1"
        yield ("objectives", choice(self.objectives), "a list of different columns, at least one")
        finite = all(map(math.isfinite, self.constraints.values()))
        yield "constraints", finite, "a table of finite numbers"
        finite = all(map(math.isfinite, self.reference.values()))
        yield "reference", finite, "a table of finite numbers"


class Search(Asked, frozen=True, forbid_unknown_fields=True):
    """How to look for networks on an FPGA: all candidates are trained, `routed` placed and routed.

    cost_model: `predicted` from what was measured, by the package and by this search, which places
    and routes while it trains; `structure`, counted parts alone, and building at the end. The
    device's capacity (times max_utilization) is always a constraint. `choose` is of those measured.
    confirm: trainings more of each measured candidate, from other seeds, before one is chosen by
    `accuracy`; the best of many single trainings is the luckiest of them.
    """

    max_utilization: float = 1.0
    routed: int = 20
    cost_model: str = "predicted"
    final_epochs: int = 60
    pnr_seeds: int = 2
    confirm: int = 4

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield ("cost_model", self.cost_model in ("predicted", "structure"),
               "'predicted' or 'structure'")
        yield "max_utilization", 0 < self.max_utilization <= 1, "in 0..1, above 0"
        yield "routed", 0 <= self.routed <= 4096, "in 0..4096"
        yield "pnr_seeds", 1 <= self.pnr_seeds <= 100, "in 1..100"
        yield "confirm", 0 <= self.confirm <= 100, "in 0..100"
        yield "final_epochs", 1 <= self.final_epochs <= 100_000, "in 1..100000"


class CellSearch(Asked, frozen=True, forbid_unknown_fields=True):
    """How to look for networks of cells; 5,000 candidates at most, as SNASNet looks at."""

    strategy: str = "spikenas"
    generations: int = 100
    objectives: tuple[str, ...] = ("score",)
    choose: str = "score"


class BlockSearch(Asked, frozen=True, forbid_unknown_fields=True):
    """How to look for networks of blocks; 20 rounds of 20 candidates, as AutoSNN looks at."""

    strategy: str = "autosnn"
    population: int = 20
    generations: int = 20
    objectives: tuple[str, ...] = ("score",)
    choose: str = "score"

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield ("repeats", self.repeats == 1, "1 with space.network = 'blocks': a super-network "
               "gives a network the same accuracy each time")
