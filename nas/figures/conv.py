"""A small convolutional network for digits: its accuracy, its cells, and images on two rungs."""

import json
import statistics
from functools import lru_cache

from ...flow import ir, targets
from ...flow.fit import lowered
from ...flow.space_settings import Space
from ...flow.synthesis import build_graph
from .. import datasets
from ..bench import Bench, group
from ..residual import ResidualSpace
from ..space import describe
from ..train import Trained, TrainSettings, train
from .rungs import replay

SEEDS = range(1, 9)

#: The best of the 80 candidates of `spikeloom search examples/conv.toml` on the validation split.
GENOME = json.dumps({
    "network": "residual", "encoder": "stream", "input_sng": "ramp", "sng": "sobol1",
    "layers": [{"width": 10, "weight_bits": 5, "bitstream_length": 16},
               {"width": 12, "weight_bits": 4, "bitstream_length": 8},
               {"width": 10, "weight_bits": 4, "bitstream_length": 16},
               {"weight_bits": 3, "bitstream_length": 16}],
    "num_steps": 3, "leak_shift": None, "reset": "subtract", "readout": "membrane"})

SETTINGS = TrainSettings(epochs=40, learning_rate=0.06)

BOARD = "icebreaker"
#: More lanes want more block memories than a UP5K has: 43 with 8, 28 with these.
LANES = 4


def shape() -> ir.Graph:
    """The network before training."""
    data = datasets.load("digits")
    return ResidualSpace(Space(network="residual"), data.shape, data.num_classes).graph(GENOME)


def trained(seeds: list[int]) -> list[Trained]:
    """The network trained on all but the test split, which it is then scored on."""
    data = datasets.load("digits")
    return train([shape()] * len(seeds), data.final, data.test, SETTINGS, seeds)


@lru_cache(maxsize=1)
def first() -> ir.Graph:
    """The first seed's network, folded."""
    return lowered(trained([SEEDS[0]])[0].graph, "folded", LANES)


@group(conv__test_accuracy=("fraction", ">= 0.97"))
def accuracy(bench: Bench) -> dict:
    """Mean of eight training seeds."""
    right = [item.accuracy for item in trained(list(SEEDS))]
    return {"conv.test_accuracy": (statistics.mean(right), (
        f"{describe(GENOME)}, trained for {SETTINGS.epochs} epochs on train and validation; "
        f"integer reference model, test split of {len(datasets.load('digits').test.labels)}, "
        f"{len(SEEDS)} training seeds: " + ", ".join(f"{value:.4f}" for value in right)
        + f", sd {statistics.stdev(right):.4f}"))}


@group(conv__lc=("LCs", "<= 5280"))
def cells(bench: Bench) -> dict:
    """The first seed's network on a UP5K, everything included."""
    graph = first()
    report = build_graph(graph, targets.board(BOARD), use_cache=False, note=bench.note)
    synapses = sum(node.synapses for node, _ in graph.layers)
    return {"conv.lc": (report.lc, (
        f"{describe(GENOME)}, seed {SEEDS[0]}; folded on {LANES} lanes, UP5K with link and "
        f"encoder: {report.lc} LCs, "
        f"{report.ebr} EBRs, {report.fmax_mhz:.1f} MHz, {synapses} synapses, "
        f"seed {report.seed}, {report.router}"))}


@group(conv__images_equal=("images", ">= 10"))
def images(bench: Bench) -> dict:
    """10 test images at the RTL, and at the netlist that nextpnr is given for a UP5K."""
    found = {name: replay(bench, name, 10, first(), BOARD) for name in ("rtl", "netlist")}
    return {"conv.images_equal": (min(item[0] for item in found.values()), "; ".join(
        f"{name}: {equal} of 10 equal, {detail}" for name, (equal, _, _, detail) in found.items()))}
