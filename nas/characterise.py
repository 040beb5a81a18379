"""Characterise: place and route the networks of `designs`, several at once, and keep what came.

Each worker adds its measurement to the store as it ends, so that a run that was stopped goes on
where it was: what these tools have measured already is not built again.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ..flow import ir, targets, tools
from ..flow.build import TIMEOUTS
from ..flow.cost.measured import Measurement
from ..flow.cost.salvage import open_store
from ..flow.cost.store import MeasurementStore
from ..flow.errors import SpikeloomError
from .designs import BOARDS, SEEDS, Network, layout


@dataclass(frozen=True)
class Job:
    """One network, one board, and the seeds of place and route that are to be measured."""

    network: Network
    board: str
    seeds: tuple[int, ...]


def jobs(count: int, boards: tuple[str, ...] = BOARDS) -> Iterator[Job]:
    """What a characterisation of `count` networks builds, in order."""
    for network in layout(count):
        for board in boards:
            yield Job(network, board, SEEDS if network.held_out else SEEDS[:1])


def measured(store: MeasurementStore, job: Job, identities: dict[str, str]) -> list[Measurement]:
    """What the store has of a job, by these tools; the newest of each seed."""
    found = {item.seed: item for item in store.select(design=job.network.graph.digest(),
                                                      board=job.board, variant="")
             if item.tools == identities and item.counted}
    return [found[seed] for seed in job.seeds if seed in found]


def measure(data: bytes, board: str, seeds: tuple[int, ...]) -> list[Measurement]:
    """Build one network; what a worker runs. A tool that fails is a measurement, too."""
    from ..flow.synthesis import synthesise

    found: list[Measurement] = []
    try:
        synthesise(ir.from_bytes(data, "a network"), targets.board(board), seeds=seeds,
                   must_fit=False, exact=True, on_measured=found.append)
    except SpikeloomError:
        if not found:
            raise
    return found


def characterise(count: int, executor: Executor, note: Callable[[str], None],
                 boards: tuple[str, ...] = BOARDS, path: Path | None = None) -> list[Measurement]:
    """Measure what is missing of `count` networks; the measurements of all, in order."""
    identities = {found.tool.name: found.identity for found in tools.prepare(TIMEOUTS, note)}
    todo, all_jobs = {}, []
    with open_store(path, note) as store:
        for job in jobs(count, boards):
            all_jobs.append(job)
            missing = set(job.seeds) - {item.seed for item in measured(store, job, identities)}
            if missing:
                todo[executor.submit(measure, ir.to_bytes(job.network.graph), job.board,
                                     tuple(sorted(missing)))] = job
    began = time.monotonic()
    note(f"{len(all_jobs)} builds of {count} networks; {len(all_jobs) - len(todo)} are measured "
         "already")
    for done, future in enumerate(as_completed(todo), 1):
        job, found = todo[future], future.result()
        seconds = time.monotonic() - began
        left = seconds / done * (len(todo) - done)
        last = found[-1]
        what = f"{last.lc:,} LCs" if last.counted else last.reason
        note(f"{done}/{len(todo)}  network {job.network.number} ({job.network.lowering}), "
             f"{job.board}: {last.status}, {what}, {sum(last.seconds.values()):.0f} s; "
             f"{seconds / 60:.0f} min so far, about {left / 60:.0f} to go")
    with open_store(path, note) as store:
        return [item for job in all_jobs for item in measured(store, job, identities)]
