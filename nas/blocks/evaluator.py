"""Evaluate: candidates with the weights of one super-network, each stored as it ends."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from functools import cached_property
from pathlib import Path

import msgspec

from ..datasets import Split
from ..evaluator import Candidate
from ..space import Genome, identity
from ..store import Evaluation, Store
from . import oneshot
from .space import blocks_of


class BlockEvaluator:
    """Evaluates generations of candidates, one a job, and never one twice.

    What is stored is accuracy and spikes; the fitness of both, and costs, follow from these. The
    super-network is trained, or gone on with, before the first of them. on_batch(done, todo) counts
    the evaluations of a generation that were still to be done, note is told of each epoch of the
    super-network; `trained` and `restored` count evaluations.
    """

    def __init__(self, task, store: Store, executor: Executor, *,
                 on_batch: Callable[[int, int], None] | None = None,
                 note: Callable[[str], None] | None = None) -> None:
        self.task, self.store, self.executor = task, store, executor
        self.on_batch = on_batch or (lambda done, todo: None)
        self.note = note
        self.trained = self.restored = 0

    @cached_property
    def supernet(self) -> oneshot.Known:
        """The super-network, trained when it is first asked for; of a table, what that says of it.
        """
        table = getattr(self.store, "table", None)
        if table is not None:
            return oneshot.recorded(table.about.settings)
        return oneshot.trained(self.task, Path(self.store.path).parent, self.note)

    @cached_property
    def about(self) -> dict:
        """All that evaluations and their fitness depend on."""
        return {"data": self.task.data.name, "macro": msgspec.to_builtins(self.task.macro),
                "calibrate": self.task.blocks.calibrate, "supernet": self.supernet.digest,
                "average_spikes": self.supernet.average_spikes}

    @cached_property
    def key(self) -> str:
        """What evaluations have in common."""
        key = {"data": self.task.data.name, "calibrate": self.task.blocks.calibrate,
               "supernet": self.supernet.digest}
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def calibration(self) -> Split | None:
        """The images that batch statistics of a candidate are computed from, if any are."""
        count, train = self.task.blocks.calibrate, self.task.data.train
        return Split(train.inputs[:count], train.labels[:count]) if count else None

    def evaluate(self, genomes: Sequence[Genome], generation: int) -> list[Candidate]:
        """Candidates in the order of `genomes`, from the store where it has them."""
        task, seed = self.task, self.task.search.seed
        rows: dict[Genome, Evaluation] = {}
        running: dict[Future, tuple[int, Genome]] = {}
        for place, genome in enumerate(dict.fromkeys(genomes)):
            found = self.store.find(genome, seed, self.key)
            if found is not None:
                rows[genome] = found
                continue
            running[self.executor.submit(
                oneshot.evaluate, task.macro, task.blocks.offered, self.supernet.weights,
                blocks_of(genome), task.data.validation, self.calibration)] = place, genome
        self.restored += len(rows)
        done, todo = 0, len(running)
        self.on_batch(done, todo)
        for future in as_completed(running):
            place, genome = running[future]
            made = future.result()
            rows[genome] = Evaluation(
                genome=genome, seed=seed, settings=self.key, id=identity(genome),
                generation=generation, position=place, accuracy=made.accuracy,
                epochs=self.supernet.epochs, stopped=None, seconds=made.seconds,
                estimate={"accuracy": made.accuracy, "spikes": made.spikes}, features=None)
            self.store.add([(rows[genome], None)])
            self.trained += 1
            done += 1
            self.on_batch(done, todo)
        return [self._candidate(genome, generation, rows[genome]) for genome in genomes]

    def _candidate(self, genome: Genome, generation: int, row: Evaluation) -> Candidate:
        """A candidate with its fitness and its costs, which are not stored."""
        costs, _ = self.task.free(genome)
        score = self.task.fitness(row.estimate["accuracy"], row.estimate["spikes"],
                                  self.supernet.average_spikes)
        row = msgspec.structs.replace(row, estimate={**row.estimate, "score": score, **costs})
        return Candidate(genome=genome, id=row.id, generation=generation, trainings=[row])
