"""``spikeloom sim``: replay test images on a rung of the ladder, and compare.

Every membrane, every spike, every score and class must equal the reference model's; there is no
tolerance. The level `crossbar` has options of its own (`crossbar`).
"""

import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from ...flow import bare, clocks
from ...flow.errors import ConfigError, FitError, GraphError
from ...flow.lower import design_hash
from ...flow.passes.compile import compile_graph
from ...flow.passes.generators import advise
from ...flow.passes.legalize import without_gateware
from ...flow.run import Run
from .. import contract, reference
from ..compare import ALL, CRCS, compare, compared, described, first_difference, image_of
from ..images import shaped
from ..levels import LEVELS, Setting, level
from ..seen import cycles
from . import crossbar


def configure(parser) -> None:
    parser.add_argument("--level", default="rtl", metavar="LEVEL",
                        help="rung to run (default: rtl): " + "; ".join(
                            f"{level.name}, {level.what}" for level in LEVELS.values()))
    parser.add_argument("--count", type=int, metavar="N",
                        help="replay the first N test images (default: 10, or all of fewer)")
    parser.add_argument("--contract", metavar="FILE",
                        help="run the worked examples of a contract file instead of a run's images")
    bare.add_arguments(parser)
    parser.add_argument("--shift", type=int, default=0, metavar="H",
                        help="run-time length of the bitstreams: L >> H clocks; below the "
                             "reference model H is at most that of 'synth --max-shift'")
    parser.add_argument("--port", metavar="DEV", help="serial port, for --level board")
    parser.add_argument("--baud", type=float, metavar="RATE",
                        help="rate to change to, for --level board; a board starts at 115200")
    parser.add_argument("--waves", action="store_true",
                        help="keep waveforms in the run directory (VCD of amaranth, FST below)")
    crossbar.configure(parser)


def run(args, out) -> int:
    rung = level(args.level)
    crossbar.check(args)
    if args.waves and not rung.waves:
        raise ConfigError(f"--waves must not be used with --level {rung.name}, which has none; "
                          "use --level rtl")
    board = bare.chosen(args) if rung.on_board else None
    if args.contract is not None:
        for option, value in (("--count", args.count), ("--waves", args.waves),
                              ("--shift", args.shift)):
            if value:
                raise ConfigError(f"{option} must not be used with --contract, which runs every "
                                  "case once; leave it out")
        return _contract(args, rung, board, out)
    if rung.name == crossbar.LEVEL:
        return crossbar.run(args, out)
    opened = Run.open(args.run)
    if board is not None:
        board = clocks.kept(opened, board)
    graph = opened.graph()
    unbuilt = rung.name == "reference" and without_gateware(graph) is not None
    graph = graph if unbuilt else compile_graph(graph)
    advise(graph, out.note)
    images, labels = opened.first_samples("--count", args.count)
    images = shaped(graph, images, str(opened.samples_file))
    count = len(images)
    if rung.name != "reference" and not 0 <= args.shift <= graph.max_shift:
        raise ConfigError(f"--shift must be in 0..{graph.max_shift} at --level {rung.name}, for "
                          f"which the network is compiled, not {args.shift}; 'spikeloom synth "
                          "--max-shift' compiles it for more")
    wanted = reference.run(graph, images, trace=True, shift=args.shift)
    setting = Setting(folder=opened.path / "sim" / rung.name, board=board, port=args.port,
                      baud=args.baud, waves=args.waves, shift=args.shift, note=out.note)
    start = time.monotonic()
    with out.progress.status(f"{rung.name}: {count} images"):
        got, figures, sees = rung.run(graph, images, setting)
    differences = compare(wanted, got, sees)
    data = {
        "expected_cycles": None if unbuilt else cycles(graph, images, wanted, args.shift),
        "shift": args.shift,
        **figures,
        "seconds": time.monotonic() - start, "level": rung.name,
        "design": design_hash(graph).hex(), "images": count,
        "images_equal": count - len(differences), "mismatches": len(differences),
        "first": differences[0] if differences else None, "sees": list(sees),
        "compared": compared(wanted, sees), "correct": int((wanted.classes == labels).sum()),
    }
    if board:
        data["board"] = board.name
    out.result(data, *_lines(data))
    slow = data.get("cycles", data["expected_cycles"]) != data["expected_cycles"]
    return 1 if differences or slow else 0


def _contract(args, rung, board, out) -> int:
    """Every case of a contract file on one rung; the first difference of each that is not equal.

    Exit code 2 if a case is refused, 1 if one differs.
    """
    cases, refused = contract.load_cases(Path(args.contract))
    results = [{"name": name, "equal": False, "first": None, "error": why}
               for name, why in refused.items()]
    folder = Path(mkdtemp(prefix="spikeloom-"))  # stays if a tool fails, which names its log there
    for number, case in enumerate(cases):
        out.note(f"{rung.name}: {case.name}")
        setting = Setting(folder=folder / str(number), board=board, port=args.port,
                          baud=args.baud, currents=True, note=out.note)
        try:
            graph = case.graph if rung.name == "reference" else compile_graph(case.graph)
            trace, _, sees = rung.run(graph, case.inputs, setting)
        except (FitError, GraphError) as error:
            results.append({"name": case.name, "equal": False, "first": None,
                            "error": str(error)})
            continue
        first = first_difference(case.expect, image_of(trace, 0), sees)
        if first is None and trace.shipped is not None:
            first = first_difference(case.expect, image_of(trace.shipped, 0), ())
        results.append({"name": case.name, "equal": first is None, "first": first})
    rmtree(folder)
    order = {name: k for k, name in enumerate(contract.names(Path(args.contract)))}
    results.sort(key=lambda item: order[item["name"]])
    lines = [f"{item['name']}: " + ("equal" if item["equal"] else item.get("error") or
                                    f"NOT equal, first in {described(item['first'])}")
             for item in results]
    out.result({"level": rung.name, "cases": results}, *lines)
    if any("error" in item for item in results):
        return 2
    return 0 if all(item["equal"] for item in results) else 1


def _clocks(counted: list[int], expected: list[int]) -> str:
    """The clocks of each image's inference, and whether they are those of the formula."""
    least, most = min(counted), max(counted)
    text = f"{least:,}{f'..{most:,}' if most > least else ''} clocks an inference"
    for image, (got, wanted) in enumerate(zip(counted, expected, strict=True)):
        if got != wanted:
            return f"{text}; NOT what the formula says, first of image {image}: {wanted:,}"
    return f"{text}, as the formula says"


def _lines(data: dict) -> list[str]:
    labels = f"{data['correct']} of {data['images']} labels right, {data['seconds']:.1f} s"
    if data["level"] == "reference":
        return [f"reference: {labels}; it is what the other levels are compared with"]
    sees = tuple(data["sees"])
    what = "membranes, spikes, scores and classes"
    if sees == CRCS:
        what += ", by a checksum per layer and image"
    elif sees == ALL:
        what = "currents, " + what
    elif not sees:
        what = ("scores and classes; flash the proof build for membranes and spikes: spikeloom "
                "synth --proof, spikeloom flash --proof")
    lines = [f"{data['level']}: {data['images_equal']} of {data['images']} images equal to the "
             f"reference model ({data['compared']:,} {what}), {labels}"]
    first = data["first"]
    if first:
        lines.append(f"first difference: image {first['image']}, {described(first)}")
    if "cycles" in data:
        lines.append(_clocks(data["cycles"], data["expected_cycles"]))
    if "shipped" in data:
        lines.append(f"both builds ran on the {data['board']}'s device: the proof build "
                     f"({data['lc']:,} LCs) and the one that ships ({data['shipped']['lc']:,})")
    for key in ("waves", "fst"):
        if data.get(key):
            lines.append(data[key])
    return lines
