"""What readers of image files share: where files lie, named subsets, one line for what is wrong.

Accuracies of different subsets are different figures, so a subset has a name.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from ...flow.errors import ConfigError
from .dataset import Dataset, Split

SPLITS = ("train", "validation", "test")


def folder() -> Path:
    """Where data sets lie: in `SPIKELOOM_DATASETS`, or in `datasets` of the data directory."""
    if own := os.environ.get("SPIKELOOM_DATASETS"):
        return Path(own)
    data = os.environ.get("SPIKELOOM_DATA") or platformdirs.user_data_path("spikeloom")
    return Path(data) / "datasets"


@dataclass(frozen=True)
class Origin:
    """Where the files of a data set are from, and the folder that they are unpacked into."""

    folder: str
    source: str

    @property
    def path(self) -> Path:
        return folder() / self.folder

    def beside(self, name: str) -> Path:
        """A file of the folder; one of that name beside the folder counts where there is none."""
        inside, outside = self.path / name, folder() / name
        return outside if outside.exists() and not inside.exists() else inside

    @property
    def advice(self) -> str:
        return (f"it comes from {self.source}; SPIKELOOM_DATASETS names the folder that "
                f"{self.folder}/ is in")

    def wrong(self, path: Path, words: str) -> ConfigError:
        """The error for a file: what it must be, or why it cannot be read, and where it is from."""
        return ConfigError(f"{path}: {words}; {self.advice}")

    def unreadable(self, path: Path, error: OSError) -> ConfigError:
        return self.wrong(path, f"cannot be read ({error.strerror or error})")

    def read(self, path: Path, most: int) -> bytes:
        """A file's first `most` bytes; ConfigError if there is none."""
        try:
            with open(path, "rb") as file:
                return file.read(most)
        except OSError as error:
            raise self.unreadable(path, error) from error


@dataclass(frozen=True)
class Subset:
    """Images per class, drawn with `seed`: train and validation out of the training images, test
    out of the test images. None: train takes all that validation leaves, test all there are.
    """

    train: int | None
    validation: int
    test: int | None
    seed: int = 0


def balanced(labels: np.ndarray, each: int, classes: int, rng: np.random.Generator, origin: Origin,
             where: Path) -> np.ndarray:
    """Indices of `each` images of every class, in random order: [classes, each].

    Raises ConfigError, naming `where`, for too few of a class.
    """
    found = []
    for label in range(classes):
        index = np.flatnonzero(labels == label)
        if len(index) < each:
            raise origin.wrong(where, f"must have {each:,} images of class {label}, not "
                                      f"{len(index):,}")
        found.append(rng.permutation(index)[:each])
    return np.stack(found)


def drawn(subset: Subset, labels: np.ndarray, tested: np.ndarray, classes: int, origin: Origin,
          files: tuple[Path, Path]) -> dict[str, np.ndarray]:
    """Indices of a subset by split, in random order; those of `test` are into `tested`.

    files: of the training and of the test images, for what is wrong with them.
    """
    rng = np.random.default_rng(subset.seed)
    each = subset.train or 0
    chosen = balanced(labels, each + subset.validation, classes, rng, origin, files[0])
    fit, held = chosen[:, :each].ravel(), chosen[:, each:].ravel()
    if subset.train is None:
        fit = np.setdiff1d(np.arange(len(labels)), held)
    seen = np.arange(len(tested)) if subset.test is None else balanced(
        tested, subset.test, classes, rng, origin, files[1]).ravel()
    return {split: rng.permutation(index) for split, index in zip(SPLITS, (fit, held, seen))}


def dataset(name: str, shape: tuple[int, ...], classes: int,
            splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> Dataset:
    """A data set of pixels and labels by split."""
    return Dataset(name=name, shape=shape, num_classes=classes,
                   **{split: Split(*arrays) for split, arrays in splits.items()})
