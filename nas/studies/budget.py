"""Searches for cells with and without a limit of weights: what the limit costs, and if it holds.

As R. V. W. Putra and M. Shafique do in "SpikeNAS", 2024: weights are counted before a network is
scored, so what is too large costs nothing.
"""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from ...flow.errors import ConfigError
from ...flow.output import Output, counted
from .. import published
from ..cells import trials
from ..cells.cell import OPERATIONS
from ..cells.trials import Trials
from ..pictures import MOST_LINES, Dots, Scatter
from ..study import Sheet, keep

WHAT = "searches for cells with and without a limit of weights"
COLUMNS = (("strategy", ""), ("limit", ",.0f"), ("score", ".3f"), ("sd", ".3f"),
           ("weights", ",.0f"), ("most weights", ",.0f"), ("evaluations", ",.0f"),
           ("distinct", ",.0f"), ("refused", ",.0f"), ("seconds", ".1f"), ("limit met", ""),
           ("accuracy", ".2%"), ("accuracy sd", ".2%"))
#: Of what lies between the smallest and the largest network.
SHARES = (0.25, 0.5, 0.75)


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    trials.configure(parser, data="cifar10-small")
    add("--strategies", default="random,spikenas", metavar="NAME[,NAME...]",
        help="that search (default: %(default)s)")
    add("--limits", metavar="N[,N...]",
        help="most weights of the convolutions, as in 0.2e6,1e6 (default: a quarter, a half and "
             "three quarters of the way from the smallest network to the largest)")
    add("--operations", default=",".join(OPERATIONS[:5]), metavar="NAME[,NAME...]",
        help="of the space; spikenas and neuronas try those of them that they are published with "
             "(default: %(default)s)")
    add("--evaluations", type=int, default=80, metavar="N",
        help="of a search that does not end by itself (default: %(default)s)")
    trials.configure_search(parser)
    trials.configure_training(parser)


def run(args: Namespace, out: Output) -> int:
    seeds, count = trials.seeds(args), trials.evaluations(args)
    strategies = trials.split(args.strategies, "--strategies", "strategies")
    if len(strategies) > MOST_LINES:
        raise ConfigError(f"--strategies must be at most {MOST_LINES}, not {len(strategies)}")
    operations = trials.split(args.operations, "--operations", "operations")
    bed = trials.trials(args, args.data)
    limits = _limits(args.limits, bed, operations)
    places = [(name, limit, seed) for name in strategies for limit in (None, *limits)
              for seed in seeds]
    keys = [bed.search(name, operations, count, seed, limit=limit)
            for name, limit, seed in places]
    folder, points = trials.begun(args, "budget")
    searched = trials.measured(points, keys, trials.searched, "searching", args, out)
    found = dict(zip(places, searched))
    accuracies: dict[tuple, float | None] = {}
    if args.train:
        todo = {place: bed.train(item["cells"], place[2]) for place, item in found.items()
                if item["cells"]}
        done = trials.measured(points, list(todo.values()), trials.trained, "training", args, out)
        accuracies = {place: item["accuracy"] for place, item in zip(todo, done)}
    rows = [_row(name, limit, [found[name, limit, k] for k in seeds],
                 [accuracies.get((name, limit, k)) for k in seeds])
            for name in strategies for limit in (None, *limits)]
    columns = COLUMNS if args.train else COLUMNS[:-2]
    sheets = [Sheet("budget", "Limits of weights: the best of a search, mean over "
                    f"{counted(args.seeds, 'seed')}, by {args.score}", columns,
                    tuple(row[:len(columns)] for row in rows)),
              published.sheet("budget")]
    title = f"Searches with a limit of weights: {bed.sizes}, {counted(args.seeds, 'seed')}"
    if args.train:
        title += f"; {bed.recipe}"
    values = {"score": {place: item["score"] for place, item in found.items()}}
    if args.train:
        values["accuracy"] = accuracies
    panels = [Scatter(f"the best of each search, by {measure}", "weights of the convolutions",
                      tuple(_dots(name, found, own) for name in strategies),
                      percent=measure == "accuracy", y_label=measure, marks=tuple(limits))
              for measure, own in values.items()]
    files = [str(points.path), *keep(folder, "budget", sheets, panels, title, "")]
    data = {"limits": limits, "searches": sheets[0].plain(), "published": sheets[1].plain(),
            "best": [{"strategy": name, "limit": limit, "seed": seed, "cells": item["cells"]}
                     for (name, limit, seed), item in found.items()],
            "measured": points.measured, "files": files}
    out.result(data, *(sheet.text() for sheet in sheets), title, *files)
    return 0


def _limits(text: str | None, bed: Trials, operations: Sequence[str]) -> list[float]:
    """What is asked for, or a few limits between the smallest network and the largest."""
    if text is None:
        low, high = trials.bounds(bed.macro, operations)
        return sorted({float(f"{low + share * (high - low):.2g}") for share in SHARES})
    rule = f"--limits must be different numbers of weights, at least 1, not {text!r}"
    try:
        found = [float(word) for word in trials.split(text, "--limits", "numbers of weights")]
    except ValueError as error:
        raise ConfigError(rule) from error
    if len(set(found)) < len(found) or not all(1 <= limit < math.inf for limit in found):
        raise ConfigError(rule)
    return sorted(found)


def _row(name: str, limit: float | None, found: Sequence[dict],
         accuracies: Sequence[float | None]) -> tuple:
    """Means over seeds; `limit met` is of all of them."""
    weights = [item["weights"] for item in found]
    most = max((value for value in weights if value is not None), default=None)
    score, sd = trials.spread([item["score"] for item in found])
    counts = [trials.spread([item[key] for item in found])[0]
              for key in ("evaluations", "distinct", "refused", "seconds")]
    met = None if limit is None else all(item["met"] for item in found)
    return (name, limit, score, sd, trials.spread(weights)[0], most, *counts, met,
            *trials.spread(accuracies))


def _dots(name: str, found: dict[tuple, dict], values: dict[tuple, float | None]) -> Dots:
    own = [(item["weights"], values.get(place)) for place, item in found.items()
           if place[0] == name and item["cells"] and values.get(place) is not None]
    return Dots(name, tuple(x for x, _ in own), tuple(y for _, y in own))
