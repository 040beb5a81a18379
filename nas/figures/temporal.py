"""What axonal delays, and kinds of neurons, are worth where time matters, at equal logic cells.

Both sides of the comparison are tuned alike, on the validation split: grids of as many networks, of
leaks and resets, with delays of maxima and seeds, without of shapes; the best few again for longer
and at two learning rates. Delays know nothing of the task: they are drawn. What wins is trained on
train and validation from several seeds and meets the test split once. Without delays a network gets
at least as many logic cells, measured by place and route, through wider layers.
"""

import math
import statistics
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import product

from ...flow import ir
from ...flow.cost.measured import Measurement
from ...flow.cost.structure import LOW_SPREAD, assume_weights, structure
from ...flow.errors import SpikeloomError
from ...hdl.neurons import FixedPointLif, HomeostaticLif, Lif
from ...hdl.neurons.izhikevich import PRESETS
from .. import datasets, workers
from ..bench import FOLDER, Bench, group
from ..plan import plan
from ..space import spread
from ..train import TrainSettings, accuracy

BOARD = "icebreaker"
SEEDS, KIND_SEEDS = (1, 2, 3, 4, 5), (1, 2)
#: Epochs of the grid, and of what follows.
FEW, MANY = 10, 30
RATES = (0.05, 0.02)
HIDDEN = (16,)
#: Largest delay of the input's axons, and the seeds they are drawn from.
LARGEST, DRAWS = (4, ir.MAX_DELAY), (1, 2, 3, 4)
NONE = (0, 0)

#: Trainings per kind on the grid, all with delays.
KINDS = {
    "fixed": [FixedPointLif(v_threshold=1, beta=beta, n=3) for beta in (2, 4, 6)],
    "homeostatic": [HomeostaticLif(v_threshold=1, leak_shift=leak, up=4, down=1, lo=8, hi=255)
                    for leak in (1, 2, 3)],
    "izhikevich": [PRESETS[name] for name in ("regular_spiking", "fast_spiking", "chattering")],
}


def _cells(graph: ir.Graph) -> float:
    """Cells counted by structure; of shapes with weights that are assumed."""
    known = assume_weights(graph, spread=LOW_SPREAD) if graph.stage == "shape" else graph
    return structure(known).cells.lc


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained; `last` is the leak of the layer that is read.

    delays: largest one of the input's axons, and the seed of the draw.
    """

    hidden: tuple[int, ...]
    delays: tuple[int, int]
    neuron: object
    last: int | None
    rate: float = RATES[0]

    def graph(self) -> ir.Graph:
        """The shapes."""
        data = datasets.load("temporal")
        neurons = [self.neuron] * len(self.hidden) + [Lif(v_threshold=1, leak_shift=self.last)]
        layers = [{"out_features": n, "neuron": neuron, "weight_bits": 4, "bitstream_length": 16,
                   "sng": "sobol1"} for n, neuron in zip((*self.hidden, data.num_classes), neurons)]
        largest, seed = self.delays
        layers[0]["delay"] = spread(largest, math.prod(data.shape), seed)
        return ir.chain(shape=data.shape, encoder="spikes", layers=layers, readout="membrane",
                        num_steps=data.num_steps).verify()

    def wider(self, cells: float) -> "Recipe":
        """The same with hidden layers widened in proportion until it is priced at `cells`."""
        found, unit = self, self.hidden[-1]
        while _cells(found.graph()) < cells:
            unit += 1
            widths = tuple(round(n * unit / self.hidden[-1]) for n in self.hidden)
            found = replace(self, hidden=widths)
        return found

    def text(self) -> str:
        p, leaks = self.neuron, f"last leak {self.last or 'none'}"
        if isinstance(p, Lif):
            own = f"beta {p.beta}/{1 << p.n}" if p.kind == "fixed" else (
                f"leak {p.leak_shift or 'none'}")
            own += f", reset {p.reset}"
            if p.kind == "homeostatic":
                own += f", up {p.up}, down {p.down}, lo {p.lo}, hi {p.hi}"
        else:
            own = next(name for name, preset in PRESETS.items() if preset == p)
        largest, seed = self.delays
        delays = f"input delays drawn from 0..{largest} by seed {seed}" if largest else "no delays"
        return (f"{'-'.join(map(str, self.hidden))} hidden {p.kind} ({own}, {leaks}), {delays}, "
                f"rate {self.rate}")


def _trained(executor: Executor, recipes: Sequence[Recipe], seeds: Sequence[int], epochs: int,
             held_out: bool = True) -> list[list]:
    """What each recipe gives from each seed: integer graphs with accuracies where held out."""
    data = datasets.load("temporal")
    fit, check = (data.train, data.validation) if held_out else (data.final, None)
    out = [[None] * len(seeds) for _ in recipes]
    running = []
    for rate in sorted({recipe.rate for recipe in recipes}):
        settings = TrainSettings(epochs=epochs, learning_rate=rate, gain=1.0)
        jobs = [(k, s) for k, recipe in enumerate(recipes) if recipe.rate == rate
                for s in range(len(seeds))]
        graphs = [recipes[k].graph() for k, _ in jobs]
        for batch in plan(graphs, 16):
            running.append(([jobs[i] for i in batch], executor.submit(
                workers.train_batch, [graphs[i] for i in batch], fit, check, settings,
                [seeds[jobs[i][1]] for i in batch])))
    for jobs, future in running:
        for (k, s), (item, _) in zip(jobs, future.result()):
            out[k][s] = item
    return out


def _best(executor: Executor, arms: dict[str, list[Recipe]], keep: int) -> dict[str, Recipe]:
    """The recipe of each arm with the best validation accuracy: a grid, then the best for longer.

    All arms are trained together; what one arm's recipes reach does not touch another's choice.
    """
    def ranked(arms: dict, seeds: Sequence[int], epochs: int) -> dict[str, list[Recipe]]:
        flat = [recipe for recipes in arms.values() for recipe in recipes]
        rows = iter(_trained(executor, flat, seeds, epochs))
        scored = {name: [(statistics.mean(item.accuracy for item in next(rows)), -k)
                         for k in range(len(recipes))] for name, recipes in arms.items()}
        return {name: [arms[name][-k] for _, k in sorted(scores, reverse=True)]
                for name, scores in scored.items()}

    first = ranked(arms, (0,), FEW)
    longer = {name: [replace(recipe, rate=rate) for recipe in recipes[:keep] for rate in RATES]
              for name, recipes in first.items()}
    return {name: recipes[0] for name, recipes in ranked(longer, (0,), MANY).items()}


def _routed(executor: Executor, graphs: Sequence[ir.Graph]) -> list[Measurement]:
    """What place and route made of networks, side by side."""
    futures = [executor.submit(workers.build, ir.to_bytes(graph), "temporal", BOARD, 1,
                               str(FOLDER / "temporal" / graph.digest()[:12])) for graph in graphs]
    found = [future.result() for future in futures]
    for item in found:
        if item.status != "routed":
            raise SpikeloomError(f"temporal: place and route failed: {item.reason}")
    return [item.measurement for item in found]


def _lifs(leaks: Sequence, lasts: Sequence, *shapes: tuple) -> list[Recipe]:
    """A grid of LIF networks: leaks, those of the last layer, resets, and (hidden, delays)."""
    neurons = [Lif(v_threshold=1, leak_shift=leak, reset=reset)
               for leak, reset in product(leaks, ("subtract", "zero"))]
    return [Recipe(hidden, delays, neuron, last)
            for (hidden, delays), neuron, last in product(shapes, neurons, lasts)]


def _rivals(chosen: Recipe) -> dict[str, list[Recipe]]:
    """What the chosen network with delays is compared with, by estimates at about its cells.

    `plain` has no delays and a few percent more cells, so that place and route gives it no fewer;
    the other kinds of neurons have the chosen network's delays.
    """
    cells = _cells(chosen.graph())
    plain = _lifs((None, 1, 2, 3), (None, 4), ((8,), NONE), ((8, 8), NONE))
    return {"plain": [recipe.wider(1.03 * cells) for recipe in plain]} | {
        kind: [replace(chosen, hidden=(3,), neuron=neuron).wider(0.97 * cells)
               for neuron in neurons] for kind, neurons in KINDS.items()}


def _tested(items: Sequence, split: datasets.Split) -> tuple[list[float], str]:
    found = [accuracy(item.graph, split) for item in items]
    return found, (f"mean {statistics.mean(found):.4f}, sd {statistics.stdev(found):.4f} ("
                   + ", ".join(f"{value:.4f}" for value in found) + ")")


@group(temporal__delay_gain=("fraction", ">= 0.05"), temporal__accuracy=("fraction", ""),
       temporal__kind_range=("fraction", ""))
def temporal(bench: Bench) -> dict:
    """Test accuracy with delays and without at equal cells, and of the neuron kinds with them."""
    with workers.workers(bench.jobs) as executor:
        drawn = _lifs((1, 2), (None,), *((HIDDEN, each) for each in product(LARGEST, DRAWS)))
        best = _best(executor, {"delays": drawn}, keep=2)
        best |= _best(executor, _rivals(best["delays"]), keep=2)
        bench.note("; ".join(f"{name}: {recipe.text()}" for name, recipe in best.items()))
        bench.note("temporal: tuned; training and building what won")
        pair = [best["delays"], best["plain"]]
        with_delays, plain = _trained(executor, pair, SEEDS, MANY, held_out=False)
        builds = _routed(executor, [with_delays[0].graph, plain[0].graph])
        while builds[1].lc < builds[0].lc:
            short = builds[0].lc / builds[1].lc
            best["plain"] = best["plain"].wider(1.01 * short * _cells(best["plain"].graph()))
            plain, = _trained(executor, [best["plain"]], SEEDS, MANY, held_out=False)
            builds[1:] = _routed(executor, [plain[0].graph])
        others = dict(zip(KINDS, _trained(executor, [best[kind] for kind in KINDS], KIND_SEEDS,
                                          MANY, held_out=False)))
    test = datasets.load("temporal").test  # read here, after every choice
    delayed, delayed_text = _tested(with_delays, test)
    bare, bare_text = _tested(plain, test)
    counts = [f"{item.lc} LCs, {item.ebr} EBRs" for item in builds]
    gain = statistics.mean(delayed) - statistics.mean(bare)
    detail = (f"{len(test)} test samples, {MANY} epochs, training seeds {list(SEEDS)}; with delays "
              f"{delayed_text}, {counts[0]}: {best['delays'].text()}; without {bare_text}, "
              f"{counts[1]}: {best['plain'].text()}; the LCs are those of the first seed's network "
              f"on the {BOARD}, placed and routed")
    each = {"lif": (statistics.mean(delayed[:len(KIND_SEEDS)]), _cells(with_delays[0].graph),
                    best["delays"])}
    for kind, items in others.items():
        each[kind] = (statistics.mean(_tested(items, test)[0]), _cells(items[0].graph),
                      best[kind])
    means = [mean for mean, _, _ in each.values()]
    rows = "; ".join(f"{kind} {mean:.4f} at {cells} LCs: {recipe.text()}"
                     for kind, (mean, cells, recipe) in each.items())
    return {
        "temporal.delay_gain": (gain, detail),
        "temporal.accuracy": (statistics.mean(delayed), f"with delays; {delayed_text}"),
        "temporal.kind_range": (max(means) - min(means),
                                "best kind less worst, with delays, test accuracy over seeds "
                                f"{list(KIND_SEEDS)}, LCs estimated: {rows}"),
    }
