"""A comparison that failed is kept as a run directory, with the command that replays it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from spikeloom.sim.cases import keep, replay_command

FAILED = Path(__file__).resolve().parent.parent / "build" / "failed"
#: What each test has kept: Hypothesis tries many cases, and fails with the smallest one last.
_kept: dict[str, Path] = {}


@contextmanager
def saved_on_failure(graph, images, level: str, folder: Path = FAILED) -> Iterator[None]:
    """Around assertions about a rung: if one fails, keep graph and images in a run directory.

    The note that the error gets has the command that runs them on this rung again. A test keeps one
    case only, its last.
    """
    try:
        yield
    except AssertionError as error:
        run = keep(graph, images, folder)
        test = os.environ.get("PYTEST_CURRENT_TEST", "")
        if _kept.get(test, run.path) != run.path:
            rmtree(_kept[test], ignore_errors=True)
        _kept[test] = run.path
        error.add_note(f"replay: {replay_command(run, level, len(images))}")
        raise
