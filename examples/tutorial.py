"""The search from Python, on scikit-learn's digits: a space, a search, an estimate, and a search
whose accuracies are those of networks of one's own.

    python examples/tutorial.py [POPULATION GENERATIONS]

With 50 and 20, the sizes of `nas` by default, the first search takes about a quarter of an hour on
two cores; the sizes here are for a first look.
"""

import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

from spikeloom.nas import SearchSpace, SpikingNet, estimate, evaluate, nas, train_epoch
from spikeloom.nas.datasets import load


def loader(split) -> DataLoader:
    """Images and labels in batches, in a fixed order."""
    images, labels = torch.from_numpy(split.inputs.copy()), torch.from_numpy(split.labels.copy())
    return DataLoader(TensorDataset(images, labels), batch_size=64)


def my_accuracy(arch):
    """A network of one's own for an architecture: its accuracy, and its weights for the costs."""
    digits = load("digits")
    model = SpikingNet(n_input=arch.n_inputs, n_hidden=arch.layer_widths, n_output=arch.n_outputs)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(5):
        train_epoch(model, loader(digits.train), optimizer, n_timesteps=8)
    _, accuracy = evaluate(model, loader(digits.validation), n_timesteps=8)
    return accuracy, model.weights()


def main(population: int = 8, generations: int = 3) -> None:
    space = SearchSpace(n_inputs=64, n_outputs=10, min_layers=1, max_layers=3,
                        width_choices=[16, 32, 64, 128, 256], L_choices=[32, 64, 128, 256],
                        neuron_choices=["LIF", "Izhikevich", "HomeostaticLIF", "FixedPointLIF"])
    print(f"{space.space_size:,} architectures")

    result = nas(space, target="ice40", population_size=population, generations=generations,
                 seed=42)
    print(result.summary())
    for i, arch in enumerate(result.pareto_front):
        print(f"{i}: {arch.fitness_accuracy:.1%}, {arch.fitness_luts:,} LUTs, "
              f"{arch.fitness_energy_nj:,.0f} nJ, {arch.layer_widths} {arch.neuron_types}")

    best = result.best_accuracy()
    report = estimate(best.layer_sizes, target="ice40",
                      bitstream_length=best.bitstream_lengths[0])
    print(report.summary())

    mine = nas(space, target="ice40", population_size=population, generations=generations,
               seed=42, accuracy_fn=my_accuracy)
    print(mine.summary())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
