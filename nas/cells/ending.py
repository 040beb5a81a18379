"""What comes after a search for networks of cells: its best, its front, and which limits they keep.

Fronts are of scores, or of accuracies of short trainings, and of costs by closed form; nothing is
measured on a chip.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from ...flow.errors import FitError
from ...flow.output import Wide
from ...flow.run import Run
from .. import pareto
from ..columns import COLUMNS, title
from ..evaluator import Candidate
from ..loop import Search
from ..prices import Priced
from ..problem import Problem, broken
from ..space import describe
from ..store import Store
from ..tables import SHORT, framed
from . import final

#: The column that fronts are sorted by, what is counted, and what is said while the chosen network
#: is made.
SIZE, WORK, FINISHING = "weights", "evaluations", "training the chosen network"
BASIS = "scored"
NOTE = ("the search saw images of the train split alone, and those of the validation split where "
        "accuracy is asked for; costs are by closed form, none of them measured")


def front(task: Problem, rows: Sequence[Candidate]) -> list[Candidate]:
    """The non-dominated of those that keep the limits, each network once; fewest weights first."""
    kept = list({row.id: row for row in rows if task.feasible(row.counted)}.values())
    best = [kept[k] for k in pareto.front(task.F(row.counted for row in kept))]
    return sorted(best, key=lambda row: (row.counted[SIZE], row.id))


def order(search: Search) -> list[Candidate]:
    """Those that `search.choose` names, the best first; ties go to fewer weights.

    Where the strategy returns a network of its own, that one alone, whatever it breaks. Raises
    FitError where none keeps the limits, with the one that is nearest to it.
    """
    task, rows, rule = search.task, search.rows, search.task.search.choose
    if rule not in COLUMNS:
        found = list({row.id: row for row in rows if row.id.startswith(rule)}.values())
        if len(found) != 1:
            raise FitError("search.choose must be a column or the beginning of one id of a "
                           f"candidate in search.sqlite, not {rule!r}")
        return found
    sense = COLUMNS[rule].sense
    if search.result is not None:
        rows = [row for row in rows if row.genome == search.result]
    else:
        rows = [row for row in rows if task.feasible(row.counted)]
    if rows:
        return sorted(rows, key=lambda row: (row.counted[rule] is None,
                                             sense * (row.counted[rule] or 0.0),
                                             row.counted[SIZE], row.id))
    near = min(search.rows, key=lambda row: sum(
        max(0.0, value) for value in task.broken(row.counted).values()))
    words = broken(task, near.counted) or "it has no " + " and no ".join(
        name for name in task.search.objectives if near.counted.get(name) is None)
    raise FitError(f"none of {len(search.rows)} networks keeps the limits; the nearest is "
                   f"{near.id}, {describe(near.genome)}: {words}; try wider search.constraints")


def limits(task: Problem, row: Candidate) -> dict[str, dict]:
    """Each limit: the value there, the bound, and whether it holds."""
    kept = task.broken(row.counted)
    return {name: {"value": row.counted.get(name), "bound": bound, "holds": kept.get(name, 0) <= 0}
            for name, bound in task.bounds.items()}


def finish(search: Search, store: Store, executor: Executor, folder: Path):
    return final.finish(search.task, store, executor, folder, order(search))


def facts(search: Search) -> dict:
    return {"network": "cells", "score": search.task.cells.score,
            **common(search, search.evaluator.without), "front_basis": BASIS, "note": NOTE}


def common(search: Search, without: int = 0) -> dict:
    """The front, and the best network with its limits; without: evaluations that gave nothing."""
    task = search.task
    found = {"data": task.data.name, "deduplicate": task.search.deduplicate,
             "counts": {"without": without},
             "front": [row.id for row in front(task, search.rows)]}
    best = order(search)[0] if search.rows else None
    if best is not None:
        found["best"] = {"id": best.id, "network": describe(best.genome),
                         "columns": best.counted, "limits": limits(task, best)}
    return found


def progress(search: Search, best: Sequence[Priced]) -> tuple[str, str]:
    """The front so far, and its hypervolume, in a few words."""
    return f"{len(best)} on the front", f"{search.marks[-1].expected:.4g}"


def keep(search: Search, chosen, made, opened: Run) -> list[str]:
    return final.keep(search.task, chosen, made, opened)


def tables(search: Search, chosen, basis: str = BASIS) -> list[Wide]:
    """The front, and the limits of the chosen network; basis: by what candidates were judged."""
    task, rows = search.task, search.rows
    first = [name for name in ("score", "accuracy", "spikes") if name in rows[0].counted]
    names = [*first, *(name for name in task.columns if name not in first
                       and name in rows[0].counted)]
    found = framed(f"{basis.capitalize()}, nothing is built: the Pareto front; ~ is an estimate in "
                   "closed form, > chosen", "", "id", "network", *map(title, names))
    best = front(task, rows)
    if chosen.id not in {row.id for row in best}:
        best += [row for row in rows if row.id == chosen.id][:1]
    for row in best:
        found.add_row(">" if row.id == chosen.id else "", row.id[:SHORT], describe(row.genome),
                      *(COLUMNS[name].text(row.counted.get(name)) for name in names))
    if not task.bounds:
        return [Wide(found)]
    row = next(row for row in rows if row.id == chosen.id)
    kept = framed("Limits of the chosen network", "limit", "value", "bound", "holds")
    for name, item in limits(task, row).items():
        kept.add_row(title(name), *(COLUMNS[name].text(item[key]) for key in ("value", "bound")),
                     "yes" if item["holds"] else "NO")
    return [Wide(found), kept]


def summary(search: Search, found: dict, note: str = NOTE) -> list[str]:
    """The outcome in sentences; note: what the search saw, and what its numbers are."""
    task, counts, seconds = search.task, found["counts"], found["seconds"]
    lines = [
        f"{counts['candidates']:,} candidates, {counts['distinct']:,} of them different "
        f"({counts['trainings']:,} evaluations, {counts['restored']:,} more from the store), of "
        f"{found['space_size']:,} networks; free checks priced {counts['priced']:,} and refused "
        f"{counts['refused']:,}; {seconds['search']:.0f} s",
        f"{len(found['front'])} non-dominated in {', '.join(task.search.objectives)}"]
    if counts["without"]:
        lines.append(f"{counts['without']:,} evaluations gave no "
                     f"{'score' if task.training is None else 'accuracy'}; they rank last")
    bad = [name for name, item in found["best"]["limits"].items() if not item["holds"]]
    if bad:
        lines.append(f"what {task.search.strategy} returns breaks {', '.join(bad)}, as its options "
                     "let it")
    chosen = next(row for row in search.rows if row.id == found["chosen"])
    return [*lines, f"note: {note}",
            f"chosen by {task.search.choose}: {found['chosen']}, {describe(chosen.genome)}"]

