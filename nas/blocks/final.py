"""A network of blocks that was trained from scratch for itself: how, its integers, and its files.

With gateware it is trained in the integers that hardware computes with (`nas.train`), on train and
validation together; without, in floating point, checkpoint by checkpoint, the epoch chosen on the
validation split, and then exported. The test split is looked at here, and nowhere else.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from ...flow import ir
from ...flow.errors import FitError
from ...flow.files import write_atomic
from ...flow.passes.simplify import simplify
from ...flow.run import Run
from ...sim import reference
from ...sim.operations import pooled
from ..cells.final import Compared, checkpoints_at
from ..cells.pixels import maps
from ..columns import COLUMNS
from ..datasets import Dataset, Split
from ..evaluator import Candidate
from ..problem import broken
from ..space import describe
from ..train import Trained, train
from .graph import graph
from .macro import Macro
from .space import blocks_of

FILE = "blocks.json"
#: Networks that are trained, at most, before one keeps the bounds.
TRIES = 3


class BlockResult(Struct, frozen=True, kw_only=True):
    """What a training from scratch came to; every accuracy is of the subset beside it.

    test: accuracy of the integers of the run (`after`) and, where they are exported ones, of the
    network in floating point (`before`), which is the same network else. spikes_per_image: of the
    test split, as `nas.blocks.network` counts them, in these integers (`graph_spikes`) or in
    floating point. best: the epoch whose weights are kept. validation_accuracy: None where the
    validation split was trained on. device: columns of the integers on the board, by structure.
    notes: what was not exact on export.
    """

    blocks: str
    macro: Macro
    seed: int
    trained_on: str
    epochs: int
    best: int
    stopped: str | None
    validation_accuracy: float | None
    test: Compared
    spikes_per_image: float
    weights: int
    weight_bits: int | None
    device: dict[str, float] = {}
    notes: list[str] = []

    def sentences(self) -> list[str]:
        """For people."""
        test = self.test
        lines = [f"{self.blocks} trained from scratch on {self.trained_on}: epoch {self.best} of "
                 f"{self.epochs} kept" + (f" ({self.stopped})" if self.stopped else "")
                 + f"; {self.weights:,} weights"]
        if self.validation_accuracy is None:
            lines.append(f"accuracy on {test.subset} ({test.images:,} images, looked at once): "
                         f"{test.after:.2%} in integers, which the gateware equals; "
                         f"{self.spikes_per_image:,.0f} spikes an image")
            cells = ", ".join(f"{COLUMNS[name].text(self.device[name])} {COLUMNS[name].title}"
                              for name in ("lc", "ebr", "cycles") if name in self.device)
            lines.append(f"by structure, not measured: {cells}")
        else:
            lines += [f"accuracy on validation: {self.validation_accuracy:.2%}, which chose the "
                      f"epoch; {self.spikes_per_image:,.0f} spikes an image of test",
                      f"accuracy on {test.subset} ({test.images:,} images, looked at once): "
                      f"{test.before:.2%} in floating point, {test.after:.2%} in integers by the "
                      f"reference model; both give the same class for {test.agreement:.2%}"]
        return [*lines, *(f"export: {note}" for note in self.notes)]


class BlockFinal(Struct, frozen=True):
    """columns: as the search found them."""

    id: str
    network: str
    columns: dict[str, float | None]
    result: BlockResult


@dataclass(frozen=True)
class Made:
    """A trained network, None where it is integers alone, its graph, and what is said of it."""

    network: object
    graph: ir.Graph
    result: BlockResult


def finish(task, folder: Path, rows: Sequence[Candidate]) -> tuple[BlockFinal, Made]:
    """Train the first of `rows`, which are what was chosen, the best first.

    A search that is cut short here goes on with the training where it was. With gateware, what
    breaks a bound once its weights are there gives way to the next one, `TRIES` times; FitError
    where all do.
    """
    if task.gateware is None:
        best = rows[0]
        place = checkpoints_at(Path(folder) / "candidates" / best.id,
                               [task.macro, task.settings, best.first.seed, task.data.name])
        made = trained(task.data, task.macro, blocks_of(best.genome), task.settings,
                       seed=best.first.seed, folder=place)
        return _final(best, made), made
    why = []
    for row in rows[:TRIES]:
        blocks = blocks_of(row.genome)
        done = exactly(task.data, task.macro, blocks, task.settings, task.gateware,
                       seed=row.first.seed)
        columns = task.device_columns(done.graph)
        if words := broken(task, columns):
            why.append(f"{row.id}: {words}")
            continue
        made = tested(task.data, task.macro, blocks, done, columns)
        return _final(row, made), made
    raise FitError("no network keeps the bounds any more with the weights of its training: "
                   + "; ".join(why))


def _final(row: Candidate, made: Made) -> BlockFinal:
    return BlockFinal(id=row.id, network=describe(row.genome), columns=row.counted,
                      result=made.result)


def trained(data: Dataset, macro: Macro, blocks: Sequence[str], settings, *, seed: int,
            folder: Path | None, on_epoch=None) -> Made:
    """Train blocks in floating point by `settings`, a `BlockTraining`, test once, and export.

    folder: where checkpoints lie, from which the same training goes on. Raises FitError for a
    training that diverged before there was anything to keep.
    """
    from .export import compare, export
    from .network import BlockNetwork
    from .train import train as epochs

    network = BlockNetwork(macro, blocks, seed=seed)
    done = epochs(network, data.train, data.validation,
                  msgspec.structs.replace(settings, seed=seed), folder=folder,
                  resume=folder is not None, on_epoch=on_epoch)
    if done.accuracy is None:
        raise FitError(f"the training of {macro.text(blocks)} {done.stopped}")
    exported = export(network)
    count = settings.images or len(data.train)
    test, spikes = compare(network, exported.graph, data.test, f"{data.name}, test")
    return Made(network, exported.graph, BlockResult(
        blocks=macro.text(blocks), macro=macro, seed=seed,
        trained_on=f"{data.name}, train ({count:,} images)", epochs=done.epochs, best=done.best,
        stopped=done.stopped, validation_accuracy=done.accuracy, test=test, spikes_per_image=spikes,
        weights=macro.weights(blocks), weight_bits=None, notes=list(exported.notes)))


def exactly(data: Dataset, macro: Macro, blocks: Sequence[str], settings, gateware, *, seed: int
            ) -> Trained:
    """Train blocks in integers by `settings`, a `nas.train.TrainSettings`, on all but the test
    split. Raises FitError for a training that came to nothing.
    """
    fit = data.final
    (done,) = train([graph(macro, blocks, gateware)], Split(pixels(fit, macro), fit.labels), None,
                    settings, [seed])
    if done.stopped:
        raise FitError(f"the training of {macro.text(blocks)} {done.stopped}; [train] may be "
                       "changed with --resume")
    return replace(done, graph=simplify(done.graph))


def tested(data: Dataset, macro: Macro, blocks: Sequence[str], done: Trained,
           device: dict[str, float]) -> Made:
    """Test a network of `exactly`, once. device: what `BlockResult` says."""
    p8, count = pixels(data.test, macro), len(data.final)
    right = float((reference.run(done.graph, p8).classes == data.test.labels).mean())
    layers = done.graph.synapses
    return Made(None, done.graph, BlockResult(
        blocks=macro.text(blocks), macro=macro, seed=done.seed,
        trained_on=f"{data.name}, train and validation ({count:,} images)", epochs=done.epochs,
        best=done.epochs, stopped=done.stopped, validation_accuracy=None,
        test=Compared(subset=f"{data.name}, test", images=len(data.test), before=right, after=right,
                      agreement=1.0),
        spikes_per_image=graph_spikes(done.graph, p8),
        weights=sum(int(np.prod(node.weight_shape)) for node in layers),
        weight_bits=layers[0].weight_bits, device=device))


def pixels(split: Split, macro: Macro) -> np.ndarray:
    """Images as graphs take them: uint8 [n, C * S * S]."""
    found = maps(split.inputs, macro)
    return found.reshape(len(found), -1)


def graph_spikes(made: ir.Graph, p8: np.ndarray, batch: int = 256) -> float:
    """Spikes of an image in an integer graph of spikes: of all neurons that fire and of all max
    pools, over all timesteps.
    """
    total = 0
    for start in range(0, len(p8), batch):
        seen = reference.run(made, p8[start:start + batch], trace=True).spikes
        spikes = dict(zip((node.name for node in made.populations), seen, strict=True))
        for index, (_, population) in enumerate(made.layers):
            if made.fires(index):
                total += int(spikes[population.name].sum())
        for node in made.nodes:
            if isinstance(node, ir.MaxPool2d):
                spikes[node.name] = pooled(spikes[node.src], node)
                total += int(spikes[node.name].sum())
    return total / len(p8)


def keep(task, chosen: BlockFinal, made: Made, opened: Run) -> list[str]:
    """Write the chosen network, its graph, and images as it takes them, into the run; what became
    of it, in sentences.
    """
    data, macro = task.data, task.macro
    if made.network is not None:
        from .checkpoints import save_network

        save_network(made.network, opened.path)
    made.graph.save(opened.graph_file)
    for write, split in ((opened.save_samples, data.test),
                         (opened.save_calibration, data.validation)):
        write(pixels(split, macro), split.labels)
    content = {"format": 1, **msgspec.to_builtins(chosen.result)}
    write_atomic(opened.path / FILE, json.dumps(content, indent=1) + "\n")
    kept = [*chosen.result.sentences(),
            f"blocks and results are in {opened.path / FILE}, integers in {opened.graph_file}"]
    if task.gateware is not None:
        kept.append(f"build it: spikeloom synth --run {opened.path} --board {task.board.name}")
    return kept
