"""The final network: the chosen candidate trained on all but the test split, built and tested.

The measured front pairs the validation accuracy of a candidate with the cells of the network that
had it. What the run keeps is trained once more, on train and validation together, and is placed and
routed for itself; the test split is looked at here, and nowhere else.
"""

import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from msgspec import Struct

from ..flow import ir
from ..flow.build import fastest
from ..flow.errors import FitError
from ..flow.passes.simplify import simplify
from ..sim import reference
from . import pareto, workers
from .columns import COLUMNS, complete
from .evaluator import Candidate, Evaluator
from .held import HELD, held
from .problem import broken
from .routing import Routed
from .store import Store
from .task import Task


class Final(Struct, frozen=True, omit_defaults=True):
    """The network of the chosen candidate as the run keeps it; `measured` is of its own build.

    confirmed: by id, validation accuracies of the trainings that decided, those of the search
    first; empty where none did. cim_test_accuracy: there only where chips of crossbars are drawn.
    """

    id: str
    network: str
    accuracy: float
    test_accuracy: float
    measured: dict[str, float]
    fmax_mhz: float
    seeds: dict[str, float]
    design: str
    confirmed: dict[str, list[float]] = {}
    cim_test_accuracy: float | None = None


def front(task: Task, routed: Sequence[Routed]) -> list[Routed]:
    """The non-dominated of those that run on the board, by measured columns; fewest LCs first."""
    found = usable(task, routed)
    kept = [found[index] for index in pareto.front(task.F(item.measured for item in found))]
    return sorted(kept, key=lambda item: (item.measured["lc"], -item.accuracy))


def usable(task: Task, routed: Sequence[Routed]) -> list[Routed]:
    """What fits, meets the clock and, as measured, keeps the constraints."""
    return [item for item in routed if item.usable and task.feasible(item.measured)]


def confirm(task: Task, store: Store, executor: Executor, routed: Sequence[Routed], rows:
            Sequence[Candidate]) -> dict[str, list[float]]:
    """By id of all that may be chosen, the accuracies of its trainings, `search.confirm` more than
    the search did; empty where none is asked for, or accuracy is not what decides.
    """
    search, known = task.search, {row.id: row for row in rows}
    chosen = usable(task, routed)
    if search.choose != "accuracy" or not search.confirm or len(chosen) < 2:
        return {}
    seeds = range(search.seed + search.repeats, search.seed + search.repeats + search.confirm)
    more = Evaluator(task, store, executor, seeds=seeds).evaluate([i.genome for i in chosen], 0)
    return {item.id: [one.accuracy for one in (*known[item.id].trainings, *found.trainings)]
            for item, found in zip(chosen, more)}


def order(task: Task, routed: Sequence[Routed], confirmed: Mapping[str, Sequence[float]] = {}
          ) -> list[Routed]:
    """Those that `search.choose` names, the best first: by a column, or the one whose id begins so.

    Only what is `usable` is chosen from; ties go to fewer LCs. confirmed: accuracies by id, whose
    mean counts in place of the column. Raises FitError where nothing is usable.
    """
    rule, found = task.search.choose, usable(task, routed)
    if not found:
        why = {_problem(task, item) for item in routed}
        raise FitError(f"none of {len(routed)} candidates fits the board, meets its clock and "
                       f"keeps the constraints ({'; '.join(sorted(why)) or 'none was built'}); "
                       "try a lower search.max_utilization, or more search.routed")
    if rule in COLUMNS:
        def value(item: Routed) -> float:
            return statistics.fmean(confirmed.get(item.id, [item.measured[rule]]))

        return sorted(found, key=lambda item: (COLUMNS[rule].sense * value(item),
                                               item.measured["lc"], item.id))
    named = [item for item in found if item.id.startswith(rule)]
    if len(named) != 1:
        raise FitError(f"search.choose must be a column ({', '.join(COLUMNS)}) or the id of a "
                       f"measured candidate that fits ({', '.join(item.id for item in found)}), "
                       f"not {rule!r}")
    return named


def _problem(task: Task, item: Routed) -> str:
    """Why a candidate cannot be chosen."""
    if item.measured is None:
        return item.reason
    return broken(task, item.measured) if item.meets_clock else f"Fmax {item.fmax_mhz:.1f} MHz"


def finish(task: Task, store: Store, executor: Executor, folder: Path, routed: Sequence[Routed],
           rows: Sequence[Candidate]) -> tuple[Final, ir.Graph]:
    """Train, build and test what `search.choose` names; where it does not fit, the next best.

    rows: the candidates of the search, which `routed` are of.

    To fit is to be routed, to meet the clock and to keep the constraints. Builds run with
    `search.pnr_seeds` seeds at once, of which the fastest is kept. Raises FitError where none fits.
    """
    evaluator = Evaluator(task, store, executor, held_out=False)
    target = task.experiment.target
    why, confirmed = [], confirm(task, store, executor, routed, rows)
    for item in order(task, routed, confirmed):
        (row,) = evaluator.evaluate([item.genome], 0)
        graph = simplify(store.graph(row.first))
        place = Path(folder) / "candidates" / item.id / "final"
        graph.save(place / "graph.safetensors")
        seeds = range(target.seed, target.seed + task.search.pnr_seeds)
        folders = [place / "build" / f"{target.board}-{seed}" for seed in seeds]
        running = [executor.submit(workers.build, ir.to_bytes(graph), str(place), target.board,
                                   seed, str(where)) for seed, where in zip(seeds, folders)]
        built = [future.result() for future in running]
        for one, where in zip(built, folders):
            one.keep(where)
        good = [one.measurement for one in built if one.status == "routed"
                and one.measurement.fmax_mhz >= one.measurement.clock_mhz]
        if not good:
            why.append(f"{item.id}: {built[0].reason or 'misses the clock'}")
            continue
        best = fastest(good)
        counts = {name: float(getattr(best, name)) for name in ("lc", "lut4", "ff", "ebr", "spram",
                                                                "fmax_mhz")}
        found = held(graph, task.data.validation)
        counts |= {name: found[name] for name in HELD}
        measured = complete({**row.first.estimate, **counts}, task.board)
        if not task.feasible(measured):
            why.append(f"{item.id}: {broken(task, measured)}")
            continue
        split = task.data.test
        right = reference.run(graph, split.inputs).classes == split.labels
        tested = {}
        if task.cim is not None:
            from .priced import on_chips

            tested = {"cim_test_accuracy": on_chips(task, item.genome, graph)}
        return Final(
            **tested, confirmed=confirmed, id=item.id, network=item.network, accuracy=item.accuracy,
            test_accuracy=float(right.mean()),
            measured=measured, fmax_mhz=best.fmax_mhz, design=best.design,
            seeds={str(found.seed): found.fmax_mhz for found in good}), graph
    raise FitError("no candidate fits any more after its final training: " + "; ".join(why))


def errors(routed: Sequence[Routed]) -> dict[str, dict[str, float]]:
    """How far LCs were from the measured ones, as fractions of these, by who had foreseen them.

    `structural` counted parts, `first` had learned from the package alone, `predicted` from the
    search, too; `inside` is the share of measurements that its interval held.
    """
    known = [item for item in routed if item.measured]
    out = {}
    for name in ("structural", "first", "predicted"):
        pairs = [getattr(item, name)["lc"] / item.measured["lc"] - 1 for item in known]
        if pairs:
            out[name] = {"mean": sum(pairs) / len(pairs),
                         "mean_absolute": sum(map(abs, pairs)) / len(pairs),
                         "worst": max(pairs, key=abs)}
    held = [item.low["lc"] <= item.measured["lc"] <= item.high["lc"] for item in known if item.low]
    if held:
        out["predicted"]["inside"] = sum(held) / len(held)
    return out
