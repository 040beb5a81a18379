"""``spikeloom flash``: check a run's bitstream, program a board with it, and read its hash back.

Weights that are not in the bitstream go to their own place in the flash, before the bitstream, with
which the board starts.
"""

import shlex
import subprocess
from importlib import import_module
from pathlib import Path

from ...boards.board import Board
from .. import bare, bitstream, clocks, ports, tools, weights_file
from ..build import BITSTREAM, REPORT
from ..errors import ConfigError, RunError, ToolError
from ..files import write_atomic
from ..passes.compile import compile_graph
from ..report import read_report
from ..run import Run
from ..weights_image import weights_image

#: What asks the board, by a module that this package must not import: named, as in `cli`.
READBACK = "spikeloom.sim.readback"


def configure(parser) -> None:
    bare.add_arguments(parser)
    parser.add_argument("--dry-run", action="store_true",
                        help="check the file and print the command, but do not program")
    parser.add_argument("--proof", action="store_true",
                        help="the proof build, which 'synth --proof' makes")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--flash", action="store_true",
                       help="write the flash, from which the board starts (the default)")
    where.add_argument("--sram", action="store_true",
                       help="load the configuration memory, not the flash: lost without power")
    parser.add_argument("--one-image", action="store_true",
                        help="write bitstream and weights as one file, flash.bin, if the network "
                             "has weights that are loaded")
    parser.add_argument("--verify", action="store_true",
                        help="then ask the board for its design hash and compare it")
    parser.add_argument("--port", metavar="DEV",
                        help="serial port of the board for --verify (default: found by its USB id)")


def run(args, out) -> None:
    board = bare.chosen(args)
    if args.port and not args.verify:
        raise ConfigError("--port must be used with --verify, which talks to the board; add it, "
                          "or leave --port out")
    if args.verify and args.dry_run:
        raise ConfigError("--verify must not be used with --dry-run, which does not program; leave "
                          "one of them out")
    if args.sram and board.sram_programmer is None:
        raise ConfigError(f"--sram must not be used with {board.name}: its configuration "
                          "memory cannot be loaded directly; leave it out")
    if args.sram and args.one_image:
        raise ConfigError("--one-image must not be used with --sram, which leaves the flash as it "
                          "is; leave one of them out")
    opened = Run.open(args.run)
    board = clocks.kept(opened, board)
    port = (args.port or ports.uart(board)) if args.verify else None
    data = program(board, opened, out, sram=args.sram, dry_run=args.dry_run, proof=args.proof,
                   one_image=args.one_image)
    if port:
        data["verified"] = {"port": port, "design": import_module(READBACK).readback(
            compile_graph(opened.graph()), board, port, note=out.note)}
    lines = [f"{what}: {value}" for what, value in data["checked"].items()]
    if board.notes:
        lines.append(f"note: {board.notes}")
    out.result(data, *lines, *map(shlex.join, data["commands"]),
               *([f"{board.title} is programmed"] if data["programmed"] else []),
               *([f"verified: design {data['verified']['design']} answers on {port}"] if port
                 else []))


def program(board: Board, opened: Run, out, *, sram: bool = False, dry_run: bool = False,
            proof: bool = False, one_image: bool = False) -> dict:
    """Check a run's bitstream and weights for a board, and program the board unless `dry_run`.

    Returns what was checked and the commands. Raises RunError if there is no bitstream, or it, or
    the file of the weights, is damaged or another design's; ToolError if the programmer is missing
    or fails.
    """
    argv = board.sram_programmer if sram else board.programmer
    folder = opened.build_dir(board.name, proof=proof)
    build = (f"spikeloom synth --run {opened.path} --board {board.asked}"
             f"{' --proof' if proof else ''}")
    if not folder.is_dir():
        raise RunError(f"{folder}: does not exist; run '{build}' first")
    report = read_report(folder / REPORT)
    if proof:
        clocks.check_same(report, board, build)
    graph = compile_graph(opened.graph())
    path = folder / BITSTREAM
    checked = bitstream.check(path, report, board=board.name, design=graph.digest(), again=build)
    commands = [[*argv, str(path)]]
    if len(weights_image(graph)):
        file = folder / weights_file.WEIGHTS
        weights = weights_file.check(file, graph, again=build)
        if one_image:
            commands = [[*argv, str(_one_image(path, weights, board))]]
        elif sram or board.flash is None:
            out.note("note: the weights are not written to the flash; 'spikeloom infer --load' "
                     "sends them")
        else:
            checked["weights"] = f"{len(weights):,} bytes, at 0x{board.weights_at:X} of the flash"
            commands.insert(0, [*board.flash.programmer, str(file)])
    elif one_image:
        raise ConfigError("--one-image must be used with a network of which a layer has memory "
                          "spram, since no other has weights beside its bitstream; leave it out")
    commands = [[_tool(argv[0], dry_run, out), *argv[1:]] for argv in commands]
    if not dry_run:
        for command in commands:
            _program(command, out)
    return {"board": board.name, "bitstream": str(path), "command": commands[-1],
            "commands": commands, "checked": checked, "programmed": not dry_run}


def _one_image(bitstream_file: Path, weights: bytes, board: Board) -> Path:
    """The file of bitstream and weights, beside them."""
    path = bitstream_file.with_name(weights_file.ONE_IMAGE)
    write_atomic(path, weights_file.one_image(bitstream_file.read_bytes(), weights, board))
    return path


def _tool(name: str, dry_run: bool, out) -> str:
    """The path of a programmer; in a dry run its name, if it is missing."""
    try:
        return str(tools.find(name).path)
    except ToolError as missing:
        if not dry_run:
            raise
        out.note(f"note: {missing}")
        return name


def _program(command: list[str], out) -> None:
    """Run the programmer, its output as progress; ToolError with its last words if it fails."""
    last = ""
    try:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            for line in process.stdout:
                if line.strip():
                    last = line.strip()
                    out.note(f"  {last}")
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("the board may be half programmed; run the command again"
                                ) from error
    except OSError as error:
        raise ToolError(f"{command[0]}: cannot be run ({error.strerror})") from error
    if process.returncode:
        raise ToolError(f"{command[0]} failed: {last or f'exit code {process.returncode}'}; is the "
                        "board connected and may you use it? 'spikeloom doctor' tells more")
