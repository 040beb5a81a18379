"""The figures of this installation, each measured here and now, by the names that goals give.

A group measures one or more figures; `make bench ONLY='glob,glob'` runs just the groups that the
names need. Nothing is read from an earlier run, and caches that would shorten a measurement are set
aside.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from shutil import rmtree

import numpy as np

from ..flow import build, ir, targets
from ..flow.errors import ConfigError, SpikeloomError
from ..flow.passes.compile import compile_graph
from ..flow.run import Run
from ..hdl.neurons import Lif
from ..sim import reference, rtl
from ..sim.commands.sim import compare

FOLDER = Path("build/bench")
SEEDS = 8


@dataclass(frozen=True)
class Figure:
    """One measured figure; goal is text, holds is None where there is no goal."""

    name: str
    value: float | int
    unit: str
    goal: str
    holds: bool | None
    detail: str


@dataclass(frozen=True)
class Group:
    """Figures that are measured together: goals by name, and the function that gives values."""

    goals: dict[str, tuple[str, str]]
    measure: Callable[["Bench"], dict[str, tuple[float, str]]]


GROUPS: list[Group] = []


def group(**goals: tuple[str, str]):
    """Register a group; keywords are names with ``__`` for the dot, values (unit, goal)."""
    def register(function):
        GROUPS.append(Group({k.replace("__", "."): v for k, v in goals.items()}, function))
        return function
    return register


def names() -> list[str]:
    return [name for g in GROUPS for name in g.goals]


def selected(patterns: Iterable[str]) -> list[str]:
    """The names that match any of the globs; ConfigError for a glob that matches none."""
    out = []
    for pattern in patterns:
        found = [name for name in names() if fnmatch(name, pattern)]
        if not found:
            raise ConfigError(f"--only: {pattern!r} must match a figure: {', '.join(names())}")
        out += [name for name in found if name not in out]
    return [name for name in names() if name in out]


def holds(value: float, goal: str) -> bool | None:
    """Whether a value meets a goal such as ``>= 0.965``; None for no goal."""
    if not goal:
        return None
    sign, limit = goal.split()
    return {">=": value >= float(limit), "<=": value <= float(limit),
            "==": value == float(limit)}[sign]


class Bench:
    """One run of the benchmarks; keeps what several groups share."""

    def __init__(self, note: Callable[[str], None], jobs: int = 2) -> None:
        self.note, self.jobs = note, jobs
        self._search: tuple[Run, dict] | None = None

    def run(self, wanted: list[str]) -> list[Figure]:
        """Measure the wanted figures, group by group."""
        out = []
        for g in GROUPS:
            if not set(wanted) & set(g.goals):
                continue
            self.note(f"measuring {', '.join(g.goals)}")
            for name, (value, detail) in g.measure(self).items():
                unit, goal = g.goals[name]
                if name in wanted:
                    out.append(Figure(name, value, unit, goal, holds(value, goal), detail))
        return out

    def search(self) -> tuple[Run, dict]:
        """``make search synth`` on the digits, in a new run directory and with an empty cache."""
        if self._search is None:
            run, cache = FOLDER / "search", FOLDER / "cache"
            for folder in (run, cache):
                rmtree(folder, ignore_errors=True)
            environment = os.environ | {"SPIKELOOM_CACHE": str(cache.resolve())}
            start = time.monotonic()
            for command in (["search", "--jobs", str(self.jobs)],
                            ["synth", "--board", "icebreaker"]):
                argv = [sys.executable, "-m", "spikeloom.flow.cli", command[0], "--run", str(run),
                        *command[1:], "--json"]
                done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    raise SpikeloomError(f"spikeloom {command[0]} failed with exit code "
                                         f"{done.returncode}; its messages stand above")
            seconds = time.monotonic() - start
            outcome = json.loads((run / "search.json").read_text())
            report = json.loads(done.stdout)["report"]
            self._search = Run.open(run), {**outcome, "wall": seconds, "report": report}
        return self._search


def shapes(graph: ir.Graph) -> ir.Graph:
    """The shape-stage graph of a trained one."""
    changes: dict = {}
    for dense, population in graph.layers:
        changes[dense.name] = {"weight": None, "bias": None, "lowering": None}
        changes[population.name] = {"v_bits": None}
    return graph.replace(**changes)


@group(search__trained=("candidates", ">= 200"), search__routed=("designs", ">= 8"),
       search__front=("points", ">= 5"), search__seconds=("s", "<= 600"))
def search(bench: Bench) -> dict:
    """The whole digits search and the synthesis of its choice."""
    _, outcome = bench.search()
    counts = outcome["counts"]
    routed = [f for f in outcome["finalists"] if f["status"] == "routed"]
    detail = "spikeloom search, then synth, empty build cache, defaults of examples/digits.toml"
    errors = [abs(f["estimate"]["lc"] / f["measured"]["lc"] - 1) for f in routed]
    return {
        "search.trained": (counts["candidates"], f"{detail}; distinct candidates, each "
                                                "trained as the experiment says"),
        "search.routed": (len(routed), "finalists that nextpnr placed and routed; mean absolute "
                                       f"error of predicted LCs {statistics.mean(errors):.3f}"),
        "search.front": (len(outcome["front"]), "non-dominated in validation accuracy and "
                                                "measured LCs"),
        "search.seconds": (outcome["wall"], f"{detail}; wall time of both commands"),
    }


@group(digits__test_accuracy=("fraction", ">= 0.965"), digits__test_accuracy_sd=("fraction", ""),
       digits__lc=("LCs", "<= 5280"), digits__fmax_mhz=("MHz", ">= 12"))
def digits(bench: Bench) -> dict:
    """The network that the digits search chooses, trained anew from several seeds."""
    from . import datasets
    from .train import TrainSettings, accuracy, train

    opened, outcome = bench.search()
    chosen = next(f for f in outcome["finalists"] if f["id"] == outcome["chosen"])
    data = datasets.load("digits")
    graph = shapes(opened.graph())
    trained = train([graph] * SEEDS, data.final, None, TrainSettings(epochs=60),
                    list(range(SEEDS)))
    right = [accuracy(item.graph, data.test) for item in trained]
    report = outcome["report"]
    where = f"{chosen['network']} on the {report['board']}, with its UART link"
    return {
        "digits.test_accuracy": (statistics.mean(right), f"{chosen['network']}; integer reference "
                                 f"model, {SEEDS} training seeds on train and validation, test "
                                 f"split of {len(data.test.labels)}: "
                                 + ", ".join(f"{value:.4f}" for value in right)),
        "digits.test_accuracy_sd": (statistics.stdev(right), f"over the {SEEDS} seeds"),
        "digits.lc": (report["lc"], f"nextpnr, {where}"),
        "digits.fmax_mhz": (report["fmax_mhz"], f"nextpnr, {where}"),
    }


@group(train__candidates_per_second=("1/s", ">= 6"), train__batch_speedup=("ratio", ">= 5"))
def training(bench: Bench) -> dict:
    """Candidates trained together, against one alone at its best thread count."""
    from .train import rate_benchmark

    found = rate_benchmark()
    detail = ("64-32-10, 40 epochs of the digits' train split; "
              + ", ".join(f"{key} {value:.3g}" for key, value in found.items()))
    return {f"train.{key}": (found[key], detail)
            for key in ("candidates_per_second", "batch_speedup")}


def uniform(sizes: tuple[int, ...], *, num_steps: int = 8, seed: int = 0) -> ir.Graph:
    """A chain with 4-bit weights uniform over all 15 values, L = 8, `stream` input."""
    rng = np.random.default_rng(seed)
    layers = [{
        "out_features": n_out, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
        "weight": rng.integers(-7, 8, (n_out, n_in)).astype(np.int16),
        "bias": rng.integers(-8, 9, n_out).astype(np.int32),
        "neuron": Lif(v_threshold=24, leak_shift=2),
    } for n_in, n_out in pairwise(sizes)]
    return ir.chain(shape=sizes[:1], encoder="stream", input_sng="ramp", layers=layers,
                    readout="membrane", num_steps=num_steps).verify()


@group(reference__digits_seconds=("s", "<= 0.5"))
def reference_model(bench: Bench) -> dict:
    """1,000 digits through 64-32-10 with T = 8."""
    from . import datasets

    p8 = datasets.load("digits").final.p8[:1000]
    graph = uniform((64, 32, 10))
    best = min(_timed(lambda: reference.run(graph, p8, trace=True)) for _ in range(3))
    return {"reference.digits_seconds": (best, "64-32-10, T = 8, 1,000 images in one batch, every "
                                               "membrane and spike kept; fastest of three")}


def _timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@group(spatial__lc_per_synapse=("LCs", "<= 2.0"), spatial__fmax_mhz=("MHz", ">= 45"))
def spatial(bench: Bench) -> dict:
    """64-32-10 with uniform weights on an HX8K, top level with link, encoder and all."""
    graph = compile_graph(uniform((64, 32, 10)))
    report = build.build_graph(graph, targets.board("ice40_hx8k_b_evn"), use_cache=False,
                               note=bench.note)
    synapses = 64 * 32 + 32 * 10
    detail = (f"64-32-10, weights uniform over 15 values, L = 8, HX8K with link: {report.lc} LCs, "
              f"seed {report.seed}, {report.router}")
    return {"spatial.lc_per_synapse": (report.lc / synapses, detail),
            "spatial.fmax_mhz": (report.fmax_mhz, detail)}


@group(cosim__images_equal=("images", ">= 100"), cosim__mismatches=("images", "<= 0"))
def cosim(bench: Bench) -> dict:
    """100 test images through the RTL of the trained 64-32-10 network, by its UART, in Icarus."""
    from . import datasets
    from .train import TrainSettings, train

    data = datasets.load("digits")
    graph = compile_graph(train([shapes(uniform((64, 32, 10)))], data.final, None,
                                TrainSettings(epochs=60), [0])[0].graph)
    images = data.test.p8[:100]
    wanted = reference.run(graph, images, trace=True)
    got, figures = rtl.simulate(graph, images, FOLDER / "cosim", note=bench.note)
    different = compare(wanted, got)
    compared = sum(a.size for a in (*wanted.v, *wanted.spikes))
    detail = (f"64-32-10 trained on digits, T = 8; {compared:,} membranes and spikes and all "
              f"scores compared, {figures['seconds']:.0f} s of simulation")
    return {"cosim.images_equal": (len(images) - len(different), detail),
            "cosim.mismatches": (len(different), detail)}


def save(figures: list[Figure], path: Path) -> None:
    """Write figures as a JSON list."""
    from ..flow.files import write_atomic

    write_atomic(path, json.dumps([asdict(f) for f in figures], indent=1) + "\n")
