"""What global pooling and average pools do to AutoSNN's networks: from trainings that ship, which
``study autosnn`` made, one of them run again.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from ...flow.errors import ConfigError, RunError
from ...flow.output import counted
from .. import datasets
from ..bench import Bench, group
from ..blocks import trials
from ..blocks.macro import Macro
from ..blocks.recipe import BlockTraining

#: The points of a study, as its `points.json` holds them.
SHIPPED = Path(__file__).with_name("autosnn-effects.json")
COMMAND = ("spikeloom study autosnn --data cifar10-batch1 --epochs 12 --train-images 0 --varied "
           "global-pooling,down-sampling --seeds 10 --run RUN makes it: "
           "RUN/study/autosnn/points.json")


@dataclass(frozen=True)
class Point:
    """A training by its key, and what it came to."""

    key: dict
    macro: Macro
    training: BlockTraining
    accuracy: float
    spikes: float


@group(autosnn__gap_effect=("", ""), autosnn__maxpool_effect=("", ""))
def effects(bench: Bench) -> dict:
    """Accuracy with what AutoSNN has, less accuracy with the other, seed by seed."""
    found = load(SHIPPED)
    about = f"{_about(found)}; {_again(bench, found)}"
    out = {}
    for name, words, other in (
            ("autosnn.gap_effect", "without global pooling less with it", {"global_pooling": True}),
            ("autosnn.maxpool_effect", "max pools less average pools", {"down": "avg"})):
        accuracy, spikes, seeds = effect(found, other)
        out[name] = (accuracy[0], (
            f"validation accuracy {words}: {_interval(accuracy, '+.4f')}; spikes per image "
            f"{_interval(spikes, '+,.0f')}; mean and 95 % interval by Student's t over "
            f"{counted(seeds, 'seed')}; {about}"))
    return out


def load(path: Path) -> list[Point]:
    """The points of a file; RunError for one that is missing or damaged."""
    try:
        points = json.loads(path.read_text())["points"]
        found = []
        for text, item in points.items():
            key = json.loads(text)
            if "training" in key and item.get("accuracy") is not None:
                found.append(Point(key, msgspec.convert(key["macro"], Macro),
                                   msgspec.convert(key["training"], BlockTraining),
                                   item["accuracy"], item["spikes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: holds no trainings of blocks ({error}); {COMMAND}") from error
    return found


def effect(points: list[Point], other: dict) -> tuple[tuple, tuple, int]:
    """SNN_1 less itself with a macro network that differs: mean, low and high of accuracy and of
    spikes, and how many seeds have both.
    """
    arms: list[dict[int, Point]] = [
        {item.training.seed: item for item in points if not item.training.lambda_reg
         and (item.macro.down, item.macro.global_pooling) == wanted}
        for wanted in (("max", False), (other.get("down", "max"),
                                        other.get("global_pooling", False)))]
    seeds = sorted(arms[0].keys() & arms[1].keys())
    if not seeds:
        raise RunError(f"{SHIPPED}: lacks trainings with {other}; {COMMAND}")
    accuracy, spikes = (trials.paired(*([getattr(arm[seed], name) for seed in seeds]
                                        for arm in arms)) for name in ("accuracy", "spikes"))
    return accuracy, spikes, len(seeds)


def _interval(found: tuple, spec: str) -> str:
    mean, low, high = found
    return format(mean, spec) + ("" if low is None else f" ({low:{spec}}..{high:{spec}})")


def _about(points: list[Point]) -> str:
    one = points[0]
    macro, training = one.macro, one.training
    data, block = one.key["data"], one.key["blocks"][0]
    images = f"{training.images:,} images" if training.images else "all images"
    return (f"{block} everywhere, C={macro.channels}, {macro.image_size} x {macro.image_size}, "
            f"T={macro.num_steps}; {training.epochs} epochs of {images}; "
            f"{datasets.described(data)}")


@lru_cache(maxsize=1)
def _sample(text: str) -> dict:
    return trials.trained(json.loads(text))


def _again(bench: Bench, points: list[Point]) -> str:
    """Train the first of them here, and say what it came to."""
    first = points[0]
    try:
        here = _sample(json.dumps(first.key))
    except ConfigError as error:
        bench.note(f"not run again: {error}")
        return "none of them trained again here"
    return (f"seed {first.training.seed} trained again here: {here['accuracy']:.4f} (shipped: "
            f"{first.accuracy:.4f})")
