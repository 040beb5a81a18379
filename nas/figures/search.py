"""The digits search, its choice, and training."""

import statistics

from .. import datasets
from ..bench import Bench, group
from ..train import TrainSettings, accuracy, rate_benchmark, train
from .networks import shapes

SEEDS = 8


@group(search__trained=("candidates", ">= 200"), search__routed=("designs", ">= 8"),
       search__front=("points", ">= 5"), search__seconds=("s", "<= 600"))
def search(bench: Bench) -> dict:
    """The whole digits search and the synthesis of its choice."""
    _, outcome = bench.search()
    counts = outcome["counts"]
    detail = "spikeloom search, then synth, empty build cache, defaults of examples/digits.toml"
    error = outcome["prediction_error"]["predicted"]["mean_absolute"]
    return {
        "search.trained": (counts["candidates"], f"{detail}; distinct candidates, each "
                                                "trained as the experiment says"),
        "search.routed": (counts["routed"], "candidates that nextpnr placed and routed; mean "
                                            f"absolute error of predicted LCs {error:.3f}"),
        "search.front": (len(outcome["front"]), "non-dominated in validation accuracy and "
                                                "measured LCs"),
        "search.seconds": (outcome["wall"], f"{detail}; wall time of both commands"),
    }


@group(digits__test_accuracy=("fraction", ">= 0.965"), digits__test_accuracy_sd=("fraction", ""),
       digits__lc=("LCs", "<= 5280"), digits__fmax_mhz=("MHz", ">= 12"))
def digits(bench: Bench) -> dict:
    """The network that the digits search chooses, trained anew from several seeds."""
    opened, outcome = bench.search()
    chosen = outcome["final"]
    data = datasets.load("digits")
    graph = shapes(opened.graph())
    trained = train([graph] * SEEDS, data.final, None, TrainSettings(epochs=60),
                    list(range(SEEDS)))
    right = [accuracy(item.graph, data.test) for item in trained]
    report = outcome["report"]
    where = f"{chosen['network']} on the {report['board']}, with its UART link"
    return {
        "digits.test_accuracy": (statistics.mean(right), f"{chosen['network']}; integer reference "
                                 f"model, {SEEDS} training seeds on train and validation, test "
                                 f"split of {len(data.test.labels)}: "
                                 + ", ".join(f"{value:.4f}" for value in right)),
        "digits.test_accuracy_sd": (statistics.stdev(right), f"over the {SEEDS} seeds"),
        "digits.lc": (report["lc"], f"nextpnr, {where}"),
        "digits.fmax_mhz": (report["fmax_mhz"], f"nextpnr, {where}"),
    }


@group(train__candidates_per_second=("1/s", ">= 6"), train__batch_speedup=("ratio", ">= 5"))
def training(bench: Bench) -> dict:
    """Candidates trained together, against one alone at its best thread count."""
    found = rate_benchmark()
    detail = ("64-32-10, 40 epochs of the digits' train split; "
              + ", ".join(f"{key} {value:.3g}" for key, value in found.items()))
    return {f"train.{key}": (found[key], detail)
            for key in ("candidates_per_second", "batch_speedup")}
