"""Training: many candidates together, on the very integers that the hardware computes with.

`plan` sorts graphs into batches of one shape class, `train` runs each batch as one tensor program
(`nas.program`) and gives integer graphs back.

What holds about repeatability: the forward pass is exact, the first weights of a candidate depend
on its seed and shape alone, and the order of images on the settings alone. Gradients are float
sums, and the sums of one candidate may be ordered otherwise in a batch of another padded width. So
the same list trained again gives the same integer graphs, while the same candidate among other
companions gives the same network up to what float rounding grows into. A search that must repeat
itself keeps the batches of `plan` whole: a batch is trained as a unit or not at all.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from ..flow import ir
from ..flow.cim.array import Array
from ..flow.errors import ConfigError
from ..flow.space_settings import MOST_SPARSE
from ..sim import reference
from .datasets import Split

#: Called with candidate epochs done and to do.
OnEpoch = Callable[[int, int], None]


class TrainSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe: AdamW with a warm-up and a cosine schedule, cross entropy on scaled scores.

    init: spread of the first weights, in units of the largest code. gain: first threshold, in units
    of a layer's typical current. surrogate: half width of the surrogate derivative, as a share of
    the threshold. label_smoothing: share of the target that is spread over all classes.
    stop_epoch, stop_accuracy: a candidate whose accuracy on the fit split, over that epoch's own
    batches, is below stop_accuracy after stop_epoch epochs trains no further (0 is never).
    shift: images are moved, each time they are seen, by up to so many pixels in both directions,
    drawn anew; what comes in is zero.
    sparsity: share of the weights that are zero at the end, at least (`nas.pruning`).
    cim_variation: sigma of the cells of crossbars that each batch's weights are programmed into, of
    cim_cell_bits and by cim_encoding (`nas.variation`); 0 for exact weights.
    order_seed: the order of the images. batch: most candidates trained together. threads: of torch;
    more than one pays only for wide networks on cores with nothing else to do.
    """

    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 0.12
    weight_decay: float = 0.03
    init: float = 0.4
    gain: float = 3.0
    surrogate: float = 0.8
    label_smoothing: float = 0.1
    stop_epoch: int = 0
    stop_accuracy: float = 0.0
    shift: int = 0
    sparsity: float = 0.0
    cim_variation: float = 0.0
    cim_cell_bits: int = 1
    cim_encoding: str = "differential"
    order_seed: int = 0
    batch: int = 32
    threads: int = 1

    def check(self) -> "TrainSettings":
        """Raise ConfigError for the first setting that is out of range."""
        for key, lo, hi in (("epochs", 1, 100_000), ("batch_size", 1, 65536),
                            ("stop_epoch", 0, 100_000), ("shift", 0, 8), ("batch", 1, 1024),
                            ("threads", 1, 256)):
            value = getattr(self, key)
            if not lo <= value <= hi:
                raise ConfigError(f"{key} must be in {lo}..{hi}, not {value}")
        for key in ("learning_rate", "init", "gain", "surrogate"):
            value = getattr(self, key)
            if not 0 < value < math.inf:
                raise ConfigError(f"{key} must be a finite number above 0, not {value}")
        for key, hi in (("weight_decay", 1.0), ("label_smoothing", 0.9), ("stop_accuracy", 1.0),
                        ("sparsity", MOST_SPARSE), ("cim_variation", 1.0)):
            value = getattr(self, key)
            if not 0 <= value <= hi:
                raise ConfigError(f"{key} must be in 0..{hi}, not {value}")
        self.array.check("cim")
        return self

    @property
    def array(self) -> Array:
        """The crossbars that batches' weights are programmed into."""
        return Array(cell_bits=self.cim_cell_bits, encoding=self.cim_encoding)


@dataclass(frozen=True)
class Trained:
    """One trained candidate.

    graph: integer stage. epochs: how many it was trained. accuracy: on the check split, by the
    integer reference model; None without one. stopped: why training ended early, or failed.
    """

    graph: ir.Graph
    seed: int
    epochs: int
    accuracy: float | None
    stopped: str | None


@contextmanager
def cores(threads: int) -> Iterator[None]:
    """Torch on that many threads within the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def accuracy(graph: ir.Graph, split: Split) -> float:
    """Share of images that the integer reference model classifies right."""
    return checked(graph, split)[0]


def checked(graph: ir.Graph, split: Split) -> tuple[float, float]:
    """`accuracy`, and spikes of an image: of all neurons in all timesteps, mean over the split."""
    found = reference.run(graph, split.inputs)
    spikes = sum(int(layer.sum()) for layer in found.fired)
    return float((found.classes == split.labels).mean()), spikes / len(split)


def zeros(graph: ir.Graph) -> float:
    """Share of weights whose code is zero: synapses that need no gateware."""
    weights = [dense.weight for dense, _ in graph.layers]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)


def plan(graphs: Sequence[ir.Graph], batch: int = 32) -> list[list[int]]:
    """Indices of `graphs` in the batches that `train` makes of this list: see `nas.plan`."""
    from .plan import plan

    return plan(graphs, batch)


def train(graphs: Sequence[ir.Graph], fit: Split, check: Split | None = None,
          settings: TrainSettings | None = None, seeds: Sequence[int] = (),
          on_epoch: OnEpoch | None = None, sparsities: Sequence[float] = ()) -> list[Trained]:
    """Train graphs of stage `shape` on `fit`; results in the order of `graphs`.

    seeds, sparsities: one per graph (0, and that of the settings, where none are given).
    Raises ConfigError for settings, GraphError for graphs that cannot be trained. A candidate that
    diverged is returned, and says so in `stopped`.
    """
    settings = (settings or TrainSettings()).check()
    seeds = list(seeds) or [0] * len(graphs)
    if len(seeds) != len(graphs):
        raise ConfigError(f"seeds must be one per graph, {len(graphs)}, not {len(seeds)}")
    sparsities = list(sparsities) or [settings.sparsity] * len(graphs)
    if len(sparsities) != len(graphs) or not all(0 <= s <= MOST_SPARSE for s in sparsities):
        raise ConfigError(f"sparsities must be one in 0..{MOST_SPARSE} per graph, {len(graphs)}, "
                          f"not {sparsities}")
    results: list[Trained | None] = [None] * len(graphs)
    total, done = settings.epochs * len(graphs), 0
    for members in plan(graphs, settings.batch):
        with cores(settings.threads):
            found = _train_batch([graphs[i] for i in members], [seeds[i] for i in members],
                                 [sparsities[i] for i in members], fit, settings,
                                 on_epoch and (lambda n, d=done: on_epoch(d + n, total)))
        for i, (graph, epochs, stopped) in zip(members, found):
            scored = None if check is None else accuracy(graph, check)
            results[i] = Trained(graph, seeds[i], epochs, scored, stopped)
        done += settings.epochs * len(members)
    return results


def _train_batch(graphs, seeds, sparsities, fit: Split, settings: TrainSettings, on_epoch
                 ) -> list[tuple]:
    """Train one batch; (integer graph, epochs, stopped) per graph."""
    import torch

    from .program import Program
    from .pruning import schedule
    from .shifts import Shifts

    program = Program(graphs, seeds, fit.inputs, init=settings.init, gain=settings.gain,
                      surrogate=settings.surrogate, variation=settings.cim_variation,
                      array=settings.array)
    inputs = torch.from_numpy(fit.inputs.copy())
    labels = torch.from_numpy(fit.labels.copy())
    steps = math.ceil(len(fit) / settings.batch_size)
    rates = _rates(settings, steps)
    shares = schedule(settings.epochs * steps) if any(sparsities) else {}
    alive = list(range(len(graphs)))
    results: list[tuple | None] = [None] * len(graphs)
    step = 0
    for epoch in range(1, settings.epochs + 1):
        losses, right = 0, 0
        moves = settings.shift and Shifts(graphs[0].input, settings.shift,
                                          epoch_seed(settings, epoch))
        for index in order(len(fit), settings, epoch):
            images = moves.moved(inputs[index]) if moves else inputs[index]
            loss, correct = program.loss(images.long(), labels[index],
                                         settings.label_smoothing)
            loss.sum().backward()
            program.step(next(rates), settings.weight_decay)
            step += 1
            if step in shares:
                program.prune([shares[step] * sparsities[i] for i in alive])
            losses = losses + loss.detach() * (len(index) / len(fit))
            right = right + correct
        if on_epoch:
            on_epoch(epoch * len(graphs))
        why = [_verdict(*found, epoch, program.classes, settings)
               for found in zip(losses.tolist(), (right / len(fit)).tolist())]
        last = epoch == settings.epochs
        for c, graph in enumerate(program.trained()) if last or any(why) else ():
            if last or why[c]:
                results[alive[c]] = (graph, epoch, why[c])
        if any(why) and not last:
            stay = [c for c, reason in enumerate(why) if not reason]
            if not stay:
                break
            alive = [alive[c] for c in stay]
            program = program.select(stay)
    return results


def _verdict(loss: float, right: float, epoch: int, classes: int, settings: TrainSettings
             ) -> str | None:
    """Why a candidate stops after this epoch, or None."""
    if not math.isfinite(loss):
        return f"diverged in epoch {epoch}: the loss is {loss}; lower learning_rate"
    if epoch == settings.epochs and loss >= math.log(classes):
        return (f"diverged: after {epoch} epochs the loss is {loss:.2f}, no better than guessing "
                f"({math.log(classes):.2f}); lower learning_rate or widen the network")
    if epoch == settings.stop_epoch and epoch < settings.epochs and right < settings.stop_accuracy:
        return (f"stopped after epoch {epoch}: accuracy on the fit split is {right:.3f}, "
                f"below {settings.stop_accuracy}")
    return None


def _rates(settings: TrainSettings, steps: int) -> Iterator[float]:
    """Learning rates: linear warm-up over the first twentieth, then half a cosine to zero."""
    total = settings.epochs * steps
    warm = max(1, total // 20)
    for step in range(total):
        share = (step + 0.5) / total
        yield settings.learning_rate * min(1.0, (step + 1) / warm) * 0.5 * (
            1 + math.cos(math.pi * share))


def epoch_seed(settings: TrainSettings, epoch: int) -> int:
    """Of what is drawn in one epoch; depends on the settings alone."""
    return settings.order_seed * 1_000_003 + epoch


def order(count: int, settings: TrainSettings, epoch: int) -> list:
    """The images of one epoch in batches of nearly equal size; depends on the settings alone."""
    import torch

    generator = torch.Generator().manual_seed(epoch_seed(settings, epoch))
    parts = math.ceil(count / settings.batch_size)
    return list(torch.randperm(count, generator=generator).tensor_split(parts))


def rate_benchmark(count: int = 32, epochs: int = 40, rounds: int = 3) -> dict:
    """Candidates a second, together and alone, on the digits' train split.

    64-32-10 networks with 4-bit weights, L = 8, T = 8, `stream` input and membrane read-out, each
    at the best of all thread counts, which two epochs each decide; in one process and in turns, the
    fastest of `rounds`, so that the ratio holds on any machine and with other work on it. Both
    include everything from the shape to the integer graph.
    """
    import os
    import time

    from ..hdl.neurons import Lif
    from .datasets import load

    fit = load("digits").train
    layer = {"weight_bits": 4, "bitstream_length": 8, "sng": "sobol1", "neuron": Lif(v_threshold=1)}
    graph = ir.chain(shape=(8, 8), encoder="stream", input_sng="ramp", readout="membrane",
                     num_steps=8, layers=[{"out_features": n, **layer} for n in (32, 10)])

    def seconds(size: int, settings: TrainSettings) -> float:
        start = time.perf_counter()
        train([graph] * size, fit, None, settings, range(size))
        return time.perf_counter() - start

    sizes = {"together": count, "alone": 1}
    chosen, best = {}, dict.fromkeys(sizes, math.inf)
    for name, size in sizes.items():
        seconds(size, TrainSettings(epochs=1))
        trials = [TrainSettings(epochs=2, batch=count, threads=n + 1)
                  for n in range(os.cpu_count() or 1)]
        threads = min(trials, key=lambda settings: seconds(size, settings)).threads
        chosen[name] = TrainSettings(epochs=epochs, batch=count, threads=threads)
    for _ in range(rounds):
        for name, size in sizes.items():
            best[name] = min(best[name], seconds(size, chosen[name]))
    found = {}
    for name, size in sizes.items():
        found[f"{name}_per_second"] = size / best[name]
        found[f"{name}_threads"] = chosen[name].threads
    return {
        "candidates_per_second": found["together_per_second"],
        "batch_speedup": found["together_per_second"] / found["alone_per_second"],
        "candidates": count, "epochs": epochs, **found,
    }
