"""spikeloom search: look for networks, train them, measure those that matter, keep what was found.

Writes into the run directory: experiment.toml (the effective one), plugins.json (if there are any),
search.sqlite (everything paid for), candidates/ID/ (those placed and routed), search.json (the
outcome), graph.safetensors and samples.safetensors (the chosen network and the test images).
"""

import json
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from ...flow import config, plugins
from ...flow.database import set_aside
from ...flow.errors import ConfigError, FitError, RunError
from ...flow.files import write_atomic
from ...flow.output import Output, counted
from ...flow.run import Run
from ..loop import Search
from ..outcome import outcome
from ..problem import Problem, broken, problem
from ..space import describe
from ..store import FILE, Store
from . import scale
from .progress import View

#: Keys that a resumed search may change, and more that a problem names: none of them touches what
#: is stored.
MAY_CHANGE = {"search.generations", "search.routed", "search.final_epochs", "search.choose",
              "search.pnr_seeds", "search.confirm", "search.reference", "target.seed"}


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT.toml",
                        help="what to search (default: the digits)")
    parser.add_argument("--resume", action="store_true", help="go on with the search of --run")
    parser.add_argument("--fresh", action="store_true",
                        help="start again; the old store is renamed, never deleted")
    scale.add_arguments(parser)
    parser.add_argument("--board", help="target.board")
    parser.add_argument("--seed", help="search.seed")
    parser.add_argument("--choose", help="search.choose: a column (default: accuracy), or an id")
    parser.add_argument("--table", metavar="FILE",
                        help="search.table: evaluations that answer in place of training")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                        help="change any key of the experiment (a TOML value)")


def run(args: Namespace, out: Output) -> None:
    if args.resume and args.fresh:
        raise ConfigError("--resume and --fresh exclude each other; choose one")
    scale.check(args)
    began = time.perf_counter()
    folder = Path(args.run)
    task = _resumed(args, folder, out) if args.resume else _begun(args, folder, out)
    write_atomic(Run.open(folder).experiment, config.to_toml(task.experiment))
    plugins.record(folder)
    store_path = folder / FILE
    out.record(seeds=seeds_of(task), data=task.data)
    predictor = task.prepare(out.note)
    seconds = {"setup": time.perf_counter() - began}
    chosen = None
    # the workers first: where there are none, no search is begun that would have to be resumed
    with scale.executor(args, note=out.note) as executor, Store(store_path) as store:
        try:
            with View(task, out) as view:
                mark = time.perf_counter()
                search = Search(task, store, executor, folder, predictor=predictor,
                                on_batch=view.batch, note=view.note,
                                on_generation=view.generation, on_routed=view.routed).run()
                seconds["search"] = time.perf_counter() - mark
                if not search.rows and search.unknown:
                    raise RunError(f"{task.search.table}: has none of "
                                   f"{counted(len(search.unknown), 'network')} that "
                                   f"{task.search.strategy} asked for; export runs of a space like "
                                   "this one, or narrow this one, and start again with --fresh")
                if not search.rows:
                    raise FitError(f"{folder}: no network of the space meets the bounds "
                                   f"({task.counts.priced} priced{_nearest(task)}); widen "
                                   "[search.constraints] or [space], and start again with --fresh")
                _save(folder, outcome(search, None, seconds))
                mark = time.perf_counter()
                view.finishing()
                chosen, made = task.ending.finish(search, store, executor, folder)
                for build in store.builds():
                    out.record(tools=build.measurement.tools if build.measurement else {})
                seconds["final"] = time.perf_counter() - mark
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{store.count()} {task.ending.WORK} saved in {store_path}; go on with: "
                f"spikeloom search --run {folder} --resume") from None
    seconds["total"] = time.perf_counter() - began
    found = outcome(search, chosen, seconds)
    _save(folder, found)
    kept = task.ending.keep(search, chosen, made, Run.open(folder))
    out.result({"run": str(folder), **found}, *task.ending.tables(search, chosen),
               *task.ending.summary(search, found), *kept)


def seeds_of(task: Problem) -> dict[str, list[int]]:
    """For the manifest: of the search, from which those of trainings follow, and of the final
    builds, where there are any.
    """
    first, count = task.experiment.target.seed, getattr(task.search, "pnr_seeds", 0)
    built = {"place and route": list(range(first, first + count))} if count else {}
    return {"search": [task.search.seed], **built}


def _nearest(task: Problem) -> str:
    """The network that breaks the bounds least, and which of them it breaks."""
    genome = task.nearest()
    if genome is None:
        return ""
    return f"; the nearest is {describe(genome)}: {broken(task, task.free(genome)[0])}"


def _save(folder: Path, found: dict) -> None:
    write_atomic(folder / "search.json", json.dumps(found, indent=1) + "\n")


def _begun(args: Namespace, folder: Path, out: Output) -> Problem:
    """The task of a new search, in a run directory that has none, or had (`--fresh`)."""
    source = args.experiment or "experiment"
    task = problem(config.load_experiment(args.experiment, _changes(args)), source)
    store = Run.create(folder).path / FILE
    if store.exists() and not args.fresh:
        raise RunError(f"{folder}: holds a search already; go on with it (--resume), start again "
                       "(--fresh), or use another --run")
    for what, path in (("store", store), *(("folder", folder / name) for name in task.FOLDERS)):
        kept = set_aside(path)
        if kept:
            out.note(f"the old {what} is kept as {kept}")
    return task


def _resumed(args: Namespace, folder: Path, out: Output) -> Problem:
    """The task of a search begun earlier; what it was asked for must be the same."""
    opened = Run.open(folder)
    if not (folder / FILE).exists() or not opened.experiment.exists():
        raise RunError(f"{folder}: holds no search to go on with; leave --resume out to begin one")
    plugins.require(folder, out.note)
    saved = problem(config.load_experiment(opened.experiment), str(opened.experiment))
    source = args.experiment or opened.experiment
    task = problem(config.load_experiment(source, _changes(args)), str(source))
    allowed = MAY_CHANGE | task.may_change if saved.ending == task.ending else set()
    check_same(folder, saved.experiment, task.experiment, allowed)
    return task


def check_same(folder: Path, saved: config.Experiment, found: config.Experiment,
               may_change: set[str]) -> None:
    """Raise RunError if what a search is resumed with is not what it was begun with."""
    was, now = dict(_keys(saved)), dict(_keys(found))
    for key in was | now:
        old, new = was.get(key, "not set"), now.get(key, "not set")
        if old != new and key not in may_change:
            raise RunError(f"{folder}: its search was begun with {key} = {old}, not {new}; "
                           "resume it unchanged, start again (--fresh), or use another --run")


def _keys(experiment: config.Experiment) -> list[tuple[str, object]]:
    return [(f"{section}.{key}", value)
            for section, item in msgspec.to_builtins(experiment).items()
            for key, value in item.items()]


def _changes(args: Namespace) -> tuple[str, ...]:
    short = (("target.board", args.board), ("search.seed", args.seed),
             ("search.choose", args.choose),
             ("search.table", args.table and config.toml_value(args.table)))
    return (*(f"{key}={value}" for key, value in short if value is not None), *args.set)
