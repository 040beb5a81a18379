"""A search small enough for tests: it trains for real, and what stands in for place and route
measures what follows from the network alone."""

import hashlib
import json
import threading
import tomllib
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import msgspec

from spikeloom.flow import config, ir, targets, tools
from spikeloom.flow.cli import main
from spikeloom.flow.cost.features import describe
from spikeloom.flow.cost.measured import Measurement, lowering_of, network_digest
from spikeloom.flow.cost.structure import structure
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.nas import datasets, workers
from spikeloom.nas.datasets import Dataset, Split
from spikeloom.nas.loop import Search
from spikeloom.nas.store import FILE, Store
from spikeloom.nas.task import Task

EXPERIMENT = """
[data]
name = "few"
[space]
layers = [1, 2]
max_width = 16
weight_bits = [2, 3]
bitstream_lengths = [8, 16]
num_steps = [2]
leak_shifts = [0, 2]
[search]
population = 4
generations = 3
repeats = 2
routed = 4
final_epochs = 2
pnr_seeds = 1
confirm = 0
[train]
epochs = 1
batch = 2
"""
#: Measured cells over those counted by structure, and MHz, of the builds that are no builds.
BIAS, MHZ = 1.25, 20.0


def few() -> Dataset:
    """A handful of real digits."""
    full = datasets.load("digits")
    splits = {name: getattr(full, name) for name in ("train", "validation", "test")}
    cut = {name: Split(split.inputs[:100].copy(), split.labels[:100].copy())
           for name, split in splits.items()}
    return Dataset(name="few", shape=full.shape, num_classes=10, **cut)


def task(*changes: str, text: str = EXPERIMENT) -> Task:
    """The experiment made ready, with ``section.key=value`` changes."""
    plain = msgspec.to_builtins(config.experiment_from(tomllib.loads(text), "e.toml"))
    for change in changes:
        section, _, rest = change.partition(".")
        plain[section] = plain.get(section, {}) | tomllib.loads(rest)
    return Task(config.experiment_from(plain, "e.toml"), "e.toml")


def cells(graph) -> int:
    """The logic cells that `fake_build` measures of a network."""
    return round(BIAS * structure(graph).cells.lc)


def measured(graph, board="icebreaker", seed=1, status="routed", mhz=MHZ) -> Measurement:
    """What a compiled graph is said to have come to; over-full ones have twice the cells."""
    found, board = structure(graph), targets.board(board)
    counts = {}
    if status not in ("failed", "timed-out"):
        lc = cells(graph) * (2 if status == "over-full" else 1)
        counts = {"lc": lc, "lut4": round(found.cells.lut),
                  "ff": round(found.cells.ff), "carry": round(found.cells.carry), "spram": 0,
                  "ebr": int(found.ebr), "dsp": 0, "memory_bits": 4096 * int(found.ebr)}
    routed = status == "routed"
    return Measurement(
        plan=hashlib.sha256(graph.digest().encode()).hexdigest(), seed=seed, tools={"fake": "1"},
        options={}, design=graph.digest(), network=network_digest(graph), board=board.name,
        device=board.device, clock_mhz=board.clock_hz / 1e6, lowering=lowering_of(graph),
        variant="", status=status, reason="" if routed else f"{status}, as the test wants",
        fmax_mhz=mhz + seed / 100 if routed else None, weight_memory=1,
        seconds={"yosys": 1.0, "nextpnr": 2.0}, features=describe(found), finished=1.0, **counts)


def fake_build(status=(), final=(), mhz=()):
    """Instead of place and route: `status` and MHz by candidate, and status of its final build."""
    status, final, mhz = dict(status), dict(final), dict(mhz)

    def build(data, where, board, seed, out_dir, predicted_low=None):
        name, _, last = where.partition("candidates/")[2].partition("/")
        found = measured(compile_graph(ir.from_bytes(data, where)), board, seed,
                         (final if last else status).get(name, "routed"), mhz.get(name, MHZ))
        return workers.Built(found.status, found.reason, 1.0, found)
    return build


@contextmanager
def threads(jobs, again="", **_):
    with ThreadPoolExecutor(jobs) as executor:
        yield executor


def falls_once(monkeypatch, marker):
    """The first training, in whichever process, writes its process id to `marker` and waits."""
    real = workers.evaluate_batch

    def evaluate_batch(*args):
        import os
        import time

        try:
            with open(marker, "x") as file:
                file.write(f"{os.getpid()}\n")
        except FileExistsError:
            return real(*args)
        time.sleep(300)

    monkeypatch.setattr(workers, "evaluate_batch", evaluate_batch)


@contextmanager
def once_marked(marker, action):
    """Beside the block: `action(process id)` as soon as the marker is there."""
    def watch():
        while not (marker.exists() and marker.read_text().endswith("\n")):
            if over.wait(0.05):
                return
        action(int(marker.read_text()))

    over = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Reversed(Executor):
    """Runs training at once; keeps builds until they are asked for, and then ends the last first.

    `log` has what was submitted and what ended, in order.
    """

    def __init__(self):
        self.waiting, self.log = [], []

    def submit(self, function, /, *args):
        if function is not workers.build:
            self.log.append("train")
            future = Future()
            future.set_result(function(*args))
            return future
        future = Late(self)
        name = args[1].rsplit("/", 1)[-1]
        self.waiting.append((future, name, args))
        self.log.append(f"begin {name}")
        return future

    def flush(self):
        while self.waiting:
            future, name, args = self.waiting.pop()
            self.log.append(f"end {name}")
            future.set_result(workers.build(*args))


class Late(Future):
    """A build that has not ended before its executor was asked for any."""

    def __init__(self, executor):
        super().__init__()
        self.executor = executor

    def result(self, timeout=None):
        self.executor.flush()
        return super().result(timeout)


def searched(found: Task, folder, executor=None, **options) -> Search:
    """A search as a whole, without the command and without its end."""
    with Store(folder / FILE) as store, ThreadPoolExecutor(1) as one:
        return Search(found, store, executor or one, folder, **options).run()


def outcome(folder) -> dict:
    """search.json without what differs from one run to the next: times, and who was restored."""
    found = json.loads((folder / "search.json").read_text())
    del found["seconds"]
    for key in ("trainings", "restored"):
        del found["counts"][key]
    for mark in found["marks"]:
        del mark["seconds"]
    return found


def tiny_world(tmp_path, monkeypatch, threaded=True):
    """The tiny experiment, and the command on it: `search(*args)`."""
    monkeypatch.setitem(datasets.LOADERS, "few", few)
    monkeypatch.setattr(workers, "build", fake_build())
    if threaded:
        monkeypatch.setattr(workers, "workers", threads)
    monkeypatch.setattr(tools, "prepare", lambda *_args: [])
    (tmp_path / "e.toml").write_text(EXPERIMENT)

    def search(*args, run="run", experiment=True):
        file = [str(tmp_path / "e.toml")] if experiment else []
        return main(["search", *file, "--run", str(tmp_path / run), *args])

    return SimpleNamespace(search=search, path=tmp_path)
