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

from ..flow import ir, targets
from ..flow.errors import Cancelled, FitError, SpikeloomError
from .datasets import Split
from .train import Trained, TrainSettings, train


@contextmanager
def workers(jobs: int) -> Iterator[Executor]:
    """`jobs` processes; on any way out they are killed, with whatever they run.

    A process that dies by itself ends the work with SpikeloomError.
    """
    from loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(max_workers=jobs, initializer=end_with, initargs=(os.getpid(),))
    try:
        yield executor
    except BrokenExecutor as error:
        raise SpikeloomError("a worker process died, perhaps for want of memory; what it had "
                             "finished is saved, go on with --resume and fewer --jobs") from error
    finally:
        executor.shutdown(wait=True, kill_workers=True)


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


def build(data: bytes, where: str, board: str, seed: int, out_dir: str,
          predicted_low: float | None = None) -> dict:
    """Compile and place and route one network; what a worker process runs.

    predicted_low: as for `build_seeds`. Returns status `routed`, `over-full`, `cancelled` or
    `failed`, the reason, seconds, and the report.
    """
    from ..flow.passes.compile import compile_graph
    from ..flow.synthesis import build_graph

    began = time.perf_counter()
    report, status, reason = None, "routed", None
    try:
        target = targets.board(board)
        graph = compile_graph(ir.from_bytes(data, where))
        found = build_graph(graph, target, seed=seed, out_dir=Path(out_dir), must_fit=False,
                            predicted_low=predicted_low)
        report = msgspec.to_builtins(found)
        if not found.fits:
            status, reason = "over-full", found.problem
    except Cancelled as error:
        status, reason = "cancelled", str(error)
    except FitError as error:
        status, reason = "over-full", str(error)
    except SpikeloomError as error:
        status, reason = "failed", str(error)
    return {"status": status, "reason": reason, "report": report,
            "seconds": time.perf_counter() - began}
