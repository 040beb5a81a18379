"""The progress of a search on stderr: a bar, and the front so far."""

import time
from collections.abc import Sequence

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ...flow.output import Output
from .. import pareto
from ..columns import COLUMNS
from ..evaluator import Candidate
from ..loop import Search
from ..prices import Priced
from ..problem import Problem
from ..routing import Routed
from ..space import describe

#: Rows of the front that are shown while the search runs.
ROWS = 12


class View:
    """A live display on a terminal, a line per event elsewhere; a context manager."""

    def __init__(self, task: Problem, out: Output) -> None:
        self.task, self.out = task, out
        self.bars = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                             TimeElapsedColumn(), console=out.progress)
        self.live = None
        self.table: Table | str = ""
        if out.progress.is_terminal:
            self.live = Live(get_renderable=self._render, console=out.progress, transient=True,
                             refresh_per_second=4)
        self.whole = self.bars.add_task("generations", total=task.search.generations)
        self.part = self.bars.add_task(task.ending.WORK, total=None)
        self.began = time.perf_counter()

    def __enter__(self) -> "View":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_exc) -> None:
        if self.live:
            self.live.stop()

    def _render(self) -> Group:
        return Group(self.table, self.bars)

    def note(self, text: str) -> None:
        """A line, with the seconds so far."""
        self.out.note(f"{time.perf_counter() - self.began:6.1f} s  {text}")

    def batch(self, done: int, todo: int) -> None:
        """Trainings of this generation."""
        self.bars.update(self.part, completed=done, total=todo)

    def generation(self, search: Search, number: int) -> None:
        """A generation is evaluated, or the front closed."""
        self.bars.update(self.whole, completed=number)
        names = self.task.search.objectives
        priced = [(row, item) for row, item in zip(search.rows, search.prices.of(search.rows))
                  if self.task.feasible(item.columns)]
        best = [priced[k] for k in pareto.front(self.task.F(item.columns for _, item in priced))]
        best.sort(key=lambda pair: pair[1].columns[self.task.ending.SIZE])
        if self.live:
            self.table = self._front(best, names)
            return
        ends = [", ".join(f"{COLUMNS[name].title} {COLUMNS[name].text(item.columns[name])}"
                          for name in names) for _, item in best[:1] + best[1:][-1:]]
        on_front, hypervolume = self.task.ending.progress(search, [item for _, item in best])
        self.note(f"generation {number} of {self.task.search.generations}: {len(search.rows)} "
                   f"candidates, {on_front} ({' ... '.join(ends)}); hypervolume {hypervolume}")

    def _front(self, best: list[tuple[Candidate, Priced]], names: Sequence[str]) -> Table:
        table = Table(title=f"front so far: {len(best)} networks; ~ predicted")
        for title in ("id", "network", *(COLUMNS[name].title for name in names)):
            table.add_column(title, justify="left" if title in ("id", "network") else "right")
        step = max(1, -(-len(best) // ROWS))
        for row, item in best[::-1][::step][::-1]:
            mark = "" if item.measured else "~"
            table.add_row(row.id, describe(row.genome),
                          *(("" if name in ("accuracy", "cim_accuracy") else mark)
                            + COLUMNS[name].text(item.columns[name]) for name in names))
        return table

    def routed(self, item: Routed) -> None:
        """A candidate was built, or could not be."""
        if item.measured is None:
            self.note(f"{item.id}  {item.network}: {item.status}: {item.reason}")
            return
        lc, about = item.measured["lc"], COLUMNS["lc"].text(item.predicted["lc"])
        self.note(f"{item.id}  {item.network}: {lc:,.0f} LCs (predicted {about}), "
                   f"{item.fmax_mhz:.1f} MHz, {item.seconds:.0f} s")

    def finishing(self) -> None:
        """The search is over; the chosen network comes next."""
        self.bars.update(self.part, visible=False)
        self.note(self.task.ending.FINISHING)
