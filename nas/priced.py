"""Priced searches: candidates on crossbars, of which nothing is placed and routed.

With `search.routed` = 0 no FPGA need hold what is found. The front is of prices: accuracies of
trained networks, costs by closed form, none of them measured on a chip. The chosen network is
trained anew on train and validation together, and tested once.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from msgspec import Struct

from ..flow import ir
from ..flow.errors import FitError
from ..flow.output import Wide
from ..flow.passes.simplify import simplify
from ..flow.run import Run
from ..sim import reference
from . import pareto
from .cim import accuracy
from .columns import CIM, COLUMNS, title
from .evaluator import Candidate, Evaluator
from .held import HELD, held
from .loop import Search
from .outcome import hardware, keep_network
from .prices import Priced
from .problem import broken
from .space import describe
from .store import Store
from .tables import SHORT, framed
from .task import Task

#: What search.json says of a front that is not measured.
BASIS = "priced"
#: The column that fronts are sorted by, what is counted, and what is said while the chosen network
#: is made.
SIZE, WORK, FINISHING = "cim_mm2", "trainings", "training the chosen network"
NOTE = ("the search saw the train and validation splits only; the chosen network was trained anew "
        "on both splits together, and test accuracy was computed once, on its integers")


class PricedFinal(Struct, frozen=True):
    """The network of the chosen candidate as the run keeps it, with the columns of its own weights.

    cim_test_accuracy: None where no chips are drawn.
    """

    id: str
    network: str
    accuracy: float
    test_accuracy: float
    cim_test_accuracy: float | None
    priced: dict[str, float]


def front(task: Task, rows: Sequence[Candidate]) -> list[Candidate]:
    """The non-dominated of those that keep the constraints; smallest chips first."""
    kept = [row for row in rows if task.feasible(row.counted)]
    best = [kept[k] for k in pareto.front(task.F(row.counted for row in kept))]
    return sorted(best, key=lambda row: (row.counted["cim_mm2"], -row.counted["accuracy"], row.id))


def order(task: Task, rows: Sequence[Candidate]) -> list[Candidate]:
    """Those that `search.choose` names, the best first; ties go to smaller chips.

    Raises FitError where none keeps the constraints.
    """
    rule = task.search.choose
    kept = [row for row in rows if task.feasible(row.counted)]
    if not kept:
        why = sorted({broken(task, row.counted) for row in rows})
        raise FitError(f"none of {len(rows)} candidates keeps the constraints ({'; '.join(why)}); "
                       "try wider search.constraints")
    if rule in COLUMNS:
        return sorted(kept, key=lambda row: (COLUMNS[rule].sense * row.counted[rule],
                                             row.counted["cim_mm2"], row.id))
    found = [row for row in kept if row.id.startswith(rule)]
    if len(found) != 1:
        raise FitError(f"search.choose must be a column ({', '.join(COLUMNS)}) or the beginning of "
                       f"one id in search.sqlite whose columns keep the constraints, not {rule!r}")
    return found


def train_chosen(task: Task, store: Store, executor: Executor, folder: Path,
                 rows: Sequence[Candidate]) -> tuple[PricedFinal, ir.Graph]:
    """Train and test what `search.choose` names; where its own weights break a constraint, the
    next best. Raises FitError where none is left.
    """
    evaluator = Evaluator(task, store, executor, held_out=False)
    why = []
    for row in order(task, rows):
        (made,) = evaluator.evaluate([row.genome], 0)
        graph, split = simplify(store.graph(made.first)), task.data.test
        found = held(graph, task.data.validation)
        columns = made.first.estimate | {name: found[name] for name in HELD}
        if not task.feasible(columns):
            why.append(f"{row.id}: {broken(task, columns)}")
            continue
        graph.save(Path(folder) / "candidates" / row.id / "final" / "graph.safetensors")
        right = reference.run(graph, split.inputs).classes == split.labels
        return PricedFinal(
            id=row.id, network=describe(row.genome), accuracy=row.counted["accuracy"],
            test_accuracy=float(right.mean()), cim_test_accuracy=on_chips(task, row.genome, graph),
            priced=columns), graph
    raise FitError("no candidate keeps the constraints any more after its final training: "
                   + "; ".join(why))


def on_chips(task: Task, genome: str, graph: ir.Graph) -> float | None:
    """Test accuracy on the chips that are drawn, None without any."""
    if task.cim is None or not task.cim.draws:
        return None
    return accuracy(graph, task.array(genome), task.cim, task.data.final, task.data.test)


def finish(search: Search, store: Store, executor: Executor, folder: Path
           ) -> tuple[PricedFinal, ir.Graph]:
    return train_chosen(search.task, store, executor, folder, search.rows)


def facts(search: Search) -> dict:
    """The front, of prices alone."""
    task = search.task
    return {**hardware(search), "front": [row.id for row in front(task, search.rows)],
            "front_basis": BASIS, "open": [], "test_accuracy_note": NOTE}


def progress(search: Search, best: Sequence[Priced]) -> tuple[str, str]:
    """The front so far, and its hypervolume, in a few words."""
    return f"{len(best)} on the priced front", f"{search.marks[-1].expected:.4f}"


def keep(search: Search, chosen: PricedFinal, graph: ir.Graph, opened: Run) -> list[str]:
    return keep_network(search, chosen, graph, opened)


def tables(search: Search, chosen: PricedFinal) -> list[Wide]:
    """The front, and the final network."""
    task, rows = search.task, search.rows
    asked = {*task.search.objectives, *task.search.constraints}
    drawn = task.cim.draws > 0
    others = [name for name in COLUMNS if name != "accuracy" and (name in asked or name in CIM)
              and (drawn or name != "cim_accuracy")]
    found = framed("Priced, nothing is placed and routed: the Pareto front; ~ is an estimate in "
                   "closed form, > chosen", "", "id", "network", "valid.", *map(_title, others))
    best = front(task, rows)
    if chosen.id not in {row.id for row in best}:
        best += [row for row in rows if row.id == chosen.id]
    for row in best:
        found.add_row(">" if row.id == chosen.id else "", row.id[:SHORT], describe(row.genome),
                      f"{row.counted['accuracy']:.2%}",
                      *(COLUMNS[name].text(row.counted[name]) for name in others))
    costs = [name for name in others if name != "cim_accuracy"]
    last = framed("The chosen network, trained on train and validation together", "id", "network",
                  "test", *(["CIM test"] if drawn else []), *map(_title, costs))
    tested = [f"{chosen.test_accuracy:.2%}"]
    tested += [f"{chosen.cim_test_accuracy:.2%}"] if drawn else []
    last.add_row(chosen.id[:SHORT], chosen.network, *tested,
                 *(COLUMNS[name].text(chosen.priced[name]) for name in costs))
    return [Wide(found), Wide(last)]


def _title(name: str) -> str:
    """Of a column of which nothing is measured."""
    return "~" + COLUMNS[name].title if name in ("lc", "lut4", "ff") else title(name)


def summary(search: Search, found: dict) -> list[str]:
    """The outcome in sentences."""
    task = search.task
    counts, seconds = found["counts"], found["seconds"]
    chosen = found["final"]
    return [
        f"{counts['candidates']:,} candidates ({counts['trainings']:,} trainings, "
        f"{counts['restored']:,} more from the store) of {found['space_size']:,} networks and "
        f"arrays; free checks priced {counts['priced']:,} and refused {counts['refused']:,}",
        f"{len(found['front'])} non-dominated: the front, all priced and none measured; "
        f"hypervolume {found['marks'][-1]['expected']:.4f}; {seconds['total']:.0f} s",
        f"note: {NOTE}",
        f"chosen by {task.search.choose}: {chosen['id']}, {chosen['network']}",
        *assumptions(task)]


def assumptions(task: Task) -> list[str]:
    """What the figures of a chip rest on."""
    cim = task.cim
    energy = ("the spikes of training images" if cim.mode == "event" else
              "every input driven in every timestep")
    lines = [f"CIM mm2, ms and uJ are estimates: mode {cim.mode} of 'spikeloom map', from the "
             f"trained weights, {energy}, tiles in order; weight bits are those of cells that hold "
             "a digit"]
    if cim.draws:
        on = ", ".join(cim.effects(cim.array({name: values[0] for name, values in
                                              cim.values.items()})).on)
        lines.append(f"CIM accuracy is simulated: the mean of {cim.draws} chips drawn from seed "
                     f"{cim.seed} on {'all' if not cim.images else f'at most {cim.images:,}'} "
                     f"images of a split ({on}), converters calibrated on training images")
    return lines
