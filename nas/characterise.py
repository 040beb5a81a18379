"""Characterise: place and route the networks of `designs`, several at once, and keep what came.

Each worker adds its measurement to the store as it ends, so that a run that was stopped goes on
where it was: what these tools have measured already is not built again.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from msgspec import structs

from ..flow import ir, targets, tools
from ..flow.build import TIMEOUTS, flow_options
from ..flow.cost.features import describe
from ..flow.cost.measured import Measurement, network_digest
from ..flow.cost.predict import CHARACTERISED, HELD_OUT, KERNELS, Predictor
from ..flow.cost.salvage import open_store
from ..flow.cost.store import MeasurementStore
from ..flow.cost.structure import structure
from ..flow.errors import RunError, SpikeloomError
from ..flow.files import write_atomic
from . import loaded_designs
from .designs import BOARDS, LOADED, Network, layout

#: Digits behind the point of a feature in the package's data.
DIGITS = 6


@dataclass(frozen=True)
class Job:
    """One network, one board, and the seeds of place and route that are to be measured."""

    network: Network
    board: str
    seeds: tuple[int, ...]


def networks(count: int, loaded: int) -> Iterator[Network]:
    """So many networks of either layout, those with weights in SPRAM last."""
    yield from layout(count)
    yield from loaded_designs.layout(loaded)


def jobs(count: int, loaded: int = 0, boards: tuple[str, ...] = BOARDS) -> Iterator[Job]:
    """What a characterisation of `networks` builds, in order."""
    for network in networks(count, loaded):
        for board in boards:
            if network.number < LOADED or loaded_designs.builds_for(targets.board(board)):
                yield Job(network, board, network.seeds)


def measured(store: MeasurementStore, job: Job, identities: dict[str, str]) -> list[Measurement]:
    """What the store has of a job, by these tools; the newest of each seed, failures included."""
    options = flow_options()
    found = {item.seed: item for item in store.select(design=job.network.graph.digest(),
                                                      board=job.board, variant="")
             if item.tools == identities and item.options == options}
    return [found[seed] for seed in job.seeds if seed in found]


def measure(data: bytes, board: str, seeds: tuple[int, ...]
            ) -> tuple[list[Measurement], list[str]]:
    """Build one network; what a worker runs. A tool that fails is a measurement, too.

    Also returns what is wrong with the store.
    """
    from ..flow.synthesis import synthesise

    found: list[Measurement] = []
    wrong: list[str] = []
    try:
        synthesise(ir.from_bytes(data, "a network"), targets.board(board), seeds=seeds,
                   must_fit=False, exact=True, warn=wrong.append, on_measured=found.append)
    except SpikeloomError:
        if not found:
            raise
    return found, wrong


def characterise(count: int, loaded: int, executor: Executor, note: Callable[[str], None],
                 boards: tuple[str, ...] = BOARDS) -> list[Measurement]:
    """Measure what is missing of `networks`; the measurements of all, in order.

    Where a tool failed before, it is tried again. A design is known by its digest alone, which does
    not tell a change of the gateware; that needs another store (`SPIKELOOM_DATA`).
    """
    identities = {found.tool.name: found.identity for found in tools.prepare(TIMEOUTS, note)}
    todo, all_jobs = {}, []
    with open_store(note=note) as store:
        for job in jobs(count, loaded, boards):
            all_jobs.append(job)
            known = {item.seed for item in measured(store, job, identities) if item.counted}
            missing = tuple(seed for seed in job.seeds if seed not in known)
            if missing:
                todo[executor.submit(measure, ir.to_bytes(job.network.graph), job.board,
                                     missing)] = job
    began = time.monotonic()
    built = len({job.network.number for job in all_jobs})
    note(f"{len(all_jobs)} builds of {built} networks; {len(all_jobs) - len(todo)} are measured "
         "already")
    for done, future in enumerate(as_completed(todo), 1):
        job, (found, wrong) = todo[future], future.result()
        for text in wrong:
            note(text)
        seconds = time.monotonic() - began
        left = seconds / done * (len(todo) - done)
        last = found[-1]
        what = f"{last.lc:,} LCs" if last.counted else last.reason
        note(f"{done}/{len(todo)}  network {job.network.number} ({job.network.lowering}), "
             f"{job.board}: {last.status}, {what}, {sum(last.seconds.values()):.0f} s; "
             f"{seconds / 60:.0f} min so far, about {left / 60:.0f} to go")
    with open_store(note=note) as store:
        return [item for job in all_jobs for item in measured(store, job, identities)]


def write_data(folder: Path, items: Sequence[Measurement], built: Iterable[Network],
               note: Callable[[str], None]) -> None:
    """Write what the cost model reads (`flow.cost.predict`): measurements with features as they are
    counted today, the networks that are held out, and kernels fitted to the others.
    """
    kept = {network_digest(network.graph) for network in built if network.held_out}
    fresh: dict[str, dict[str, float]] = {}
    with open_store(note=note) as store:
        for design in {item.design for item in items}:
            fresh[design] = describe(structure(store.graph(design)))
        items = [structs.replace(item, features={
            name: round(value, DIGITS) for name, value in fresh[item.design].items()})
            for item in items]
        lines = list(store.lines(items))
    write_atomic(folder / CHARACTERISED.name, "".join(f"{line}\n" for line in lines))
    write_atomic(folder / HELD_OUT.name, json.dumps(sorted(kept), indent=1) + "\n")
    try:
        found = Predictor(item for item in items if item.network not in kept).kernels
    except RunError as error:
        note(f"no kernels are written: {error}")
        return
    write_atomic(folder / KERNELS.name, json.dumps(
        {target: asdict(kernel) for target, kernel in found.items()}, indent=1) + "\n")
