"""How well scores rank networks of cells: rank correlation with the accuracy of trained ones.

The networks are those that come with the package (`nas.ranking`), those of another file that
'spikeloom bench scores' made, or those that a run's own search trained.
"""

import hashlib
import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs

from ...flow import config
from ...flow.errors import ConfigError, RunError, unknown
from ...flow.output import Output
from ...flow.run import Run
from .. import datasets, published, ranking, scores
from ..cells import asked, trials
from ..cells.cell import parse
from ..cells.macro import Macro
from ..pictures import MOST_LINES, Bars, Dots, Line, Scatter
from ..study import Sheet, keep

WHAT = "rank correlation of scores with the accuracy of trained networks of cells"
#: Fewer networks say nothing of an order.
LEAST = 5
OWN = "run"
COLUMNS = (("score", ""), ("networks of", ""), ("networks", "d"), ("tau", ".3f"), ("low", ".3f"),
           ("high", ".3f"), ("sd over seeds", ".3f"), ("without a score", "d"), ("seconds", ".3f"))


@dataclass(frozen=True)
class Networks:
    """Trained networks: the cells of each, its accuracy, and which group it is of."""

    data: str
    macro: Macro
    cells: list[list[str]]
    accuracy: list[float]
    group: list[str]
    about: str


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--networks", metavar=f"FILE|{OWN}",
        help="a file of 'spikeloom bench scores', or 'run' for those that the search in --run "
             "trained (default: those that come with the package)")
    quick = [name for name in scores.names() if name != "short_training"]
    add("--scores", default=",".join(quick), metavar="NAME[,NAME...]",
        help="(default: %(default)s); short_training takes as long as its name says")
    add("--bits", type=int, default=4, metavar="N", help="of qafe (default: %(default)s)")
    add("--batch-size", type=int, default=64, metavar="N",
        help="images of a score (default: %(default)s)")
    add("--seeds", type=int, default=2, metavar="N",
        help="of the random weights, 0..N-1; tau is of their mean score (default: %(default)s)")
    add("--workers", "--jobs", dest="jobs", type=int, default=2, metavar="N",
        help="processes that work at once (default: %(default)s); does not change the outcome")


def run(args: Namespace, out: Output) -> int:
    seeds = asked.seeds(args)
    chosen = asked.split(args.scores, "--scores", "scores")
    for name in chosen:
        if name not in scores.names():
            raise ConfigError("--scores: " + unknown("score", name, scores.names()))
    settings = {name: _settings(name, args) for name in chosen}
    networks = _networks(args)
    folder, points = trials.begun(args, "scores")
    images = _digest(networks)
    places = [(name, seed) for name in chosen
              for seed in (seeds if "batch_size" in settings[name] else seeds[:1])]
    keys = [{"images": images, "data": networks.data, "macro": structs.asdict(networks.macro),
             "cells": networks.cells, "score": name, "settings": settings[name], "seed": seed}
            for name, seed in places]
    found = dict(zip(places, trials.measured(points, keys, scored, "scoring", args, out)))
    groups = list(dict.fromkeys(networks.group))
    rows = [_row(name, group, networks, [item for place, item in found.items()
                                         if place[0] == name])
            for name in chosen for group in groups]
    sheets = [Sheet("scores", f"Scores against accuracy: Kendall tau, {ranking.LEVEL:.0%} interval "
                    "by bootstrap over networks", COLUMNS, tuple(rows)),
              published.sheet("scores")]
    title = f"Scores of networks of cells against accuracy: {networks.about}"
    panels = [_bars(rows, chosen, groups), *(_scatter(name, networks, groups, found)
                                             for name in chosen)]
    files = [str(points.path), *keep(folder, "scores", sheets, panels, title, "")]
    data = {"scores": sheets[0].plain(), "published": sheets[1].plain(),
            "settings": settings, "networks": len(networks.cells), "data": networks.data,
            "measured": points.measured, "files": files}
    out.result(data, *(sheet.text() for sheet in sheets), title, *files)
    return 0


def scored(key: dict) -> dict:
    """One score of all networks, None where one has none, and seconds of one."""
    import time

    from ..cells.pixels import maps
    from ..train import cores

    macro = msgspec.convert(key["macro"], Macro)
    settings = key["settings"]
    count = max(1, scores.needed(scores.settled(scores.load(key["score"]), settings)))
    train = datasets.load(key["data"]).train
    images = maps(train.inputs[:count], macro)
    with cores(1):
        score = scores.make(key["score"], macro, images, train.labels[:count], seed=key["seed"],
                            **settings)
        began = time.process_time()
        values = [score.score([parse(text) for text in texts]) for texts in key["cells"]]
        seconds = (time.process_time() - began) / len(values)
    return {"scores": [value if math.isfinite(value) else None for value in values],
            "seconds": round(seconds, 4)}


def _settings(name: str, args: Namespace) -> dict:
    known = scores.load(name).SETTINGS.__struct_fields__
    texts = [f"{key}={value}" for key, value in (("bits", args.bits),
                                                 ("batch_size", args.batch_size)) if key in known]
    return trials.score_settings(name, texts)


def _networks(args: Namespace) -> Networks:
    if args.networks == OWN:
        found = _searched(Path(args.run))
    else:
        found = _trained(Path(args.networks or ranking.SHIPPED))
    for group in dict.fromkeys(found.group):
        if found.group.count(group) < LEAST:
            raise ConfigError(f"--networks must have at least {LEAST} trained networks of a kind, "
                              f"not {found.group.count(group)} ({group})")
    return found


def _trained(path: Path) -> Networks:
    """Networks of a file of 'spikeloom bench scores'."""
    held = ranking.load(path)
    names = {space: f"{len(operations)} operations" for space, (operations, _)
             in ranking.SPACES.items()}
    size = ranking.MACRO.image_size
    return Networks(
        ranking.SUBSET, ranking.MACRO, [[item.cell] for item in held],
        [item.accuracy for item in held], [names.get(item.space, item.space) for item in held],
        f"{len(held)} of them on validation images of {ranking.SUBSET}, {size} x {size}, "
        f"{ranking.MACRO.channels} channels, {ranking.TRAINING.epochs} epochs of "
        f"{ranking.TRAINING.images:,} images")


def _searched(folder: Path) -> Networks:
    """Networks that a run's search trained, with the mean accuracy of each."""
    from ..cells.space import cells_of
    from ..problem import problem
    from ..store import FILE, Store

    opened = Run.open(folder)
    if not (folder / FILE).exists() or not opened.experiment.exists():
        raise RunError(f"{folder}: holds no search; search networks of cells there, or take "
                       "another --networks")
    experiment = config.load_experiment(opened.experiment)
    if experiment.space.network != "cells":
        raise RunError(f"{folder}: its search must be one of networks of cells, not of "
                       f"{experiment.space.network!r}")
    task = problem(experiment, str(opened.experiment))
    accuracies: dict[str, list[float]] = {}
    with Store(folder / FILE) as store:
        for row in store.evaluations():
            if row.accuracy is not None:
                accuracies.setdefault(row.genome, []).append(row.accuracy)
    if not accuracies:
        raise RunError(f"{folder}: its search trained no network; search with objectives = "
                       "['accuracy', ...], or take another --networks")
    name = folder.name
    return Networks(task.data.name, task.macro, [list(map(str, cells_of(genome)))
                                                 for genome in accuracies],
                    [float(np.mean(values)) for values in accuracies.values()],
                    [name] * len(accuracies),
                    f"{len(accuracies)} of the search in {name}, on validation images of "
                    f"{task.data.name}")


def _digest(networks: Networks) -> str:
    data = datasets.load(networks.data)
    return hashlib.sha256(data.train.inputs.tobytes()).hexdigest()[:16]


def _mean(items: Sequence[dict]) -> list[float]:
    """Mean scores over seeds; nan where a seed has none."""
    return np.array([item["scores"] for item in items], float).mean(axis=0).tolist()


def _row(name: str, group: str, networks: Networks, items: Sequence[dict]) -> tuple:
    own = [k for k, other in enumerate(networks.group) if other == group]
    accuracies = [networks.accuracy[k] for k in own]
    mean = [_mean(items)[k] for k in own]
    tau = ranking.tau(mean, accuracies)
    low, high = (math.nan, math.nan) if math.isnan(tau) else ranking.interval(mean, accuracies)
    each = [ranking.tau(np.array(item["scores"], float)[own], accuracies) for item in items]
    sd = trials.spread([None if math.isnan(value) else value for value in each])[1]
    return (name, group, len(own), tau, low, high, sd, sum(map(math.isnan, mean)),
            float(np.mean([item["seconds"] for item in items])))


def _bars(rows: Sequence[tuple], chosen: Sequence[str], groups: Sequence[str]) -> Bars:
    lines = []
    for group in groups[:MOST_LINES]:
        own = [row for row in rows if row[1] == group]
        lines.append(Line(f"{own[0][2]} networks of {group}", *(
            tuple(row[3] for row in own),), low=tuple(row[4] for row in own),
            high=tuple(row[5] for row in own)))
    return Bars("rank correlation", tuple(chosen), tuple(lines),
                y_label=f"Kendall tau, {ranking.LEVEL:.0%} interval")


def _scatter(name: str, networks: Networks, groups: Sequence[str], found: dict[tuple, dict]
             ) -> Scatter:
    mean = _mean([item for place, item in found.items() if place[0] == name])
    dots = []
    for group in groups[:MOST_LINES]:
        own = [k for k, other in enumerate(networks.group)
               if other == group and not math.isnan(mean[k])]
        dots.append(Dots(group, tuple(mean[k] for k in own),
                         tuple(networks.accuracy[k] for k in own)))
    return Scatter(name, f"{name}, mean over seeds", tuple(dots), percent=True,
                   y_label="accuracy on validation images")
