"""The tutorial's own calls, in their form for 64 inputs, on the digits, and for 784, on MNIST."""

import statistics

from .. import datasets
from ..api.search import nas
from ..api.space import SearchSpace
from ..bench import Bench, group
from ..train import TrainSettings, accuracy, train
from .mnist import data as images
from .mnist import trained

SEEDS = 8
EPOCHS = 60
#: Of networks of 784 inputs; their epochs are those of the search's own final network.
MNIST_SEEDS = 3


def space(n_inputs: int = 64) -> SearchSpace:
    """The space of the published tutorial."""
    return SearchSpace(n_inputs=n_inputs, n_outputs=10, min_layers=1, max_layers=3,
                       width_choices=[16, 32, 64, 128, 256], L_choices=[32, 64, 128, 256],
                       neuron_choices=["LIF", "Izhikevich", "HomeostaticLIF", "FixedPointLIF"])


@group(tutorial__front=("architectures", ">= 8"), tutorial__fits=("fraction", "== 1"),
       tutorial__test_accuracy=("fraction", ">= 0.97"), tutorial__seconds=("s", ""))
def tutorial(bench: Bench) -> dict:
    """The search, its front as measured, and its most accurate network from several seeds."""
    return measure(bench, population=50, generations=20)


def measure(bench: Bench, population: int, generations: int, budget: float = 900.0,
            epochs: int = EPOCHS, seeds: int = SEEDS) -> dict:
    """The figures of a search of this size."""
    searched = space()
    result = nas(searched, target="ice40", population_size=population, generations=generations,
                 seed=42, time_budget=budget, jobs=bench.jobs)
    front, best, data = result.pareto_front, result.best_accuracy(), datasets.load("digits")
    different = {(tuple(item.layer_widths), tuple(item.neuron_types),
                  tuple(item.bitstream_lengths), tuple(item.delays), tuple(item.weight_bits))
                 for item in front}
    held = [item for item in front if item.measured
            and item.fitness_luts <= result.target.luts]
    trained = train([searched.space.graph(best.genome)] * seeds, data.final, None,
                    TrainSettings(epochs=epochs), list(range(seeds)))
    right = [accuracy(item.graph, data.test) for item in trained]
    bench.note(result.summary())
    about = (f"{searched.space_size:,} architectures, {result.evaluations:,} trained "
             f"({result.fidelity.epochs} epochs on {result.fidelity.images:,} images of the "
             f"digits), {result.fidelity.routed} placed and routed")
    return {
        "tutorial.front": (len(different), f"different architectures on the front of {about}; "
                           + "; ".join(f"{item.fitness_accuracy:.4f} {item.fitness_luts} LCs "
                                       f"{item.text()}" for item in front)),
        "tutorial.fits": (len(held) / len(front), "share of the front that nextpnr placed and "
                          f"routed within the {result.target.luts:,} LCs of {result.target.title}"),
        "tutorial.test_accuracy": (
            statistics.mean(right), f"{best.text()}; integer reference model, {seeds} training "
            f"seeds on train and validation, {epochs} epochs, test split of {len(data.test)}: "
            + ", ".join(f"{value:.4f}" for value in right)),
        "tutorial.seconds": (result.seconds, f"wall time of nas(), {bench.jobs} jobs, budget "
                             f"{budget:g} s, reckoned {result.fidelity.seconds:.0f} s"),
    }


@group(tutorial__mnist_front=("fraction", "== 1"), tutorial__mnist_accuracy=("fraction", ">= 0.97"),
       tutorial__mnist_seconds=("s", "<= 2700"))
def mnist(bench: Bench) -> dict:
    """The call with nothing changed: 784 inputs, which are MNIST's, for an iCE40."""
    split = images().test
    searched = space(784)
    result = nas(searched, target="ice40", population_size=50, generations=20, seed=42,
                 jobs=bench.jobs)
    front, best = result.pareto_front, result.best_accuracy()
    bench.note(result.summary())
    held = [item for item in front if item.measured and item.fits
            and item.fitness_luts <= result.target.luts]
    epochs = result.fidelity.final_epochs
    graphs = trained(bench, searched.space.graph(best.genome), TrainSettings(epochs=epochs),
                     list(range(MNIST_SEEDS)))
    right = [accuracy(graph, split) for graph in graphs]
    return {
        "tutorial.mnist_front": (len(held) / len(front), (
            f"share of the {len(front)} architectures on the front that nextpnr placed and routed "
            f"within the UP5K; of {searched.space_size:,} architectures {result.evaluations:,} "
            f"trained ({result.fidelity.epochs} epochs on {result.fidelity.images:,} images), "
            f"{result.fidelity.routed} placed and routed; "
            + "; ".join(f"{item.fitness_accuracy:.4f} {item.fitness_luts} LCs "
                        f"~{item.fitness_energy_nj:,.0f} nJ {item.text()}" for item in front))),
        "tutorial.mnist_accuracy": (statistics.mean(right), (
            f"{best.text()}; {MNIST_SEEDS} training seeds, {epochs} epochs on train and "
            f"validation, all {len(split):,} test images: "
            f"{', '.join(f'{value:.4f}' for value in right)}; as the search kept it: "
            f"{best.test_accuracy}")),
        "tutorial.mnist_seconds": (result.seconds, (
            f"wall time of nas(), {bench.jobs} jobs, reckoned {result.fidelity.seconds:.0f} s")),
    }
