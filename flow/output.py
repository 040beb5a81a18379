"""What a command prints: results on stdout, everything else on stderr."""

import json
import sys

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from .manifest import Facts


class Output:
    """Results as text or as one JSON object on stdout; progress and warnings on stderr."""

    def __init__(self, *, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        self.progress = Console(stderr=True, highlight=False)
        self.console = Console(highlight=False, soft_wrap=True)
        self.facts = Facts()

    def record(self, **facts) -> None:
        """Seeds, data and tools, for the manifest of the run (`manifest.Facts.add`)."""
        self.facts.add(**facts)

    def note(self, text: str) -> None:
        """A line of progress, on stderr."""
        self.progress.print(text, markup=False, soft_wrap=True)

    def result(self, data: dict, *renderables) -> None:
        """Print `data` as JSON if asked for, else each renderable (text or rich object)."""
        if self.as_json:
            json.dump(data, sys.stdout, indent=None, default=_plain)
            sys.stdout.write("\n")
            sys.stdout.flush()
        else:
            for item in renderables:
                self.console.print(item, markup=False)


class Wide:
    """A table as wide as its content, however narrow the terminal; its columns stay readable."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = options.update(max_width=1000)
        width = console.measure(self.table, options=whole).maximum
        yield from console.render(self.table, options.update(width=width))


def counted(number: int, thing: str) -> str:
    """A number of things: ``1 network``, ``1,200 networks``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _plain(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
