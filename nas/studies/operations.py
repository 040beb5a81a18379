"""Which operations of cells a search needs: each is left out in turn, and all is searched again.

R. V. W. Putra and M. Shafique do so in "SpikeNAS", 2024, and in "NeuroNAS", 2024, and put larger
kernels in the place of the 3x3 convolution. An operation is the more significant the more is lost
without it.
"""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...flow.errors import ConfigError, unknown
from ...flow.output import Output, counted
from .. import published, ranking
from ..cells import asked, trials
from ..cells.cell import OPERATIONS
from ..cells.trials import Trials
from ..pictures import Bars, Line
from ..study import Points, Sheet, keep

WHAT = "what a search for cells loses without each of its operations"
REPLACED, LARGER = "conv3x3", ("conv5x5", "conv7x7")
ALL = "all"
SETS = (("data", ""), ("set", ""), ("score", ".3f"), ("sd", ".3f"), ("change", "+.3f"),
        ("change sd", ".3f"), ("weights", ",.0f"), ("evaluations", ",.0f"), ("seconds", ".1f"),
        ("accuracy", ".2%"), ("accuracy sd", ".2%"), ("accuracy change", "+.2%"))
AGREEMENT = (("by", ""), ("between", ""), ("and", ""), ("operations", "d"), ("tau", ".3f"),
             ("low", ".3f"), ("high", ".3f"))


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    asked.configure(parser, data="cifar10-small,digits", several=True, seeds=5)
    add("--operations", default=",".join(OPERATIONS[:5]), metavar="NAME[,NAME...]",
        help="the full set (default: %(default)s)")
    add("--replace", action="store_true",
        help=f"also put {' and '.join(LARGER)} in the place of {REPLACED}")
    add("--strategy", default="random", metavar="NAME",
        help="that searches each set: random, spikenas, ... (default: %(default)s)")
    add("--evaluations", type=int, default=60, metavar="N",
        help="of a search, where it does not end by itself (default: %(default)s)")
    asked.configure_search(parser)
    asked.configure_training(parser)


@dataclass(frozen=True)
class Found:
    """One set of operations on one data set: what its searches found, seed by seed.

    A score is minus infinity where there is no network at all.
    """

    cells: list[list[str] | None]
    score: list[float]
    weights: list[float | None]
    evaluations: list[float]
    seconds: list[float]
    accuracy: list[float | None]

    def values(self, measure: str) -> list[float]:
        return [-math.inf if value is None else value for value in getattr(self, measure)]


def run(args: Namespace, out: Output) -> int:
    seeds, count = asked.seeds(args), asked.evaluations(args)
    sets = _sets(args)
    beds = [trials.trials(args, name) for name in asked.split(args.data, "--data", "data sets")]
    keys = [bed.search(args.strategy, names, count, seed, chosen=_options(args.strategy, names))
            for bed in beds for names in sets.values() for seed in seeds]
    folder, points = trials.begun(args, "operations")
    searched = trials.measured(points, keys, trials.searched, "searching", args, out)
    places = [(bed, name, k) for bed in beds for name in sets for k in seeds]
    accuracies: dict[tuple, float | None] = {}
    if args.train:
        todo = {place: place[0].train(item["cells"], place[2])
                for place, item in zip(places, searched) if item["cells"]}
        done = trials.measured(points, list(todo.values()), trials.trained, "training", args, out)
        accuracies = {(bed.data.name, *rest): item["accuracy"]
                      for (bed, *rest), item in zip(todo, done)}
    found: dict[str, dict[str, Found]] = {}
    for (bed, name, seed), item in zip(places, searched):
        own = found.setdefault(bed.data.name, {}).setdefault(
            name, Found([], [], [], [], [], []))
        own.cells.append(item["cells"])
        own.score.append(-math.inf if item["score"] is None else item["score"])
        for key in ("weights", "evaluations", "seconds"):
            getattr(own, key).append(item[key])
        own.accuracy.append(accuracies.get((bed.data.name, name, seed)))
    _end(args, out, folder, points, beds, sets, found)
    return 0


def _end(args: Namespace, out: Output, folder: Path, points: Points, beds: Sequence[Trials],
         sets: Mapping[str, list[str]], found: dict[str, dict[str, Found]]) -> None:
    measures = ("score", "accuracy") if args.train else ("score",)
    rows = [_row(data, name, own[name], own[ALL], measures)
            for data, own in found.items() for name in sets]
    columns = SETS if args.train else SETS[:-3]
    removed = [name for name in sets[ALL] if f"without {name}" in sets]
    sheets = [Sheet("operations", f"Sets of operations: the best of a {args.strategy} search, mean "
                    f"over {counted(args.seeds, 'seed')}, by {args.score}", columns,
                    tuple(row[:len(columns)] for row in rows)),
              Sheet("agreement", "Do data sets agree, with each other and with what is published, "
                    "on how significant operations are? Kendall tau, "
                    f"{ranking.LEVEL:.0%} interval over seeds", AGREEMENT,
                    tuple(_agreement(found, removed, measures))),
              published.sheet("operations")]
    title = (f"Operations of cells: {'; '.join(bed.sizes for bed in beds)}; {args.strategy} "
             f"search, {counted(args.seeds, 'seed')}")
    if args.train:
        title += f"; {beds[0].recipe}"
    files = [str(points.path), *keep(folder, "operations", sheets,
                                     _panels(found, sets, measures), title, "")]
    orders = {f"{data}, by {measure}": _ordered(removed, _lost(own, removed, measure))
              for data, own in found.items() for measure in measures}
    data = {"sets": sheets[0].plain(), "agreement": sheets[1].plain(),
            "published": sheets[2].plain(), "order": orders,
            "best": {data: {name: item.cells for name, item in own.items()}
                     for data, own in found.items()},
            "measured": points.measured, "files": files}
    out.result(data, *(sheet.text() for sheet in sheets),
               *(f"{where}: {text}" for where, text in orders.items()), title, *files)


def _sets(args: Namespace) -> dict[str, list[str]]:
    """Sets of operations by what they are called."""
    names = asked.split(args.operations, "--operations", "operations")
    for name in names:
        if name not in OPERATIONS:
            raise ConfigError("--operations: " + unknown("operation", name, OPERATIONS))
    if len(names) < 2:
        raise ConfigError("--operations must be 2 or more, of which one can be left out, not "
                          f"{names[0]} alone")
    found = {ALL: names}
    found |= {f"without {name}": [other for other in names if other != name] for name in names}
    if args.replace:
        if REPLACED not in names:
            raise ConfigError(f"--operations must have {REPLACED}, which --replace replaces, not "
                              f"{', '.join(names)}")
        found |= {f"{other} for {REPLACED}": [other if name == REPLACED else name
                                             for name in names if name != other]
                  for other in LARGER}
    return {name: own for name, own in found.items() if own != ["zeroize"]}


def _options(strategy: str, names: Sequence[str]) -> dict:
    """A strategy that has operations of its own takes those of the set."""
    from .. import strategies

    kind = getattr(strategies.load(strategy, "--strategy"), "OPTIONS", None)
    known = kind.__struct_fields__ if kind is not None else ()
    return {"operations": list(names)} if "operations" in known else {}


def _row(data: str, name: str, own: Found, full: Found, measures: Sequence[str]) -> tuple:
    row = [data, name]
    for measure in measures:
        values, whole = own.values(measure), full.values(measure)
        finite = all(map(math.isfinite, [*values, *whole]))
        mean, sd = trials.spread(values) if finite else (None, None)
        change = trials.spread([a - b for a, b in zip(values, whole)]) \
            if finite and own is not full else (None, None)
        if measure == "score":
            row += [mean, sd, *change, trials.spread(own.weights)[0],
                    trials.spread(own.evaluations)[0], trials.spread(own.seconds)[0]]
        else:
            row += [mean, sd, change[0]]
    return tuple(row)


def _lost(own: Mapping[str, Found], removed: Sequence[str], measure: str) -> np.ndarray:
    """What is lost without each operation, by seed: [operations, seeds]."""
    whole = np.array(own[ALL].values(measure))
    with np.errstate(invalid="ignore"):  # nothing is lost where there was nothing
        return np.nan_to_num([whole - own[f"without {name}"].values(measure) for name in removed],
                             nan=0.0, posinf=math.inf, neginf=-math.inf)


def _ordered(removed: Sequence[str], lost: np.ndarray) -> str:
    """The operations, the most significant first."""
    means = lost.mean(axis=1)
    return " > ".join(f"{removed[k]} ({means[k]:+.3f})" for k in np.argsort(-means, kind="stable"))


def _agreement(found: Mapping[str, dict[str, Found]], removed: Sequence[str],
               measures: Sequence[str]) -> list[tuple]:
    """Rank correlations between data sets, and of each with the published order."""
    known = published.significance()
    rows = []
    for measure in measures:
        lost = {data: _lost(own, removed, measure) for data, own in found.items()}
        paper = np.array([[known.get(name, 0)] for name in removed], float)
        names = list(lost)
        pairs = [(a, b, lost[a], lost[b]) for k, a in enumerate(names) for b in names[k + 1:]]
        pairs += [(name, "SpikeNAS (published)", lost[name], paper) for name in names]
        rows += [(measure, a, b, len(removed), *_tau(first, second))
                 for a, b, first, second in pairs]
    return rows


def _tau(first: np.ndarray, second: np.ndarray) -> tuple[float | None, ...]:
    """Kendall's tau-b of means over seeds, with the percentiles of a bootstrap over the seeds of
    each side; no interval of single seeds, and none of what is undefined.
    """
    def tau(a: np.ndarray, b: np.ndarray) -> float:
        return ranking.tau(a.mean(axis=1), b.mean(axis=1))

    whole = tau(first, second)
    if first.shape[1] == 1 or math.isnan(whole):
        return (None if math.isnan(whole) else whole), None, None
    rng = np.random.default_rng(0)
    drawn = [tau(*(side[:, rng.integers(side.shape[1], size=side.shape[1])]
                   for side in (first, second))) for _ in range(ranking.RESAMPLES)]
    low, high = np.nanquantile(drawn, [(1 - ranking.LEVEL) / 2, (1 + ranking.LEVEL) / 2])
    return whole, float(low), float(high)


def _panels(found: Mapping[str, dict[str, Found]], sets: Mapping[str, list[str]],
            measures: Sequence[str]) -> list[Bars]:
    """What is lost with each other set, a panel for each data set and measure."""
    others = [name for name in sets if name != ALL]
    panels = []
    for measure in measures:
        for data, own in found.items():
            whole = own[ALL].values(measure)
            lost = [trials.spread([a - b if math.isfinite(a - b) else None for a, b
                                   in zip(whole, own[name].values(measure))]) for name in others]
            line = Line(data, tuple(math.nan if mean is None else mean for mean, _ in lost),
                        std=tuple(sd or 0.0 for _, sd in lost))
            panels.append(Bars(data, tuple(others), (line,), percent=measure == "accuracy",
                               y_label=f"loss of {measure}, mean and sd over seeds"))
    return panels
