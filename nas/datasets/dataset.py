"""A data set: inputs and labels in three splits."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...flow import ir
from ...flow.errors import ConfigError
from ...flow.events import Recorded


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and their labels int64 [n], both read-only.

    inputs: uint8, images p8 [n, pixels], or frames of events [n, T, channels], 0/1 or counts.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        self.inputs.flags.writeable = False
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """One classification problem.

    shape: of an image or of one timestep's events, (rows, columns), (channels, rows, columns) or
    (channels,). num_steps: how many timesteps of events a sample has; None for images, which are
    shown for as long as one likes. recorded: where events are from recordings, how they became
    frames.
    """

    name: str
    shape: tuple[int, ...]
    num_classes: int
    train: Split
    validation: Split
    test: Split
    num_steps: int | None = None
    recorded: Recorded | None = None

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that can take these inputs, at least one.

        Raises ConfigError for frames of counts, which none can: they are for training alone.
        """
        if self.recorded is not None and self.recorded.data.values != "binary":
            raise ConfigError(f"data.values must be 'binary' for the 'spikes' encoder, not "
                              f"{self.recorded.data.values!r}")
        return ("rate", "stream") if self.num_steps is None else ("spikes",)

    def whole(self) -> "Dataset":
        """Raise ConfigError where a split is not what the shape and the classes say."""
        sample = (math.prod(self.shape),)
        if self.num_steps is not None:
            sample = (self.num_steps, *sample)
        for name in ("train", "validation", "test"):
            split = getattr(self, name)
            where, count = f"dataset {self.name!r}: {name}", len(split)
            inputs, labels = split.inputs, split.labels
            if inputs.dtype != np.uint8 or inputs.shape != (count, *sample) or not count:
                raise ConfigError(f"{where}.inputs must be uint8 [n, {', '.join(map(str, sample))}]"
                                  f", n at least 1, not {inputs.dtype} {list(inputs.shape)}")
            if labels.dtype != np.int64 or labels.shape != (count,):
                raise ConfigError(f"{where}.labels must be int64 [{count}], not {labels.dtype} "
                                  f"{list(labels.shape)}")
            if labels.min() < 0 or labels.max() >= self.num_classes:
                raise ConfigError(f"{where}.labels must be in 0..{self.num_classes - 1}, not in "
                                  f"{labels.min()}..{labels.max()}")
        return self

    def check(self, graph: ir.Graph) -> None:
        """Raise ConfigError if a network cannot take these inputs, with what it must be."""
        if graph.input.encoder not in self.encoders:
            raise ConfigError(f"encoder must be {' or '.join(self.encoders)} for the inputs of "
                              f"{self.name!r}, not {graph.input.encoder}")
        if self.num_steps not in (None, graph.num_steps):
            raise ConfigError(f"num_steps must be {self.num_steps} for the events of "
                              f"{self.name!r}, not {graph.num_steps}")

    @cached_property
    def digest(self) -> str:
        """Of the train and validation splits, 16 hexadecimal digits; the test split is not in it.
        """
        held = hashlib.sha256()
        for item in (self.train, self.validation):
            held.update(str(item.inputs.shape).encode() + item.inputs.tobytes()
                        + item.labels.tobytes())
        return held.hexdigest()[:16]

    @property
    def final(self) -> Split:
        """Train and validation together: what a final training may use."""
        return Split(np.concatenate([self.train.inputs, self.validation.inputs]),
                     np.concatenate([self.train.labels, self.validation.labels]))
