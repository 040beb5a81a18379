"""spikeloom search: look for networks, train them, place and route the best, keep what was found.

Writes into the run directory: experiment.toml (the effective one), search.sqlite (everything paid
for), candidates/ID/ (finalists), search.json (the outcome), graph.safetensors and
samples.safetensors (the chosen network and the test images).
"""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table

from ...flow import config, tools
from ...flow.database import set_aside
from ...flow.errors import ConfigError, FitError, RunError
from ...flow.files import write_atomic
from ...flow.output import Output
from ...flow.run import Run
from .. import evaluate, finalists, pareto, workers
from ..evaluate import COLUMNS, Candidate, Task
from ..finalists import Finalist
from ..space import describe
from ..store import FILE, Store
from .progress import View

#: Keys that a resumed search may change: none of them touches what is stored.
MAY_CHANGE = {"search.generations", "search.routed", "search.final_epochs", "search.choose",
              "target.seed"}

#: Digits of an id that the table shows; --choose takes any unique beginning.
SHORT = 8


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT.toml",
                        help="what to search (default: the digits)")
    parser.add_argument("--resume", action="store_true", help="go on with the search of --run")
    parser.add_argument("--fresh", action="store_true",
                        help="start again; the old store is renamed, never deleted")
    parser.add_argument("--jobs", type=int, default=2, metavar="N",
                        help="processes that train and build (default: 2); does not change "
                             "the outcome")
    parser.add_argument("--board", help="target.board")
    parser.add_argument("--seed", help="search.seed")
    parser.add_argument("--choose", help="search.choose: a column (default: accuracy), or an id")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="change any key of the experiment (a TOML value)")


def run(args: Namespace, out: Output) -> None:
    if args.resume and args.fresh:
        raise ConfigError("--resume and --fresh exclude each other; choose one")
    if args.jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {args.jobs}")
    began = time.perf_counter()
    folder = Path(args.run)
    task = _resumed(args, folder) if args.resume else _begun(args, folder, out)
    write_atomic(Run.open(folder).experiment, config.to_toml(task.experiment))
    store_path = folder / FILE
    tools.prepare(["yosys", "nextpnr-ice40", "icepack"], out.note)
    seconds = {"setup": time.perf_counter() - began}
    with Store(store_path) as store:
        try:
            with workers.workers(args.jobs) as executor, View(task, out) as view:
                mark = time.perf_counter()
                rows, evaluator = evaluate.search(task, store, executor, on_batch=view.batch,
                                                  on_generation=view.generation)
                seconds["search"] = time.perf_counter() - mark
                mark = time.perf_counter()
                view.routing()
                found = finalists.Routing(task, store, executor, folder,
                                          on_finalist=view.finalist).run(rows)
                seconds["finalists"] = time.perf_counter() - mark
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{store.count()} trainings saved in {store_path}; go on with: "
                f"spikeloom search --run {folder} --resume") from None
    seconds["total"] = time.perf_counter() - began
    if not rows:
        raise FitError(f"{folder}: no network of the space meets the bounds "
                       f"({task.counts.priced} priced); widen [search.constraints] or [space], and "
                       "start again with --fresh")
    outcome = _outcome(task, rows, found, evaluator, seconds)
    write_atomic(folder / "search.json", json.dumps(outcome, indent=1) + "\n")
    chosen = finalists.choose(found, task.search.choose)
    outcome["chosen"] = chosen.id
    write_atomic(folder / "search.json", json.dumps(outcome, indent=1) + "\n")
    opened = Run.open(folder)
    opened.save_samples(task.data.test.inputs, task.data.test.labels)
    saved = folder / "candidates" / chosen.id / "graph.safetensors"
    write_atomic(opened.graph_file, saved.read_bytes())
    out.result({"run": str(folder), **outcome}, _table(task, found, chosen),
               *_summary(task, outcome, chosen, opened))


def _begun(args: Namespace, folder: Path, out: Output) -> Task:
    """The task of a new search, in a run directory that has none, or had (`--fresh`)."""
    source = args.experiment or "experiment"
    task = Task(config.load_experiment(args.experiment, _changes(args)), source)
    store = Run.create(folder).path / FILE
    if store.exists() and not args.fresh:
        raise RunError(f"{folder}: holds a search already; go on with it (--resume), start again "
                       "(--fresh), or use another --run")
    kept = set_aside(store)
    if kept:
        out.note(f"the old store is kept as {kept}")
    return task


def _resumed(args: Namespace, folder: Path) -> Task:
    """The task of a search begun earlier; what it was asked for must be the same."""
    opened = Run.open(folder)
    if not (folder / FILE).exists() or not opened.experiment.exists():
        raise RunError(f"{folder}: holds no search to go on with; leave --resume out to begin one")
    saved = Task(config.load_experiment(opened.experiment), str(opened.experiment))
    source = args.experiment or opened.experiment
    task = Task(config.load_experiment(source, _changes(args)), str(source))
    for (key, old), (_, new) in zip(_keys(saved), _keys(task)):
        if old != new and key not in MAY_CHANGE:
            raise RunError(f"{folder}: its search was begun with {key} = {old}, not {new}; "
                           "resume it unchanged, start again (--fresh), or use another --run")
    return task


def _keys(task: Task) -> list[tuple[str, object]]:
    plain = msgspec.to_builtins(task.experiment)
    plain["train"] = msgspec.to_builtins(task.settings)
    return [(f"{section}.{key}", value) for section, item in plain.items()
            for key, value in item.items()]


def _changes(args: Namespace) -> tuple[str, ...]:
    short = (("target.board", args.board), ("search.seed", args.seed),
             ("search.choose", args.choose))
    return (*(f"{key}={value}" for key, value in short if value is not None), *args.set)


def _outcome(task: Task, rows: Sequence[Candidate], found: Sequence[Finalist],
             evaluator: evaluate.Evaluator, seconds: dict[str, float]) -> dict:
    """Everything that search.json holds, plain values only."""
    F = task.F(row.columns for row in rows)
    reference = F.max(axis=0)
    generations = sorted({row.generation for row in rows})
    status = [item.status for item in found]
    return {
        "format": 1,
        "board": task.board.name,
        "device": task.device.name,
        "objectives": list(task.search.objectives),
        "seed": task.search.seed,
        "space_size": task.space.size(),
        "counts": {
            "priced": task.counts.priced, "refused": task.counts.refused,
            "candidates": len(rows), "trainings": evaluator.trained,
            "restored": evaluator.restored, "built": len(found),
            "routed": status.count("routed"), "over_full": status.count("over-full"),
            "failed": status.count("failed"),
        },
        "seconds": {key: round(value, 2) for key, value in seconds.items()},
        "front": [item.id for item in finalists.front(task, found)],
        "chosen": None,
        "finalists": [msgspec.to_builtins(item) for item in found],
        "prediction_error": finalists.errors(found),
        "estimated_front": [
            {"id": rows[i].id, "network": describe(rows[i].genome), **rows[i].columns}
            for i in pareto.front(F)],
        "hypervolume": [
            pareto.hypervolume(F[[row.generation <= n for row in rows]], reference)
            for n in generations],
        "test_accuracy_note": TEST_NOTE,
    }


TEST_NOTE = ("the search saw the train and validation splits only; finalists were trained on both "
             "together, and test accuracy was computed once, on the finalists' integer networks; "
             "the front pairs the search's validation accuracy with the cells of those networks")


def _table(task: Task, found: Sequence[Finalist], chosen: Finalist) -> Table:
    """All finalists, those of the measured front marked; predicted LCs beside measured ones."""
    best = {item.id for item in finalists.front(task, found)}
    table = Table(title=f"Measured on {task.board.title} ({task.device.name}, "
                        f"{task.board.clock_hz / 1e6:g} MHz); * Pareto front, > chosen, "
                        "~ an estimate", box=SIMPLE_HEAD, pad_edge=False)
    others = [name for name in COLUMNS if name not in ("accuracy", "zeros", "lc") and
              (name in task.search.objectives or name in task.search.constraints)]
    for title in ("", "id", "network", "valid.", "test", "zeros", "LCs", "~LCs", "error", "MHz",
                  *(("~" if name == "energy_nj" else "") + COLUMNS[name].title
                    for name in others)):
        text = title in ("", "id", "network")
        table.add_column(title, justify="left" if text else "right", no_wrap=title != "network",
                         overflow="fold")
    for item in sorted(found, key=lambda item: (item.measured is None,
                                                item.estimate.get("lc", 0)
                                                if item.measured is None
                                                else item.measured["lc"])):
        mark = ("*" if item.id in best else "") + (">" if item.id == chosen.id else "")
        words = [mark, item.id[:SHORT], item.network, f"{item.accuracy:.2%}"]
        if item.measured is None:
            words += ["-", _zeros(item), item.status, COLUMNS["lc"].text(item.estimate.get("lc")),
                      "-", "-"]
            words += ["-" for _ in others]
        else:
            lc, about = item.measured["lc"], item.estimate.get("lc")
            slow = "" if item.meets_clock else " slow"
            words += [f"{item.test_accuracy:.2%}", _zeros(item), f"{lc:,}",
                      COLUMNS["lc"].text(about), f"{(about - lc) / lc:+.1%}" if about else "-",
                      f"{item.fmax_mhz:.1f}{slow}"]
            words += [COLUMNS[name].text(item.measured[name]) for name in others]
        table.add_row(*words)
    return table


def _zeros(item: Finalist) -> str:
    """The share of its weights that are zero."""
    return f"{item.estimate['zeros']:.0%}"


def _summary(task: Task, outcome: dict, chosen: Finalist, opened: Run) -> list[str]:
    counts, seconds = outcome["counts"], outcome["seconds"]
    lines = [
        f"{counts['candidates']} candidates ({counts['trainings']} trainings, "
        f"{counts['restored']} more from the store) of {outcome['space_size']:,} networks; free "
        f"checks priced {counts['priced']:,} and refused {counts['refused']:,}",
        f"{counts['routed']} placed and routed ({counts['over_full']} over-full, "
        f"{counts['failed']} failed), {len(outcome['front'])} of them non-dominated; "
        f"{seconds['total']:.0f} s, {seconds['search']:.0f} of them for the search",
    ]
    error = outcome["prediction_error"]
    if error:
        lines.append(f"predicted against measured LCs: {error['mean']:+.1%} on average, "
                     f"{error['mean_absolute']:.1%} in absolute value, {error['worst']:+.1%} at "
                     "worst")
    lines += [
        f"note: {TEST_NOTE}",
        f"chosen by {task.search.choose}: {chosen.id}, {chosen.network}, in {opened.graph_file}",
    ]
    return lines
