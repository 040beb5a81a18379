"""The outcome of a search: what search.json holds, and what people read of it.

What comes after the last generation differs by the kind of search. A problem's `ending` is a module
with

* `finish(search, store, executor, folder)`: the chosen network as the run keeps it, a struct with
  its `id` and more, and what `keep` needs of it; FitError where there is none;
* `facts(search)`: what search.json says beside what all searches have;
* `keep(search, chosen, made, opened)`: write the chosen network into the run, and say where it is;
* `tables(search, chosen)` and `summary(search, found)`: what people read;
* `progress(search, front)`: of a front so far, in a few words;
* `SIZE`, the column that fronts are sorted by, `WORK`, what a candidate costs, in a word, and
  `FINISHING`, said while `finish` works.
"""

import msgspec

from ..flow import ir
from ..flow.cost.measured import STATUS
from ..flow.run import Run
from . import final, pareto
from .columns import COLUMNS
from .loop import Search
from .space import describe

FORMAT = 2


def outcome(search: Search, chosen, seconds: dict[str, float]) -> dict:
    """Everything that search.json holds, plain values only. chosen: None before there is one."""
    task, rows = search.task, search.rows
    priced = [(row, columns) for row, columns in zip(rows, search.prices.columns(rows))
              if task.feasible(columns)]
    best = pareto.front(task.F(columns for _, columns in priced))
    facts = task.ending.facts(search)
    counts = {
        "priced": task.counts.priced, "refused": task.counts.refused,
        "candidates": len(rows), "distinct": len({row.id for row in rows}),
        "trainings": search.evaluator.trained, "restored": search.evaluator.restored,
        **facts.pop("counts"),
    }
    return {
        "format": FORMAT,
        "objectives": list(task.search.objectives),
        "strategy": task.search.strategy,
        "seed": task.search.seed,
        "space_size": task.space.size(),
        "counts": counts,
        **({} if task.table is None else {"table": {
            **task.table.facts(), "unknown": len(search.unknown)}}),
        "seconds": {key: round(value, 2) for key, value in seconds.items()},
        **facts,
        "chosen": chosen and chosen.id,
        "final": chosen and msgspec.to_builtins(chosen),
        "estimated_front": [
            {"id": row.id, "network": describe(row.genome), **columns}
            for row, columns in (priced[i] for i in best)],
        "reference": {name: COLUMNS[name].sense * value for name, value in zip(
            task.search.objectives, task.reference([row.counted for row in rows]).tolist())},
        "marks": [msgspec.to_builtins(mark) for mark in search.marks],
    }


def hardware(search: Search) -> dict:
    """What search.json says of a search for an FPGA or for crossbars."""
    task, routed = search.task, search.routing.done
    status = [item.status for item in routed]
    return {
        "board": task.board.name,
        "device": task.device.name,
        "cost_model": task.search.cost_model,
        "counts": {"built": len(routed), **{name.replace("-", "_"): status.count(name)
                                            for name in STATUS}},
        "routed": [msgspec.to_builtins(item) for item in routed],
        "prediction_error": final.errors(routed),
    }


def keep_network(search: Search, chosen, graph: ir.Graph, opened: Run) -> list[str]:
    """Write a network, its array, and images to test and to calibrate it with into the run."""
    task = search.task
    opened.save_samples(task.data.test.inputs, task.data.test.labels)
    opened.save_calibration(task.data.validation.inputs, task.data.validation.labels)
    opened.save_recorded(task.data.recorded)
    graph.save(opened.graph_file)
    kept = [f"the chosen network is in {opened.graph_file}"]
    if task.cim is not None:
        from ..flow.cim.settings import save_array

        genome = next(row.genome for row in search.rows if row.id == chosen.id)
        kept.append(f"its array is in {save_array(task.array(genome), opened)}, where 'spikeloom "
                    "map', 'sim --level crossbar' and 'report --targets' find it")
    return kept
