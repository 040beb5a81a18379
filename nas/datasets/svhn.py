"""SVHN, cropped digits, from its MATLAB files: 32 x 32 pixels of three colours of house numbers.

Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu and A. Y. Ng, "Reading Digits in Natural Images
with Unsupervised Feature Learning", NIPS Workshop, 2011. X is [row, column, colour, image], y the
digit, 10 for a zero. The set `extra` is not used.
"""

from pathlib import Path

import numpy as np

from ...flow.errors import ConfigError
from . import images
from .dataset import Dataset
from .images import Origin, Subset

ORIGIN = Origin("svhn", "http://ufldl.stanford.edu/housenumbers/ (format 2, cropped digits)")
SHAPE, CLASSES = (3, 32, 32), 10
#: Images of the files.
TRAINING, TEST = 73_257, 26_032

#: By the names of data sets. Classes are not of one size; of the whole set train takes what the
#: balanced validation leaves.
SETS = {"svhn": Subset(train=None, validation=500, test=None),
        "svhn-small": Subset(train=200, validation=50, test=100)}


def files(name: str = "svhn") -> list[Path]:
    return [ORIGIN.path / "train_32x32.mat", ORIGIN.path / "test_32x32.mat"]


def sizes(name: str) -> tuple[int, int, int]:
    subset = SETS[name]
    held = CLASSES * subset.validation
    return (TRAINING - held if subset.train is None else CLASSES * subset.train, held,
            TEST if subset.test is None else CLASSES * subset.test)


def about(name: str) -> str:
    subset = SETS[name]
    if subset.train is None:
        return (f"validation having {subset.validation:,} of each class of the training images, "
                f"drawn with seed {subset.seed}, and train the others")
    return f"as many of each class, drawn with seed {subset.seed}"


def load(name: str) -> Dataset:
    """The images of a subset."""
    paths = tuple(files())
    (maps, labels), (tested, test_labels) = map(read, paths, (TRAINING, TEST))
    chosen = images.drawn(SETS[name], labels, test_labels, CLASSES, ORIGIN, paths)
    return images.dataset(name, SHAPE, CLASSES, {
        split: (_pixels(tested, index), test_labels[index]) if split == "test" else
        (_pixels(maps, index), labels[index]) for split, index in chosen.items()})


def read(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """X uint8 [32, 32, 3, count] as it is in the file, and the digits, int64 [count].

    Sizes are checked before anything is unpacked. Raises ConfigError for another file than that.
    """
    from scipy.io import loadmat, whosmat

    ORIGIN.read(path, 1)
    try:
        found = {name: (shape, kind) for name, shape, kind in whosmat(path, appendmat=False)}
        for name, shape, kinds in (("X", (32, 32, 3, count), ("uint8",)),
                                   ("y", (count, 1), ("uint8", "double"))):
            seen = found.get(name, ((), "nothing"))
            if seen[0] != shape or seen[1] not in kinds:
                wanted = f"{' or '.join(kinds)} {list(shape)}"
                raise ORIGIN.wrong(path, f"{name} must be {wanted}, not {seen[1]} {list(seen[0])}")
        held = loadmat(path, variable_names=("X", "y"), appendmat=False)
    except ConfigError:
        raise
    except Exception as error:  # whatever a damaged file leads SciPy into
        raise ORIGIN.wrong(path, "must be a whole MATLAB 5 file "
                                 f"({type(error).__name__})") from error
    digits = held["y"].ravel()
    legal = np.isin(digits, np.arange(1, CLASSES + 1))
    if not legal.all():
        at = int(np.argmin(legal))
        raise ORIGIN.wrong(path, f"y must be in 1..{CLASSES}, not {digits[at]:g} of image {at}")
    return held["X"], digits.astype(np.int64) % CLASSES


def _pixels(maps: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The pixels of some images, the planes of colours one after the other: uint8 [n, 3072]."""
    return np.ascontiguousarray(maps[..., index].transpose(3, 2, 0, 1)).reshape(len(index), -1)
