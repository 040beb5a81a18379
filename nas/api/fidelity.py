"""Fidelity: how long and on how many images candidates are trained, so that a budget is kept.

What is chosen follows from the space, the data and the budget by estimates of this module alone,
never from a clock or from how many processes there are, so that a search repeats itself.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from ...flow import ir
from ...flow.errors import ConfigError
from ..datasets import Dataset
from ..layered import LayeredSpace
from ..plan import steps_seconds

#: Seconds of a search that says none, with up to so many inputs, and with more.
BUDGET, FEW_INPUTS, LARGE_BUDGET = 900.0, 256, 2400.0
#: Processes and the cores that they have: what a budget is reckoned with, whatever there is.
CORES = 2
#: Shares of a budget for training and for place and route; the rest is for the final network.
TRAINING, BUILDING = 0.45, 0.45
#: What candidates take over the random ones of the first generation: what is bred is larger.
#: Mean of 11 generations of the digits search of 50 x 20 (57 s at first, 77 s in the end).
BRED = 1.25
#: Seconds of a step over those of `nas.plan`, which are one core's with nothing beside it: two
#: processes on the two cores of a Xeon of 2023 take 1.7 to 2.1 times as long.
SHARED = 1.9
#: Seconds of one place and route of a full UP5K with Yosys and nextpnr from PyPI, about.
BUILD_SECONDS = 40.0
#: Builds at the least and at the most, whatever the budget.
FEWEST_BUILDS, MOST_BUILDS = 4, 20
#: Epochs that more images are taken for, rather than more epochs, and the most epochs.
ENOUGH_EPOCHS, MOST_EPOCHS, FINAL_EPOCHS = 20, 40, 60
#: Images to train on at the least, and to score on at the most.
FEWEST_IMAGES, MOST_SCORED = 512, 2000
#: Seconds that the reference model takes for a synapse and an image, about.
SCORE_SECONDS = 2e-9
#: Images of a training step.
BATCH = 64
#: Draws for each network of the sample that costs are reckoned with.
DRAWS = 200


class Fidelity(Struct, frozen=True):
    """Images that candidates are trained and scored on, epochs, builds, and estimated seconds."""

    images: int
    scored: int
    epochs: int
    final_epochs: int
    routed: int
    training_seconds: float
    building_seconds: float
    final_seconds: float

    @property
    def seconds(self) -> float:
        return self.training_seconds + self.building_seconds + self.final_seconds

    def text(self, budget: float, data: Dataset) -> str:
        """What was chosen, in a sentence."""
        over = "" if self.seconds <= budget else " (more than the budget: nothing cheaper is left)"
        return (f"for a budget of {budget:,.0f} s on {CORES} cores: each candidate {self.epochs} "
                f"epochs on {self.images:,} of {len(data.train):,} training images of {data.name}, "
                f"scored on {self.scored:,} of {len(data.validation):,} validation images; "
                f"{self.routed} builds; {self.final_epochs} epochs for the final network; "
                f"estimated {self.training_seconds:,.0f} + {self.building_seconds:,.0f} + "
                f"{self.final_seconds:,.0f} s{over}")


def choose(space: LayeredSpace, excess: Callable[[str], float], data: Dataset, *, population: int,
           generations: int, budget: float, confirmed: int = 0) -> Fidelity:
    """The fidelity that a budget in seconds pays for.

    More images are taken before more epochs than `ENOUGH_EPOCHS`, up to `MOST_EPOCHS` on all of
    them. excess: as of a strategy. confirmed: trainings more of each candidate that is built.
    """
    candidates = population * generations
    routed = builds(candidates, budget)
    share = TRAINING / (1 + confirmed * routed / candidates)
    graphs = [space.graph(genome) for genome in sample(space, excess, population)]
    scored = min(len(data.validation), MOST_SCORED)
    synapses = sum(dense.synapses for graph in graphs for dense, _ in graph.layers)
    scoring = generations * SCORE_SECONDS * synapses * scored / CORES
    step = BRED * _seconds(graphs) * population / len(graphs)  # of a generation, as batches go
    each = generations * step / BATCH / CORES  # seconds for an image of an epoch
    paid = int(max(0.0, share * budget - scoring) / each)
    images = min(len(data.train), max(FEWEST_IMAGES, paid // ENOUGH_EPOCHS))
    epochs = min(MOST_EPOCHS, max(1, paid // images))
    once = max(_seconds([graph]) for graph in graphs) * len(data.final) / BATCH
    last = max(0.0, (1 - TRAINING - BUILDING) * budget - BUILD_SECONDS)
    seen = math.ceil(epochs * images / len(data.final))  # as many images as a candidate, at least
    final_epochs = min(FINAL_EPOCHS, max(seen, int(last / once)))
    training = each * images * epochs + scoring
    return Fidelity(
        images=images, scored=scored, epochs=epochs, final_epochs=final_epochs, routed=routed,
        training_seconds=training * (1 + confirmed * routed / candidates),
        building_seconds=routed * BUILD_SECONDS / CORES,
        final_seconds=final_epochs * once + BUILD_SECONDS)


def _seconds(graphs: Sequence[ir.Graph]) -> float:
    """Of a training step of all of them, one process of two."""
    return SHARED * steps_seconds(graphs)


def builds(candidates: int, budget: float) -> int:
    """How many candidates a budget lets be placed and routed."""
    paid = int(BUILDING * budget * CORES / BUILD_SECONDS)
    return min(candidates, max(FEWEST_BUILDS, min(MOST_BUILDS, paid)))


def sample(space: LayeredSpace, excess: Callable[[str], float], count: int) -> list[str]:
    """Up to `count` random genomes within the bounds; the same ones for the same space and bounds.

    As in the first generation of a search, what does not fit is drawn again with as many layers.
    Raises ConfigError where so many draws found none.
    """
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        layers = None
        for _ in range(DRAWS):
            vector = space.sample(rng, layers)
            layers = vector["layers"]
            genome = space.genome(vector)
            if excess(genome) <= 0:
                found.append(genome)
                break
    if not found:
        raise ConfigError(f"none of {DRAWS * count} networks drawn from the space fits the target; "
                          "choose smaller width_choices, fewer max_layers or a larger target")
    return found


def usual(n_inputs: int) -> float:
    """The budget in seconds of a search that says none: layers of many inputs are slow to train."""
    return BUDGET if n_inputs <= FEW_INPUTS else LARGE_BUDGET


def check_budget(value: object) -> float:
    """A budget in seconds; ConfigError for none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ConfigError(f"time_budget must be a number of seconds above 0, not {value!r}")
    return float(value)
