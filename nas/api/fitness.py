"""A function of the user's in the place of training: what it may return, and what becomes of it."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ...flow import ir
from ...flow.cost.structure import assume_weights
from ...flow.errors import SpikeloomError
from ...flow.passes.simplify import simplify
from ...hdl import sng
from ..columns import priced
from ..evaluator import Candidate
from ..space import Genome, identity
from ..store import Evaluation, Store
from ..task import Task
from .space import Architecture, SearchSpace

#: Accuracy that a candidate must have to be on a front: what failed counts as 0.
LEAST = 1e-6

AccuracyFn = Callable[[Architecture], object]


class FunctionEvaluator:
    """As `evaluator.Evaluator`, but `function(architecture)` says how good a candidate is.

    It returns an accuracy in 0..1, or (accuracy, weights), weights a list of float arrays [out, in]
    for each layer of `layer_sizes`. What raises, or returns anything else, counts as accuracy 0 and
    is on no front; `failed` has the reasons by candidate. Results are stored by the function's
    name, so a search is only resumed with a function that has it.
    """

    def __init__(self, task: Task, store: Store, space: SearchSpace, function: AccuracyFn, *,
                 on_batch: Callable[[int, int], None] | None = None) -> None:
        self.task, self.store, self.space, self.function = task, store, space, function
        self.on_batch = on_batch or (lambda done, todo: None)
        self.seed = task.search.seed
        text = json.dumps({"accuracy_fn": name_of(function)})
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.trained = 0
        self.restored = 0
        self.failed: dict[str, str] = {}

    def evaluate(self, genomes: Sequence[Genome], generation: int) -> list[Candidate]:
        """Candidates in the order of `genomes`, from the store where it has them."""
        out = []
        for position, genome in enumerate(genomes):
            row = self.store.find(genome, self.seed, self.key)
            if row is None:
                row, graph = self._judge(genome, generation, position)
                self.store.add([(row, graph)])
                self.trained += 1
            else:
                self.restored += 1
            if row.stopped:
                self.failed[row.id] = row.stopped
            out.append(Candidate(genome=genome, id=row.id, generation=generation, trainings=[row]))
            self.on_batch(position + 1, len(genomes))
        return out

    def _judge(self, genome: Genome, generation: int, position: int
               ) -> tuple[Evaluation, ir.Graph]:
        began = time.perf_counter()
        shapes = self.task.space.graph(genome)
        architecture = self.space.architecture(genome)
        stopped = None
        try:
            accuracy, weights = judged(self.function(architecture))
            graph = assume_weights(shapes) if weights is None else weighted(shapes, weights)
            columns, features = priced(simplify(graph), self.task.board)
        except Exception as error:
            why = str(error) or "no reason given"
            stopped = f"accuracy_fn: {type(error).__name__}: {why}"
            accuracy, graph = 0.0, assume_weights(shapes)
            columns, features = priced(simplify(graph), self.task.board)
        row = Evaluation(
            genome=genome, seed=self.seed, settings=self.key, id=identity(genome),
            generation=generation, position=position, accuracy=accuracy, epochs=0, stopped=stopped,
            seconds=time.perf_counter() - began, estimate=columns, features=features)
        return row, graph

    def assumed(self, row: Evaluation) -> bool:
        """Whether a candidate's weights are drawn, because the function gave none."""
        drawn = assume_weights(self.task.space.graph(row.genome))
        return self.store.graph(row).digest() == drawn.digest()


def name_of(function: AccuracyFn) -> str:
    """By which results of a function are stored."""
    kind = type(function)
    return (f"{getattr(function, '__module__', kind.__module__)}."
            f"{getattr(function, '__qualname__', kind.__qualname__)}")


def judged(value: object) -> tuple[float, list[np.ndarray] | None]:
    """Accuracy and weights of what a function returned; SpikeloomError for nonsense."""
    weights = None
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise SpikeloomError(f"must return an accuracy, or (accuracy, weights), not "
                                 f"{len(value)} values")
        value, weights = value
    if (isinstance(value, bool | str | bytes) or not hasattr(value, "__float__")
            or np.size(value) != 1):
        raise SpikeloomError("must return an accuracy in 0..1, not an object of type "
                             f"{type(value).__name__}")
    accuracy = float(value)
    if math.isnan(accuracy) or not 0 <= accuracy <= 1:
        raise SpikeloomError(f"must return an accuracy in 0..1, not {accuracy:g}")
    return accuracy, None if weights is None else list(weights)


def weighted(graph: ir.Graph, weights: Sequence) -> ir.Graph:
    """A graph of shapes with these weights, float [out, in] each, for thresholds of 1.

    The largest of a layer becomes the largest code; what a code then counts for a threshold of 1 is
    the threshold. Raises SpikeloomError for other shapes, or numbers that are not finite.
    """
    arrays = [np.asarray(array, float) for array in weights]
    shapes = [dense.weight_shape for dense, _ in graph.layers]
    if [array.shape for array in arrays] != shapes:
        raise SpikeloomError(f"must return weights of shapes {[list(s) for s in shapes]}, not "
                             f"{[list(array.shape) for array in arrays]}")
    changes = {}
    for (dense, population), array in zip(graph.layers, arrays):
        if not np.isfinite(array).all():
            raise SpikeloomError("must return finite weights, not nan or infinity")
        largest = float(np.abs(array).max()) or 1.0
        codes = np.rint(array / largest * dense.max_code).astype(np.int16)
        counts = int(sng.weight_table(dense.sng, dense.bits, dense.weight_bits)[-1])
        changes[dense.name] = {"weight": codes, "bias": np.zeros(dense.bias_shape, np.int32)}
        if population.neuron.learned == "v_threshold":
            threshold = min(max(1, round(counts / largest)), 1 << 20)
            changes[population.name] = {"neuron": replace(population.neuron,
                                                          v_threshold=threshold)}
    return graph.replace(**changes).verify()
