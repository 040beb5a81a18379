"""The published searches over cells: how many networks they look at, and whether limits are kept.

Strategies are asked and told here as a search does it, with the score `depth`, which costs nothing:
how many networks they evaluate does not depend on what a score costs.
"""

import time
from itertools import product

import numpy as np

from ...flow import config
from .. import scores
from ..bench import Bench, group
from ..cells.macro import Macro
from ..cells.space import cells_of
from ..problem import Problem, problem
from ..space import Genome

#: What SNASNet draws (Y. Kim et al., ECCV 2022, section 5).
PUBLISHED = 5000
#: The network that a timed score is of, and how many are timed for each strategy.
TIMED, SAMPLE, BATCH = Macro(channels=8, image_size=16, num_steps=3), 24, 32
#: Shares of what the largest network of the search costs, as limits; 0 is one that nothing meets.
SHARES = {"weights": (0.0, 0.3, 1.0), "cim_mm2": (0.4, 1.0), "cim_ms": (0.0, 0.4, 1.0),
          "cim_uj": (0.3, 1.0)}


def asked(strategy: str, *changes: str) -> Problem:
    """A search of the digits with SNASNet's operations and sizes, priced as NeuroNAS does."""
    return problem(config.load_experiment(None, (
        "space.network=cells", f"search.strategy={strategy}", "search.population=100",
        "cells.score=depth", "cells.channels=128", "cells.weight_bits=16",
        "cells.cim_mode=neuronas", *changes)), "the digits")


def run(task: Problem, most: int) -> tuple[list[Genome], Genome | None]:
    """What a strategy asks for, at most so many, and what it returns."""
    score = scores.load(task.cells.score)(task.scored, task.images, seed=task.search.seed)
    strategy = task.strategy(
        task.space, objectives=1, constraints=len(task.bounds), population=task.search.population,
        seed=task.search.seed, excess=task.excess, broken=task.violated,
        deduplicate=task.search.deduplicate, options=task.options)
    found: list[Genome] = []
    while len(found) < most and (genomes := strategy.ask()):
        rows = [{"score": score.score(cells_of(genome)), **task.free(genome)[0]}
                for genome in genomes]
        strategy.tell(task.F(rows), task.G(rows))
        found += genomes
    return found, getattr(strategy, "best", None)


def seconds(genomes: list[Genome], rng: np.random.Generator) -> float:
    """The mean time of a score, sahd, of some of these networks."""
    images = rng.integers(0, 256, (BATCH, 3, TIMED.image_size, TIMED.image_size)).astype(np.uint8)
    score = scores.load("sahd")(TIMED, images, batch_size=BATCH, batches=1)
    chosen = [cells_of(genomes[int(k)]) for k in rng.integers(len(genomes), size=SAMPLE)]
    score.score(chosen[0])
    began = time.perf_counter()
    for cells in chosen:
        score.score(cells)
    return (time.perf_counter() - began) / SAMPLE


@group(strategies__spikenas_speedup=("ratio", ">= 29"),
       strategies__neuronas_speedup=("ratio", ">= 5"))
def speedups(bench: Bench) -> dict:
    """Evaluations of `random` as published over different ones of those that search by cells."""
    drawn, _ = run(asked("random", "search.deduplicate=false", "cells.shared=true"), PUBLISHED)
    each = seconds(drawn, np.random.default_rng(0))
    different = len(set(drawn))
    out = {}
    for name in ("spikenas", "neuronas"):
        found, _ = run(asked(name), PUBLISHED)
        every, _ = run(asked(name, "search.deduplicate=false",
                             "search.options={ isomorphic = false }"), PUBLISHED)
        count, own = len(set(found)), seconds(found, np.random.default_rng(0))
        out[f"strategies.{name}_speedup"] = (len(drawn) / count, (
            f"by count: {len(drawn):,} evaluations of random as published, without "
            f"de-duplication, over {count} different networks of {name}, one of each isomorphism "
            f"class; over the {len(every):,} of the paper {len(drawn) / len(every):.1f}; with "
            f"de-duplication on everywhere ({different:,} of those {len(drawn):,} are different) "
            f"{different / count:.1f}; by wall time {len(drawn) * each / (count * own):.1f}, with "
            f"de-duplication {different * each / (count * own):.1f}: {1e3 * each:.1f} ms a score "
            f"of random's networks, {1e3 * own:.1f} ms of {name}'s, sahd of {SAMPLE} of each, C = "
            f"{TIMED.channels}, {TIMED.image_size} x {TIMED.image_size}, batch {BATCH}, T = "
            f"{TIMED.num_steps}"))
    return out


@group(strategies__neuronas_violations=("networks", "== 0"))
def violations(bench: Bench) -> dict:
    """Networks that neuronas returns and that break a limit, over a grid of limits."""
    largest, _ = asked("neuronas").free(_largest())
    broken = theirs = empty = unnamed = 0
    grid = list(product(*SHARES.values()))
    for shares in grid:
        limits = {name: share * largest[name] for name, share in zip(SHARES, shares)}
        text = ", ".join(f"{name} = {value!r}" for name, value in limits.items())
        for published in (False, True):
            task = asked("neuronas", f"search.constraints={{ {text} }}",
                         f"search.options={{ as_published = {str(published).lower()} }}")
            _, best = run(task, PUBLISHED)
            breaks = best is not None and any(value > 0 for value in task.violated(best).values())
            if published:
                theirs += breaks
            else:
                broken += breaks
                empty += best is None
                unnamed += best is None and task.nearest() is None
    return {"strategies.neuronas_violations": (broken + unnamed, (
        f"of {len(grid)} sets of limits of weights, mm2, ms and uJ, shares "
        f"{', '.join(map(str, SHARES.values()))} of what the largest network costs; of {empty} "
        "that nothing meets none is returned, and the nearest is named with what it breaks; the "
        f"algorithm as published returns {theirs} that break a limit"))}


def _largest() -> Genome:
    from ..cells.named import cells_by
    from ..cells.space import genome_of

    return genome_of(cells_by("weights-4722048"))
