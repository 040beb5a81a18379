"""``spikeloom map``: a network onto RRAM crossbars, PEs and tiles, the tiles onto a mesh, and what
that costs.

The network is that of `--run`, or a table of published shapes. What is found is kept as plan.json,
plan.svg, actions.json and cost.json: in the run's `cim`, or in `--out`.
"""

from pathlib import Path

import msgspec

from ..cim import picture, plan_text
from ..cim.array import Array
from ..cim.cost import actions, price, view
from ..cim.cost.spikes import load_spikes
from ..cim.cost.switches import MODES
from ..cim.mapper import MOST_TILES, map_network
from ..cim.plan import Plan
from ..cim.settings import array_of, load_array
from ..cim.shapes import Network, of_graph
from ..cim.tables import MOST, load_network
from ..errors import ConfigError, unknown
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
             "(default: that of the run's search, or SpikeSim's 64 x 64)")
    add("--set", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of the array over those of --array, such as rows=128; again for more")
    add("--max-tiles", type=int, metavar="N", help="tiles of the chip (default: what it takes)")
    add("--seed", type=int, default=0, help="of the placement's search (default: %(default)s)")
    add("--mode", default="physical", metavar="MODE",
        help=f"how it is priced, {', '.join(MODES)} (default: %(default)s)")
    add("--explain", metavar="MODE",
        help="from that mode to --mode, what each switch changes, one after the other")
    add("--prices", metavar="FILE", help="a TOML table of figures over those that ship")
    add("--spikes", metavar="FILE",
        help="a CSV file, layer,spikes: what comes into each layer in the mean timestep")
    add("--out", metavar="DIR", help="where files go (default: DIR/cim of --run; with --layers "
                                     "they are not kept)")


def run(args, out) -> None:
    network, file = _network(args), args.array and Path(args.array)
    array = (load_array(file, args.set) if args.layers else
             array_of(Run.open(args.run), file, args.set))
    for option, value, least, most in (("--max-tiles", args.max_tiles, 1, MOST_TILES),
                                       ("--seed", args.seed, 0, (1 << 31) - 1)):
        if value is not None and not least <= value <= most:
            raise ConfigError(f"{option} must be in {least}..{most}, not {value}")
    for option, mode in (("--mode", args.mode), ("--explain", args.explain)):
        if mode is not None and mode not in MODES:
            raise ConfigError(f"{option}: " + unknown("mode", mode, MODES))
        if mode == "event" and not args.spikes:
            raise ConfigError(f"{option} event must have --spikes FILE, a CSV of layer,spikes: "
                              "what comes into each layer in the mean timestep")
    plan = map_network(network, array, max_tiles=args.max_tiles, seed=args.seed)
    folder = Path(args.out) if args.out else None if args.layers else Path(args.run) / "cim"
    kept = {}
    if folder:
        kept = {"plan": str(folder / PLAN), "picture": str(folder / PICTURE)}
        plan.save(folder / PLAN)
        picture.save(plan, folder / PICTURE)
    priced, shown = _priced(args, network, array, plan, folder, kept)
    where = f"kept as {', '.join(kept.values())}" if kept else \
        f"--out DIR keeps this as {PLAN}, {PICTURE}, {actions.FILE} and {price.FILE}"
    out.result({**plan_text.data(plan), **priced, "files": kept}, *sections(plan), *shown, where)


def sections(plan) -> list:
    """What is printed of a plan, part by part."""
    table = [Wide(plan_text.table(plan))] if plan.layers else []
    tiles = [plan_text.tile_map(plan), ""] if plan.tiles else []
    return [*table, *tiles, *plan_text.lines(plan)]


def _priced(args, network: Network, array: Array, plan: Plan, folder: Path | None,
            kept: dict[str, str]) -> tuple[dict, list]:
    """The cost as data and as it is printed; its files go to `folder` and are named in `kept`."""
    spikes = load_spikes(Path(args.spikes), network) if args.spikes else None
    table = price.table_of(array, args.prices)
    if not plan.layers:
        return {"cost": None}, []
    counts = price.counted(network, array, args.mode, None, spikes, table, plan=plan)
    cost = price.priced(counts, table)
    if folder:
        for key, item, name in (("actions", counts, actions.FILE), ("cost", cost, price.FILE)):
            item.save(folder / name)
            kept[key] = str(folder / name)
    data = {"cost": msgspec.to_builtins(cost)}
    shown = ["", Wide(view.component_table(cost)), Wide(view.layer_table(cost))]
    if args.explain:
        steps = price.explain(network, array, args.explain, cost.mode, spikes=spikes,
                              prices=table, plan=plan)
        data["explain"] = [{"switch": name, "setting": setting, "area_mm2": step.area_mm2,
                            "latency_ms": step.latency_ms, "energy_uj": step.energy_uj}
                           for name, setting, step in steps]
        shown.append(Wide(view.step_table(steps)))
    return data, [*shown, *view.lines(cost)]


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
