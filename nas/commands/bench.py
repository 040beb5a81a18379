"""``spikeloom bench``: measure this installation's figures into build/bench.json."""

from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from ...flow.errors import ConfigError
from .. import bench

FILE = Path("build/bench.json")


def configure(parser) -> None:
    parser.add_argument("--only", metavar="GLOB[,GLOB...]",
                        help="just the figures whose names match: 'spatial.*,cosim.*'")
    parser.add_argument("--list", action="store_true", help="print the names, measure nothing")
    parser.add_argument("--jobs", type=int, default=2, help="processes of the search (default: 2)")


def run(args, out) -> int:
    if args.jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {args.jobs}")
    wanted = bench.selected(args.only.split(",") if args.only else ["*"])
    if args.list:
        out.result({"names": wanted}, *wanted)
        return 0
    found = bench.Bench(out.note, args.jobs).run(wanted, FILE)
    table = Table("figure", "value", "unit", "goal", "holds")
    for figure in found:
        verdict = {True: "yes", False: "NO", None: ""}[figure.holds]
        value = f"{figure.value:,}" if isinstance(figure.value, int) else f"{figure.value:.4g}"
        table.add_row(figure.name, value, figure.unit, figure.goal, verdict)
    out.result({"figures": [asdict(f) for f in found], "file": str(FILE)}, table, str(FILE))
    return 0
