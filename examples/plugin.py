"""A plug-in with a strategy, a score and a neuron, which are known wherever this file is named:

    spikeloom search examples/cim.toml --plugin examples/plugin.py --run runs/climbed \
      --set search.strategy=climb --set 'space.neurons=["lif", "even"]'
    spikeloom score variety --plugin examples/plugin.py --cells '3|01|2~34' --cells '3|33|333'
    spikeloom train --plugin examples/plugin.py --neuron even --leak-shift 2 --run runs/even
    spikeloom sim --plugin examples/plugin.py --run runs/even --level rtl

`flow/plugins.py` of spikeloom says how plug-ins are found and what they may register.
"""

import math
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Mux

from spikeloom.hdl.neurons import Lif, LifCell
from spikeloom.nas import neurons, scores, strategies
from spikeloom.nas.neurons import LifTraining
from spikeloom.sim.neurons import LifState


@strategies.register("climb")
class Climb:
    """Hill climbing: every generation draws one gene of the best network so far anew.

    The best has the least sum of ranks over all objectives, of those that keep the constraints if
    there are any. Where all its neighbours are known, networks are drawn at random. No network is
    asked for twice. others: what a strategy is told, too (`spikeloom/nas/strategies/__init__.py`),
    and this one has no use for.
    """

    #: Draws for each network that is wanted, half of them random, before there is taken to be none.
    DRAWS = 200

    def __init__(self, space, *, population, seed, excess, **others):
        self.space, self.population, self.excess = space, population, excess
        self.rng = np.random.default_rng(seed)
        self.vectors, self.asked, self.told = {}, [], []

    def ask(self):
        """The next generation: genomes within the closed-form bounds, none twice."""
        best = self.vectors[self._best()] if self.told else None
        self.asked = []
        for _ in range(self.population):
            for draw in range(self.DRAWS):
                vector = self.space.sample(self.rng)
                if best is not None and draw < self.DRAWS // 2:
                    gene = list(best)[self.rng.integers(len(best))]
                    vector = {**best, gene: vector[gene]}
                genome = self.space.genome(vector)
                if genome not in self.vectors and self.excess(genome) <= 0:
                    self.vectors[genome] = vector
                    self.asked.append(genome)
                    break
        return self.asked

    def tell(self, F, G):
        """What came of these: objectives and constraints; less is better, G <= 0 holds."""
        self.told += zip(self.asked, F, G, strict=True)

    def _best(self):
        genomes, F, G = zip(*self.told)
        ranks = np.argsort(np.argsort(F, axis=0, kind="stable"), axis=0, kind="stable").sum(1)
        broken = np.maximum(G, 0).sum(1)
        return genomes[np.lexsort((ranks, broken))[0]]


@scores.register("variety")
class Variety:
    """Of networks of cells: how many different operations are live, ties to those of few weights.

    `images` [n, C, H, W] and `seed` are for scores that run the network; this one needs neither.
    """

    WHAT = "number of different live operations, ties to fewer weights"
    SETTINGS = scores.NoSettings

    def __init__(self, macro, images, *, seed=0, **settings):
        self.macro = macro.check()
        scores.settled(type(self), settings)

    def score(self, cells):
        """Higher is better; nan where nothing gets through."""
        cells = self.macro.all_of(cells)
        if not all(cell.connected for cell in cells):
            return math.nan
        live = {edge.operation for cell in cells for edge in cell.live}
        return len(live) + 1 / (2 + self.macro.weights(cells))


@dataclass(frozen=True, kw_only=True)
class Even(Lif):
    """A LIF that leaks as fast below zero as above: ``v <- v - sign(v) * (abs(v) >> leak_shift)``.

    The shift of a LIF rounds down, so its negative membranes lose up to one more in each step.
    """

    kind = "even"

    def leak(self, v):
        """v after the leak: an integer, or an array of them. It must not fall as v rises."""
        return v if self.leak_shift is None else v - np.sign(v) * (abs(v) >> self.leak_shift)

    def extra_cells(self, v_bits, fires):
        """An estimate of what its gateware takes beyond a LIF's: the adder that rounds."""
        return 0 if self.leak_shift is None else v_bits


class EvenState(LifState):
    """One timestep, for the reference model."""

    def leaked(self):
        return self.neuron.leak(self.v)


class EvenTraining(LifTraining):
    """The same in torch, for many candidates at once; `self.leak` is 2**-leak_shift, or 0."""

    def leaked(self, v):
        return v if self.keep is None else v.sub_((v * self.leak).trunc_())


class EvenCell(LifCell):
    """The gateware: LEAK loads what the leak leaves, so FIRE has nothing to put right."""

    shortfall = 0

    def moved(self, total):
        v, shift = self.v, self.neuron.leak_shift
        if shift is None:
            return total
        kept = v - ((v + Mux(v[-1], (1 << shift) - 1, 0)) >> shift)
        return Mux(self.phase == self.Phase.LEAK, kept, total)


neurons.register(Even, state=EvenState, training=EvenTraining, cell=EvenCell)
