"""What studies of networks of blocks share: options, sizes, and short trainings.

A training is asked for by a key of plain values (`nas.study.Points`) and is measured from that
alone, here or in a worker. Accuracies are on validation images; test images are for no study.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import structs

from ...flow.errors import ConfigError
from ...flow.output import counted
from .. import datasets
from ..cells import asked
from ..cells.pixels import check
from ..datasets import Dataset
from ..ranking import LEVEL
from .macro import Macro
from .recipe import BlockTraining

#: Keys of `Macro`, what their options are for, and sizes with which a short training takes seconds.
_SIZES = {"channels": ("of the stem and the first stage", 4), "num_steps": ("timesteps", 4),
          "growth": ("times as many channels in each stage as in the one before", 2),
          "voters": ("outputs of a class", 10)}


@dataclass(frozen=True, eq=False)
class Trials:
    """One data set at one size, and how networks are trained on it."""

    data: Dataset
    macro: Macro
    digest: str
    training: BlockTraining

    def train(self, macro: Macro, blocks: Sequence[str], seed: int, lambda_reg: float = 0.0
              ) -> dict:
        """The key of a training, for `trained`."""
        training = structs.replace(self.training, seed=seed, lambda_reg=lambda_reg)
        return {"images": self.digest, "data": self.data.name, "macro": msgspec.to_builtins(macro),
                "blocks": list(macro.all_of(blocks)), "training": msgspec.to_builtins(training)}

    @property
    def sizes(self) -> str:
        """In words, for titles."""
        macro = self.macro
        return (f"{self.data.name}, {macro.image_size} x {macro.image_size}, C = {macro.channels}, "
                f"{macro.num_steps} timesteps")

    @property
    def recipe(self) -> str:
        """The short training in words."""
        images = min(self.training.images or len(self.data.train), len(self.data.train))
        return (f"on {len(self.data.validation):,} validation images after "
                f"{counted(self.training.epochs, 'epoch')} of {images:,} images")


def configure(parser: ArgumentParser) -> None:
    """Options of every study of blocks."""
    add = parser.add_argument
    add("--data", default="cifar10-small", metavar="NAME",
        help="the data set, any of images (default: %(default)s)")
    add("--image-size", type=int, metavar="N",
        help=f"rows and columns that images are averaged to (default: as they are, halved until "
             f"there are at most {asked.LARGEST})")
    for key, (what, default) in _SIZES.items():
        add(f"--{key.replace('_', '-')}", dest=f"macro_{key}", type=int, metavar="N",
            default=default, help=f"{what} (default: %(default)s)")
    add("--seeds", type=int, default=3, metavar="N",
        help="repeat all with seeds 0..N-1 (default: %(default)s)")
    add("--workers", "--jobs", dest="jobs", type=int, default=2, metavar="N",
        help="processes that work at once (default: %(default)s); does not change the outcome")
    asked.configure_training(parser)
    parser.set_defaults(epochs=6, batch_size=32, learning_rate=0.01)


def trials(args: Namespace) -> Trials:
    """What is asked for; ConfigError for what is wrong with it."""
    from ..training import device_of

    data = datasets.load(args.data)
    if data.num_steps is not None:
        raise ConfigError(f"--data must be a data set of images, not the events of {data.name!r}")
    size = data.shape[-1]
    while size > asked.LARGEST and size % 2 == 0:
        size //= 2
    macro = Macro(num_classes=data.num_classes,
                  in_channels=data.shape[0] if len(data.shape) == 3 else 1,
                  image_size=size if args.image_size is None else args.image_size,
                  **{key: getattr(args, f"macro_{key}") for key in _SIZES}).check("study")
    check(data.shape, macro, f"images of {data.name!r}")
    images = min(args.train_images, len(data.train))
    training = BlockTraining(epochs=args.epochs, images=images, padding=0, cosine=True,
                             flip=len(data.shape) == 3, batch_size=args.batch_size,
                             learning_rate=args.learning_rate, device=args.device).check("study")
    device_of(training.device)
    return Trials(data, macro, data.digest, training)


def trained(key: dict) -> dict:
    """Run a training of `Trials.train`; accuracy None where it diverged."""
    from .evaluate import evaluate
    from .network import BlockNetwork
    from .train import train

    macro = msgspec.convert(key["macro"], Macro)
    settings = msgspec.convert(key["training"], BlockTraining)
    data = datasets.load(key["data"])
    network = BlockNetwork(macro, key["blocks"], seed=settings.seed)
    done = train(network, data.train, None, settings)
    if done.diverged:
        return {"accuracy": None, "spikes": None, "firing_rate": None, "rates": {},
                "stopped": done.stopped}
    found = evaluate(network, data.validation)
    return {"accuracy": found.accuracy, "spikes": found.spikes_per_image,
            "firing_rate": found.firing_rate, "rates": found.rates, "stopped": done.stopped}


def paired(one: Sequence[float | None], other: Sequence[float | None]
           ) -> tuple[float | None, float | None, float | None]:
    """Mean difference, seed by seed, and its 95 % interval by Student's t; seeds of which either
    is missing are left out, and a single one has no interval.
    """
    from scipy.stats import t

    found = [a - b for a, b in zip(one, other) if a is not None and b is not None]
    if not found:
        return None, None, None
    count, mean = len(found), sum(found) / len(found)
    if count < 2:
        return mean, None, None
    spread = (sum((value - mean) ** 2 for value in found) / (count - 1) / count) ** 0.5
    half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * spread
    return mean, mean - half, mean + half
