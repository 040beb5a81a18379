"""``spikeloom score NAME --cells TEXT ...``: what a score says of networks of cells.

Nothing is trained, and nothing is kept.
"""

import math
import statistics
import time
from argparse import ArgumentParser, Namespace

import msgspec
from msgspec import structs
from rich.table import Table

from ...flow.config import key_value
from ...flow.errors import ConfigError
from ...flow.output import Output, counted
from .. import datasets, scores
from ..cells import named, options
from ..cells.cell import Cell
from ..cells.pixels import maps

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


def run(args: Namespace, out: Output) -> None:
    kind = scores.load(args.name)
    if len(args.seed) > MOST_SEEDS or not all(0 <= seed < 1 << 31 for seed in args.seed):
        raise ConfigError(f"--seed must be 1..{MOST_SEEDS:,} numbers in 0..{(1 << 31) - 1}, not "
                          f"{' '.join(map(str, args.seed[:5]))}")
    networks = [named.cells_by(text) for text in args.cells]
    data = datasets.load(args.data)
    macro = options.macro(args, data, "score", data.shape[-1])
    for cells in networks:
        macro.all_of(cells)
    images = maps(data.train.inputs, macro)
    settings = dict(key_value(text, "batch_size=32") for text in args.set)
    found = [[] for _ in networks]
    began = time.perf_counter()
    for seed in args.seed:
        score = kind(macro, images, seed=seed, **settings)
        for values, cells in zip(found, networks):
            values.append(score.score(cells))
    seconds = (time.perf_counter() - began) / (len(networks) * len(args.seed))
    _print(args, out, kind, score, networks, found, seconds)


def _print(args: Namespace, out: Output, kind: type, score, networks: list[tuple[Cell, ...]],
           found: list[list[float]], seconds: float) -> None:
    macro, settings = score.macro, getattr(score, "settings", None)
    several = len(args.seed) > 1
    table = Table("cells", "weights", args.name, title=kind.WHAT, title_justify="left")
    if several:
        table.add_column("sd over seeds")
    rows = []
    for cells, values in zip(networks, found):
        text = ",".join(map(str, cells))
        has = not any(map(math.isnan, values))
        mean = statistics.mean(values) if has else None
        sd = statistics.stdev(values) if several and has else None
        weights = macro.weights(cells)
        shown = "none: nothing gets through, or all images fire alike" if mean is None else \
            f"{mean:,.4f}"
        table.add_row(text, f"{weights:,}", shown,
                      *([f"{sd:.4f}" if has else ""] if several else []))
        rows.append({"cells": text, "weights": weights, "mean": mean, "sd": sd,
                     "scores": [None if math.isnan(value) else value for value in values]})
    plain = msgspec.to_builtins(settings) if settings else {}
    data = {"score": args.name, "data": args.data, "seeds": args.seed, "settings": plain,
            "macro": structs.asdict(macro), "networks": rows, "seconds": seconds}
    out.result(data, table, (
        f"{args.data}, {macro.channels} channels, {macro.image_size} x {macro.image_size}, "
        f"{counted(macro.num_steps, 'timestep')}"
        + "".join(f", {key} {value}" for key, value in plain.items())
        + f"; {counted(len(args.seed), 'seed')}, {seconds:.3f} s a score"))
