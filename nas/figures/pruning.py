"""What pruning leaves: accuracy against zeros, and the cells of a network that is mostly zeros."""

import statistics

from ...flow import targets
from ...flow.passes.compile import compile_graph
from ...flow.synthesis import build_graph
from ...hdl.neurons import Lif
from .. import datasets
from ..bench import Bench, group
from ..train import Trained, TrainSettings, train, zeros
from .networks import shapes, uniform

SEEDS = range(1, 9)

#: Lanes of the layers; what is pruned together follows from them.
LANES = (8, 3)

#: The share of zeros, chosen on the validation split, as was the number of epochs; more become
#: zero, since weights that are left may round to it.
SPARSITY = 0.6
EPOCHS = 200

#: The table: shares of zeros, each trained from the first seeds.
SHARES = (0.0, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
TABLE_SEEDS = SEEDS[:3]


def trained(fit: datasets.Split, check: datasets.Split, shares: list[float], seeds: list[int]
            ) -> list[Trained]:
    """64-32-10 with 4-bit weights, L = 8 and no leak, pruned to each share, from each seed."""
    graph = shapes(uniform((64, 32, 10)))
    changes: dict = {}
    for (dense, population), lanes in zip(graph.layers, LANES):
        changes[dense.name] = {"lanes": lanes}
        changes[population.name] = {"neuron": Lif(v_threshold=1)}
    graph = graph.replace(**changes)
    return train([graph] * len(seeds), fit, check, TrainSettings(epochs=EPOCHS), seeds,
                 sparsities=shares)


def table(data: datasets.Dataset) -> str:
    """Validation accuracy against the share of zeros, trained on the train split alone."""
    found = trained(data.train, data.validation,
                    [share for share in SHARES for _ in TABLE_SEEDS],
                    [seed for _ in SHARES for seed in TABLE_SEEDS])
    rows = []
    for n in range(len(SHARES)):
        part = found[n * len(TABLE_SEEDS):(n + 1) * len(TABLE_SEEDS)]
        rows.append(f"{statistics.mean(zeros(item.graph) for item in part):.3f}: "
                    f"{statistics.mean(item.accuracy for item in part):.4f}")
    return (f"validation accuracy by share of zeros, mean of {len(TABLE_SEEDS)} seeds, trained on "
            "the train split: " + ", ".join(rows))


@group(spatial__trained_accuracy=("fraction", ">= 0.965"),
       spatial__trained_lc_per_synapse=("LCs", "<= 0.8"))
def pruned(bench: Bench) -> dict:
    """64-32-10 trained on the digits with pruning; the first seed's network on an HX8K."""
    data = datasets.load("digits")
    found = trained(data.final, data.test, [SPARSITY] * len(SEEDS), list(SEEDS))
    right = [item.accuracy for item in found]
    share = statistics.mean(zeros(item.graph) for item in found)
    network = (f"64-32-10, 4-bit weights, L = 8, stream, {EPOCHS} epochs with pruning to at least "
               f"{SPARSITY:.0%} zeros, in slots of {LANES[0]} and {LANES[1]} lanes")
    graph = compile_graph(found[0].graph)
    report = build_graph(graph, targets.board("ice40_hx8k_b_evn"), use_cache=False,
                               note=bench.note)
    synapses = sum(dense.weight.size for dense, _ in graph.layers)
    return {
        "spatial.trained_accuracy": (statistics.mean(right), (
            f"{network} ({share:.3f} reached); integer reference model, {len(SEEDS)} training "
            f"seeds on train and validation, test split of {len(data.test.labels)}: "
            + ", ".join(f"{value:.4f}" for value in right)
            + f", sd {statistics.stdev(right):.4f}; {table(data)}")),
        "spatial.trained_lc_per_synapse": (report.lc / synapses, (
            f"{network}, seed {SEEDS[0]}, {zeros(graph):.3f} zeros; HX8K with link and encoder: "
            f"{report.lc} LCs for {synapses} synapses, {report.fmax_mhz:.1f} MHz, seed "
            f"{report.seed}, {report.router}")),
    }
