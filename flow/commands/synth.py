"""``spikeloom synth``: place and route a run's network for a board."""

from dataclasses import asdict
from importlib import import_module

from msgspec import structs, to_builtins
from rich.table import Table

from .. import bare, build, length_table, link_options, lowering_options
from ..cost.estimate import estimate
from ..errors import ConfigError
from ..ir import Graph
from ..passes.compile import compile_graph
from ..passes.generators import advise
from ..report import compare, write_report
from ..run import Run
from ..synthesis import synthesise
from ..throughput import throughput

#: What knows an image's bytes on the link, in a package that this one must not import.
IMAGES = "spikeloom.sim.images"


def configure(parser) -> None:
    bare.add_arguments(parser)
    parser.add_argument("--seed", type=int, default=1, help="first seed of place and route")
    parser.add_argument("--pnr-seeds", type=int, default=1, metavar="N",
                        help="try N seeds from --seed on and keep the fastest result")
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
    if not 1 <= args.pnr_seeds <= 100:
        raise ConfigError(f"--pnr-seeds must be in 1..100, not {args.pnr_seeds}")
    if args.stored and not board.buttons:
        raise ConfigError(f"--stored must be used with a board that has a button, not {board.name}")
    features = link_options.link_features(args.link)
    opened = Run.open(args.run)
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

        reports = synthesise(
            graph, board, trace=args.proof, features=features, stored=stored, out_dir=folder,
            note=note, use_cache=not args.no_cache,
            seeds=range(args.seed, args.seed + args.pnr_seeds))
    out.record(seeds={"place and route": [report.seed for report in reports]},
               tools=reports[0].tools)
    best = max(reports, key=lambda report: report.fmax_mhz)
    if not args.proof:
        best = structs.replace(best, lengths=tuple(length_table.costed(rows, best)))
        write_report(best, folder / build.REPORT)
    if not best.meets_clock:
        out.note(f"warning: {best.fmax_mhz:.1f} MHz misses the board's {best.clock_mhz:g} MHz; try "
                 "more --pnr-seeds")
    speed = throughput(graph, best.clock_mhz * 1e6)
    bitstream = folder / best.bitstream
    guess = estimate(graph, board.device)
    tables = [compare(best, guess)]
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
        tables.append(seeds)
    tables.append(speed.text(best.clock_mhz * 1e6))
    data = {"report": to_builtins(best), "throughput": asdict(speed),
            "estimate": asdict(guess), "path": str(bitstream), "proof": args.proof,
            "stored": len(stored),
            "seeds": [{"seed": r.seed, "fmax_mhz": r.fmax_mhz, "lc": r.lc} for r in reports]}
    out.result(data, *tables, str(bitstream))


def _stored(images, opened: Run, graph: Graph, pixel_bits: int) -> list[bytes]:
    """Test images of a run, as the link would bring them."""
    if not len(images):
        return []
    module = import_module(IMAGES)
    shaped = module.shaped(graph, images, str(opened.samples_file))
    return [module.payload(graph, image, pixel_bits) for image in shaped]
