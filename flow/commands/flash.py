"""``spikeloom flash``: check a run's bitstream, program a board with it, and read its hash back."""

import shlex
import subprocess
from importlib import import_module

from ...boards.board import Board
from .. import bare, bitstream, ports, tools
from ..build import REPORT
from ..errors import ConfigError, RunError, ToolError
from ..passes.compile import compile_graph
from ..report import read_report
from ..run import Run

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
    opened = Run.open(args.run)
    port = (args.port or ports.uart(board)) if args.verify else None
    data = program(board, opened, out, sram=args.sram, dry_run=args.dry_run, proof=args.proof)
    if port:
        data["verified"] = {"port": port, "design": import_module(READBACK).readback(
            compile_graph(opened.graph()), board, port, note=out.note)}
    lines = [f"{what}: {value}" for what, value in data["checked"].items()]
    if board.notes:
        lines.append(f"note: {board.notes}")
    out.result(data, *lines, shlex.join(data["command"]),
               *([f"{board.title} is programmed"] if data["programmed"] else []),
               *([f"verified: design {data['verified']['design']} answers on {port}"] if port
                 else []))


def program(board: Board, opened: Run, out, *, sram: bool = False, dry_run: bool = False,
            proof: bool = False) -> dict:
    """Check a run's bitstream for a board, and program the board unless `dry_run`.

    Returns what was checked and the command. Raises RunError if there is no bitstream, or it is
    damaged or another design's; ToolError if the programmer is missing or fails.
    """
    argv = board.sram_programmer if sram else board.programmer
    folder = opened.build_dir(board.name, proof=proof)
    build = (f"spikeloom synth --run {opened.path} --board {board.asked}"
             f"{' --proof' if proof else ''}")
    if not folder.is_dir():
        raise RunError(f"{folder}: does not exist; run '{build}' first")
    report = read_report(folder / REPORT)
    design = compile_graph(opened.graph()).digest()
    path = folder / "top.bin"
    checked = bitstream.check(path, report, board=board.name, design=design, again=build)
    try:
        tool = str(tools.find(argv[0]).path)
    except ToolError as missing:
        if not dry_run:
            raise
        out.note(f"note: {missing}")
        tool = argv[0]
    command = [tool, *argv[1:], str(path)]
    if not dry_run:
        _program(command, out)
    return {"board": board.name, "bitstream": str(path), "command": command,
            "checked": checked, "programmed": not dry_run}


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
