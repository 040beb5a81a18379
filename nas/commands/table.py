"""``spikeloom table``: evaluations of runs as a file that answers searches, and what is in one."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from ...flow import config, plugins
from ...flow.errors import ConfigError, RunError, unknown
from ...flow.output import Output, counted
from ...flow.run import Run
from .. import tabular
from ..problem import problem
from ..store import FILE, Store
from ..tables import framed
from ..tabular import Table


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(WHAT)}")
    parser.add_argument("file", metavar="FILE", help="the file of JSON lines")
    parser.add_argument("runs", metavar="RUN", nargs="*",
                        help="of export: run directories of searches for the same problem "
                             "(default: that of --run)")


def run(args: Namespace, out: Output) -> None:
    if args.what not in WHAT:
        raise ConfigError(unknown("thing to do with a table", args.what, WHAT))
    WHAT[args.what](args, out)


def export(args: Namespace, out: Output) -> None:
    """Write all that searches have evaluated."""
    runs = args.runs or [args.run]
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise ConfigError(f"RUN must be different run directories, not {' '.join(runs)}")
    found, differs = of_run(Path(runs[0]), out), 0
    for name in runs[1:]:
        found, more = found.merged(of_run(Path(name), out), name)
        differs += more
    if not found.rows:
        raise RunError(f"{', '.join(runs)}: no evaluations yet; 'spikeloom search' makes them")
    found.save(Path(args.file))
    data = {"file": args.file, "runs": runs, "problem": found.problem,
            "networks": len(found.rows), "evaluations": found.evaluations, "differs": differs,
            "columns": found.columns, "seconds": found.seconds}
    lines = [_sentence(found)]
    if differs:
        lines.append(f"{counted(differs, 'evaluation')} came out differently in another run from "
                     "the same seed; those of the run that was named first are kept")
    out.result(data, *lines, args.file)


def of_run(folder: Path, out: Output) -> Table:
    """What a search has evaluated on images held out, in the settings of its experiment."""
    opened, store_path = Run.open(folder), folder / FILE
    if not (store_path.exists() and opened.experiment.exists()):
        raise RunError(f"{folder}: holds no search; 'spikeloom search' makes one")
    plugins.require(folder, out.note)
    task = problem(config.load_experiment(opened.experiment), str(opened.experiment))
    with Store(store_path) as store:
        evaluator = task.evaluator(store, None)
        counted_of = getattr(evaluator, "counted", lambda row: row)
        rows = [tabular.row_of(counted_of(row)) for row in store.evaluations(evaluator.key)]
    return Table(tabular.about(task, evaluator), rows)


def show(args: Namespace, out: Output) -> None:
    """Of which problem a file is, and what it has."""
    if args.runs:
        raise ConfigError(f"show must be given one FILE and no RUN, not {' '.join(args.runs)}")
    found, head = tabular.load(Path(args.file))
    sheet = framed("Columns", "column", "least", "median", "most", "without", left=("column",))
    for name in head.columns:
        values = sorted(row.columns[name] for each in found.rows.values() for row in each
                        if row.columns[name] is not None)
        ends = [f"{values[place]:.6g}" for place in (0, len(values) // 2, -1)] if values else [
            "-"] * 3
        sheet.add_row(name, *ends, f"{found.evaluations - len(values):,}")
    data = {"file": args.file, **msgspec.to_builtins(head), "seconds": found.seconds}
    out.result(data, _sentence(found), sheet, *_flat(msgspec.to_builtins(head.about)))


def _sentence(found: Table) -> str:
    data = found.about.data
    return (f"problem {found.problem}: {counted(len(found.rows), 'network')}, "
            f"{counted(found.evaluations, 'evaluation')} that took {found.seconds:,.1f} s, of "
            f"{data.name}, {data.train:,} train and {data.validation:,} validation images")


def _flat(about: dict, name: str = "") -> list[str]:
    """All that evaluations depend on, a line each."""
    lines = []
    for key, value in about.items():
        where = f"{name}.{key}".lstrip(".")
        lines += _flat(value, where) if isinstance(value, dict) and value else [
            f"{where} = {'not set' if value is None else config.toml_value(value)}"]
    return lines


WHAT = {"export": export, "show": show}
