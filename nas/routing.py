"""Routing: the candidates that matter for the front are placed and routed while the search goes on.

A round chooses, one after the other, the candidates whose measurement is expected to improve the
measured front's hypervolume most, over what the prediction leaves open (expected hypervolume
improvement; M. Emmerich, A. Deutz and J. Klinkenberg, "Hypervolume-based expected improvement:
monotonicity properties and exact computation", IEEE CEC 2011), each as if those before it had come
out as predicted. Their builds run beside the training of the next generations, and are admitted in
candidate order when the next round begins: by counts, never by time, so neither the number of
workers nor their speed changes the search.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
from msgspec import Struct

from ..flow import config, ir
from ..flow.passes.simplify import simplify
from . import pareto, workers
from .evaluator import Candidate
from .prices import Priced, Prices
from .problem import Problem
from .space import describe
from .store import Build, Store
from .task import Task

#: When rounds begin, in fifths of the generations, and the builds of one: late, because what is on
#: the front early is seldom on the last one, and few, because two thirds of all builds are left for
#: closing the front afterwards, so many at once. Constant, so that from 3 * len(ROUNDS) * ROUND
#: builds on asking for more does not change what is trained.
ROUNDS, ROUND, CLOSING = (3, 4), 3, 4
#: Builds tried for each one wanted, before the search makes do with what it has.
TRIES = 3
#: Candidates looked at for each build of a round: the first fronts of the optimists' prices.
LOOKED_AT = 12


class Routed(Struct, frozen=True):
    """A candidate that was chosen to be placed and routed, and what came of it.

    structural: its columns by structure; first: predicted before the search had measured anything;
    predicted: when it was chosen, by what had been measured until then, with `low` and `high`;
    measured: None unless it was routed. accuracy: the mean over its trainings on the validation
    split. The network that was built is its first training, whose digest is `design`.
    """

    id: str
    network: str
    genome: str
    generation: int
    status: str
    reason: str
    accuracy: float
    structural: dict[str, float]
    first: dict[str, float]
    predicted: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    measured: dict[str, float] | None
    fmax_mhz: float | None
    meets_clock: bool
    seconds: float
    design: str

    @property
    def usable(self) -> bool:
        """Whether it fits and meets the board's clock."""
        return self.measured is not None and self.meets_clock


def routing(task: Problem, store: Store, executor: Executor, prices: Prices, folder: Path, *,
            on_routed: Callable[[Routed], None] | None = None) -> "Routing | Unrouted":
    """Who places and routes the candidates of a search, if anybody does."""
    if isinstance(task.search, config.Search):
        return Routing(task, store, executor, prices, folder, on_routed=on_routed)
    return Unrouted()


class Unrouted:
    """Of a search whose candidates are for no FPGA."""

    def __init__(self) -> None:
        self.done: list[Routed] = []

    def due(self, generation: int) -> bool:
        return False

    def close(self, rows: Sequence[Candidate], after_round: Callable[[], None]) -> None:
        after_round()


class Routing:
    """Chooses, builds and admits the candidates of one search."""

    def __init__(self, task: Task, store: Store, executor: Executor, prices: Prices, folder: Path,
                 *, on_routed: Callable[[Routed], None] | None = None) -> None:
        self.task, self.store, self.executor, self.prices = task, store, executor, prices
        self.folder, self.on_routed = Path(folder), on_routed
        self.first = Prices(task, prices.predictor)
        self.done: list[Routed] = []
        self.running: list[tuple[Candidate, Priced, Build | Future]] = []

    @property
    def tried(self) -> set[str]:
        """Ids of all that were chosen."""
        return {item.id for item in self.done} | {row.id for row, _, _ in self.running}

    @property
    def missing(self) -> int:
        """Builds that are still wanted, if those under way come out well and there are tries left.
        """
        good = sum(item.measured is not None for item in self.done) + len(self.running)
        tries = TRIES * self.task.search.routed - len(self.tried)
        return max(0, min(self.task.search.routed - good, tries))

    def due(self, generation: int) -> bool:
        """Whether a round begins after this generation."""
        last = self.task.search.generations
        return generation in {last * k // 5 for k in ROUNDS} - {0, last}

    def begin(self, rows: Sequence[Candidate]) -> None:
        """Choose a round of candidates and begin to build them."""
        if self.task.search.cost_model != "predicted":
            return
        count = min(ROUND, self.missing - (2 * self.task.search.routed + 2) // 3)
        if count > 0:
            self._submit(self.choose(rows, count))

    def close(self, rows: Sequence[Candidate], after_round: Callable[[], None]) -> None:
        """After the last generation: go on until as many are routed as are wanted.

        after_round: called after each round, once at least.
        """
        self.admit(rows)
        if not self.missing:
            after_round()
        while self.missing:
            chosen = self.choose(rows, min(CLOSING, self.missing), fill=True)
            if not chosen:
                after_round()
                break
            self._submit(chosen)
            self.admit(rows)
            after_round()

    def choose(self, rows: Sequence[Candidate], count: int, fill: bool = False
               ) -> list[tuple[Candidate, Priced]]:
        """Up to `count` candidates whose measurement promises most, the most promising first.

        fill: where too few promise any improvement, go on with the best of the others.
        """
        priced = self.prices.of(rows)
        task, tried = self.task, self.tried
        front = [task.F([item.measured])[0] for item in self.done
                 if item.usable and task.feasible(item.measured)]
        front += [task.F([item.columns])[0] for _, item, _ in self.running]
        open_rows = [(row, item) for row, item in zip(rows, priced) if row.id not in tried]
        nodes = [self.prices.nodes(item) for _, item in open_rows]
        share = [np.mean([task.feasible(node) for node in each]) for each in nodes]
        kept = [k for k, value in enumerate(share) if value > 0]
        kept = self._promising(kept, nodes, LOOKED_AT * count)
        reference = self.reference(rows)
        chosen: list[int] = []
        while len(chosen) < count:
            left = [k for k in kept if k not in chosen]
            gains = [np.mean([pareto.gain(front, task.F([node])[0], reference)
                              if task.feasible(node) else 0.0 for node in nodes[k]])
                     for k in left]
            if not left or max(gains) <= 0:
                break
            best = left[int(np.argmax(gains))]
            chosen.append(best)
            front.append(task.F([open_rows[best][1].columns])[0])
        if fill:
            rest = [k for k in kept if k not in chosen]
            order = pareto.spread(task.F(open_rows[k][1].columns for k in rest)) if rest else []
            chosen += [rest[k] for k in order[:count - len(chosen)]]
        return [open_rows[k] for k in chosen]

    def _promising(self, kept: list[int], nodes: list, most: int) -> list[int]:
        """Those of the first fronts by their best outcome, at least `most` of them."""
        if not kept:
            return []
        best = np.array([self.task.F(nodes[k]).min(0) for k in kept])
        out: list[int] = []
        for front in pareto.fronts(best):
            out += [kept[k] for k in front]
            if len(out) >= most:
                break
        return sorted(out)

    def reference(self, rows: Sequence[Candidate]) -> np.ndarray:
        """The point from which hypervolumes are measured: `Task.reference`."""
        return self.task.reference([row.counted for row in rows])

    def _submit(self, chosen: list[tuple[Candidate, Priced]]) -> None:
        """Begin builds, the largest first, which keeps all workers busy for longest."""
        target, begun = self.task.experiment.target, {}
        size = {row.id: item.columns["lc"] for row, item in chosen}
        low = {row.id: item.low["lc"] for row, item in chosen if item.low}
        for row, _ in sorted(chosen, key=lambda pair: -size[pair[0].id]):
            stored = self.store.find_build(row.genome, row.first.seed, row.first.settings,
                                           target.board, target.seed)
            folder = self._build_dir(row).parents[1]
            graph = simplify(self.store.graph(row.first))
            graph.save(folder / "graph.safetensors")
            begun[row.id] = stored or self.executor.submit(
                workers.build, ir.to_bytes(graph), str(folder), target.board, target.seed,
                str(self._build_dir(row)), low.get(row.id))
        self.running += [(row, item, begun[row.id]) for row, item in chosen]

    def _build_dir(self, row: Candidate) -> Path:
        """Where the files of a candidate's build are kept."""
        return self.folder / "candidates" / row.id / "build" / self.task.experiment.target.board

    def admit(self, rows: Sequence[Candidate]) -> None:
        """Wait for the builds under way, and learn from them."""
        found = {}
        for row, item, begun in self.running:
            build = begun
            if isinstance(begun, Future):
                built, target = begun.result(), self.task.experiment.target
                built.keep(self._build_dir(row))
                build = Build(row.genome, row.first.seed, row.first.settings, target.board,
                              target.seed, built.status, built.reason, built.seconds,
                              built.measurement)
                self.store.add_build(build)
            if build.measurement is not None:
                found[row.id] = build.measurement
            self.done.append(self._record(row, item, build))
            if self.on_routed:
                self.on_routed(self.done[-1])
        self.running = []
        self.prices.admit(found)

    def _record(self, row: Candidate, item: Priced, build: Build) -> Routed:
        measured, found = None, build.measurement
        if found is not None and build.status == "routed":
            measured = self.prices.measured_columns(row, found)
        return Routed(
            id=row.id, network=describe(row.genome), genome=row.genome, generation=row.generation,
            status=build.status, reason=build.reason, accuracy=row.counted["accuracy"],
            structural=row.first.estimate, first=self.first.predicted([row])[0].columns,
            predicted=item.columns, low=item.low, high=item.high, measured=measured,
            fmax_mhz=found.fmax_mhz if found else None,
            meets_clock=bool(found and found.fmax_mhz and found.fmax_mhz >= found.clock_mhz),
            seconds=build.seconds, design=found.design if found else "")
