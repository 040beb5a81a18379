"""``spikeloom demo``: the trained digits network that ships, on a board, without any search.

It is copied into a run directory, placed and routed, its gateware is checked through the simulated
UART against the reference model, and a connected board is flashed.
"""

from dataclasses import replace
from importlib import resources
from pathlib import Path

from msgspec import to_builtins
from rich.progress import track

from ...flow import bare, fit, lower, ports, tools
from ...flow.commands import flash
from ...flow.cost.estimate import estimate
from ...flow.errors import ConfigError, RunError, SpikeloomError, ToolError
from ...flow.files import write_atomic
from ...flow.ir import Graph, load_graph
from ...flow.report import compare
from ...flow.run import Run
from ...hdl.uart import MIN_DIVISOR
from .. import reference
from ..host import Device
from ..simulated import SimTransport

FILES = ("run.json", "graph.safetensors", "samples.safetensors", "calibration.safetensors")


def configure(parser) -> None:
    parser.set_defaults(run="runs/demo")
    bare.add_arguments(parser)
    parser.add_argument("--count", type=int, default=3, metavar="N",
                        help="images to send through the simulated UART (default: 3)")
    parser.add_argument("--no-flash", action="store_true", help="do not look for a board")


def run(args, out) -> int:
    board = bare.chosen(args)
    opened = install(Path(args.run))
    graph = opened.graph()
    p8, labels = opened.samples()
    if not 1 <= args.count <= len(p8):
        raise ConfigError(f"--count must be in 1..{len(p8)}, not {args.count}")
    answers = reference.run(graph, p8).classes
    right = float((answers == labels).mean())
    out.note(f"reference model: {right:.4f} of {len(p8)} test digits right")
    folder = opened.build_dir(board.name)
    found = fit.must_fit(graph, board, out_dir=folder, note=out.note)
    graph, report = found.graph, found.report
    opened.keep(graph)
    out.note(f"{board.name}: {found.choice}")
    equal = check(graph, p8[:args.count], out)
    if equal != args.count:
        raise SpikeloomError(f"the gateware differs from the reference model on "
                             f"{args.count - equal} of {args.count} images; this must never "
                             "happen, please report it")
    path = folder / report.bitstream
    data = {"board": board.name, "test_accuracy": right, "images": len(p8),
            "simulated": args.count, "equal": equal, "lowering": found.choice,
            "report": to_builtins(report), "path": str(path), "flashed": False}
    connected = [] if args.no_flash else _connected(board)
    guess = estimate(graph, board.device)
    lines = [compare(report, guess),
             f"{equal} of {args.count} images through the simulated UART equal "
             f"to the reference model; {right:.2%} of {len(p8)} test digits right"]
    if connected:
        flash.program(board, opened, out)
        data["flashed"] = True
        lines.append(f"{board.title} is flashed; try: spikeloom infer --run {args.run} "
                     f"--port {connected[0]}")
    else:
        lines.append(f"no {board.title} is connected; to flash one: spikeloom flash "
                     f"--run {args.run} --board {board.asked}")
    out.result(data, *lines, str(path))
    return 0


def install(path: Path) -> Run:
    """Copy the network that ships into a run directory, or open the copy that is there."""
    source = resources.files("spikeloom.sim") / "demo"
    if (path / "run.json").exists():
        opened = Run.open(path)
        with resources.as_file(source / "graph.safetensors") as shipped:
            same = _network(opened.graph()) == _network(load_graph(shipped))
        if not same:
            raise RunError(f"{path}: holds another network than the one that ships; choose another "
                           "--run, or use 'spikeloom synth' for it")
        return opened
    shipped = {name: (source / name).read_bytes() for name in FILES}
    # an interrupted copy is finished
    if path.exists() and (not path.is_dir() or any(
            file.is_dir() or file.read_bytes() != shipped.get(file.name)
            for file in path.iterdir() if not file.name.startswith("."))):
        raise RunError(f"{path}: exists and is not a run directory; choose another --run")
    for name in reversed(FILES):  # the manifest last: a directory without it is not a run
        write_atomic(path / name, shipped[name])
    return Run.open(path)


def _network(graph: Graph) -> str:
    """The digest of a network, whatever the lowering and the run-time lengths of a build."""
    return fit.lowered(replace(graph, max_shift=0), *fit.CHOICES[0]).digest()


def check(graph, p8, out) -> int:
    """How many images the gateware answers as the reference model does, scores and class."""
    wanted = reference.run(graph, p8)
    device = Device(SimTransport(lower.top(graph, divisor=MIN_DIVISOR), timeout=0.5),
                    expect=lower.design_hash(graph))
    equal = 0
    for index in track(range(len(p8)), "simulating", console=out.progress, transient=True):
        got = device.infer(p8[index])
        equal += (got.cls == wanted.classes[index]
                  and list(got.scores) == wanted.scores[index].tolist())
    device.close()
    return equal


def _connected(board) -> list[str]:
    """Ports of the UART of connected boards like this one, if its programmer is here too."""
    try:
        tools.find(board.programmer[0])
    except ToolError:
        return []
    return ports.uarts(board)
