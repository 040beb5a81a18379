"""AutoSNN: a search of a small space against chance, ranks by a super-network, and its gateware."""

import statistics
from functools import lru_cache

from ...flow import ir, targets
from ...flow.errors import ConfigError
from ...flow.passes.compile import compile_graph
from ...flow.synthesis import build_graph
from .. import datasets, ranking
from ..bench import Bench, group
from ..blocks import alone
from ..blocks.final import Made, exactly, tested
from ..blocks.graph import Gateware
from ..blocks.macro import Macro
from ..train import TrainSettings
from .rungs import replay

#: The winner of `spikeloom search examples/autosnn.toml`, and how it was trained there.
BLOCKS = ("skip", "scb_k5", "skip")
DIGITS = Macro(in_channels=1, image_size=8, channels=8, stages=(1, 2), growth=1, num_steps=4)
GATEWARE = Gateware()
SETTINGS = TrainSettings(epochs=40, learning_rate=0.06, gain=1.0)
SEED, BOARD, IMAGES = 1, "icebreaker", 10


@group(autosnn__gain=("", ">= 0"), autosnn__seconds=("s", "<= 1200"),
       autosnn__kendall_tau=("", ""))
def search(bench: Bench) -> dict:
    """The winner of one super-network against networks at random, from trainings that ship."""
    held = alone.load(alone.SHIPPED)
    found = held.searched
    value, median, spread = alone.gain(held)
    judged = [item.accuracy for item in found.random]
    accuracies = [item.validation for item in held.random]
    tau = ranking.tau(judged, accuracies)
    low, high = ranking.interval(judged, accuracies)
    spikes = statistics.median(item.spikes for item in held.random)
    own = statistics.mean(item.spikes for item in held.winner)
    winner = ", ".join(f"{item.test:.4f}" for item in held.winner)
    about = _about(bench, held)
    return {
        "autosnn.gain": (value, (
            f"test accuracy of {found.winner.blocks}, trained from scratch with "
            f"{len(held.winner)} seeds ({winner}; {own:,.0f} spikes an image), less the median of "
            f"{len(held.random)} random networks ({median:.4f}; {spikes:,.0f} spikes) and one "
            f"standard deviation of these ({spread:.4f}); {about}")),
        "autosnn.seconds": (found.seconds, (
            f"super-network {found.supernet_seconds:.0f} s on two threads, evolution of "
            f"{found.evaluations} networks {found.evolution_seconds:.0f} s in two processes; "
            f"{about}")),
        "autosnn.kendall_tau": (tau, (
            f"95 % {low:.3f}..{high:.3f}, bootstrap over {len(judged)} random networks; accuracy "
            "with the weights of the super-network, statistics of batch norms computed for each, "
            f"against that of networks trained alone, both on validation images; {about}"))}


def _about(bench: Bench, held: alone.Held) -> str:
    macro, training = alone.MACRO, alone.TRAINING
    return (f"{alone.COMMAND}; {datasets.described(alone.SUBSET)}; C={macro.channels}, "
            f"{macro.image_size} x {macro.image_size}, T={macro.num_steps}; each alone for "
            f"{training.epochs} epochs; {_again(bench, held)}")


@lru_cache(maxsize=1)
def _sample(blocks: str, seed: int) -> dict:
    return alone.trained({"blocks": blocks, "seed": seed})


def _again(bench: Bench, held: alone.Held) -> str:
    """Train the quickest of the networks here, and say what it came to."""
    shipped = min(held.random, key=lambda item: item.seconds)
    try:
        here = _sample(shipped.blocks, shipped.seed)
    except ConfigError as error:
        bench.note(f"not run again: {error}")
        return "none of them trained again here"
    return (f"{shipped.blocks} trained again here: {here['test']:.4f} (shipped: "
            f"{shipped.test:.4f})")


@lru_cache(maxsize=1)
def made() -> Made:
    """The winner of the example, in integers, trained on all but the test split."""
    data = datasets.load("digits")
    done = exactly(data, DIGITS, BLOCKS, SETTINGS, GATEWARE, seed=SEED)
    return tested(data, DIGITS, BLOCKS, done, {})


def network() -> ir.Graph:
    return compile_graph(made().graph)


@group(autosnn__lc=("LCs", "<= 5280"))
def cells(bench: Bench) -> dict:
    """The winner of the example on a UP5K, everything included."""
    report = build_graph(network(), targets.board(BOARD), use_cache=False, note=bench.note)
    return {"autosnn.lc": (report.lc, (
        f"{_named()}; folded on {GATEWARE.lanes} lanes, UP5K with link and encoder: {report.lc} "
        f"LCs, {report.ebr} EBRs, {report.fmax_mhz:.1f} MHz, seed {report.seed}, {report.router}"))}


@group(autosnn__images_equal=("images", f">= {IMAGES}"))
def images(bench: Bench) -> dict:
    """Test images at the RTL, and at the netlist that nextpnr is given for a UP5K."""
    graph = network()
    found = {name: replay(bench, name, IMAGES, graph, BOARD) for name in ("rtl", "netlist")}
    return {"autosnn.images_equal": (min(item[0] for item in found.values()), (
        f"{_named()}; " + "; ".join(f"{name}: {equal} of {IMAGES} equal, {detail}"
                                    for name, (equal, _, _, detail) in found.items())))}


def _named() -> str:
    result = made().result
    return (f"{result.blocks}, C={DIGITS.channels}, T={DIGITS.num_steps}, found by "
            f"examples/autosnn.toml, test accuracy {result.test.after:.4f}, "
            f"{result.spikes_per_image:,.0f} spikes an image, {result.weights:,} weights of "
            f"{result.weight_bits} bits")
