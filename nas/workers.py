"""Work that can run at once, and where: processes, behind the standard `Executor` interface.

Nothing else knows which executor it is given. What runs in a worker stands here, by itself, so that
a worker imports no more than its work needs.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..flow import ir, plugins, targets
from ..flow.cost.measured import Measurement
from ..flow.errors import SpikeloomError
from .datasets import Split
from .train import Trained, TrainSettings, train


@contextmanager
def workers(jobs: int, again: str = "go on with --resume") -> Iterator[Executor]:
    """`jobs` processes; on any way out they are killed, with whatever they run.

    A process that dies by itself ends the work with SpikeloomError. again: how its user goes on.
    """
    from loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(max_workers=jobs, initializer=begin,
                                   initargs=(os.getpid(), plugins.named()))
    try:
        yield executor
    except BrokenExecutor as error:
        raise SpikeloomError("a worker process died, perhaps for want of memory; what it had "
                             f"finished is saved, {again} and fewer --jobs") from error
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def begin(parent: int, files: Sequence[tuple[str, bytes]]) -> None:
    """What a worker process does first: it ends with its parent, and imports the same plug-ins."""
    end_with(parent)
    plugins.adopt(files)


def end_with(parent: int) -> None:
    """End this process soon after process `parent` is gone, even if that was killed."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
    """Train one batch, and count the parts of each network as it would be built.

    cim, arrays: with them (`nas.cim`) also price each network on its array, and run it there.
    """
    from ..flow.passes.simplify import simplify
    from .columns import priced

    target = targets.board(board)
    done = train_batch(graphs, fit, check, settings, seeds, sparsities)
    found = []
    for place, (trained, seconds) in enumerate(done):
        graph = simplify(trained.graph)
        columns, features = priced(graph, target)
        if cim is not None:
            from .cim import columns as on_crossbars

            columns |= on_crossbars(graph, arrays[place], cim, fit, check)
        found.append(Evaluated(trained, seconds, columns, features))
    return found


class Built(msgspec.Struct, frozen=True):
    """What came of a build: `measurement`, or the reason why there is none (`failed`)."""

    status: str
    reason: str
    seconds: float
    measurement: Measurement | None


def build(data: bytes, where: str, board: str, seed: int, out_dir: str,
          predicted_low: float | None = None) -> Built:
    """Compile and place and route one network, and store what was measured.

    predicted_low: as for `build_seeds`.
    """
    from ..flow.passes.compile import compile_graph
    from ..flow.synthesis import build_graph

    began = time.perf_counter()
    found: list[Measurement] = []
    status, reason = "failed", ""
    try:
        graph = compile_graph(ir.from_bytes(data, where))
        build_graph(graph, targets.board(board), seed=seed, out_dir=Path(out_dir), must_fit=False,
                    exact=True, predicted_low=predicted_low, on_measured=found.append)
    except SpikeloomError as error:
        reason = str(error)
    if found:
        status, reason = found[-1].status, found[-1].reason
    return Built(status, reason, time.perf_counter() - began, found[-1] if found else None)
