"""``spikeloom report``: what a run directory holds, and what has been measured of it."""

from msgspec import to_builtins

from ...boards import BOARDS
from ..build import REPORT
from ..errors import RunError
from ..passes.compile import compile_graph
from ..passes.schedule import inference_cycles
from ..report import compare, read_report
from ..run import Run


def configure(parser) -> None:
    del parser


def run(args, out) -> None:
    opened = Run.open(args.run)
    graph = compile_graph(opened.graph())
    cycles = inference_cycles(graph)
    synapses = sum(dense.in_features * dense.out_features for dense, _ in graph.layers)
    network = {"design": graph.digest(), "synapses": synapses, "cycles": cycles,
               "text": graph.text()}
    shown = [f"run {opened.path}", graph.text().rstrip(),
             f"{synapses:,} synapses, {cycles:,} clocks an inference"]
    builds = []
    for name in sorted(BOARDS):
        path = opened.build_dir(name) / REPORT
        if not path.parent.is_dir():
            continue
        try:
            report = read_report(path)
        except RunError as error:
            builds.append({"board": name, "problem": str(error)})
            shown.append(str(error))
            continue
        current = report.design == graph.digest()
        seconds = cycles / BOARDS[name].clock_hz
        builds.append({"board": name, "current": current, "seconds_per_inference": seconds,
                       "report": to_builtins(report)})
        shown += [compare(report), f"{seconds * 1e6:,.1f} us an inference at "
                                   f"{report.clock_mhz:g} MHz"]
        if not current:
            shown.append(f"this build is of another network; run 'spikeloom synth --board {name}' "
                         "again")
    if not builds:
        shown.append("nothing is built yet: 'spikeloom synth' does it")
    out.result({"run": str(opened.path), "network": network, "builds": builds}, *shown)
