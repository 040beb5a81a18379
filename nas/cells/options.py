"""Options of commands that say how large networks of cells are."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping

from ...flow.errors import ConfigError
from ..datasets import Dataset
from .macro import Macro
from .pixels import check

#: Keys of `Macro`, and what their options are for.
_WHAT = {"channels": "of the first cell", "cells": "places of cells", "num_steps": "timesteps",
         "hidden": "neurons of the classifier", "voters": "outputs of a class"}


def configure(parser: ArgumentParser, defaults: Mapping[str, int], image_size: str) -> None:
    """One option a size; image_size: what is taken where none is given, in words."""
    add = parser.add_argument
    add("--image-size", type=int, metavar="N",
        help=f"rows and columns that images are averaged to (default: {image_size})")
    for key, what in _WHAT.items():
        option = "places" if key == "cells" else key.replace("_", "-")
        add(f"--{option}", dest=f"macro_{key}", type=int, metavar="N", default=defaults[key],
            help=f"{what} (default: %(default)s)")


def macro(args: Namespace, data: Dataset, where: str, image_size: int) -> Macro:
    """The macro network for a data set's images.

    image_size: where the option is not given. Raises ConfigError.
    """
    if data.num_steps is not None:
        raise ConfigError(f"--data must be a data set of images, not the events of {data.name!r}")
    channels = data.shape[0] if len(data.shape) == 3 else 1
    sizes = {key: getattr(args, f"macro_{key}") for key in _WHAT}
    found = Macro(num_classes=data.num_classes, in_channels=channels,
                  image_size=image_size if args.image_size is None else args.image_size,
                  **sizes).check(where)
    check(data.shape, found, f"images of {data.name!r}")
    return found
