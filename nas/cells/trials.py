"""What studies of networks of cells share: searches, and short trainings.

A trial is asked for by a key of plain values (`nas.study.Points`) and is measured from that alone,
here or in a worker. Accuracies are on validation images; test images are for no study.
"""

import hashlib
import json
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import structs

from ...flow import config
from ...flow.config import key_value
from ...flow.errors import FitError
from ...flow.output import Output, counted
from ...flow.run import Run
from .. import datasets, scores
from ..datasets import Dataset, Split
from ..study import Points
from . import asked, options
from .cell import KERNELS, Cell, parse
from .macro import Macro
from .pixels import maps

#: Of scores that see images.
BATCH = {"batch_size": 64, "batches": 1}
#: Candidates that a search asks for at once.
POPULATION = 8
#: Generations of a search that ends by itself.
_ENDLESS = 100_000


@dataclass(frozen=True, eq=False)
class Trials:
    """One data set at one size, and how networks are searched and trained on it."""

    data: Dataset
    macro: Macro
    digest: str
    score: str = ""
    settings: dict | None = None
    training: dict | None = None

    def search(self, strategy: str, operations: Sequence[str], evaluations: int, seed: int, *,
               limit: float | None = None, chosen: dict | None = None) -> dict:
        """The key of a search, for `searched`.

        evaluations: at most so many, rounded up to eights; a search cell by cell ends by itself.
        limit: of weights. chosen: options of the strategy.
        """
        from .. import strategies
        from .phases import Phases

        endless = issubclass(strategies.load(strategy, "--strategy"), Phases)
        macro = {key: value for key, value in structs.asdict(self.macro).items()
                 if key not in ("num_classes", "in_channels")}
        found = scores.settled(scores.load(self.score), self.settings or {})
        images = max(1, scores.needed(found))
        experiment = {
            "data": {"name": self.data.name}, "space": {"network": "cells"},
            "search": {"strategy": strategy, "population": POPULATION, "seed": seed,
                       "generations": _ENDLESS if endless else -(-evaluations // POPULATION),
                       "constraints": {} if limit is None else {"weights": limit},
                       "options": chosen or {}},
            "cells": {"operations": list(operations), "score": self.score, "images": images,
                      "score_settings": self.settings or {}, **macro}}
        return {"images": self.digest, "experiment": experiment}

    def train(self, cells: Sequence[str], seed: int, *, weight_bits: int | None = None,
              scale: str = "power_of_two") -> dict:
        """The key of a training, for `trained`. cells: as texts."""
        return {"images": self.digest, "data": self.data.name, "cells": list(cells),
                "macro": structs.asdict(self.macro), "seed": seed, "bits": weight_bits,
                "scale": scale, "training": self.training}

    @property
    def sizes(self) -> str:
        """In words, for titles."""
        macro = self.macro
        return (f"{self.data.name}, {macro.image_size} x {macro.image_size}, {macro.channels} "
                f"channels, {macro.num_steps} timesteps")

    @property
    def recipe(self) -> str:
        """The short training in words."""
        given = self.training or {}
        images = min(given.get("images") or len(self.data.train), len(self.data.train))
        return (f"accuracy on {len(self.data.validation):,} validation images after "
                f"{counted(given.get('epochs', 0), 'epoch')} of {images:,} images")


def trials(args: Namespace, name: str) -> Trials:
    """What is asked for on one data set; ConfigError for what is wrong with it."""
    data = datasets.load(name)
    size = data.shape[-1]
    while size > asked.LARGEST and size % 2 == 0:
        size //= 2
    macro = structs.replace(options.macro(args, data, "study", size), dropout=0.0)
    training = score = given = None
    if hasattr(args, "epochs"):
        from ..training import device_of
        from .recipe import CellTraining

        training = CellTraining(epochs=args.epochs, images=args.train_images, padding=0,
                                batch_size=args.batch_size,
                                learning_rate=args.learning_rate, device=args.device)
        training = msgspec.to_builtins(training.check("study"))
        device_of(args.device)
    if hasattr(args, "score"):
        score, given = args.score, score_settings(args.score, args.set)
    return Trials(data, macro, data.digest, score or "", given, training)


def score_settings(name: str, texts: Sequence[str] = ()) -> dict:
    """All settings of a score: `BATCH` where it takes that, else its own, and KEY=VALUE over them.
    """
    kind = scores.load(name)
    known = kind.SETTINGS.__struct_fields__
    given = {key: value for key, value in BATCH.items() if key in known}
    given |= dict(key_value(text, "batch_size=32") for text in texts)
    return msgspec.to_builtins(scores.settled(kind, given))


def begun(args: Namespace, study: str) -> tuple[Path, Points]:
    """The folder of a study in its run directory, which is made where there is none."""
    import matplotlib  # noqa: F401, what is not installed is said before anything is measured

    folder = Run.create(Path(args.run)).path / "study" / study
    return folder, Points(folder / "points.json")


def measured(points: Points, keys: Sequence[dict], measure: Callable[[dict], dict], what: str,
             args: Namespace, out: Output) -> list[dict]:
    """`Points.every`, with how far it is."""
    with out.progress.status(what) as status:
        return points.every(keys, measure, jobs=args.jobs, note=lambda done, todo: status.update(
            f"{what} {done}/{todo}"))


def searched(key: dict) -> dict:
    """Run a search of `Trials.search`: its best network, None where none keeps the limits.

    seconds: of this process, on one thread.
    """
    from ..loop import Search
    from ..problem import problem
    from ..store import FILE, Store
    from ..train import cores

    task = problem(config.experiment_from(key["experiment"], "study"), "study")
    with TemporaryDirectory() as folder, Store(Path(folder) / FILE) as store, cores(1):
        began = time.process_time()
        search = Search(task, store, Here(), Path(folder)).run()
        seconds = time.process_time() - began
    found = {"evaluations": len(search.rows), "distinct": len({row.id for row in search.rows}),
             "refused": task.counts.refused, "seconds": round(seconds, 2)}
    best = None
    if search.rows:
        try:
            best = task.ending.order(search)[0]
        except FitError:
            best = None
    if best is None:
        return {"cells": None, "score": None, "weights": None, "met": False, **found}
    return {"cells": json.loads(best.genome)["cells"], "score": best.counted["score"],
            "weights": best.counted["weights"], "met": task.feasible(best.counted), **found}


def trained(key: dict, folder: Path | None = None) -> dict:
    """Run a training of `Trials.train`; accuracy None where it diverged.

    folder: keeps the weights, and goes on from what it holds.
    """
    from .train import evaluate

    network, done = _trained(key, folder)
    if done.diverged:
        return {"accuracy": None, "spikes": None, "stopped": done.stopped}
    scored = evaluate(network, _split(key["data"], "validation", _macro(key)))
    return {"accuracy": scored.accuracy, "spikes": scored.spikes_per_image, "stopped": done.stopped}


def rounded(key: dict, folder: Path) -> dict:
    """Accuracy of a network that was trained in float, its weights rounded afterwards.

    key: that of its training, with `bits` and `scale` of the rounding in `after`.
    """
    from .network import CellNetwork
    from .train import evaluate

    training, after = key["float"], key["after"]
    network, done = _trained(training, folder)
    if done.diverged:
        return {"accuracy": None}
    macro = _macro(training)
    other = CellNetwork(macro, network.cells, weight_bits=after["bits"], scale=after["scale"])
    other.load_state_dict(network.state_dict())
    return {"accuracy": evaluate(other, _split(training["data"], "validation", macro)).accuracy}


def in_folder(measure: Callable[..., dict], folder: Path) -> Callable[[dict], dict]:
    """A measure that keeps weights in a folder."""
    return partial(measure, folder=folder)


def _trained(key: dict, folder: Path | None):
    from .train import CellTraining, begin, train

    macro, settings = _macro(key), msgspec.convert(key["training"], CellTraining)
    settings = structs.replace(settings, seed=key["seed"])
    network = begin(macro, [parse(text) for text in key["cells"]], seed=key["seed"],
                    weight_bits=key["bits"], scale=key["scale"])
    if folder is not None:
        text = json.dumps(key, sort_keys=True)
        folder = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    fit = _split(key["data"], "train", macro)
    done = train(network, fit, None, settings, folder=folder, resume=folder is not None)
    return network, done


def _macro(key: dict) -> Macro:
    return msgspec.convert(key["macro"], Macro)


@lru_cache(maxsize=8)
def _split(data: str, name: str, macro: Macro) -> Split:
    found = getattr(datasets.load(data), name)
    return Split(maps(found.inputs, macro), found.labels)


def spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of those that are there; None where there are too few."""
    known = [value for value in values if value is not None]
    return (statistics.mean(known) if known else None,
            statistics.stdev(known) if len(known) > 1 else None)


def bounds(macro: Macro, operations: Sequence[str]) -> tuple[int, int]:
    """Weights of the smallest and the largest network of four nodes of these operations."""
    free = [name for name in operations if name not in KERNELS and name != "zeroize"]
    dearest = max(operations, key=lambda name: KERNELS.get(name, 0))
    cheapest = free[0] if free else min(KERNELS.keys() & set(operations), key=KERNELS.get)
    light = ("zeroize" if "zeroize" in operations else cheapest,) * 3
    return (macro.weights([Cell((*light, cheapest, *light[:2]))]),
            macro.weights([Cell((dearest,) * 6)]))


class Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, function, /, *args, **kwargs) -> Future:
        future: Future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future
