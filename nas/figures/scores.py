"""Scores without training: seconds, what the definition gives, and how well they rank networks."""

import statistics
import time

import numpy as np

from ...flow.errors import ConfigError, RunError
from .. import datasets, ranking, scores
from ..bench import Bench, group
from ..cells.cell import Cell, parse
from ..cells.macro import Macro
from ..datasets import cifar10
from ..train import cores

#: Every edge a convolution, the dearest of SNASNet's operations that are candidates.
DEAREST = parse("3|33|333")
#: Others whose seconds, too, are measured.
DRAWN, TIMES = 8, 7
SMALL = (Macro(channels=8, image_size=32, num_steps=3), 32)
MEDIUM = (Macro(channels=16, image_size=16, num_steps=5), 64)
#: Cells whose scores are compared with the definition's: forward and backward, all operations.
COMPARED = ("3|33|333", "1|12|401", "2|0~3|~242")
#: Of the scores that rank networks, and the seeds that show their spread.
BATCHES, SEEDS = {"batch_size": 64, "batches": 2}, (0, 1, 2)
#: Names of figures: those of scores, and accuracy on the images of training in the first epoch.
SHORT = "short_training"
RANKED = ("depth", "qafe", "sahd", "spikes", "weights")
QAFE_BITS = 4


def _images(bench: Bench, macro: Macro, count: int) -> tuple[np.ndarray, str]:
    """Images of CIFAR-10 in the network's size, noise where there are none, and which they are."""
    from ..cells.pixels import maps

    try:
        found = datasets.load(ranking.SUBSET).train.inputs[:count]
        return maps(found, macro), f"training images of {ranking.SUBSET}"
    except ConfigError as error:
        bench.note(f"noise in place of images: {error}")
        shape = (count, macro.in_channels, macro.image_size, macro.image_size)
        return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8), "noise"


def _fastest(score, cell: Cell) -> float:
    """Seconds of the fastest of some scores of one candidate."""
    spent = []
    for _ in range(TIMES):
        start = time.perf_counter()
        score.score([cell])
        spent.append(time.perf_counter() - start)
    return min(spent)


def _seconds(bench: Bench, macro: Macro, batch_size: int) -> tuple[float, str]:
    """Of one candidate with one batch, and the detail."""
    images, what = _images(bench, macro, batch_size)
    score = scores.load("sahd")(macro, images, batch_size=batch_size, batches=1)
    with cores(1):
        start = time.perf_counter()
        score.score([DEAREST])
        first = time.perf_counter() - start
        alone = _fastest(score, DEAREST)
        others = [_fastest(score, cell) for cell in ranking.cells("full")[:DRAWN]]
    with cores(2):
        own = _fastest(score, DEAREST)
    return own, (
        f"one batch of {batch_size}, C={macro.channels}, {macro.image_size} x {macro.image_size}, "
        f"T={macro.num_steps}, cell {DEAREST}, every edge a 3x3 convolution, in both places; "
        f"{what}; fastest of {TIMES} on two threads; on one {alone:.3f} s, {first:.3f} s the first "
        f"time, when all weights are drawn; there {DRAWN} random cells take "
        f"{statistics.mean(others):.3f} s on average, at most "
        f"{max(others):.3f}; each further batch costs as much again")


@group(score__sahd_small_seconds=("s", "<= 0.10"))
def small(bench: Bench) -> dict:
    """A candidate at the smallest size that ranks as well as the paper's."""
    return {"score.sahd_small_seconds": _seconds(bench, *SMALL)}


@group(score__sahd_medium_seconds=("s", "<= 0.25"))
def medium(bench: Bench) -> dict:
    """A candidate of twice the channels, more images and more timesteps."""
    return {"score.sahd_medium_seconds": _seconds(bench, *MEDIUM)}


@group(score__sahd_relative_error=("fraction", "<= 1e-6"))
def error(bench: Bench) -> dict:
    """The score against its definition: one LIF an edge, the kernel pair by pair."""
    import torch

    from ..cells import plain
    from ..cells.network import CellNetwork

    macro, batch_size = SMALL
    images, what = _images(bench, macro, batch_size)
    score = scores.load("sahd")(macro, images, batch_size=batch_size, batches=1)
    x = torch.from_numpy(images.astype(np.float32) / 255)
    kernels, wholes, rounded = [], [], []
    for text in COMPARED:
        cells = macro.all_of([parse(text)])
        seen: list[np.ndarray] = []
        network = CellNetwork(macro, cells).train()

        def keep(name, t, spikes, seen=seen, lifs=network.lifs):
            seen.extend([spikes.flatten(1).numpy()] * lifs[name])

        network.watch(keep)
        with torch.no_grad():
            network(x)
        value = score.score(cells)
        kernels.append(abs(value / plain.score(seen) - 1))
        wanted = plain.score(plain.spikes(macro, cells, x.double(), 0))
        exact = CellNetwork(macro, cells).double()
        kernel = score.kernel(exact, x.double())
        wholes.append(abs(kernel.log_det() / wanted - 1))
        rounded.append(abs(value / wanted - 1))
    return {"score.sahd_relative_error": (max(*kernels, *wholes), (
        f"largest over cells {', '.join(COMPARED)} in both places, C={macro.channels}, "
        f"{macro.image_size} x {macro.image_size}, T={macro.num_steps}, {batch_size} {what}: of "
        f"the score, computed in float32, against pairs in float64 of its own spikes "
        f"{max(kernels):.1e}; of network and kernel, both in float64, against a network with a LIF "
        f"for each edge {max(wholes):.1e}; the score in float32 is {max(rounded):.1e} from that, "
        "where a membrane within rounding of the threshold fires in the one and not in the other"))}


def values(name: str, networks: list[ranking.Network], images: np.ndarray, seed: int
           ) -> list[float]:
    """What a score says of the networks."""
    given = {"qafe": {**BATCHES, "bits": QAFE_BITS}, "sahd": BATCHES, "spikes": BATCHES}
    score = scores.load(name)(ranking.MACRO, images, seed=seed, **given.get(name, {}))
    return [score.score([parse(item.cell)]) for item in networks]


@group(**{f"score__kendall_tau__{name}": ("", "") for name in (*RANKED, SHORT)})
def ranks(bench: Bench) -> dict:
    """Rank correlation of each score with the accuracy of networks that come with the package."""
    networks = ranking.load(ranking.SHIPPED)
    done = {(item.space, item.cell, item.seed) for item in networks}
    for space, cell, seed in ranking.order():
        if (space, cell, seed) not in done:
            raise RunError(f"{ranking.SHIPPED}: lacks the {space} cell {cell} of seed {seed}; "
                           f"'{ranking.COMMAND}' trains what is missing")
    try:
        images = ranking.images("train").inputs
    except ConfigError as error:
        bench.note(f"left out: {error}")
        return {}
    about = f"{_about(networks)}; {_again(networks)}"
    out = {}
    for name in RANKED:
        found = [values(name, networks, images, seed) for seed in SEEDS]
        out[name] = _judged(networks, found[0], found[1:]), _settings(name)
    out[SHORT] = _judged(networks, [item.fit[0] for item in networks], []), \
        "accuracy on the images of training in the first epoch, while it ran; "
    return {f"score.kendall_tau.{name}": (tau, f"{settings}{text}; {about}")
            for name, ((tau, text), settings) in out.items()}


def _judged(networks: list[ranking.Network], found: list[float], others: list[list[float]]
            ) -> tuple[float, str]:
    """Tau over the full space, and tau with its interval in every space."""
    texts, first = [], None
    for space, (operations, _) in ranking.SPACES.items():
        chosen = [k for k, item in enumerate(networks) if item.space == space]
        accuracies = [networks[k].accuracy for k in chosen]
        own = [found[k] for k in chosen]
        tau = ranking.tau(own, accuracies)
        low, high = ranking.interval(own, accuracies)
        more = [ranking.tau([values[k] for k in chosen], accuracies) for values in others]
        first = tau if first is None else first
        texts.append(f"{len(chosen)} cells of {len(operations)} operations {tau:.3f}, 95 % "
                     f"{low:.3f}..{high:.3f}"
                     + "".join(f", seed {seed} {value:.3f}"
                               for seed, value in zip(SEEDS[1:], more)
                               if len(set(more) | {tau}) > 1))
    return first, "; ".join(texts)


def _settings(name: str) -> str:
    if name in ("depth", "weights"):
        return ""
    bits = f"{QAFE_BITS} bits, power-of-two scale, " if name == "qafe" else ""
    return (f"{bits}{BATCHES['batches']} batches of {BATCHES['batch_size']} training images, seed "
            f"{SEEDS[0]}; ")


def _about(networks: list[ranking.Network]) -> str:
    macro, training = ranking.MACRO, ranking.TRAINING
    accuracies = [item.accuracy for item in networks]
    share = statistics.mean(accuracies)
    held = cifar10.CLASSES * cifar10.SETS[ranking.SUBSET].validation
    noise = (share * (1 - share) / held) ** 0.5
    return (f"{ranking.COMMAND}; accuracy on the validation images of "
            f"{datasets.described(ranking.SUBSET)}; the first {training.images:,} train "
            f"for {training.epochs} epochs; {min(accuracies):.4f}..{max(accuracies):.4f}, "
            f"standard error of one by its images {noise:.4f}, sd of all "
            f"{statistics.stdev(accuracies):.4f}; "
            f"C={macro.channels}, {macro.image_size} x {macro.image_size}, T={macro.num_steps}, "
            "one seed a network, intervals by bootstrap over networks")


def _again(networks: list[ranking.Network]) -> str:
    """Train the quickest of the networks here, and say what it came to."""
    shipped = min(networks, key=lambda item: item.seconds)
    here = ranking.trained(shipped.space, shipped.cell, shipped.seed)
    return (f"cell {shipped.cell} trained again here: {here.accuracy:.4f} (shipped: "
            f"{shipped.accuracy:.4f})")
