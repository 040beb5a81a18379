"""``spikeloom store``: measurements to a file of JSON lines, and from files of other machines."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from .. import store_options
from ..cost.measured import Measurement
from ..cost.salvage import open_store, read_store
from ..cost.store import Line, MeasurementStore, default_path, read_lines
from ..errors import ConfigError, RunError, unknown
from ..files import write_atomic
from ..output import Output, counted
from .show_store import FILLED_BY


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(WHAT)}")
    parser.add_argument("files", metavar="FILE", nargs="+",
                        help="file of JSON lines, '-' for standard output or input; import takes "
                             "several, and adds all of them or none")
    store_options.add_arguments(parser)


def run(args: Namespace, out: Output) -> None:
    if args.what not in WHAT:
        raise ConfigError(unknown("thing to do with a store", args.what, WHAT))
    WHAT[args.what](args, out)


def export(args: Namespace, out: Output) -> None:
    """Write the measurements that the options select, with their networks."""
    if len(args.files) > 1:
        raise ConfigError(f"export must be given one FILE, not {len(args.files)}; filters are "
                          "options, as --board")
    file, = args.files
    if file == "-" and args.json:
        raise ConfigError("--json must be left out where FILE is '-', which are JSON lines already")
    with read_store(store_options.path(args)) as store:
        if store is None:
            where = store_options.path(args) or default_path()
            raise RunError(f"{where}: no measurements yet; {FILLED_BY}")
        items = store.select(**store_options.wanted(args, store))
        lines = list(store.lines(items))
        path = str(store.path)
    text = "".join(f"{line}\n" for line in lines)
    networks = len(lines) - len(items)
    done = f"{counted(len(items), 'measurement')} with {counted(networks, 'network')}"
    if file == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        out.note(done)
        return
    write_atomic(Path(file), text)
    out.result({"store": path, "file": file, "measurements": len(items), "networks": networks},
               done, file)


def add(args: Namespace, out: Output) -> None:
    """Merge files that `export` wrote on this machine or another."""
    for name in ("board", "device", "lowering", "status"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} must be left out of import, which adds all of a file; "
                              "export selects")
    lines = [line for file in args.files for line in _read(file)]
    with open_store(store_options.path(args), out.note) as store:
        merged = store.merge(lines)
        for item in merged.differs:
            out.note(_difference(store, item))
        total = store.count()
    counts = {"added": len(merged.added), "known": len(merged.known),
              "differs": len(merged.differs)}
    out.result({"store": str(store.path), "files": args.files, **counts, "stored": total,
                "other": [msgspec.to_builtins(item) for item in merged.differs]},
               f"{counts['added']:,} added, {counts['known']:,} known already, "
               f"{counts['differs']:,} differ; {total:,} are stored now", str(store.path))


def _read(file: str) -> list[Line]:
    if file == "-":
        return read_lines(sys.stdin.buffer, "standard input")
    try:
        with open(file, "rb") as source:
            return read_lines(source, file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); 'spikeloom store export' "
                          "writes such a file") from error


def _difference(store: MeasurementStore, item: Measurement) -> str:
    """What is here and what came, of one plan and the same tools."""
    return (f"network {item.network[:8]} on {item.board}, seed {item.seed}, plan {item.plan[:8]}: "
            f"{_numbers(item)} came, {_numbers(store.find(item))} is kept; the same tools should "
            "agree")


def _numbers(item: Measurement) -> str:
    clock = "" if item.fmax_mhz is None else f" at {item.fmax_mhz:.2f} MHz"
    return f"{item.status} with {item.lc:,} LCs{clock}"


WHAT = {"export": export, "import": add}
