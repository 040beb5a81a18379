"""Built searches: what was found is placed and routed, and the front is of what was measured."""

import statistics
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from rich.table import Table

from ..flow import ir
from ..flow.output import Wide
from ..flow.run import Run
from . import final, pareto
from .columns import CIM, COLUMNS, title
from .evaluator import Candidate
from .final import Final
from .loop import Search
from .outcome import hardware, keep_network
from .prices import Priced
from .routing import Routed
from .store import Store
from .tables import SHORT, framed
from .task import Task

#: The column that fronts are sorted by, what is counted, and what is said while the chosen network
#: is made.
SIZE, WORK, FINISHING = "lc", "trainings", "training and placing and routing the chosen network"
NOTE = ("the search saw the train and validation splits only; the front pairs the validation "
        "accuracy of a network (the mean of its trainings, if there are several) with the measured "
        "cells of its first training. The chosen one was trained anew on both splits together, and "
        "test accuracy was computed once, on the integers that were built")


def finish(search: Search, store: Store, executor: Executor, folder: Path
           ) -> tuple[Final, ir.Graph]:
    return final.finish(search.task, store, executor, folder, search.routing.done,
                        search.rows)


def facts(search: Search) -> dict:
    """The front, what is still open, and every build."""
    return {**hardware(search),
            "front": [item.id for item in final.front(search.task, search.routing.done)],
            "open": [row.id for row in still_open(search)], "test_accuracy_note": NOTE}


def progress(search: Search, best: Sequence[Priced]) -> tuple[str, str]:
    """The front so far, and its hypervolume, in a few words."""
    mark = search.marks[-1]
    return (f"{len(best)} on the front, {sum(item.measured for item in best)} of them measured",
            f"{mark.hypervolume:.4f} measured, {mark.expected:.4f} expected")


def keep(search: Search, chosen: Final, graph: ir.Graph, opened: Run) -> list[str]:
    return keep_network(search, chosen, graph, opened)


def still_open(search: Search) -> list[Candidate]:
    """Candidates that were not measured, but are predicted to be on the front with the measured."""
    task, tried, done = search.task, search.routing.tried, search.routing.done
    points = [item.measured for item in done if item.usable and task.feasible(item.measured)]
    rows = [row for row in search.rows if row.id not in tried]
    priced = [(row, columns) for row, columns in zip(rows, search.prices.columns(rows))
              if task.feasible(columns)]
    kept = pareto.front(task.F([*points, *(columns for _, columns in priced)]))
    return [priced[k - len(points)][0] for k in kept if k >= len(points)]


def tables(search: Search, chosen: Final) -> list:
    """What was measured, the front marked; what had been predicted; and the final network."""
    task, routed = search.task, search.routing.done
    others = [name for name in COLUMNS if name not in ("accuracy", "zeros", "lc", "fmax_mhz") and
              (name in task.search.objectives or name in task.search.constraints)]
    if task.cim is not None:
        others = [name for name in COLUMNS if name in others or name in CIM]
        others = others if task.cim.draws else [name for name in others if name != "cim_accuracy"]
    by_size = sorted(routed, key=lambda item: (item.measured is None,
                                               (item.measured or item.predicted)["lc"]))
    return [Wide(_measured(task, by_size, chosen, others)), Wide(_predicted(by_size)),
            Wide(_final(chosen, others))]


def _measured(task: Task, routed: Sequence[Routed], chosen: Final, others: list[str]) -> Table:
    best = {item.id for item in final.front(task, routed)}
    trainings = max(map(len, chosen.confirmed.values()), default=0)
    spread = [f"of {trainings} (sd)"] if trainings else []
    table = framed(f"Measured on {task.board.title} ({task.device.name}, "
                   f"{task.board.clock_hz / 1e6:g} MHz); * Pareto front, > chosen", "", "id",
                   "network", "valid.", *spread, "zeros", "LCs", "MHz", *map(title, others))
    for item in routed:
        mark = ("*" if item.id in best else "") + (">" if item.id == chosen.id else "")
        several = chosen.confirmed.get(item.id)
        words = [mark, item.id[:SHORT], item.network, f"{item.accuracy:.2%}",
                 *([_spread(several)] if spread else []), f"{item.structural['zeros']:.0%}"]
        if item.measured is None:
            words += [item.status, "-", *("-" for _ in others)]
        else:
            words += [COLUMNS["lc"].text(item.measured["lc"]),
                      f"{item.fmax_mhz:.1f}{'' if item.meets_clock else ' slow'}",
                      *(COLUMNS[name].text(item.measured[name]) for name in others)]
        table.add_row(*words)
    return table


def _spread(accuracies: Sequence[float] | None) -> str:
    return ("-" if accuracies is None else
            f"{statistics.fmean(accuracies):.2%} ({100 * statistics.stdev(accuracies):.1f})")


def _predicted(routed: Sequence[Routed]) -> Table:
    """LCs predicted by what was known before, and by what the search had learned until then."""
    table = framed("LCs, predicted against measured: counted by structure, by what the package "
                   "knew, and by what the search had learned when it chose the candidate; ! is "
                   "outside the interval",
                   "id", "LCs", "structure", "package", "search", "interval")
    for item in routed:
        words = [item.id[:SHORT]]
        lc = item.measured and item.measured["lc"]
        words.append("-" if lc is None else COLUMNS["lc"].text(lc))
        for name in ("structural", "first", "predicted"):
            value = getattr(item, name)["lc"]
            error = "" if lc is None else f" {value / lc - 1:+6.1%}"
            words.append(f"{COLUMNS['lc'].text(value)}{error}")
        low, high = item.low.get("lc"), item.high.get("lc")
        outside = lc is not None and low is not None and not low <= lc <= high
        words.append("-" if low is None else f"{low:,.0f}..{high:,.0f}{' !' if outside else ''}")
        table.add_row(*words)
    return table


def _final(chosen: Final, others: list[str]) -> Table:
    others = [name for name in others if name != "cim_accuracy"]
    tested = [] if chosen.cim_test_accuracy is None else [f"{chosen.cim_test_accuracy:.2%}"]
    table = framed("The chosen network, trained on train and validation together", "id", "network",
                   "test", *(["CIM test"] if tested else []), "LCs", "MHz", "MHz by seed",
                   *map(title, others))
    table.add_row(
        chosen.id[:SHORT], chosen.network, f"{chosen.test_accuracy:.2%}", *tested,
        COLUMNS["lc"].text(chosen.measured["lc"]), f"{chosen.fmax_mhz:.1f}",
        ", ".join(f"{seed}: {mhz:.1f}" for seed, mhz in chosen.seeds.items()),
        *(COLUMNS[name].text(chosen.measured[name]) for name in others))
    return table


def summary(search: Search, found: dict) -> list[str]:
    """The outcome in sentences."""
    more = []
    if search.task.cim is not None:
        from . import priced

        more = priced.assumptions(search.task)
    counts, seconds = found["counts"], found["seconds"]
    lines = [
        f"{counts['candidates']:,} candidates ({counts['trainings']:,} trainings, "
        f"{counts['restored']:,} more from the store) of {found['space_size']:,} networks; free "
        f"checks priced {counts['priced']:,} and refused {counts['refused']:,}",
        f"{counts['routed']} placed and routed ({counts['built'] - counts['routed']} could not be),"
        f" {len(found['front'])} of them non-dominated: the front, all measured; hypervolume "
        f"{found['marks'][-1]['hypervolume']:.4f}; {seconds['total']:.0f} s, "
        f"{seconds['search']:.0f} of them for the search",
    ]
    if found["open"]:
        lines.append(f"{len(found['open'])} candidates that were not measured are predicted to be "
                     "on it, too; --resume with more search.routed measures them")
    titles = {"structural": "counted by structure", "first": "predicted by what the package knows",
              "predicted": "predicted when they were chosen"}
    for name, error in found["prediction_error"].items():
        held = f"; the interval held {error['inside']:.0%}" if "inside" in error else ""
        lines.append(f"LCs {titles[name]}, against measured ones: {error['mean']:+.1%} on average, "
                     f"{error['mean_absolute']:.1%} in absolute value, {error['worst']:+.1%} at "
                     f"worst{held}")
    chosen, by = found["final"], search.task.search.choose
    if several := chosen.get("confirmed", {}).get(chosen["id"]):
        by += f", the mean of {len(several)} trainings of each"
    lines += [f"note: {NOTE}",
              f"chosen by {by}: {chosen['id']}, {chosen['network']}", *more]
    return lines
