"""Evaluate: candidates scored, or trained a little, each stored as it ends."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed

import msgspec

from ..evaluator import Candidate
from ..space import Genome, identity
from ..store import Evaluation, Store
from . import scoring
from .space import cells_of


class CellEvaluator:
    """Evaluates generations of candidates, one a job, and never one twice from the same seed.

    A genome that is asked for again is evaluated again, from seeds that were not its own before:
    that is what a search without de-duplication pays for. on_batch(done, todo) counts the
    evaluations of a generation that were still to be done; `trained` and `restored` count all of
    them, `without` those that have no score, or no accuracy. `key` is a digest of `about`, all that
    rows of the store depend on.
    """

    def __init__(self, task, store: Store, executor: Executor, *,
                 on_batch: Callable[[int, int], None] | None = None) -> None:
        self.task, self.store, self.executor = task, store, executor
        self.on_batch = on_batch or (lambda done, todo: None)
        cells, asked = task.cells, task.asked
        scored = "score" in asked or task.training is None
        self.asked = scoring.Asked(
            macro=task.macro, scored=task.scored, score=cells.score if scored else None,
            settings=cells.score_settings, spikes="spikes" in asked, training=task.training,
            weight_bits=cells.weight_bits)
        self.about = {"data": task.data.name, "images": cells.images,
                      "asked": _plain(self.asked)}
        self.key = hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()[:16]
        self.trained = self.restored = self.without = 0
        self._times: Counter[Genome] = Counter()

    def evaluate(self, genomes: Sequence[Genome], generation: int) -> list[Candidate]:
        """Candidates in the order of `genomes`, from the store where it has them."""
        repeats = self.task.search.repeats
        jobs: list[tuple[Genome, int]] = []
        for genome in genomes:
            first = self.task.search.seed + self._times[genome] * repeats
            jobs += [(genome, first + k) for k in range(repeats)]
            self._times[genome] += 1
        rows: dict[int, Evaluation] = {}
        running: dict[Future, int] = {}
        splits = ()
        if self.task.training is not None:
            splits = (self.task.data.train, self.task.data.validation)
        for place, (genome, seed) in enumerate(jobs):
            found = self.store.find(genome, seed, self.key)
            if found is not None:
                rows[place] = found
                continue
            texts = [str(cell) for cell in cells_of(genome)]
            running[self.executor.submit(scoring.evaluate, self.asked, texts, seed,
                                         self.task.images, *splits, **self.task.labels)] = place
        self.restored += len(rows)
        done, todo = 0, len(running)
        self.on_batch(done, todo)
        for future in as_completed(running):
            place = running[future]
            (genome, seed), made = jobs[place], future.result()
            rows[place] = Evaluation(
                genome=genome, seed=seed, settings=self.key, id=identity(genome),
                generation=generation, position=place, accuracy=made.columns.get("accuracy"),
                epochs=made.epochs, stopped=made.stopped, seconds=made.seconds,
                estimate=made.columns, features=None)
            self.store.add([(rows[place], None)])
            self.trained += 1
            done += 1
            self.on_batch(done, todo)
        return [self._candidate(genome, generation, [rows[n * repeats + k] for k in range(repeats)])
                for n, genome in enumerate(genomes)]

    @staticmethod
    def forget() -> None:
        """Let go of what candidates have in common, which later searches would not pay for."""
        scoring.forget()

    def _candidate(self, genome: Genome, generation: int, rows: list[Evaluation]) -> Candidate:
        """A candidate with its costs; these follow from the genome and are not stored."""
        costs, _ = self.task.free(genome)
        rows = [msgspec.structs.replace(row, estimate={**row.estimate, **costs}) for row in rows]
        self.without += sum(None in row.estimate.values() for row in rows)
        return Candidate(genome=genome, id=identity(genome), generation=generation, trainings=rows)


def _plain(settings: msgspec.Struct) -> dict:
    return msgspec.to_builtins(settings)
