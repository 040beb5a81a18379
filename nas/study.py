"""What studies share: points that are kept as they are measured, tables, CSV, LaTeX and pictures.

A study is a list of points; each is a key of plain values that says all that it depends on. Points
are written one by one, so a study that was cut short goes on where it was, and one with more points
measures only those that are new.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

from ..flow.errors import RunError
from ..flow.files import write_atomic
from ..flow.output import Wide
from .pictures import Panel, draw
from .tables import framed

FORMAT = 1
#: Characters that LaTeX takes for something else, and how it is told to print them.
_LATEX = {**{char: f"\\{char}" for char in "&%$#_{}"}, "~": r"\textasciitilde{}",
          "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "|": r"\textbar{}",
          "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$"}


class Points:
    """Measured points of a file, by key."""

    def __init__(self, path: Path) -> None:
        self.path, self.measured = path, 0
        self._known: dict[str, dict] = {}
        try:
            data = json.loads(path.read_text())
            if data["format"] == FORMAT:
                self._known = dict(data["points"].items())
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{path}: is damaged ({type(error).__name__}); delete it and run the "
                           "study again") from error

    def find(self, key: dict, measure: Callable[[], dict]) -> dict:
        """The result of a point, measured if it is not known."""
        text = json.dumps(key, sort_keys=True)
        if text not in self._known:
            self._keep(text, measure())
        return self._known[text]

    def every(self, keys: Sequence[dict], measure: Callable[[dict], dict], *, jobs: int = 1,
              note: Callable[[int, int], None] = lambda done, todo: None) -> list[dict]:
        """The results of points in the order of `keys`, what is not known measured from its key
        alone, by `jobs` processes; with one, in this process.

        note(done, todo) counts those that were not known. Raises KeyboardInterrupt with how to go
        on where that came.
        """
        texts = [json.dumps(key, sort_keys=True) for key in keys]
        missing = [text for text in dict.fromkeys(texts) if text not in self._known]
        note(0, len(missing))
        try:
            if jobs == 1 or len(missing) < 2:
                for done, text in enumerate(missing, 1):
                    self._keep(text, measure(json.loads(text)))
                    note(done, len(missing))
            else:
                self._at_once(missing, measure, jobs, note)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"finished points are in {self.path}; run the same command "
                                    "again to go on") from None
        return [self._known[text] for text in texts]

    def _at_once(self, missing: list[str], measure: Callable[[dict], dict], jobs: int,
                 note: Callable[[int, int], None]) -> None:
        from .workers import workers

        with workers(min(jobs, len(missing)), "run the same command again") as executor:
            running = {executor.submit(measure, json.loads(text)): text for text in missing}
            for done, future in enumerate(as_completed(running), 1):
                self._keep(running[future], future.result())
                note(done, len(missing))

    def _keep(self, text: str, found: dict) -> None:
        self._known[text] = found
        self.measured += 1
        content = {"format": FORMAT, "points": self._known}
        write_atomic(self.path, json.dumps(content, indent=1) + "\n")


@dataclass(frozen=True)
class Sheet:
    """A table by the name of its files: columns with the format of their values, and rows.

    An empty format is for words; None is a value that there is not.
    """

    name: str
    heading: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple, ...]

    def texts(self) -> list[list[str]]:
        """The rows as people read them."""
        return [[_written(value, spec) for value, (_, spec) in zip(row, self.columns, strict=True)]
                for row in self.rows]

    def text(self) -> Wide:
        words = [title for title, spec in self.columns if not spec]
        found = framed(self.heading, *(title for title, _ in self.columns), left=words)
        for row in self.texts():
            found.add_row(*row)
        return Wide(found)

    def csv(self) -> str:
        """With values as they are, nan and None left empty."""
        return table([title for title, _ in self.columns],
                     [["" if _absent(value) else value for value in row] for row in self.rows])

    def latex(self) -> str:
        """A `tabular` that needs no package."""
        sides = "".join("r" if spec else "l" for _, spec in self.columns)
        lines = [[title for title, _ in self.columns], *self.texts()]
        head, *rest = [" & ".join(map(_escaped, line)) + r" \\" for line in lines]
        return "\n".join([f"% {_one_line(self.heading)}", rf"\begin{{tabular}}{{{sides}}}",
                          r"\hline", head, r"\hline", *rest, r"\hline", r"\end{tabular}", ""])

    def plain(self) -> list[dict]:
        """Rows for JSON."""
        return [{title: None if _absent(value) else value
                 for (title, _), value in zip(self.columns, row)} for row in self.rows]


def keep(folder: Path, name: str, sheets: Iterable[Sheet], panels: Sequence[Panel], title: str,
         y_label: str) -> list[str]:
    """Write tables as CSV and LaTeX, and a picture by the name of the study, if there are panels;
    returns the files.
    """
    files = []
    for sheet in sheets:
        for suffix, content in ((".csv", sheet.csv()), (".tex", sheet.latex())):
            files.append(folder / f"{sheet.name}{suffix}")
            write_atomic(files[-1], content)
    pictures = draw(panels, title, y_label, folder / name) if panels else ()
    return [str(path) for path in (*files, *pictures)]


def table(columns: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Rows as CSV."""
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(columns)
    written.writerows(rows)
    return text.getvalue()


def _absent(value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _written(value, spec: str) -> str:
    if _absent(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return str(value) if isinstance(value, str) else format(value, spec)


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
