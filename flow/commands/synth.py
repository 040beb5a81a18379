"""``spikeloom synth``: place and route a run's network for a board."""

from dataclasses import asdict
from importlib import import_module

from msgspec import structs, to_builtins
from rich.table import Table

from .. import bare, build, clocks, config, length_table, link_options, lowering_options, tuning
from ..cost.estimate import estimate
from ..errors import ConfigError, RunError
from ..ir import Graph
from ..output import Wide
from ..passes.compile import compile_graph
from ..passes.generators import advise
from ..report import compare, write_report
from ..run import Run
from ..synthesis import synthesise
from ..throughput import throughput

#: What knows an image's bytes on the link, in a package that this one must not import.
IMAGES = "spikeloom.sim.images"
#: What --clock, or an experiment, may ask for that is chosen by building.
CHOOSING = (clocks.AUTO, clocks.FASTEST)


def configure(parser) -> None:
    bare.add_arguments(parser)
    parser.add_argument("--seed", type=int, default=1, help="first seed of place and route")
    parser.add_argument("--seeds", "--pnr-seeds", type=int, metavar="N",
                        help="try N seeds from --seed on and keep the fastest result (default: 1; "
                             "where the run's experiment chooses the clock, its search.pnr_seeds)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N",
                        help="seeds that are placed and routed at once (default: 2)")
    clocks.add_arguments(parser)
    parser.add_argument("--proof", action="store_true",
                        help="build the proof build, which also answers a checksum per layer over "
                             "every membrane and spike, for 'sim --level board'")
    lowering_options.add_arguments(parser)
    parser.add_argument("--stored", type=int, default=0, metavar="N",
                        help="keep the first N test images in block memory, through which the "
                             "board's button steps without a PC")
    link_options.add_argument(parser)
    parser.add_argument("--no-cache", action="store_true", help="build anew, whatever is cached")


def run(args, out) -> None:
    board = bare.chosen(args)
    if not 0 <= args.seed < 2**31:
        raise ConfigError(f"--seed must be in 0..2**31 - 1, not {args.seed}")
    if args.seeds is not None and not 1 <= args.seeds <= 100:
        raise ConfigError(f"--seeds must be in 1..100, not {args.seeds}")
    if not 1 <= args.jobs <= 100:
        raise ConfigError(f"--jobs must be in 1..100, not {args.jobs}")
    clocks.check(args.clock, args.clock_mhz)
    if args.stored and not board.buttons:
        raise ConfigError(f"--stored must be used with a board that has a button, not {board.name}")
    features = link_options.link_features(args.link)
    tuned, objective, count = None, args.clock, args.seeds or 1
    if args.clock in CHOOSING and args.proof:
        raise ConfigError(f"--clock {args.clock} must not be used with --proof, which takes the "
                          "clock of the build that ships; choose that one first")
    if args.clock in ("hfosc", "pll"):
        board = clocks.clocked(board, args.clock, args.clock_mhz)
    opened = Run.open(args.run)
    if args.clock is None and not args.proof and (asked := _asked(opened, board, out)):
        objective = asked.target.clock
        count = args.seeds or getattr(asked.search, "pnr_seeds", 1)
    elif args.clock is None:
        board = _kept(opened, board, out)
    images = opened.first_samples("--stored", args.stored)[0] if args.stored else ()
    lowering_options.apply(args, opened, board, out)
    graph = compile_graph(opened.graph())
    stored = _stored(images, opened, graph, features.pixel_bits)
    rows, why = length_table.lengths(opened, graph)
    advise(graph, out.note)
    folder = opened.build_dir(board.name, proof=args.proof)
    with out.progress.status(f"building for {board.title}") as status:
        def note(text: str) -> None:
            status.update(text)
            out.note(text)

        options = {
            "trace": args.proof, "features": features, "stored": stored, "note": note,
            "use_cache": not args.no_cache, "jobs": min(args.jobs, count),
            "seeds": range(args.seed, args.seed + count)}
        if objective in CHOOSING:
            board, reports, tuned = tuning.tune(graph, board, objective=objective, folder=folder,
                                                most_mhz=args.clock_mhz, **options)
        else:
            reports = synthesise(graph, board, out_dir=folder, **options)
            if args.clock is not None:  # what was weighed for another build
                (folder / tuning.FILE).unlink(missing_ok=True)
    out.record(seeds={"place and route": [report.seed for report in reports]},
               tools=reports[0].tools)
    best = build.fastest(reports)
    if not args.proof:
        best = structs.replace(best, lengths=tuple(length_table.costed(rows, best)))
        write_report(best, folder / build.REPORT)
    if not best.meets_clock:
        out.note(f"warning: {best.fmax_mhz:.1f} MHz misses the {best.needed_mhz:g} MHz "
                 "that its clock may be; try more --seeds, or a slower --clock")
    speed = throughput(graph, best.clock_mhz * 1e6)
    bitstream = folder / best.bitstream
    guess = estimate(graph, board.device)
    tables = [compare(best, guess)]
    if tuned is not None:
        tables.append(Wide(tuning.table(tuned)))
    for line in clocks.says(board):
        out.note(line)
    if best.lengths:
        tables.append(length_table.table(list(best.lengths), why))
    if args.proof:
        out.note("the proof build has a witness, which the estimate leaves out; areas are quoted "
                 "without it")
    if stored:
        out.note(f"the build holds {len(stored)} images and reads a button, which the estimate "
                 "leaves out")
    if len(reports) > 1:
        seeds = Table("seed", "LCs", "Fmax (MHz)", title="place and route", title_justify="left")
        for report in reports:
            seeds.add_row(str(report.seed), f"{report.lc:,}", f"{report.fmax_mhz:.1f}")
        tables += [seeds, build.spread(reports)]
    tables.append(speed.text(best.clock_mhz * 1e6))
    data = {"report": to_builtins(best), "throughput": asdict(speed),
            "estimate": asdict(guess), "path": str(bitstream), "proof": args.proof,
            "stored": len(stored), "clocks": tuned and to_builtins(tuned),
            "seeds": [{"seed": r.seed, "fmax_mhz": r.fmax_mhz, "lc": r.lc} for r in reports]}
    out.result(data, *tables, str(bitstream))


def _asked(opened: Run, board, out) -> config.Experiment | None:
    """The run's experiment, where it chooses a clock and nothing was built for the board yet."""
    if (opened.build_dir(board.name) / build.REPORT).exists() or not opened.experiment.exists():
        return None
    found = config.load_experiment(opened.experiment)
    if found.target.clock not in CHOOSING or found.target.board != board.name:
        return None
    out.note(f"clock: {found.target.clock}, as the run's experiment says; --clock board is the "
             "pin's")
    return found


def _kept(opened: Run, board, out):
    """The board with the clock of the run's build for it, if there is one that can be read."""
    try:
        board = clocks.kept(opened, board)
    except RunError:  # it is written anew
        return board
    if board.clock is not None:
        out.note(f"clock: {board.source} of {board.clock_hz / 1e6:g} MHz, as the run's build for "
                 f"{board.name} has; --clock board goes back to the pin's")
    return board


def _stored(images, opened: Run, graph: Graph, pixel_bits: int) -> list[bytes]:
    """Test images of a run, as the link would bring them."""
    if not len(images):
        return []
    module = import_module(IMAGES)
    shaped = module.shaped(graph, images, str(opened.samples_file))
    return [module.payload(graph, image, pixel_bits) for image in shaped]
