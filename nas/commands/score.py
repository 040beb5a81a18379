"""``spikeloom score NAME --cells TEXT ...``: what a score says of networks of cells.

Nothing is kept, and but for short trainings nothing is trained. A score is computed on one thread,
so that it is the same wherever that is.
"""

import statistics
from argparse import ArgumentParser, Namespace
from concurrent.futures import as_completed
from contextlib import nullcontext

import msgspec
from msgspec import Struct, structs
from rich.table import Table

from ...flow.config import key_value
from ...flow.errors import ConfigError
from ...flow.output import Output, counted
from .. import datasets, scores
from ..cells import named, options, scoring
from ..cells.cell import Cell
from ..cells.macro import Macro
from ..cells.pixels import maps
from ..cells.trials import Here
from . import scale

#: Sizes by options; small enough for a tenth of a second, and large enough to rank as well.
DEFAULTS = {"channels": 8, "cells": 2, "num_steps": 3, "hidden": 1024, "voters": 10}
MOST_SEEDS = 1000


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help=f"the score: {', '.join(scores.names())}")
    add("--cells", action="append", required=True, metavar="TEXT[,TEXT...]",
        help="a network: one cell for all places, or one for each, as in '3|01|2~34' (numbers of "
             "operations, a node's edges between |), a published one by name ("
             f"{', '.join(named.published())}) or RUN:ID; again for more networks")
    add("--data", default="digits", metavar="NAME",
        help="training images of this data set (default: %(default)s)")
    options.configure(parser, DEFAULTS, "as they are")
    add("--seed", type=int, nargs="+", default=[0], metavar="N",
        help="of the random weights; several show the spread (default: 0)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of the score, such as batch_size=32")
    scale.add_arguments(parser, "this one")


def run(args: Namespace, out: Output) -> None:
    scale.check(args)
    kind = scores.load(args.name)
    if len(args.seed) > MOST_SEEDS or not all(0 <= seed < 1 << 31 for seed in args.seed):
        raise ConfigError(f"--seed must be 1..{MOST_SEEDS:,} numbers in 0..{(1 << 31) - 1}, not "
                          f"{' '.join(map(str, args.seed[:5]))}")
    networks = [named.cells_by(text) for text in args.cells]
    data = datasets.load(args.data)
    macro = options.macro(args, data, "score", data.shape[-1])
    for cells in networks:
        macro.all_of(cells)
    given = dict(key_value(text, "batch_size=32") for text in args.set)
    settings = scores.settled(kind, given)
    count = scores.needed(settings) or (1 if issubclass(kind, scores.ClosedForm) else None)
    images, labels = maps(data.train.inputs[:count], macro), data.train.labels[:count]
    jobs = [(seed, cells) for seed in args.seed for cells in networks]
    spread = args.workers is not None or args.cluster is not None
    found: list[tuple[float | None, float]] = [(None, 0.0)] * len(jobs)
    with (scale.executor(args, "run the same command again", out.note) if spread else
          nullcontext(Here())) as executor, out.progress.status("scoring") as status:
        running = {executor.submit(scoring.scored, args.name, given, macro, images, labels, seed,
                                   list(map(str, cells))): place
                   for place, (seed, cells) in enumerate(jobs)}
        for done, future in enumerate(as_completed(running), 1):
            found[running[future]] = future.result()
            status.update(f"scoring {done}/{len(jobs)}")
    values = [[found[k][0] for k in range(place, len(jobs), len(networks))]
              for place in range(len(networks))]
    _print(args, out, macro, settings, networks, values,
           statistics.mean(seconds for _, seconds in found))


def _print(args: Namespace, out: Output, macro: Macro, settings: Struct,
           networks: list[tuple[Cell, ...]], found: list[list[float | None]], seconds: float
           ) -> None:
    kind = scores.load(args.name)
    several = len(args.seed) > 1
    table = Table("cells", "weights", args.name, title=kind.WHAT, title_justify="left")
    if several:
        table.add_column("sd over seeds")
    rows = []
    for cells, values in zip(networks, found):
        text = ",".join(map(str, cells))
        has = None not in values
        mean = statistics.mean(values) if has else None
        sd = statistics.stdev(values) if several and has else None
        weights = macro.weights(cells)
        shown = "none: nothing gets through, or all images fire alike" if mean is None else \
            f"{mean:,.4f}"
        table.add_row(text, f"{weights:,}", shown,
                      *([f"{sd:.4f}" if has else ""] if several else []))
        rows.append({"cells": text, "weights": weights, "mean": mean, "sd": sd,
                     "scores": values})
    plain = msgspec.to_builtins(settings)
    data = {"score": args.name, "data": args.data, "seeds": args.seed, "settings": plain,
            "macro": structs.asdict(macro), "networks": rows, "seconds": seconds}
    out.result(data, table, (
        f"{args.data}, {macro.channels} channels, {macro.image_size} x {macro.image_size}, "
        f"{counted(macro.num_steps, 'timestep')}"
        + "".join(f", {key} {value}" for key, value in plain.items())
        + f"; {counted(len(args.seed), 'seed')}, {seconds:.3f} s a score"))
