"""Cases that failed, kept as run directories that ``spikeloom sim`` replays."""

import shlex
from pathlib import Path

import numpy as np

from ..flow import ir
from ..flow.run import Run
from . import reference


def keep(graph: ir.Graph, images: np.ndarray, folder: Path) -> Run:
    """The run directory of a case below `folder`; labels are the reference model's classes."""
    run = Run.create(folder / graph.digest()[:16])
    graph.save(run.graph_file)
    run.save_samples(images, reference.run(graph, images).classes)
    return run


def replay_command(run: Run, level: str, count: int, board: str | None = None) -> str:
    """The command that runs a kept case on a rung again, with waveforms."""
    folder = shlex.quote(str(run.path))
    where = f" --board {board}" if board else ""
    return f"spikeloom sim --run {folder} --level {level}{where} --count {count} --waves"
