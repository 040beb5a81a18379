"""The chosen network of cells: trained, tested once, exported, and kept in the run.

It is trained on the train split; the validation split says which epoch's weights are kept, and when
training has gone on for long enough. The test split is looked at here, once, in floating point with
the quantiser and in the integers of the IR.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from ...flow import ir
from ...flow.errors import FitError
from ...flow.files import write_atomic
from ...flow.run import Run
from ..datasets import Dataset
from ..evaluator import Candidate
from ..space import describe
from ..store import Store
from .cell import Cell
from .macro import Macro
from .space import cells_of

FILE = "cells.json"


class Compared(Struct, frozen=True, kw_only=True):
    """Accuracy on one subset before and after export, and how often both give the same class.

    before: in floating point with the quantiser; after: in integers, by the reference model.
    """

    subset: str
    images: int
    before: float
    after: float
    agreement: float


class CellResult(Struct, frozen=True, kw_only=True):
    """What a training of named cells came to; every accuracy is of the subset beside it.

    best: the epoch whose weights are kept. test: before and after export, in the exported codes of
    export_bits bits. notes: what was not exact on export.
    """

    cells: list[str]
    macro: Macro
    weight_bits: int | None
    seed: int
    trained_on: str
    epochs: int
    best: int
    stopped: str
    validation_subset: str
    validation_accuracy: float
    spikes_per_image: float
    test: Compared
    export_bits: int
    notes: list[str]

    def sentences(self) -> list[str]:
        """For people."""
        test = self.test
        width = f"{self.weight_bits}-bit" if self.weight_bits else "floating-point"
        return [
            f"cells {', '.join(self.cells)} trained on {self.trained_on}, {width} weights: epoch "
            f"{self.best} of {self.epochs} kept ({self.stopped})",
            f"accuracy on {self.validation_subset}: {self.validation_accuracy:.2%}, which chose "
            f"the epoch; {self.spikes_per_image:,.0f} spikes an image",
            f"accuracy on {test.subset} ({test.images:,} images, looked at once): {test.before:.2%}"
            f" in floating point with the quantiser, {test.after:.2%} in integers by the "
            f"reference model, {test.after - test.before:+.2%} on export; both give the same class "
            f"for {test.agreement:.2%}",
            *(f"export: {note}" for note in self.notes)]


class CellFinal(Struct, frozen=True):
    """cells: as texts, one for all places or one for each. columns: as the search found them."""

    id: str
    network: str
    cells: list[str]
    columns: dict[str, float | None]
    result: CellResult


@dataclass(frozen=True)
class Made:
    """A trained network, its graph, and what is said of it."""

    network: object
    graph: ir.Graph
    result: CellResult
    data: Dataset


def make(data: Dataset, macro: Macro, cells: Sequence[Cell], settings, *, weight_bits: int | None,
         seed: int, folder: Path, on_epoch=None) -> Made:
    """Train cells by `settings`, a `train.CellTraining`, test once, and export.

    weight_bits: more than the quantiser has, or None, leave weights in floating point. folder:
    where checkpoints lie, from which the same training goes on. Raises FitError for a training that
    diverged before there was anything to keep, GraphError for cells that cannot be exported.
    """
    from .export import check, compare, export
    from .quantiser import trained_bits
    from .train import begin, train

    check(cells)
    bits = trained_bits(weight_bits)
    network = begin(macro, cells, seed=seed, weight_bits=bits)
    found = train(network, data.train, data.validation, settings, folder=folder, resume=True,
                  on_epoch=on_epoch)
    if found.accuracy is None:
        raise FitError(f"the training of {', '.join(map(str, cells))} {found.stopped}")
    exported = export(network)
    count = settings.images or len(data.train)
    result = CellResult(
        cells=list(map(str, cells)), macro=macro, weight_bits=bits, seed=seed,
        trained_on=f"{data.name}, train ({count:,} images)", epochs=found.epochs, best=found.best,
        stopped=found.stopped, validation_subset=f"{data.name}, validation",
        validation_accuracy=found.accuracy, spikes_per_image=found.spikes_per_image,
        test=compare(network, exported.graph, data.test, f"{data.name}, test"),
        export_bits=exported.weight_bits, notes=list(exported.notes))
    return Made(network, exported.graph, result, data)


def checkpoints_at(folder: Path, what: object) -> Path:
    """Where the checkpoints of a training lie: each of other settings elsewhere."""
    key = json.dumps(msgspec.to_builtins(what), sort_keys=True)
    return folder / f"training-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def save(made: Made, opened: Run) -> list[str]:
    """Write a network, its graph, and images as it takes them, into the run; says where."""
    from .checkpoints import save_network
    from .pixels import maps

    save_network(made.network, opened.path)
    made.graph.save(opened.graph_file)
    for keep, split in ((opened.save_samples, made.data.test),
                        (opened.save_calibration, made.data.validation)):
        keep(maps(split.inputs, made.result.macro), split.labels)
    opened.save_recorded(None)
    content = {"format": 1, **msgspec.to_builtins(made.result)}
    write_atomic(opened.path / FILE, json.dumps(content, indent=1) + "\n")
    return [f"the network is in {opened.path / 'network.safetensors'}, cells and results in "
            f"{opened.path / FILE}, its integers in {opened.graph_file}"]


def finish(task, store: Store, executor: Executor, folder: Path, rows: Sequence[Candidate]
           ) -> tuple[CellFinal, Made]:
    """Train the first of `rows`, which are what was chosen, the best first.

    A search that is cut short here goes on with the training where it was.
    """
    best = rows[0]
    cells, bits = cells_of(best.genome), task.cells.weight_bits
    place = checkpoints_at(Path(folder) / "candidates" / best.id,
                           [task.macro, task.settings, bits, best.first.seed, task.data.name])
    made = make(task.data, task.macro, cells, task.settings, weight_bits=bits,
                seed=best.first.seed, folder=place)
    return CellFinal(id=best.id, network=describe(best.genome), cells=made.result.cells,
                     columns=best.counted, result=made.result), made


def keep(task, chosen: CellFinal, made: Made, opened: Run) -> list[str]:
    """Write the chosen network into the run; what became of it, in sentences."""
    return [*chosen.result.sentences(), *save(made, opened)]
