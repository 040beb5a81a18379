"""The command line: ``spikeloom COMMAND [--run DIR] [--json] [-v] [--plugin FILE]``.

A command is a module with ``configure(parser)`` and ``run(args, out)``; it is named here as a
string and imported only when chosen, so that ``spikeloom synth`` never loads torch. Exit 0 done,
1 failed, 2 bad input, 130 interrupted.
"""

import argparse
import errno
import sys
import traceback
from importlib import import_module, metadata
from pathlib import Path

from . import manifest, plugins
from .errors import SpikeloomError, unknown
from .output import Output

#: Module and one line of help of every command.
COMMANDS = {
    "search": ("spikeloom.nas.commands.search", "search networks, train and place and route them"),
    "train": ("spikeloom.nas.commands.train", "train one network into a run directory"),
    "synth": ("spikeloom.flow.commands.synth", "place and route a run's network for a board"),
    "sim": ("spikeloom.sim.commands.sim", "replay test images and compare with the reference"),
    "infer": ("spikeloom.sim.commands.infer", "classify images on a board or its simulation"),
    "flash": ("spikeloom.flow.commands.flash", "program a board with a run's bitstream"),
    "demo": ("spikeloom.sim.commands.demo", "build, check and flash the network that ships"),
    "export": ("spikeloom.sim.commands.export", "write the core as Verilog for another design"),
    "estimate": ("spikeloom.flow.commands.estimate", "price a network without any tool"),
    "map": ("spikeloom.flow.commands.map", "map a network onto RRAM crossbars"),
    "score": ("spikeloom.nas.commands.score", "score networks of cells without training them"),
    "table": ("spikeloom.nas.commands.table", "write evaluations that answer without training"),
    "study": ("spikeloom.nas.commands.study", "vary what a run's network meets, and draw curves"),
    "metrics": ("spikeloom.sim.commands.metrics", "footprint, sparsity, operations and spikes"),
    "report": ("spikeloom.flow.commands.report", "print what a run has measured"),
    "bench": ("spikeloom.nas.commands.bench", "measure the figures of this installation"),
    "doctor": ("spikeloom.flow.commands.doctor", "list boards, tools, and what is missing"),
    "show": ("spikeloom.flow.commands.show", "print a network, a generator, what is measured"),
    "store": ("spikeloom.flow.commands.store", "export and import what was measured"),
}

#: Commands that a run's manifest tells of.
RECORDED = ("search", "train", "synth", "study")

#: The run directory that is used where none is named.
RUN = "runs/default"


class _Parser(argparse.ArgumentParser):
    """Errors as one line, exit code 2."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (try '{self.prog} --help')\n")


def common(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    """Options of every command; nested: of a name behind one, where defaults would hide what
    stands before it.
    """
    def default(value):
        return argparse.SUPPRESS if nested else value

    parser.add_argument("--run", metavar="DIR", default=default(RUN),
                        help=f"run directory (default: {RUN})")
    parser.add_argument("--json", action="store_true", default=default(False),
                        help="print one JSON object on stdout")
    parser.add_argument("-v", "--verbose", action="store_true", default=default(False),
                        help="print more, and tracebacks of errors")
    parser.add_argument("--plugin", metavar="FILE", action="append", default=default([]),
                        dest="more_plugins" if nested else "plugins",
                        help="import this Python file, which runs it, for the strategies, scores, "
                             "neurons and data sets that it registers; may be repeated")


def _usage() -> str:
    lines = ["usage: spikeloom COMMAND [--run DIR] [--json] [-v] ...", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    lines += ["", "'spikeloom COMMAND --help' tells more; 'spikeloom --version' the version."]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"spikeloom {metadata.version('spikeloom')}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        print(f"spikeloom: {unknown('command', name, COMMANDS)}", file=sys.stderr)
        return 2
    parser = _Parser(prog=f"spikeloom {name}", description=COMMANDS[name][1])
    common(parser)
    verbose = "-v" in argv or "--verbose" in argv
    try:
        command = import_module(COMMANDS[name][0])
        command.configure(parser)
        args = parser.parse_args(argv[1:])
        plugins.load([*args.plugins, *getattr(args, "more_plugins", ())])
        out = Output(as_json=args.json, verbose=args.verbose)
        if name not in RECORDED:
            return command.run(args, out) or 0
        return manifest.recorded(lambda: command.run(args, out), name, argv[1:], Path(args.run),
                                 out.facts, out.note) or 0
    except SpikeloomError as error:
        if verbose:
            traceback.print_exc()
        print(f"spikeloom {name}: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if verbose or missing == "spikeloom":
            raise
        print(f"spikeloom {name}: needs the Python package {missing!r}; "
              "install it with: pip install 'spikeloom[search,test]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        why = str(error) or ("files are whole, finished builds are cached; run the same command "
                             "again to go on")
        print(f"spikeloom {name}: interrupted: {why}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        if verbose:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        advice = "; free some space and repeat" if error.errno == errno.ENOSPC else ""
        print(f"spikeloom {name}: {where}{error.strerror or error}{advice}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
