"""Searches for networks of blocks small enough for tests: a super-network of a few digits."""

from pathlib import Path

import tiny_cells
from tiny_search import few

from spikeloom.nas import datasets
from spikeloom.nas.blocks.task import BlockTask

EXPERIMENT = """
[data]
name = "few"
[space]
network = "blocks"
[search]
population = 4
generations = 3
options = { top = 2, mutants = 2, crossovers = 2 }
[blocks]
offered = ["skip", "scb_k3", "srb_k3"]
channels = 3
stages = [1, 1]
growth = 1
num_steps = 2
voters = 2
[blocks.super]
epochs = 2
batch_size = 16
learning_rate = 0.02
padding = 0
flip = false
device = "cpu"
[train]
epochs = 1
"""
GATEWARE = "blocks.gateware={ lanes = 2 }"


def install(monkeypatch) -> None:
    """Make the data set known by its name."""
    monkeypatch.setitem(datasets.LOADERS, "few", few)


def task(*changes: str, text: str = EXPERIMENT) -> BlockTask:
    """The experiment made ready, with ``section.key=value`` changes."""
    return tiny_cells.task(*changes, text=text)


def written(folder: Path) -> str:
    """The experiment as a file."""
    path = folder / "blocks.toml"
    path.write_text(EXPERIMENT)
    return str(path)
