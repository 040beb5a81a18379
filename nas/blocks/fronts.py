"""``study autosnn --lambdas``: one super-network, and what is found as spikes weigh more or less.

As B. Na et al., "AutoSNN", ICML 2022, search for each lambda with the same trained super-network.
A network that several lambdas ask for is evaluated once.
"""

import hashlib
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs

from ...flow.errors import ConfigError
from ...flow.files import read_json
from ...flow.output import Output, counted
from .. import datasets
from ..cells import asked
from ..cells.trials import begun, measured, spread
from ..datasets import Split
from ..pictures import Dots, Scatter
from ..strategies.autosnn import Options, Strategy
from ..study import Points, Sheet, keep
from . import fitness, oneshot, trials
from .macro import Macro
from .recipe import BlockTraining
from .space import BlockSpace, blocks_of
from .spaces import offered

LAMBDAS = "0,-0.04,-0.08,-0.16,-0.24"
FRONT = (("lambda", "g"), ("blocks", ""), ("weights", ",.0f"), ("accuracy", ".2%"),
         ("spikes/image", ",.0f"), ("fitness", ".4f"), ("evaluations", "d"),
         ("accuracy alone", ".2%"), ("sd", ".2%"), ("spikes alone", ",.0f"))
MOST_POPULATION, MOST_ROUNDS = 1024, 10_000


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--lambdas", nargs="?", const=LAMBDAS, metavar="L[,L...]",
        help=f"in place of all this, one super-network searched with each of these exponents of "
             f"spikes, at most 0, as in --lambdas={LAMBDAS}, the default: accuracy over spikes")
    add("--super-epochs", type=int, default=20, metavar="N",
        help="with --lambdas: of the super-network's training (default: %(default)s)")
    add("--population", type=int, default=10, metavar="N",
        help="with --lambdas: networks of a round of evolution (default: %(default)s)")
    add("--rounds", type=int, default=6, metavar="N",
        help="with --lambdas: of evolution (default: %(default)s)")
    add("--calibrate", type=int, default=500, metavar="N",
        help="with --lambdas: train images from which batch statistics of each network are "
             "computed anew, 0 for those of the super-network's training (default: %(default)s)")
    add("--train", action="store_true",
        help="with --lambdas: train what is found alone, with every seed")


def run(args: Namespace, out: Output) -> int:
    seeds, exponents, names = asked.seeds(args), _lambdas(args.lambdas), offered(args)
    for option, value, most in (("population", args.population, MOST_POPULATION),
                                ("rounds", args.rounds, MOST_ROUNDS)):
        if not 2 <= value <= most:
            raise ConfigError(f"--{option} must be in 2..{most:,}, not {value}")
    bed = trials.trials(args)
    if not 0 <= args.calibrate <= len(bed.data.train):
        raise ConfigError(f"--calibrate must be in 0..{len(bed.data.train):,} images, not "
                          f"{args.calibrate}")
    training = structs.replace(bed.training, epochs=args.super_epochs).check("study")
    folder, points = begun(args, "autosnn-lambdas")
    key = {"images": bed.digest, "data": bed.data.name, "macro": msgspec.to_builtins(bed.macro),
           "offered": names, "training": msgspec.to_builtins(training)}
    place = folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    with out.progress.status("super-network") as status:
        average = points.find(key, lambda: _trained(bed, names, training, place, lambda epoch, n: (
            status.update(f"super-network: epoch {epoch.epoch} of {n}"))))["average"]

    def judge(networks: Sequence[tuple[str, ...]]) -> list[dict]:
        keys = [{**key, "blocks": list(blocks), "calibrate": args.calibrate} for blocks in networks]
        return measured(points, keys, partial(judged, folder=place), "searching", args, out)

    space = BlockSpace(names, bed.macro)
    tried: dict[tuple[str, ...], dict] = {}
    rows = []
    for exponent in exponents:
        own = evolved(space, exponent, average, judge, args.population, args.rounds)
        best = max(own, key=lambda blocks: _fitness(own[blocks], average, exponent))
        rows.append((exponent, best, own[best], len(own)))
        tried |= own
    alone = _alone(args, out, points, bed, [row[1] for row in rows], seeds) if args.train else {}
    _end(args, out, folder, points, bed, average, rows, tried, alone)
    return 0


def evolved(space: BlockSpace, exponent: float, average: float,
            judge: Callable[[Sequence[tuple[str, ...]]], list[dict]], population: int, rounds: int,
            seed: int = 0) -> dict[tuple[str, ...], dict]:
    """Everything that an evolution by one fitness tried, with what `judge` says of it."""
    half = population // 2
    strategy = Strategy(space, objectives=1, constraints=0, population=population, seed=seed,
                        excess=lambda genome: 0.0,
                        options=Options(top=max(2, half), mutants=half, crossovers=half))
    found: dict[tuple[str, ...], dict] = {}
    for _ in range(rounds):
        asked_for = list(map(blocks_of, strategy.ask()))
        if not asked_for:
            break
        items = judge(asked_for)
        found |= dict(zip(asked_for, items))
        strategy.tell(np.array([[-_fitness(item, average, exponent)] for item in items]),
                      np.zeros((len(items), 0)))
    return found


def judged(key: dict, folder: Path) -> dict:
    """A network with the weights of the super-network in a folder."""
    macro = msgspec.convert(key["macro"], Macro)
    data = datasets.load(key["data"])
    calibration = None
    if key["calibrate"]:
        few = data.train
        calibration = Split(few.inputs[:key["calibrate"]], few.labels[:key["calibrate"]])
    found = oneshot.evaluate(macro, key["offered"], _weights(folder), key["blocks"],
                             data.validation, calibration)
    return {"accuracy": found.accuracy, "spikes": found.spikes}


@lru_cache(maxsize=2)
def _weights(folder: Path) -> bytes:
    from .checkpoints import SUPER

    return (folder / f"{SUPER}.safetensors").read_bytes()


def _trained(bed: trials.Trials, names: Sequence[str], training: BlockTraining, folder: Path,
             on_epoch: Callable) -> dict:
    """Train the super-network, or go on with it."""
    from .checkpoints import AGAIN, FORMAT, SUPER, DescribedSuper, save_super
    from .supernet import SuperNetwork
    from .train import train_super

    supernet = SuperNetwork(bed.macro, names, seed=training.seed)
    done = train_super(supernet, bed.data.train, training, folder=folder / "training", resume=True,
                       on_epoch=on_epoch)
    if done.diverged or not done.average_spikes:
        raise ConfigError("--learning-rate must be one with which the super-network is trained, "
                          f"not {training.learning_rate}: {done.stopped}")
    save_super(supernet, done.average_spikes, folder)
    found = read_json(folder / f"{SUPER}.json", DescribedSuper, FORMAT, "super-network", AGAIN)
    return {"average": found.average_spikes}


def _fitness(item: dict, average: float, exponent: float) -> float:
    return fitness.fitness(item["accuracy"], item["spikes"], average, exponent)


def _lambdas(text: str) -> list[float]:
    rule = f"--lambdas must be different numbers, not {text!r}"
    try:
        found = [float(word) for word in asked.split(text, "--lambdas", "numbers")]
    except ValueError as error:
        raise ConfigError(rule) from error
    if len(set(found)) < len(found):
        raise ConfigError(rule)
    return sorted((fitness.check(value, "--lambdas") for value in found), reverse=True)


def _alone(args: Namespace, out: Output, points: Points, bed: trials.Trials,
           networks: Sequence[tuple[str, ...]], seeds: Sequence[int]
           ) -> dict[tuple[str, ...], list[dict]]:
    """What is found, trained from nothing."""
    different = list(dict.fromkeys(networks))
    keys = [bed.train(bed.macro, blocks, seed) for blocks in different for seed in seeds]
    found = measured(points, keys, trials.trained, "training", args, out)
    return {blocks: found[k * len(seeds):(k + 1) * len(seeds)]
            for k, blocks in enumerate(different)}


def _end(args: Namespace, out: Output, folder: Path, points: Points, bed: trials.Trials,
         average: float, rows: Sequence[tuple], tried: dict[tuple[str, ...], dict],
         alone: dict[tuple[str, ...], list[dict]]) -> None:
    macro, front = bed.macro, pareto(tried)
    lines = []
    for exponent, blocks, item, evaluations in rows:
        line = (exponent, macro.text(blocks), macro.weights(blocks), item["accuracy"],
                item["spikes"], _fitness(item, average, exponent), evaluations)
        own = alone.get(blocks, [])
        lines.append((*line, *spread([one["accuracy"] for one in own]),
                      spread([one["spikes"] for one in own])[0]) if alone else line)
    title = (f"One super-network, a search for each lambda: {bed.sizes}; on "
             f"{len(bed.data.validation):,} validation images after "
             f"{counted(args.super_epochs, 'epoch')}, N_avg = {average:,.0f}")
    sheets = [Sheet("autosnn-lambdas", f"{title}\n{datasets.described(args.data)}",
                    FRONT if alone else FRONT[:-3], tuple(lines)),
              Sheet("autosnn-front", "The front of all networks tried, with the weights of the "
                    "super-network", (FRONT[1], *FRONT[3:5]), tuple(
                        (macro.text(blocks), item["accuracy"], item["spikes"])
                        for blocks, item in front))]
    names = {}
    for exponent, blocks, *_ in rows:
        names.setdefault(blocks, []).append(f"{exponent:g}")
    dots = [_dots("networks tried", tried.values()),
            _dots("front", [item for _, item in front], joined=True),
            _dots("found, by lambda", [tried[blocks] for blocks in names],
                  names=tuple(", ".join(found) for found in names.values()))]
    if alone:
        means = [{name: spread([one[name] for one in alone[blocks]])[0]
                  for name in ("accuracy", "spikes")} for blocks in names]
        dots.append(_dots("found, trained alone", [
            item for item in means if item["accuracy"] is not None]))
    panels = [Scatter("validation accuracy over spikes", "spikes per image", tuple(dots),
                      percent=True)]
    files = [str(points.path), *keep(folder, "autosnn-lambdas", sheets, panels, title, "accuracy")]
    data = {"average_spikes": average, "lambdas": sheets[0].plain(), "front": sheets[1].plain(),
            "tried": len(tried), "measured": points.measured, "files": files}
    out.result(data, *(sheet.text() for sheet in sheets), title, *files)


def pareto(tried: dict[tuple[str, ...], dict]) -> list[tuple[tuple[str, ...], dict]]:
    """Networks that no other beats in accuracy and in spikes, by spikes."""
    found: list[tuple[tuple[str, ...], dict]] = []
    for blocks, item in sorted(tried.items(),
                               key=lambda pair: (pair[1]["spikes"], -pair[1]["accuracy"])):
        if not found or item["accuracy"] > found[-1][1]["accuracy"]:
            found.append((blocks, item))
    return found


def _dots(label: str, items, **more) -> Dots:
    items = list(items)
    return Dots(label, tuple(item["spikes"] for item in items),
                tuple(item["accuracy"] for item in items), **more)
