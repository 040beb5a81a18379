"""``spikeloom bench``: this installation's figures, or measurements of networks of every kind."""

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from ...flow.errors import ConfigError, unknown
from ...flow.output import Output
from .. import bench

FILE = Path("build/bench.json")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", nargs="?", default="figures",
                        help="figures (default), into build/bench.json; characterise: place and "
                             "route networks of every kind for the store of measurements; "
                             "fronts: compare searches that differ in one thing; scores: train "
                             "small networks of cells, for scores to rank; or autosnn: search a "
                             "small space of blocks, and train its winner and others alone")
    parser.add_argument("--only", metavar="GLOB[,GLOB...]",
                        help="figures: just those whose names match: 'spatial.*,cosim.*'")
    parser.add_argument("--list", action="store_true",
                        help="figures: print the names, measure nothing")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--networks", type=int, metavar="N",
                        help="characterise: the first N of the layout (default: 141)")
    parser.add_argument("--spram", type=int, metavar="N",
                        help="characterise: N more with weights in SPRAM, for boards that have it "
                             "(default: 16)")
    parser.add_argument("--board", nargs="+", metavar="NAME",
                        help="characterise: for these boards (default: icebreaker "
                             "ice40_hx8k_b_evn)")
    parser.add_argument("--out", metavar="PATH",
                        help="characterise: a directory for what the cost model reads (default: "
                             "build/characterised); fronts, scores, autosnn: a file "
                             "(default: build/fronts/fronts.json, build/scores.json, "
                             "build/autosnn.json)")


def run(args: Namespace, out: Output) -> int:
    if args.what not in WHAT:
        raise ConfigError(unknown("thing to measure", args.what, WHAT))
    if args.jobs < 1:
        raise ConfigError(f"--jobs must be at least 1, not {args.jobs}")
    own = {"figures": ("only", "list"), "characterise": ("networks", "spram", "board", "out"),
           "fronts": ("out",), "scores": ("out",), "autosnn": ("out",)}
    for what, names in own.items():
        for name in names:
            if name not in own[args.what] and getattr(args, name) not in (None, False):
                raise ConfigError(f"--{name} must be left out of 'bench {args.what}'; it is an "
                                  f"option of 'bench {what}'")
    return WHAT[args.what](args, out)


def figures(args: Namespace, out: Output) -> int:
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
    missing = [name for name in wanted if name not in {figure.name for figure in found}]
    said = [f"not measured: {', '.join(missing)}"] if missing else []
    out.result({"figures": [asdict(f) for f in found], "missing": missing, "file": str(FILE)},
               table, *said, str(FILE))
    return 1 if missing and args.only else 0


def characterise(args: Namespace, out: Output) -> int:
    from . import characterise

    return characterise.run(args, out)


def fronts(args: Namespace, out: Output) -> int:
    from . import fronts

    return fronts.run(args, out)


def scores(args: Namespace, out: Output) -> int:
    from . import scores

    return scores.run(args, out)


def autosnn(args: Namespace, out: Output) -> int:
    from . import autosnn

    return autosnn.run(args, out)


WHAT = {"figures": figures, "characterise": characterise, "fronts": fronts, "scores": scores,
        "autosnn": autosnn}
