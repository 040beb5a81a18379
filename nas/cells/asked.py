"""Options of studies of networks of cells, and what all of these check of them."""

from argparse import ArgumentParser, Namespace

from ...flow.errors import ConfigError
from .. import scores
from . import options

#: Sizes with which a score takes less than a tenth of a second, and a short training some seconds.
SIZES = {"channels": 8, "cells": 2, "num_steps": 3, "hidden": 64, "voters": 10}
#: Images are halved until they have no more rows than this, where no size is asked for.
LARGEST = 16
MOST_SEEDS, MOST_EVALUATIONS = 100, 1_000_000


def configure(parser: ArgumentParser, *, data: str, several: bool = False, seeds: int = 3) -> None:
    """Options of every study of cells."""
    add = parser.add_argument
    what = "data sets" if several else "the data set"
    add("--data", default=data, metavar="NAME[,NAME...]" if several else "NAME",
        help=f"{what} (default: {data})")
    options.configure(parser, SIZES, f"as they are, halved until there are at most {LARGEST}")
    add("--seeds", type=int, default=seeds, metavar="N",
        help="repeat all with seeds 0..N-1 (default: %(default)s)")
    add("--workers", "--jobs", dest="jobs", type=int, default=2, metavar="N",
        help="processes that work at once (default: %(default)s); does not change the outcome")


def configure_search(parser: ArgumentParser) -> None:
    """Options of studies that search."""
    add = parser.add_argument
    add("--score", default="sahd", metavar="NAME",
        help=f"what is searched for: {', '.join(scores.names())} (default: %(default)s)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of the score, such as batch_size=32; again for more")
    add("--train", action="store_true",
        help="train the best network of each search a little, and compare accuracies")


def configure_training(parser: ArgumentParser) -> None:
    """Options of short trainings."""
    add = parser.add_argument
    add("--epochs", type=int, default=3, metavar="N",
        help="of a short training (default: %(default)s)")
    add("--train-images", type=int, default=2000, metavar="N",
        help="images of a short training, 0 for all (default: %(default)s)")
    add("--batch-size", type=int, default=16, metavar="N",
        help="of a short training (default: %(default)s)")
    add("--learning-rate", type=float, default=0.004, metavar="X",
        help="of a short training (default: %(default)s)")
    add("--device", default="cpu", metavar="NAME",
        help="cpu, cuda, or auto (default: %(default)s, where trainings repeat)")


def seeds(args: Namespace) -> range:
    """The seeds of a study; checks what all studies ask for."""
    if not 1 <= args.seeds <= MOST_SEEDS:
        raise ConfigError(f"--seeds must be in 1..{MOST_SEEDS}, not {args.seeds}")
    if args.jobs < 1:
        raise ConfigError(f"--workers must be at least 1, not {args.jobs}")
    return range(args.seeds)


def evaluations(args: Namespace) -> int:
    """The evaluations of one search."""
    if not 1 <= args.evaluations <= MOST_EVALUATIONS:
        raise ConfigError(f"--evaluations must be in 1..{MOST_EVALUATIONS:,}, not "
                          f"{args.evaluations}")
    return args.evaluations


def split(text: str, option: str, what: str) -> list[str]:
    """Different words of a list with commas; ConfigError where there are none, or one twice."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or len(set(words)) < len(words):
        raise ConfigError(f"{option} must be different {what}, with commas between them, not "
                          f"{text!r}")
    return words
