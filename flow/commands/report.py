"""``spikeloom report``: what a run directory holds, and what has been measured of it."""

from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from msgspec import to_builtins

from ...boards import BOARDS
from ...boards.board import RESET_BAUD
from .. import activity, activity_table, length_table, manifest
from ..cost import claims
from ..cost.energy import energy_of
from ..cost.estimate import estimate
from ..cost.prices import shipped
from ..cost.split import Span
from ..errors import ConfigError, RunError
from ..ir import Graph
from ..output import Wide
from ..passes.compile import compile_graph
from ..passes.folding import event_driven
from ..passes.schedule import inference_cycles
from ..report import Report, compare, read_report
from ..run import Run
from ..throughput import throughput
from . import show_manifest

#: Tables and figures of a run, and NeuroBench's metrics, in packages that this one must not import.
PAPER, METRICS = "spikeloom.nas.paper", "spikeloom.sim.metrics"


def configure(parser) -> None:
    add = parser.add_argument
    add("--targets", action="store_true",
        help="the network on an UP5K, an HX8K and a chip of crossbars, side by side")
    add("--array", metavar="FILE",
        help="of --targets: the array (TOML; default: the one that a search chose, or SpikeSim's)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="of --targets: a setting over those of --array, such as rows=128")
    add("--out", metavar="FOLDER",
        help="write the run's tables there as CSV and LaTeX, and the front of its search as SVG, "
             "PDF and PNG, for a paper")


def run(args, out) -> int:
    if not args.targets and (args.array or args.set):
        raise ConfigError(f"{'--array' if args.array else '--set'} must be used with --targets, "
                          "which prices crossbars; add it, or leave this out")
    if args.targets and args.out:
        raise ConfigError("--out must not be used with --targets; its tables are of the run itself")
    opened = Run.open(args.run)
    if args.out:
        files, sheets = import_module(PAPER).write(opened, Path(args.out))
        out.result({"run": str(opened.path), "files": files,
                    "tables": {sheet.name: sheet.plain() for sheet in sheets}},
                   *(sheet.text() for sheet in sheets), *files)
        return 0
    graph = compile_graph(opened.graph())
    if args.targets:
        return _targets(args, opened, graph, out)
    cycles, most = inference_cycles(graph), "at most " if event_driven(graph) else ""
    synapses = sum(dense.synapses for dense, _ in graph.layers)
    network = {"design": graph.digest(), "synapses": synapses, "cycles": cycles,
               "event_driven": event_driven(graph), "text": graph.text()}
    shown = [f"run {opened.path}", graph.text().rstrip(),
             f"{synapses:,} synapses, {most}{cycles:,} clocks an inference"]
    found = import_module(METRICS).of_run(opened, graph)
    network["metrics"] = to_builtins(found)
    shown += [found.sentence()] if found else []
    rows, why = length_table.lengths(opened, graph)
    network["lengths"] = to_builtins(rows)
    builds = []
    for name, path in opened.builds():
        try:
            report = read_report(path)
        except RunError as error:
            builds.append({"board": name, "problem": str(error)})
            shown.append(str(error))
            continue
        build = {"board": name, "current": report.design == graph.digest(),
                 "report": to_builtins(report)}
        if build["current"]:
            found, lines = _present(graph, report, rows, why)
            published, more = _published(opened, graph, report, rows)
            guess = estimate(graph, report.device)
            build |= {**found, **published, "estimate": asdict(guess)}
            shown += [compare(report, guess), *lines, *more]
        else:
            board = f" --board {name}" if name in BOARDS else ""
            shown += [compare(report), "this build is of another network; run "
                      f"'spikeloom synth --run {opened.path}{board}' again"]
        builds.append(build)
    if not any(build.get("current") for build in builds):
        shown.append(length_table.table(rows, why))
    if not builds:
        shown.append("nothing is built yet: 'spikeloom synth' does it")
    made = manifest.read(opened.path)
    shown.append(show_manifest.summary(made))
    data = {"run": str(opened.path), "network": network, "builds": builds,
            "manifest": to_builtins(made)}
    out.result(data, *shown)
    return RunError.exit_code if any("problem" in item for item in builds) else 0


def _targets(args, opened: Run, graph: Graph, out) -> int:
    """The network on every target, whatever the run has built."""
    from ..cim.settings import array_of
    from ..targets_table import lines, on_targets, table

    array = array_of(opened, args.array and Path(args.array), args.set)
    found = on_targets(opened, graph, array)
    out.result({"run": str(opened.path), "design": graph.digest(), "array": to_builtins(array),
                "targets": to_builtins(found)}, Wide(table(found)), *lines(found))
    return 0


def _present(graph: Graph, report: Report, rows: list, why: str | None) -> tuple[dict, list]:
    """What a build of the run's network needs for an inference, and its lines."""
    most, clock_hz = "at most " if event_driven(graph) else "", report.clock_mhz * 1e6
    costed, speed = length_table.costed(rows, report), throughput(graph, clock_hz)
    microseconds, energy = 1e6 * speed.cycles / clock_hz, energy_of(report, speed.cycles)
    borrowed = ", with the UP5K's dynamic figures" if energy and energy.borrowed else ""
    cost = f", for {energy.low_nj:,.0f} to {energy.total_nj:,.0f} nJ (estimate without activity" \
        f"{borrowed})" if energy else f"; no energy figures of the {report.device} are known"
    return {
        "microseconds_per_inference": microseconds,
        "energy_estimate": energy and {**asdict(energy), "low_nj": energy.low_nj,
                                       "total_nj": energy.total_nj},
        "lengths": to_builtins(costed), "throughput": asdict(speed),
    }, [f"{most}{microseconds:,.1f} us an inference at {report.clock_mhz:g} MHz, without the "
        f"image's transfer{cost}", speed.text(clock_hz), length_table.table(costed, why)]


def _published(opened: Run, graph: Graph, report: Report, rows: list) -> tuple[dict, list]:
    """A build's energy from its activity, where that was counted, and the claims beside it."""
    clock_hz, device, priced = report.clock_mhz * 1e6, report.device, None
    divisor, damaged = round(clock_hz / RESET_BAUD), {}
    try:
        known = activity.known_actions(opened, graph, report.board, clock_hz)
    except RunError as error:
        known, damaged = None, {"problem": str(error)}
    if known is not None and shipped().known(device):
        priced = activity.priced(known, shipped().of(device, report.clock), divisor=divisor)
    quick = energy_of(report, inference_cycles(graph))
    ours = claims.Ours(
        accuracy=rows[0].accuracy, lut4=report.lut4, lc=report.lc,
        nj=priced.split.total("compute") if priced else
        quick and Span(quick.low_nj, quick.total_nj),
        transfer=priced and priced.split.total("transfer"),
        clocks=priced.split.clocks["compute"] if priced else inference_cycles(graph),
        inputs=graph.input.size, classes=graph.readout.size,
        synapses=sum(dense.synapses for dense, _ in graph.layers))
    lines = [activity_table.energy_table(priced), *activity_table.lines(priced)] if priced else [
        damaged.get("problem", "the energy above knows no activity; 'spikeloom estimate "
                    f"--activity --run {opened.path}' counts it")]
    return {"activity": priced and activity_table.data(priced), **damaged,
            "claims": claims.plain(ours, shipped(), clock_hz)}, [
        *lines, claims.table(ours, f"this build, {report.board}"),
        *claims.lines(ours, shipped(), clock_hz, clock_hz / divisor)]
