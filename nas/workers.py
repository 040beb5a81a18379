"""Work that can run at once, and where: behind the standard `Executor` interface.

Nothing else knows which executor it is given: processes of this machine (`pool`), or workers of a
cluster (`cluster`). What runs in a worker stands here, by itself, so that a worker imports no more
than its work needs. A worker keeps no file: what it made comes back with the result.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ..flow import ir, targets
from ..flow.cost.measured import Measurement
from ..flow.errors import SpikeloomError
from ..flow.files import write_atomic
from .datasets import Split
from .train import Trained, TrainSettings, train


@contextmanager
def workers(jobs: int, again: str = "go on with --resume", *, cluster: str | None = None,
            note: Callable[[str], None] | None = None) -> Iterator[Executor]:
    """`jobs` processes, or the workers of the Dask scheduler at the address `cluster`.

    On any way out processes are killed, with whatever they run, and a cluster is let go of. The
    task of a worker that dies is repeated by another; where that is in vain, or the scheduler goes
    away, it ends with SpikeloomError. again: how its user goes on. note: told of what happens to
    workers. Errors of a cluster that cannot be used are those of `cluster.Cluster`.
    """
    saved = f"; what was finished is saved, {again}"
    if cluster is None:
        from .pool import Pool

        executor = Pool(jobs, advice=f"{saved} and fewer --workers", note=note)
    else:
        from .cluster import Cluster

        executor = Cluster(cluster, advice=saved, note=note)
    try:
        yield executor
    finally:
        executor.shutdown()


def train_batch(graphs: list[ir.Graph], fit: Split, check: Split | None, settings: TrainSettings,
                seeds: list[int], sparsities: Sequence[float] = ()) -> list[tuple[Trained, float]]:
    """Train one batch in a worker process; each result with its share of the seconds."""
    began = time.perf_counter()
    done = train(graphs, fit, check, settings, seeds, sparsities=sparsities)
    seconds = (time.perf_counter() - began) / len(graphs)
    return [(item, seconds) for item in done]


class Evaluated(msgspec.Struct, frozen=True):
    """One candidate trained and counted: its columns and the features that predict its cells."""

    trained: Trained
    seconds: float
    columns: dict[str, float]
    features: dict[str, float]


def evaluate_batch(graphs: list[ir.Graph], fit: Split, check: Split | None,
                   settings: TrainSettings, seeds: list[int], sparsities: Sequence[float],
                   board: str, cim=None, arrays: Sequence = ()) -> list[Evaluated]:
    """Train one batch, and count the parts of each network as it would be built, and its spikes
    on `check` in the pass that gives its accuracy.

    cim, arrays: with them (`nas.cim`) also price each network on its array, and run it there.
    """
    from ..flow.passes.simplify import simplify
    from .columns import priced
    from .held import held

    target = targets.board(board)
    done = train_batch(graphs, fit, None, settings, seeds, sparsities)
    found = []
    for place, (trained, seconds) in enumerate(done):
        graph = simplify(trained.graph)
        columns, features = priced(graph, target)
        if check is not None:
            began = time.perf_counter()
            columns |= held(graph, check)
            trained = replace(trained, accuracy=columns.pop("accuracy"))
            seconds += time.perf_counter() - began
        if cim is not None:
            from .cim import columns as on_crossbars

            columns |= on_crossbars(graph, arrays[place], cim, fit, check)
        found.append(Evaluated(trained, seconds, columns, features))
    return found


class Built(msgspec.Struct, frozen=True):
    """What came of a build: `measurement`, or the reason why there is none (`failed`).

    files: those of the build, by their path in its folder, which `keep` writes.
    """

    status: str
    reason: str
    seconds: float
    measurement: Measurement | None
    files: dict[str, bytes] = {}

    def keep(self, out_dir: Path) -> None:
        """Write the files; a report comes last, so that it never speaks of what is not there."""
        for name in sorted(self.files, key=lambda name: (name.endswith("report.json"), name)):
            write_atomic(Path(out_dir) / name, self.files[name])


def build(data: bytes, where: str, board: str, seed: int, out_dir: str,
          predicted_low: float | None = None) -> Built:
    """Compile and place and route one network, and store what was measured.

    out_dir: where its files will be kept, which this machine need not have. predicted_low: as for
    `build_seeds`.
    """
    from ..flow.passes.compile import compile_graph
    from ..flow.synthesis import build_graph

    began = time.perf_counter()
    found: list[Measurement] = []
    status, reason, measured = "failed", "", None
    with TemporaryDirectory(prefix="spikeloom-") as folder:
        try:
            graph = compile_graph(ir.from_bytes(data, where))
            build_graph(graph, targets.board(board), seed=seed, out_dir=Path(folder),
                        must_fit=False, exact=True, predicted_low=predicted_low,
                        on_measured=found.append)
        except SpikeloomError as error:
            reason = str(error).replace(folder, out_dir)
        files = {file.relative_to(folder).as_posix(): file.read_bytes()
                 for file in Path(folder).rglob("*") if file.is_file()}
    if found:
        status, reason = found[-1].status, found[-1].reason.replace(folder, out_dir)
        measured = msgspec.structs.replace(found[-1], reason=reason)
    return Built(status, reason, time.perf_counter() - began, measured, files)
