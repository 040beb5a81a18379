"""Accuracy of a network at its run-time bitstream lengths, by the reference model."""

from collections.abc import Iterable

import numpy as np

from ..flow.ir import Graph
from . import reference
from .images import shaped


def correct(graph: Graph, images: np.ndarray, labels: np.ndarray, shifts: Iterable[int],
            where: str) -> list[int]:
    """How many images, as a run keeps them, get their label at each shift; where they are from."""
    inputs = shaped(graph, images, where)
    return [int((reference.run(graph, inputs, shift=h).classes == labels).sum()) for h in shifts]
