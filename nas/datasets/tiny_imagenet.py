"""Tiny ImageNet from its folder of JPEG files: 64 x 64 pixels of three colours, 200 classes.

Y. Le and X. Yang, "Tiny ImageNet Visual Recognition Challenge", CS 231N, Stanford, 2015. Classes
are in the order of their names in wnids.txt, sorted. The official test images have no labels, so
test is what is called val there, and validation comes from the training images. Of a subset no more
than its own files are read.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import images
from .dataset import Dataset
from .images import Origin, Subset

ORIGIN = Origin("tiny-imagenet-200", "tiny-imagenet-200.zip of http://cs231n.stanford.edu/")
SHAPE, CLASSES = (3, 64, 64), 200
#: Training images of a class, and test images.
EACH, TEST = 500, 10_000

#: By the names of data sets.
SETS = {"tiny-imagenet": Subset(train=450, validation=50, test=50),
        "tiny-imagenet-small": Subset(train=10, validation=2, test=5)}

#: Names that lists may have: those of files and folders are made of them.
_CLASS, _TESTED = re.compile(r"n\d{8}"), re.compile(r"val_\d+\.JPEG")
#: Bytes of a list of names, at most.
_MOST = 1 << 24


def files(name: str = "tiny-imagenet") -> list[Path]:
    """The lists of names, and the folders of images."""
    root = ORIGIN.path
    return [root / "wnids.txt", root / "val" / "val_annotations.txt", root / "train",
            root / "val" / "images"]


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    return CLASSES * subset.train, CLASSES * subset.validation, CLASSES * subset.test


def about(name: str) -> str:
    return (f"as many of each class, drawn with seed {SETS[name].seed}, test from the images "
            "called val there")


def load(name: str) -> Dataset:
    """The images of a subset."""
    classes = _classes()
    tested, test_labels = _tested(classes)
    labels = np.repeat(np.arange(CLASSES), EACH)
    root = ORIGIN.path
    chosen = images.drawn(SETS[name], labels, test_labels, CLASSES, ORIGIN,
                          (root / "train", files()[1]))
    trained = [root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG"
               for wnid in classes for number in range(EACH)]
    return images.dataset(name, SHAPE, CLASSES, {
        split: (_decoded([tested[k] for k in index]), test_labels[index]) if split == "test" else
        (_decoded([trained[k] for k in index]), labels[index]) for split, index in chosen.items()})


def _classes() -> list[str]:
    path = files()[0]
    names = _lines(path)
    if len(names) != CLASSES or len(set(names)) != CLASSES:
        raise ORIGIN.wrong(path, f"must name {CLASSES} different classes, a line each, not "
                                 f"{len(set(names))} in {len(names)} lines")
    for name in names:
        if not _CLASS.fullmatch(name):
            raise ORIGIN.wrong(path, f"names must be n and eight digits, not {name[:20]!r}")
    return sorted(names)


def _tested(classes: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """The files of the test images, and their labels."""
    path = files()[1]
    numbers = {name: label for label, name in enumerate(classes)}
    found = {}
    for line in _lines(path):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if not _TESTED.fullmatch(name) or wnid not in numbers:
            raise ORIGIN.wrong(path, "lines must be the name of an image, its class and a box, "
                                     f"separated by tabs, not {line[:40]!r}")
        found[name] = numbers[wnid]
    if len(found) != TEST:
        raise ORIGIN.wrong(path, f"must name {TEST:,} different images, not {len(found):,}")
    folder = path.parent / "images"
    return [folder / name for name in found], np.array(list(found.values()), np.int64)


def _lines(path: Path) -> list[str]:
    return ORIGIN.read(path, _MOST).decode("ascii", "replace").splitlines()


def _decoded(paths: Sequence[Path]) -> np.ndarray:
    """The pixels of files, the planes of colours one after the other: uint8 [n, 12288].

    A grey image has three equal planes.
    """
    from PIL import Image

    out = np.empty((len(paths), *SHAPE), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for k, path in enumerate(paths):
            try:
                with Image.open(path, formats=("JPEG",)) as image:
                    extent = image.size
                    if extent == SHAPE[1:]:
                        out[k] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
                raise ORIGIN.unreadable(path, error) from error
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError,
                    Image.DecompressionBombWarning) as error:
                raise ORIGIN.wrong(path, f"must be a whole JPEG file ({type(error).__name__})"
                                   ) from error
            if extent != SHAPE[1:]:
                raise ORIGIN.wrong(path, f"must be {SHAPE[2]} x {SHAPE[1]} pixels, not "
                                         f"{extent[0]} x {extent[1]}")
    return out.reshape(len(paths), -1)
