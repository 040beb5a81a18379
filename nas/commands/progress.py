"""The progress of a search on stderr: a bar, and the front so far."""

import time
from collections.abc import Sequence

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ...flow.output import Output
from .. import pareto
from ..evaluate import COLUMNS, Candidate, Task
from ..finalists import Finalist
from ..space import describe

#: Rows of the front that are shown while the search runs.
ROWS = 12


class View:
    """A live display on a terminal, a line per event elsewhere; a context manager."""

    def __init__(self, task: Task, out: Output) -> None:
        self.task, self.out = task, out
        self.bars = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                             TimeElapsedColumn(), console=out.progress)
        self.live = None
        self.table: Table | str = ""
        if out.progress.is_terminal:
            self.live = Live(get_renderable=self._render, console=out.progress, transient=True,
                             refresh_per_second=4)
        self.whole = self.bars.add_task("generations", total=task.search.generations)
        self.part = self.bars.add_task("trainings", total=None)
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

    def _line(self, text: str) -> None:
        self.out.note(f"{time.perf_counter() - self.began:6.1f} s  {text}")

    def batch(self, done: int, todo: int) -> None:
        """Trainings of this generation."""
        self.bars.update(self.part, completed=done, total=todo)

    def generation(self, number: int, rows: Sequence[Candidate]) -> None:
        """A generation is evaluated; `rows` are all so far."""
        self.bars.update(self.whole, completed=number)
        kept = [row for row in rows if self.task.feasible(row.columns)]
        best = [kept[index] for index in pareto.front(self.task.F(row.columns for row in kept))]
        best.sort(key=lambda row: row.columns.get("lc", row.columns["weight_memory"]))
        names = self.task.search.objectives
        if self.live:
            self.table = self._front(best, names)
            return
        ends = [", ".join(f"{COLUMNS[name].title} {COLUMNS[name].text(row.columns[name])}"
                          for name in names) for row in best[:1] + best[1:][-1:]]
        self._line(f"generation {number} of {self.task.search.generations}: {len(rows)} "
                   f"candidates, {len(best)} on the estimated front ({' ... '.join(ends)})")

    def _front(self, best: list[Candidate], names: Sequence[str]) -> Table:
        table = Table(title=f"front so far (estimates): {len(best)} networks")
        for title in ("id", "network", *(COLUMNS[name].title for name in names)):
            table.add_column(title, justify="left" if title in ("id", "network") else "right")
        step = max(1, -(-len(best) // ROWS))
        for row in best[::-1][::step][::-1]:
            found = row.columns
            table.add_row(row.id, describe(row.genome),
                          *(COLUMNS[name].text(found[name]) for name in names))
        return table

    def routing(self) -> None:
        """The search is over; finalists come next."""
        self.bars.update(self.part, visible=False)
        self.bars.update(self.whole, description="placed and routed", completed=0,
                         total=self.task.search.routed)
        self._line("training and placing and routing the finalists")

    def finalist(self, item: Finalist) -> None:
        """A finalist was built, or could not be."""
        if item.status == "routed":
            self.bars.advance(self.whole)
            about = COLUMNS["lc"].text(item.estimate.get("lc"))
            self._line(f"{item.id}  {item.network}: {item.measured['lc']:,} LCs (predicted "
                       f"{about}), "
                       f"{item.fmax_mhz:.1f} MHz, {item.seconds:.0f} s")
        else:
            self._line(f"{item.id}  {item.network}: {item.status}: {item.reason}")
