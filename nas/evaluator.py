"""Evaluate: batched training of whole generations, each batch stored as it ends.

Each candidate is trained, scored on the validation split, and priced from its trained integers,
which see the weights that became zero. What its cells really are, place and route alone can tell.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, as_completed

import msgspec
from msgspec import Struct

from ..flow.cost.features import VERSION
from ..flow.passes.simplify import simplify
from . import workers
from .columns import CIM, priced
from .held import HELD, held
from .plan import plan
from .space import Genome, identity
from .store import Evaluation, Store
from .task import Task

#: Columns that older files lack, beside those of images that were held out.
LATER = {"weights", "spram"}
#: Columns that differ from one evaluation of a network to the next.
OF_SEED = ("accuracy", "cim_accuracy", "score", *HELD)


class Candidate(Struct, frozen=True):
    """A network of the search and its evaluations, one a seed; the first is what would be built."""

    genome: Genome
    id: str
    generation: int
    trainings: list[Evaluation]

    @property
    def first(self) -> Evaluation:
        return self.trainings[0]

    @property
    def counted(self) -> dict[str, float]:
        """Columns without any tool: mean accuracies, if held out, and counts by structure."""
        columns = [item.estimate if item.accuracy is None else
                   {"accuracy": item.accuracy, **item.estimate} for item in self.trainings]
        found = dict(columns[0])
        for name in OF_SEED:
            if name in found:
                values = [item[name] for item in columns]
                found[name] = None if None in values else sum(values) / len(values)
        return found


class Evaluator:
    """Trains generations of candidates, each batch stored as it ends, and never one twice.

    `held_out`: True trains on the train split and scores on validation; False trains on both and
    scores on nothing, once each. seeds: of the trainings of each candidate, where they are not the
    search's. The test split is not touched. on_batch(done, todo) counts the trainings of a
    generation that were still to be done. `trained` and `restored` count trainings. `key` is a
    digest of what rows of the store depend on, and `about` says that, and what columns depend on,
    in words.
    """

    def __init__(self, task: Task, store: Store, executor: Executor, *, held_out: bool = True,
                 seeds: Sequence[int] = (),
                 on_batch: Callable[[int, int], None] | None = None) -> None:
        self.task, self.store, self.executor = task, store, executor
        self.on_batch = on_batch or (lambda done, todo: None)
        self.seeds = list(seeds) or [task.search.seed + k for k in range(
            task.search.repeats if held_out else 1)]
        self.settings = task.settings if held_out else msgspec.structs.replace(
            task.settings, epochs=task.search.final_epochs)
        self.fit = task.data.train if held_out else task.data.final
        self.check = task.data.validation if held_out else None
        key = {"data": task.data.name, "held_out": held_out,
               "train": msgspec.to_builtins(self.settings)}
        self.key = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        self.about = {**key, "board": task.board.name, "features": VERSION,
                      "cim": task.cim and msgspec.to_builtins(task.cim)}
        self.trained = 0
        self.restored = 0

    def evaluate(self, genomes: Sequence[Genome], generation: int) -> list[Candidate]:
        """Candidates in the order of `genomes`, from the store where it has their trainings.

        Batches are those of `plan` over the whole generation, whatever is stored already, and one
        is trained and stored as a whole or not at all: which networks train together can reach
        the last bit of a sum, so a resumed search must not form others than the first one.
        """
        jobs = [(genome, seed) for genome in genomes for seed in self.seeds]
        graphs = [self.task.space.graph(genome) for genome, _ in jobs]
        rows: dict[int, Evaluation] = {}
        running: dict[Future, list[int]] = {}
        for batch in plan(graphs, self.settings.batch):
            found = [self.store.find(*jobs[place], self.key) for place in batch]
            if all(found):
                rows.update(zip(batch, map(self.counted, found)))
            else:
                running[self.executor.submit(
                    workers.evaluate_batch, [graphs[place] for place in batch], self.fit,
                    self.check, self.settings, [jobs[place][1] for place in batch],
                    [self.task.sparsity(jobs[place][0]) for place in batch],
                    self.task.board.name, *self._crossbars(jobs[place][0] for place in batch)
                )] = batch
        self.restored += len(rows)
        done, todo = 0, len(jobs) - len(rows)
        self.on_batch(done, todo)
        for future in as_completed(running):
            batch = running[future]
            made = [
                (Evaluation(genome=jobs[place][0], seed=jobs[place][1], settings=self.key,
                            id=identity(jobs[place][0]), generation=generation, position=place,
                            accuracy=item.trained.accuracy, epochs=item.trained.epochs,
                            stopped=item.trained.stopped, seconds=item.seconds,
                            estimate=item.columns, features=item.features), item.trained.graph)
                for place, item in zip(batch, future.result())
            ]
            self.store.add(made)
            rows.update(zip(batch, (row for row, _ in made)))
            self.trained += len(batch)
            done += len(batch)
            self.on_batch(done, todo)
        count = len(self.seeds)
        return [Candidate(genome=genome, id=identity(genome), generation=generation,
                          trainings=[rows[n * count + k] for k in range(count)])
                for n, genome in enumerate(genomes)]

    def _crossbars(self, genomes: Iterable[Genome]) -> tuple:
        """What a worker needs to know of candidates' arrays, nothing without crossbars."""
        cim = self.task.cim
        return () if cim is None else (cim, [self.task.array(genome) for genome in genomes])

    def counted(self, row: Evaluation) -> Evaluation:
        """The row with the features of today, which older files lack or have others in place of."""
        if (row.features is not None and row.features.get("version") == VERSION
                and LATER <= row.estimate.keys()
                and (self.check is None or set(HELD) <= row.estimate.keys())):
            return row
        graph = simplify(self.store.graph(row))
        columns, features = priced(graph, self.task.board)
        columns |= {name: row.estimate[name] for name in (*CIM, *HELD) if name in row.estimate}
        if self.check is not None and not set(HELD) <= columns.keys():
            columns |= {name: value for name, value in held(graph, self.check).items()
                        if name in HELD}
        return msgspec.structs.replace(row, estimate=columns, features=features)
