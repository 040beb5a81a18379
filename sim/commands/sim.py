"""``spikeloom sim``: replay test images on a rung below the reference model, and compare.

Every membrane, every spike, every score and class must be equal; there is no tolerance.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...flow.errors import ConfigError, GraphError, unknown
from ...flow.lower import design_hash
from ...flow.passes.compile import compile_graph
from ...flow.passes.schedule import inference_cycles
from ...flow.run import Run
from .. import contract, gateware, reference, rtl
from ..images import shaped

LEVELS = ("reference", "amaranth", "rtl")


def configure(parser) -> None:
    parser.add_argument("--level", default="rtl", metavar="LEVEL",
                        help=f"rung to run: {', '.join(LEVELS)} (default: rtl)")
    parser.add_argument("--count", type=int, metavar="N",
                        help="replay the first N test images (default: 10, or all of fewer)")
    parser.add_argument("--contract", metavar="FILE",
                        help="run the worked examples of a contract file instead of a run's images")
    parser.add_argument("--waves", action="store_true",
                        help="keep waveforms in the run directory (FST of rtl, VCD of amaranth)")


def run(args, out) -> int:
    if args.level not in LEVELS:
        raise ConfigError(unknown("level", args.level, LEVELS))
    if args.contract:
        return _contract(args, out)
    opened = Run.open(args.run)
    graph = compile_graph(opened.graph())
    p8, labels = opened.samples()
    p8 = shaped(graph, p8, str(opened.samples_file))
    count = min(10, len(p8)) if args.count is None else args.count
    if not 1 <= count <= len(p8):
        raise ConfigError(f"--count must be in 1..{len(p8)}, the test images of this run, "
                          f"not {count}")
    p8, labels = p8[:count], labels[:count]
    wanted = reference.run(graph, p8, trace=True)
    folder = opened.path / "sim" / args.level
    data, got = replay(graph, p8, args.level, folder, waves=args.waves, out=out)
    differences = compare(wanted, got)
    data |= {
        "level": args.level, "design": design_hash(graph).hex(), "images": len(p8),
        "images_equal": len(p8) - len(differences), "mismatches": len(differences),
        "first": differences[0] if differences else None,
        "compared": int(sum(a.size for a in (*wanted.v, *wanted.spikes)) + wanted.scores.size
                        + wanted.classes.size),
        "correct": int((wanted.classes == labels).sum()),
    }
    out.result(data, *_lines(data))
    return 1 if differences else 0


def replay(graph, p8: np.ndarray, level: str, folder: Path, *, waves: bool, out
           ) -> tuple[dict, reference.Trace]:
    """Run the images on one rung; returns its figures and its trace."""
    start = time.monotonic()
    figures: dict = {"expected_cycles": inference_cycles(graph)}
    with out.progress.status(f"{level}: {len(p8)} images"):
        if level == "reference":
            got = reference.run(graph, p8, trace=True)
        elif level == "amaranth":
            vcd = folder / "core.vcd" if waves else None
            if vcd:
                folder.mkdir(parents=True, exist_ok=True)
                figures["waves"] = str(vcd)
            got, cycles = gateware.simulate(graph, p8, vcd=str(vcd) if vcd else None)
            figures["cycles"] = sorted(set(cycles))
        else:
            got, simulated = rtl.simulate(graph, p8, folder, waves=waves, note=out.note)
            figures |= simulated
    return {**figures, "seconds": time.monotonic() - start}, got


def _contract(args, out) -> int:
    """Every case of a contract file on one rung; the first difference of each that is not equal."""
    cases, refused = contract.load_cases(Path(args.contract))
    results = [{"name": name, "equal": False, "first": None, "error": why}
               for name, why in refused.items()]
    with TemporaryDirectory(prefix="spikeloom-") as folder:
        for case in cases:
            out.note(f"{args.level}: {case.name}")
            try:
                trace = _rung(case, args.level, Path(folder) / case.name)
            except GraphError as error:
                results.append({"name": case.name, "equal": False, "first": None,
                                "error": str(error)})
                continue
            first = contract.first_difference(case.expect, contract.image_of(trace, 0))
            results.append({"name": case.name, "equal": first is None, "first": first})
    order = {name: k for k, name in enumerate(contract.names(Path(args.contract)))}
    results.sort(key=lambda item: order[item["name"]])
    lines = [f"{item['name']}: " + ("equal" if item["equal"] else str(
        item.get("error") or f"NOT equal: {item['first']}")) for item in results]
    out.result({"level": args.level, "cases": results}, *lines)
    return 0 if all(item["equal"] for item in results) else 1


def _rung(case, level: str, folder: Path) -> reference.Trace:
    """One case on one rung, with its currents."""
    if level == "reference":
        return reference.run(case.graph, case.inputs, trace=True)
    graph = compile_graph(case.graph)
    if level == "amaranth":
        return gateware.simulate(graph, case.inputs, currents=True)[0]
    return rtl.simulate(graph, case.inputs, folder, currents=True)[0]


def compare(wanted: reference.Trace, got: reference.Trace) -> list[dict]:
    """For each image that differs, where it does first."""
    out = []
    for image in range(len(wanted.classes)):
        first = contract.first_difference(
            {**contract.image_of(wanted, image), "current": []},
            {**contract.image_of(got, image), "current": []})
        if first is not None:
            out.append({"image": image, **first})
    return out


def _lines(data: dict) -> list[str]:
    labels = (f"{data['correct']} of {data['images']} labels right, {data['seconds']:.1f} s")
    if data["level"] == "reference":
        return [f"reference: {labels}; it is what the other levels are compared with"]
    lines = [f"{data['level']}: {data['images_equal']} of {data['images']} images equal to the "
             f"reference model ({data['compared']:,} membranes, spikes, scores and classes "
             f"compared), {labels}"]
    first = data["first"]
    if first:
        lines.append(f"first difference: image {first['image']}, {first['what']}, layer "
                     f"{first['layer']}, timestep {first['timestep']}, neuron {first['neuron']}: "
                     f"expected {first['expected']}, got {first['got']}")
    for key in ("waves", "fst"):
        if data.get(key):
            lines.append(data[key])
    return lines
