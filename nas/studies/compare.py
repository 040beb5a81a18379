"""Strategies beside one another on one problem, at equal evaluations and at equal seconds.

Each strategy searches from the same seeds, which also are those of the evaluations, so that values
of a seed are paired. What is compared is the best so far on validation images, or by scores and
closed forms; test images are for no study, and nothing is placed and routed.
"""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import msgspec

from ...flow import config
from ...flow.errors import ConfigError, unknown
from ...flow.output import Output, counted
from .. import anytime, tabular
from ..answers import tabular_evaluator
from ..anytime import HYPERVOLUME, Measure, Trace
from ..cells import asked, trials
from ..comparison import Comparison
from ..pictures import MOST_LINES
from ..problem import Problem, problem
from ..study import keep

WHAT = "strategies at equal evaluations and at equal seconds, with tests of pairs"
#: All that was evaluated, as a table.
_TABLE = "table.jsonl"


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("experiment", nargs="?", metavar="EXPERIMENT.toml",
        help="what is searched (default: the digits)")
    add("--strategies", default="random,regularised_evolution,nsga2", metavar="NAME[,NAME...]",
        help="that search (default: %(default)s)")
    add("--seeds", default="5", metavar="N or N,N[,...]",
        help="0..N-1, or those of a list (default: %(default)s)")
    add("--evaluations", type=int, default=100, metavar="N",
        help="of every search (default: %(default)s)")
    add("--budget", type=float, metavar="SECONDS",
        help="process time of every search (default: the least that any took for its evaluations)")
    add("--by", metavar="NAME",
        help=f"a column of the objectives or of search.choose, or {HYPERVOLUME} (default: the "
             f"objective, {HYPERVOLUME} where there are several)")
    add("--table", metavar="FILE",
        help="evaluations that answer in place of training (search.table); seconds are those that "
             "they took when they were made")
    add("--option", action="append", default=[], metavar="STRATEGY.KEY=VALUE",
        help="an option of a strategy, such as regularised_evolution.alive=20; again for more")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="change any key of the experiment (a TOML value)")
    add("--workers", "--jobs", dest="jobs", type=int, default=1, metavar="N",
        help="searches that run at once, each on one core (default: %(default)s)")


def run(args: Namespace, out: Output) -> int:
    strategies, seeds = _strategies(args), _seeds(args.seeds)
    _check(args)
    experiments = [_with(args, strategies, name) for name in strategies]
    first = problem(_from(experiments[0], seeds[0]), args.experiment or "experiment")
    by = _by(args.by, first)
    table = Path(args.table or first.search.table) if args.table or first.search.table else None
    if table is None:
        first.check_repeatable(args.experiment or "experiment")
    digest = None
    if table is not None:
        tabular_evaluator(first, table)
        digest = tabular.load(table)[1].sha256
    places = list(product(strategies, seeds))
    keys = [_key(_from(experiment, seed), args, first.data.digest, digest)
            for experiment in experiments for seed in seeds]
    folder, points = trials.begun(args, "compare")
    measure = partial(anytime.searched, table=table, folder=folder / "tables")
    done = trials.measured(points, keys, measure, "searching", args, out)
    traces = dict(zip(places, msgspec.convert(done, list[Trace])))
    found = Comparison(Measure(first, by, list(traces.values())), traces, strategies, seeds,
                       args.evaluations, args.budget)
    sheets = found.sheets()
    what = f"{first.data.name}, {counted(len(seeds), 'seed')}, best so far by {found.measure.title}"
    title = f"Searches of {what}: median and quartiles"
    files = [str(points.path), *keep(folder, "compare", sheets, found.panels(), title,
                                     found.measure.title)]
    notes = found.notes(table is not None)
    if table is None:
        files += _all_of(keys, folder, notes)
    else:
        notes.append(f"{table} has {counted(len(first.table.table.rows), 'network')}; "
                     f"{sum(trace.unknown for trace in traces.values()):,} times a search asked "
                     "for another one and was told that it breaks the limits, at no cost")
    shown, kept = sheets[:2], sheets[2:]
    data = {"by": by, "evaluations": args.evaluations, "seconds": found.seconds,
            "strategies": strategies, "seeds": seeds,
            **{sheet.name: sheet.plain() for sheet in (*shown, *kept)}, "notes": notes,
            "table": table and str(table), "measured": points.measured, "files": files}
    out.result(data, *(sheet.text() for sheet in shown), *notes, *files)
    return 0


def _strategies(args: Namespace) -> list[str]:
    found = asked.split(args.strategies, "--strategies", "strategies")
    if len(found) > MOST_LINES:
        raise ConfigError(f"--strategies must be at most {MOST_LINES}, not {len(found)}")
    return found


def _seeds(text: str) -> list[int]:
    """How many, or which; none of them twice, as the same search again tells nothing."""
    rule = (f"--seeds must be a number in 1..{asked.MOST_SEEDS}, or different seeds in 0..2**31-1 "
            f"with commas between them, not {text!r}")
    try:
        found = [int(word) for word in text.split(",") if word.strip()]
    except ValueError as error:
        raise ConfigError(rule) from error
    if "," not in text and found:
        found = list(range(min(found[0], asked.MOST_SEEDS + 1)))
    twice = [seed for place, seed in enumerate(found) if seed in found[:place]]
    if twice:
        raise ConfigError(f"{rule}, which has {twice[0]} twice")
    if not 1 <= len(found) <= asked.MOST_SEEDS or not all(0 <= seed < 1 << 31 for seed in found):
        raise ConfigError(rule)
    return found


def _check(args: Namespace) -> None:
    if not 1 <= args.evaluations <= anytime.MOST:
        raise ConfigError(f"--evaluations must be in 1..{anytime.MOST:,}, not {args.evaluations}")
    if args.budget is not None and not 0 < args.budget < math.inf:
        raise ConfigError(f"--budget must be seconds above 0, not {args.budget:g}")
    if args.jobs < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.jobs}")


def _with(args: Namespace, strategies: Sequence[str], strategy: str) -> config.Experiment:
    """The experiment with another strategy, checked; the options in it are of its own alone."""
    source = args.experiment or "experiment"
    experiment = config.load_experiment(args.experiment, tuple(args.set))
    options = dict(experiment.search.options) if experiment.search.strategy == strategy else {}
    for text in args.option:
        name, key, value = config.change(text, "--option", "STRATEGY.KEY=VALUE")
        if name not in strategies:
            raise ConfigError("--option: " + unknown("strategy", name, strategies))
        if name == strategy:
            options[key] = value
    made = msgspec.structs.replace(experiment, search=msgspec.structs.replace(
        experiment.search, strategy=strategy, options=options))
    problem(made, source)
    return made


def _from(experiment: config.Experiment, seed: int) -> config.Experiment:
    return msgspec.structs.replace(
        experiment, search=msgspec.structs.replace(experiment.search, seed=seed))


def _by(name: str | None, task: Problem) -> str:
    known = anytime.traced(task)
    several = len(task.search.objectives) > 1
    found = name or (HYPERVOLUME if several else known[0])
    if found not in (*known, HYPERVOLUME):
        raise ConfigError("--by: " + unknown("measure", found, (*known, HYPERVOLUME)))
    return found


def _key(experiment: config.Experiment, args: Namespace, data: str, table: str | None) -> dict:
    """All that one search depends on; generations are as many as it takes."""
    plain = msgspec.to_builtins(experiment)
    plain["search"] = {key: value for key, value in plain["search"].items()
                       if key not in ("generations", "table")}
    return {"experiment": plain, "data": data, "table": table, "evaluations": args.evaluations,
            "seconds": args.budget}


def _all_of(keys: Sequence[dict], folder: Path, notes: list[str]) -> list[str]:
    """Write what all searches have evaluated as one table."""
    found, differs = None, 0
    for key in keys:
        path = anytime.part(folder / "tables", key)
        if not path.exists():
            notes.append(f"{path} is missing, so {_TABLE} lacks what that search evaluated")
            continue
        more, _ = tabular.load(path)
        found, again = (more, 0) if found is None else found.merged(more, str(path))
        differs += again
    if found is None:
        return []
    found.save(folder / _TABLE)
    notes.append(f"{counted(len(found.rows), 'network')}, of "
                 f"{counted(found.evaluations, 'evaluation')}, are in {_TABLE}, which answers "
                 "searches in place of training (--table)"
                 + (f"; {differs} came out differently in another search" if differs else ""))
    return [str(folder / _TABLE)]
