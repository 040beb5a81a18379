"""``spikeloom map``: a network onto RRAM crossbars, PEs and tiles, and the tiles onto a mesh.

The network is that of `--run`, or a table of published shapes. What is found is kept as plan.json
and plan.svg: in the run's `cim`, or in `--out`.
"""

from pathlib import Path

from ..cim import picture, plan_text
from ..cim.mapper import MOST_TILES, map_network
from ..cim.settings import load_array
from ..cim.shapes import Network, of_graph
from ..cim.tables import MOST, load_network
from ..errors import ConfigError
from ..output import Wide
from ..passes.compile import compile_graph
from ..run import Run

PLAN, PICTURE = "plan.json", "plan.svg"


def configure(parser) -> None:
    add = parser.add_argument
    add("--layers", metavar="FILE",
        help="a table of layers (CSV, TOML or JSON) in place of a run's network, such as "
             "examples/vgg9.csv")
    add("--num-steps", type=int, metavar="T", help="of --layers: timesteps, before the table's own")
    add("--array", metavar="FILE",
        help="the array: a TOML file with rows, cols, cell_bits, adc_bits, mux, encoding, ... "
             "(default: SpikeSim's 64 x 64)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of the array over those of --array, such as rows=128; again for more")
    add("--max-tiles", type=int, metavar="N", help="tiles of the chip (default: what it takes)")
    add("--seed", type=int, default=0, help="of the placement's search (default: %(default)s)")
    add("--out", metavar="DIR", help=f"where {PLAN} and {PICTURE} go (default: DIR/cim of --run; "
                                     "with --layers they are not kept)")


def run(args, out) -> None:
    network = _network(args)
    array = load_array(args.array and Path(args.array), args.set)
    for option, value, least, most in (("--max-tiles", args.max_tiles, 1, MOST_TILES),
                                       ("--seed", args.seed, 0, (1 << 31) - 1)):
        if value is not None and not least <= value <= most:
            raise ConfigError(f"{option} must be in {least}..{most}, not {value}")
    plan = map_network(network, array, max_tiles=args.max_tiles, seed=args.seed)
    folder = Path(args.out) if args.out else None if args.layers else Path(args.run) / "cim"
    kept = {}
    if folder:
        kept = {"plan": str(folder / PLAN), "picture": str(folder / PICTURE)}
        plan.save(folder / PLAN)
        picture.save(plan, folder / PICTURE)
    where = f"kept as {kept['plan']} and {kept['picture']}" if kept else \
        f"--out DIR keeps this as {PLAN} and {PICTURE}"
    out.result({**plan_text.data(plan), "files": kept}, *sections(plan), where)


def sections(plan) -> list:
    """What is printed of a plan, part by part."""
    table = [Wide(plan_text.table(plan))] if plan.layers else []
    tiles = [plan_text.tile_map(plan), ""] if plan.tiles else []
    return [*table, *tiles, *plan_text.lines(plan)]


def _network(args) -> Network:
    if args.layers:
        most = MOST["num_steps"]
        if args.num_steps is not None and not 1 <= args.num_steps <= most:
            raise ConfigError(f"--num-steps must be in 1..{most}, not {args.num_steps}")
        return load_network(Path(args.layers), args.num_steps)
    if args.num_steps is not None:
        raise ConfigError("--num-steps must be used with --layers alone; a run's network has its "
                          "own timesteps")
    opened = Run.open(args.run)
    graph = opened.graph()
    if graph.stage != "shape":
        graph = compile_graph(graph)
    return of_graph(graph, opened.path.resolve().name)
