"""A run for a paper: its tables as CSV and LaTeX, and the front of its search as vector figures.

What a run does not have gives no table. Numbers are those of the other commands: builds as place
and route measured them, accuracies by the reference model, metrics by NeuroBench's definitions.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from ..flow import ir, length_table
from ..flow.errors import GraphError, RunError
from ..flow.passes.compile import compile_graph
from ..flow.passes.quantize import quantize
from ..flow.report import Report, read_report
from ..flow.run import Run
from ..sim.images import shaped
from ..sim.metrics import Metrics, metrics
from .columns import COLUMNS, ESTIMATES
from .outcome import FORMAT
from .pictures import Dots, Panel, Scatter
from .study import Sheet, keep


def write(opened: Run, folder: Path) -> tuple[list[str], list[Sheet]]:
    """Write all into `folder`; the files, and the tables. RunError for what is damaged."""
    graph = quantize(opened.graph())
    images = opened.samples() if opened.samples_file.exists() else None
    sheets = [layers(graph)]
    if images is not None:
        inputs = shaped(graph, images[0], str(opened.samples_file))
        sheets.append(neurobench(metrics(graph, inputs)))
    try:
        scheduled = compile_graph(graph)
    except GraphError:  # gateware has no such network, so nothing was built of it
        scheduled = None
    if scheduled is not None:
        rows, _ = length_table.lengths(opened, scheduled)
        reports = [read_report(path) for _, path in opened.builds()]
        own = [report for report in reports if report.design == scheduled.digest()]
        sheets += [lengths(rows), *([builds(own, rows)] if own else [])]
    panels: list[Panel] = []
    found = _search(opened)
    if found is not None:
        sheets.append(front(found))
        panels = _panels(found)
    return keep(folder, "front", sheets, panels, _title(found), ""), sheets


def layers(graph: ir.Graph) -> Sheet:
    """Synapses in order."""
    rows = tuple((node.name, "x".join(map(str, node.weight_shape)), node.in_features,
                  node.out_features, int(node.weight.size), node.weight_bits, node.bitstream_length,
                  float((node.weight == 0).mean())) for node in graph.synapses)
    return Sheet("layers", f"Layers of network {graph.digest()[:16]}, {graph.num_steps} timesteps",
                 (("layer", ""), ("weights of shape", ""), ("inputs", "d"), ("outputs", "d"),
                  ("weights", ",d"), ("bits", "d"), ("L", "d"), ("zeros", ".1%")), rows)


def neurobench(found: Metrics) -> Sheet:
    """One row, of NeuroBench's metrics."""
    columns = (("footprint (bytes)", ",d"), ("connection sparsity", ".4f"),
               ("activation sparsity", ".4f"), ("effective MACs", ",.1f"),
               ("effective ACs", ",.1f"), ("dense operations", ",.1f"),
               ("spikes per image", ",.1f"))
    return Sheet("metrics", f"NeuroBench metrics, mean over {found.images:,} test images", columns,
                 ((found.footprint_bytes, found.connection_sparsity, found.activation_sparsity,
                   found.effective_macs, found.effective_acs, found.dense,
                   found.spikes_per_image),))


def lengths(rows: Sequence) -> Sheet:
    """Run-time lengths of the bitstreams."""
    return Sheet(
        "lengths", f"Run-time bitstream lengths; accuracy over {rows[0].images:,} test images",
        (("shift", "d"), ("L", ""), ("accuracy", ".2%"), ("clocks", ",d")),
        tuple((row.shift, ", ".join(map(str, sorted(set(row.bitstream_lengths), reverse=True))),
               row.accuracy, row.cycles) for row in rows))


def builds(reports: Sequence[Report], rows: Sequence) -> Sheet:
    """What place and route measured of this network; energy is an estimate."""
    found = []
    for report in reports:
        whole = length_table.costed(rows[:1], report)[0]
        found.append((report.board, report.device, report.lc, report.lut4, report.ff, report.ebr,
                      report.spram, report.fmax_mhz, report.clock_mhz, whole.accuracy,
                      whole.microseconds, whole.low_nj, whole.high_nj, report.seed))
    return Sheet("builds", "Placed and routed; the interval of energy is an estimate",
                 (("board", ""), ("device", ""), ("LCs", ",d"), ("LUT4s", ",d"), ("FFs", ",d"),
                  ("EBRs", "d"), ("SPRAMs", "d"), ("Fmax (MHz)", ".1f"), ("clock (MHz)", "g"),
                  ("test accuracy", ".2%"), ("us an image", ",.1f"), ("nJ, low", ",.0f"),
                  ("nJ, high", ",.0f"), ("seed", "d")), tuple(found))


def front(found: dict) -> Sheet:
    """The front of the search, as measured where anything was."""
    rows, basis = _front(found)
    names = [name for name in COLUMNS if all(name in row for row in rows)] if rows else []
    columns = tuple((COLUMNS[name].title + (" (estimate)" if name in ESTIMATES else ""),
                     f",.{COLUMNS[name].digits}f") for name in names)
    return Sheet("front", f"Front of the search by {', '.join(found['objectives'])}, {basis}",
                 (("id", ""), ("network", ""), *columns),
                 tuple((row["id"], row["network"], *(row[name] for name in names))
                       for row in rows))


def _front(found: dict) -> tuple[list[dict], str]:
    """Its networks with their columns, and whether these were measured."""
    on = set(found["front"])
    known = {item["id"]: item for item in found.get("routed", ()) if item.get("measured")}
    if on <= known.keys():
        return [{"id": name, "network": known[name]["network"], **known[name]["measured"]}
                for name in found["front"]], "measured"
    return found["estimated_front"], found.get("front_basis", "estimated")


def _panels(found: dict) -> list[Panel]:
    """The first objective over each of the others: the front among all that was built."""
    first, *others = found["objectives"]
    rows, _ = _front(found)
    on = {row["id"] for row in rows}
    beside = [item["measured"] for item in found.get("routed", ())
              if item.get("measured") and item["id"] not in on]
    panels = []
    for name in others:
        kinds = (("front", rows), ("built, not on it", beside))
        dots = tuple(Dots(label, *(tuple(row[key] for row in some if None not in (
            row.get(name), row.get(first))) for key in (name, first)))
            for label, some in kinds if some)
        panels.append(Scatter(COLUMNS[name].title, COLUMNS[name].title, dots,
                              percent=COLUMNS[first].ideal == 1.0, y_label=COLUMNS[first].title))
    return panels


def _title(found: dict | None) -> str:
    if found is None:
        return ""
    counts = found["counts"]
    where = f" on {found['board']}" if found.get("board") else ""
    return (f"{found['strategy']}, seed {found['seed']}: {counts['candidates']:,} candidates{where}"
            f", front {_front(found)[1]}")


def _search(opened: Run) -> dict | None:
    """What search.json holds, None where there was no search."""
    path = opened.path / "search.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        if found["format"] == FORMAT and found["objectives"]:
            return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: is damaged ({type(error).__name__}); go on with the search "
                       "(--resume), which writes it again") from error
    raise RunError(f"{path}: has format {found['format']}, this version reads {FORMAT}; go on with "
                   "the search (--resume), which writes it again")
