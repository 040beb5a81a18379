"""The front of a search for a family without boards: Yosys counts, nothing is placed and routed."""

from concurrent.futures import Executor

from msgspec import Struct

from ...flow import ir
from ...flow.errors import FitError
from ...flow.passes.simplify import simplify
from .. import pareto
from ..loop import Search
from ..store import Store
from .targets import Target, mapped

#: Candidates that Yosys is asked about.
MAPPED = 20


class Synthesised(Struct, frozen=True):
    """A candidate with the LUTs that Yosys counts, in `measured` as `lc`."""

    id: str
    genome: str
    accuracy: float
    measured: dict[str, float]


def synthesised(search: Search, store: Store, executor: Executor, target: Target
                ) -> list[Synthesised]:
    """The non-dominated of those that fit, the most accurate first.

    Of the front by counted parts, which stand in for the family's LUTs, those spread over it are
    mapped. Raises FitError where none of them fits.
    """
    task = search.task
    rows = [row for row in search.rows if task.feasible(row.counted)]
    best = [rows[k] for k in pareto.front(task.F(row.counted for row in rows))] if rows else []
    chosen = [best[k] for k in pareto.spread(task.F(row.counted for row in best))[:MAPPED]
              ] if best else []
    running = [executor.submit(mapped, ir.to_bytes(simplify(store.graph(row.first))), target.name)
               for row in chosen]
    found, why = [], []
    for row, future in zip(chosen, running):
        made = future.result()
        if made.problem:
            why.append(f"{row.id}: {made.problem}")
        else:
            found.append(Synthesised(row.id, row.genome, row.counted["accuracy"],
                                     {**row.counted, "lc": float(made.luts)}))
    if not found:
        raise FitError(f"none of {len(chosen)} candidates fits {target.title}: "
                       + "; ".join(why[:3]))
    kept = [found[k] for k in pareto.front(task.F(item.measured for item in found))]
    return sorted(kept, key=lambda item: (-item.accuracy, item.measured["lc"], item.id))
