"""The search from Python: one call, and all of a run directory behind it."""

import json
import math
import statistics
import tempfile
import time
from concurrent.futures import Executor
from pathlib import Path

from msgspec.structs import replace

from ...flow import config, manifest, tools
from ...flow.cost import predict, prices
from ...flow.errors import ConfigError, FitError, RunError
from ...flow.files import write_atomic
from ...flow.output import Output
from ...flow.passes.simplify import simplify
from ...flow.run import Run
from .. import final, workers
from ..built import still_open
from ..commands.progress import View
from ..commands.search import check_same, seeds_of
from ..datasets import Dataset
from ..loop import Search
from ..outcome import outcome
from ..routing import Routed
from ..store import FILE, Store
from ..task import Task
from . import fidelity as budgets
from .data import dataset, nothing, subset
from .fitness import LEAST, AccuracyFn, FunctionEvaluator, name_of
from .result import Result
from .space import Architecture, SearchSpace, nan_if_none, whole
from .synthesised import synthesised
from .targets import Target, find

#: What a run is refused with where its search was another one's.
SOURCE = "nas"


def nas(space: SearchSpace, target: str = "ice40", population_size: int = 50,
        generations: int = 20, seed: int = 42, accuracy_fn: AccuracyFn | None = None, *,
        data=None, time_budget: float | None = None, run: str | Path | None = None,
        resume: bool = False, jobs: int = 2) -> Result:
    """Search a space for a target with NSGA-II: accuracy up; LUTs and energy down.

    target: `ice40` (the UP5K of an iCEBreaker), a device such as `hx8k`, a board, or `artix7` or
    `ecp5`, which are estimated. Candidates are trained on the integers of the hardware and scored
    on a validation split; what does not fit the device is never trained. For iCE40 the promising
    ones are placed and routed, and the front is of these alone. Where no energy figures of a target
    are known, clocks take their place. Those that may be on the front are trained again from more
    seeds, and their mean accuracy counts.

    accuracy_fn: takes an `Architecture` and returns its accuracy in 0..1, or (accuracy, weights),
    in the place of training. It runs in this process, one call after the other.
    data: a `nas.datasets.Dataset`, the name of one, or arrays (x, y); without it a space of 64
    inputs takes the digits, one of 784 MNIST. time_budget: seconds that training, place and route
    should take on two cores, 900 where there are up to 256 inputs and 2,400 where there are more;
    how many epochs and images that pays for is reckoned beforehand and printed. run: the run
    directory, a new temporary one by default; with `resume` the search goes on where it was, if
    everything else is the same. jobs: processes; they do not change the result.

    Raises ConfigError for arguments that make no sense, FitError where nothing fits, RunError for a
    run directory of something else.
    """
    if not isinstance(space, SearchSpace):
        raise ConfigError(f"space must be a SearchSpace, not {type(space).__name__}")
    if accuracy_fn is not None and not callable(accuracy_fn):
        raise ConfigError("accuracy_fn must be a function of an architecture, not "
                          f"{type(accuracy_fn).__name__}")
    if resume and run is None:
        raise ConfigError("resume must go with run, the run directory of the search to go on with")
    jobs = whole("jobs", jobs, 1, 4096)
    budget = budgets.check_budget(budgets.usual(space.n_inputs) if time_budget is None
                                  else time_budget)
    whole("generations", generations, 1, 100_000)
    whole("population_size", population_size, 2, 4096)
    whole("seed", seed, 0, (1 << 31) - 1)
    began, out, chosen = time.perf_counter(), Output(), find(target)
    if accuracy_fn is None:
        full = dataset(space, data)
    else:
        full = nothing(space, f"accuracy_fn {name_of(accuracy_fn)}")
    task, fidelity = _task(space, chosen, full, population_size, generations, seed, budget,
                           accuracy_fn is not None)
    folder = Path(tempfile.mkdtemp(prefix="spikeloom-nas-") if run is None else run)
    opened = _opened(folder, task, resume)
    out.note(f"nas: {space.space_size:,} architectures, {population_size * generations:,} "
             f"evaluations, run directory {folder}")
    if fidelity:
        out.note("nas: " + fidelity.text(budget, full))
    if chosen.measured:
        tools.prepare(["yosys", "nextpnr-ice40", "icepack"], out.note)
    again = f"nas(..., run={str(folder)!r}, resume=True)"
    with Store(folder / FILE) as store:
        try:
            with workers.workers(jobs, f"go on with {again}") as executor, View(task, out) as view:
                evaluator = accuracy_fn and FunctionEvaluator(task, store, space, accuracy_fn,
                                                              on_batch=view.batch)
                search = Search(
                    task, store, executor, folder, evaluator=evaluator,
                    predictor=predict.shipped() if chosen.measured else None,
                    on_batch=view.batch, on_generation=view.generation,
                    on_routed=view.routed).run()
                if not search.rows:
                    raise FitError(f"no network of the space fits {chosen.title}")
                last, front = _finished(search, store, executor, opened, space, chosen, evaluator)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{store.count()} candidates saved; go on with: {again}"
                                    ) from None
        seconds = time.perf_counter() - began
        write_atomic(folder / "search.json", json.dumps(
            outcome(search, last, {"search": seconds, "total": seconds}), indent=1) + "\n")
        out.record(seeds=seeds_of(task), data=task.data if accuracy_fn is None else None)
        for build in store.builds():
            out.record(tools=build.measurement.tools if build.measurement else {})
        manifest.ended(folder, "nas", [target, f"{population_size=}", f"{generations=}",
                                       f"{seed=}", f"{resume=}"], out.facts, seconds)
        return Result(
            space=space, target=chosen, pareto_front=front, generations=generations,
            evaluations=len(search.rows), seconds=seconds, data=task.data.name, fidelity=fidelity,
            open=len(still_open(search)) if chosen.measured else 0, run=opened,
            failed=dict(evaluator.failed) if evaluator else {})


def _confirmed(item: Routed, last: final.Final) -> Routed:
    """A candidate with the mean accuracy of all its trainings, where it was trained again."""
    if item.id not in last.confirmed:
        return item
    mean = statistics.fmean(last.confirmed[item.id])
    return replace(item, accuracy=mean, measured={**item.measured, "accuracy": mean})


def _task(space: SearchSpace, target: Target, full: Dataset, population: int, generations: int,
          seed: int, budget: float, function: bool) -> tuple[Task, budgets.Fidelity | None]:
    """The search as an experiment made ready, and the fidelity where there is training."""
    energy = target.measured and prices.shipped().known(target.board.device)
    experiment = config.Experiment(
        data=config.Data(name=full.name),
        space=replace(space.settings, memories=target.memories),
        search=config.Search(
            population=population, generations=generations, seed=seed,
            objectives=("accuracy", "lc", "energy_nj" if energy else "cycles"),
            constraints={"accuracy": LEAST} if function else {},
            routed=budgets.builds(population * generations, budget) if target.measured else 0,
            cost_model="predicted" if target.measured else "structure"),
        target=config.Target(board=target.board.name))
    task = _ready(experiment, target, full)
    if function:
        return task, None
    found = budgets.choose(task.space, task.excess, full, population=population,
                           generations=generations, budget=budget,
                           confirmed=experiment.search.confirm if target.measured else 0)
    data = subset(full, found.images, found.scored)
    experiment = replace(experiment, train={"epochs": found.epochs},
                         data=config.Data(name=data.name),
                         search=replace(experiment.search, final_epochs=found.final_epochs))
    return _ready(experiment, target, data), found


def _ready(experiment: config.Experiment, target: Target, data: Dataset) -> Task:
    """The task; one for a family without boards is bound by what that holds."""
    task = Task(experiment, SOURCE, data)
    if not target.measured:
        task.bounds |= {"lc": target.luts, "ebr": target.ebr}
    return task


def _opened(folder: Path, task: Task, resume: bool) -> Run:
    """The run directory, new or gone on with."""
    if not resume:
        opened = Run.create(folder)
        if (folder / FILE).exists():
            raise RunError(f"{folder}: holds a search already; go on with it (resume=True), or "
                           "use another run")
    else:
        opened = Run.open(folder)
        check_same(folder, config.load_experiment(opened.experiment), task.experiment, set())
    write_atomic(opened.experiment, config.to_toml(task.experiment))
    return opened


def _finished(search: Search, store: Store, executor: Executor, opened: Run, space: SearchSpace,
              target: Target, evaluator: FunctionEvaluator | None
              ) -> tuple[final.Final | None, list[Architecture]]:
    """The front, and the network that the run keeps: its best, trained anew and built."""
    task, rows = search.task, {row.id: row for row in search.rows}
    if evaluator and len(evaluator.failed) == len(rows):
        name, why = next(iter(evaluator.failed.items()))
        raise FitError(f"accuracy_fn failed for all {len(rows)} candidates, the first of which is "
                       f"{name}: {why}")
    last, tested, routed = None, {}, search.routing.done
    if not target.measured:
        found = synthesised(search, store, executor, target)
        graph = simplify(store.graph(rows[found[0].id].first))
    elif evaluator:
        found = final.front(task, routed)
        graph = simplify(store.graph(rows[final.order(task, routed)[0].id].first))
    else:
        last, graph = final.finish(task, store, executor, opened.path, routed, search.rows)
        tested = {last.id: last.test_accuracy}
        found = final.front(task, [_confirmed(item, last) for item in routed])
    if not evaluator:
        opened.save_samples(task.data.test.inputs, task.data.test.labels)
        opened.save_calibration(task.data.validation.inputs, task.data.validation.labels)
        opened.save_recorded(task.data.recorded)
    graph.save(opened.graph_file)
    front = []
    for item in sorted(found, key=lambda item: (item.measured["lc"], item.id)):
        columns = item.measured
        weights = "trained"
        if evaluator:
            weights = "assumed" if evaluator.assumed(rows[item.id].first) else "given"
        energy = columns.get("energy_nj") if target.measured else None
        front.append(space.architecture(
            item.genome, fitness_accuracy=item.accuracy, fitness_luts=round(columns["lc"]),
            fitness_energy_nj=nan_if_none(energy), measured=target.measured, fits=True,
            fmax_mhz=columns.get("fmax_mhz") if target.measured else math.nan,
            latency_us=columns["latency_us"], weights=weights,
            test_accuracy=tested.get(item.id)))
    return last, front
