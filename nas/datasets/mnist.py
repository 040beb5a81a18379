"""MNIST from its four IDX files, compressed or not: 28 x 28 pixels of handwritten digits.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86, 1998. Validation is the last 10,000 training images, in
every subset.
"""

from pathlib import Path

import numpy as np

from . import idx
from .dataset import Dataset
from .images import SPLITS, Origin, Subset, balanced, dataset

ORIGIN = Origin("mnist", "http://yann.lecun.com/exdb/mnist/")
SHAPE, CLASSES = (28, 28), 10
#: Images of the files, and how many of the first one are held out.
TRAINING, TEST, HELD = 60_000, 10_000, 10_000

#: By the names of data sets; None takes every image, in the order of the files.
SETS: dict[str, Subset | None] = {
    "mnist": None, "mnist-small": Subset(train=200, validation=50, test=100)}


def files(name: str = "mnist") -> list[Path]:
    """Images and labels to train on, then those of the test; every subset reads all.

    They are in the folder `mnist`, or, as people keep them by themselves, where that would be.
    """
    return [_found(f"{part}-{what}-ubyte") for part in ("train", "t10k")
            for what in ("images-idx3", "labels-idx1")]


def _found(name: str) -> Path:
    plain = ORIGIN.beside(name)
    packed = idx.find(plain)
    return packed if packed.exists() else ORIGIN.beside(name + ".gz")


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    if subset is None:
        return TRAINING - HELD, HELD, TEST
    return CLASSES * subset.train, CLASSES * subset.validation, CLASSES * subset.test


def about(name: str) -> str:
    subset, held = SETS[name], f"the last {HELD:,} training images"
    if subset is None:
        return f"validation being {held}"
    return (f"as many of each class, drawn with seed {subset.seed}, validation from {held}, train "
            "from the others")


def load(name: str) -> Dataset:
    """The images of a subset."""
    images, labels, tested, test_labels = _read()
    cut = TRAINING - HELD
    parts = {"train": (images[:cut], labels[:cut]), "validation": (images[cut:], labels[cut:]),
             "test": (tested, test_labels)}
    if subset := SETS[name]:
        rng = np.random.default_rng(subset.seed)
        for split, where in zip(SPLITS, (files()[1], files()[1], files()[3])):
            pixels, labels = parts[split]
            chosen = rng.permutation(balanced(labels, getattr(subset, split), CLASSES, rng, ORIGIN,
                                              where).ravel())
            parts[split] = pixels[chosen], labels[chosen]
    return dataset(name, SHAPE, CLASSES, parts)


def _read() -> list[np.ndarray]:
    """Pixels uint8 [n, 784] and labels int64 [n], to train on and to test."""
    found = []
    for path, count, extent in zip(files(), (TRAINING, TRAINING, TEST, TEST),
                                   (SHAPE, (), SHAPE, ())):
        values = idx.read(path, (count, *extent), ORIGIN)
        if not extent:
            values = values.astype(np.int64)
            if values.max() >= CLASSES:
                at = int(np.argmax(values >= CLASSES))
                raise ORIGIN.wrong(path, f"labels must be in 0..{CLASSES - 1}, not {values[at]} "
                                         f"of image {at}")
        found.append(values.reshape(count, -1) if extent else values)
    return found
