"""``spikeloom estimate``: price a network without any tool, or by its activity.

Everything printed is a prediction, by structure and by what was measured, but EBRs and clocks,
which are exact. A network is that of `--run`, or one described by options, whose weights do not
exist yet and are assumed. With `--activity` a run's test images are simulated on the netlist, and
what was counted is priced. With `--target` Yosys maps the core to a family beyond the iCE40, whose
cells are counted: that alone runs a tool.
"""

import math
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

from msgspec import to_builtins
from rich.table import Table

from ...hdl.neurons import Lif
from .. import activity, activity_table, bare, clocks, estimated, estimated_table, ir, targets
from ..cost import currents, prices
from ..cost.energy import energy_if_known
from ..cost.estimate import Estimate, estimate
from ..cost.measured import SPRAM_BITS
from ..cost.structure import TYPICAL_SPREAD, assume_weights
from ..cost.work import work
from ..errors import ConfigError, FitError, unknown
from ..passes.compile import compile_graph
from ..passes.folding import event_driven
from ..passes.schedule import inference_cycles
from ..run import Run

#: More synapses than any iCE40 can hold by far: they are not worth counting.
MAX_SYNAPSES = 1 << 22

#: Encoders that have gateware, and so a price.
ENCODERS = ("rate", "stream")

#: What a device limits and an estimate knows.
LIMITED = ("lc", "ebr", "spram")

#: Options that ask for the activity.
_ACTIVITY = ("images", "baud", "prices", "measured")

_ROWS = {"lc": "LCs", "lut4": "LUT4", "ff": "flip-flops", "carry": "carries", "ebr": "EBR",
         "spram": "SPRAM", "fmax_mhz": "Fmax (MHz)", "seconds": "seconds to build"}


def configure(parser) -> None:
    add = parser.add_argument
    add("--layers", metavar="N-N[-N...]",
        help="inputs, hidden widths and classes, such as 64-32-10, in place of a run's network")
    add("--weight-bits", type=int, default=4, metavar="W",
        help="of --layers: sign and code (default: 4)")
    add("--bitstream-length", type=int, default=8, metavar="L",
        help="of --layers: SC clocks per timestep, a power of two in 8..512 (default: 8)")
    add("--num-steps", type=int, default=8, metavar="T", help="of --layers: timesteps (default: 8)")
    add("--encoder", default="stream", help="of --layers: stream or rate (default: stream)")
    add("--readout", default="membrane",
        help="of --layers: membrane or spike_count (default: membrane)")
    bare.add_arguments(parser)
    add("--target", metavar="NAME",
        help=f"in place of a board, a family beyond the iCE40 ({', '.join(estimated.TARGETS)}): "
             "what Yosys maps the core to, not placed and routed")
    add("--no-cache", action="store_true", help="with --target: map anew, whatever is cached")
    add("--activity", action="store_true",
        help="energy from what the netlist of --run does with test images; the counts are kept in "
             "the run's build/BOARD/actions.json, and what follows implies it")
    add("--images", type=int, metavar="N",
        help=f"test images to simulate (default: those counted already, or {activity.IMAGES})")
    add("--baud", type=float, metavar="RATE", help="of the line (default: the board's at reset)")
    add("--prices", metavar="FILE",
        help="prices of actions (TOML) over those that ship, flow/cost/prices.toml")
    add("--measured", metavar="FILE",
        help="currents of your own board (TOML), to which the prices are fitted")


def run(args, out) -> int:
    if args.target is not None:
        return _target(args, out)
    if args.no_cache:
        raise ConfigError("--no-cache must be used with --target, which alone runs a tool; leave "
                          "it out")
    board = bare.chosen(args)
    if args.activity or any(getattr(args, key) is not None for key in _ACTIVITY):
        return _activity(args, board, out)
    if args.layers is None:
        opened = Run.open(args.run)
        graph, source = compile_graph(opened.graph()), str(opened.graph_file)
        board = clocks.kept(opened, board)
    else:
        graph, source = graph_from(args), f"--layers {args.layers}"
    found = estimate(graph, board.device)
    energy = energy_if_known(board.device, found.lc, found.cycles, board.clock_hz, board.source)
    used = {key: math.ceil(getattr(found, key)) for key in LIMITED}
    fits = not targets.device(board.device).excess(used)
    problem = "" if fits else targets.advice(board.device, used)
    data = {
        "estimate": asdict(found), "event_driven": event_driven(graph), "source": source,
        "network": graph.text(),
        "synapses": sum(dense.synapses for dense, _ in graph.layers),
        "weight_memory": work(graph).weight_memory,
        "board": board.name, "device": board.device, "fits": fits, "problem": problem,
        "clock_mhz": board.clock_hz / 1e6, "clock": board.source,
        "microseconds_per_inference": 1e6 * found.cycles / board.clock_hz,
        "energy": energy and {**asdict(energy), "low_nj": energy.low_nj,
                              "total_nj": energy.total_nj},
    }
    out.result(data, _table(data, found), *_lines(data, found, energy))
    return 0 if fits else FitError.exit_code


def _target(args, out) -> int:
    """Map the network to a family beyond the iCE40."""
    estimated.find(args.target)
    given = [f"--{key}" for key in ("activity", *_ACTIVITY, "pins") if getattr(args, key)]
    if given:
        raise ConfigError(f"--target must not be used with {given[0]}, which is of iCE40 boards; "
                          "leave one of them out")
    if args.layers is None:
        opened = Run.open(args.run)
        graph, source = opened.graph(), str(opened.graph_file)
    else:
        graph, source = assume_weights(graph_from(args)), f"--layers {args.layers}"
    graph = compile_graph(graph)
    found = estimated.synthesise(graph, args.target, use_cache=not args.no_cache, note=out.note)
    clocks, events = inference_cycles(graph), event_driven(graph)
    data = {"synthesised": to_builtins(found), "source": source, "network": graph.text(),
            "assumed": args.layers is not None, "cycles": clocks, "event_driven": events}
    out.result(data, estimated_table.table(found), *estimated_table.lines(
        found, clocks=clocks, event_driven=events, source=source, drawn=args.layers is not None))
    return 0 if found.fits else FitError.exit_code


def _activity(args, board, out) -> int:
    """Count what the design does, unless that is known, and price it."""
    if args.layers is not None:
        given = [key for key in _ACTIVITY if getattr(args, key) is not None]
        option = "activity" if args.activity else given[0]
        raise ConfigError(f"--layers must not be used with --{option}, which needs a run's weights "
                          "and test images; leave one of them out")
    table = prices.shipped() if args.prices is None else prices.load(Path(args.prices))
    measured = None if args.measured is None else currents.load_currents(Path(args.measured))
    table.of(board.device)  # before anything is simulated
    opened = Run.open(args.run)
    board = clocks.kept(opened, board)
    price = table.of(board.device, board.source)
    divisor = activity.divisor_of(board, args.baud)
    graph = compile_graph(opened.graph())
    actions = activity.actions_of(opened, graph, board, args.images, out)
    fitted = None
    if measured is not None:
        fitted = currents.calibrate(price, actions, measured, divisor=divisor,
                                    source=args.measured)
        price = fitted.prices
    found = activity.priced(actions, price, divisor=divisor)
    data = {"source": str(opened.graph_file), "network": graph.text(), "board": board.name,
            "device": board.device, "actions": str(activity.actions_file(opened, board)),
            "activity": activity_table.data(found), "calibrated": fitted and {
                "factors": list(fitted.factors), "residuals": fitted.residuals}}
    out.result(data, activity_table.actions_table(found), activity_table.energy_table(found),
               *activity_table.lines(found), *([fitted.text()] if fitted else []))
    return 0


def graph_from(args) -> ir.Graph:
    """The graph of shapes that the options describe; ConfigError or GraphError if they cannot."""
    try:
        sizes = [int(word) for word in args.layers.split("-")]
    except ValueError:
        sizes = []
    if len(sizes) < 2 or min(sizes) < 1:
        raise ConfigError("--layers must be at least two widths joined by '-', such as 64-32-10, "
                          f"not {args.layers!r}")
    synapses = sum(a * b for a, b in pairwise(sizes))
    if synapses > MAX_SYNAPSES:
        raise ConfigError(f"--layers must have at most {MAX_SYNAPSES:,} synapses, not {synapses:,}")
    if args.encoder not in ENCODERS:
        raise ConfigError("--encoder: " + unknown("encoder", args.encoder, ENCODERS))
    layer = {"weight_bits": args.weight_bits, "bitstream_length": args.bitstream_length,
             "sng": "sobol1", "neuron": Lif(v_threshold=args.bitstream_length)}
    return ir.chain(
        shape=(sizes[0],), encoder=args.encoder, readout=args.readout, num_steps=args.num_steps,
        input_sng="ramp" if args.encoder == "stream" else None,
        layers=[{"out_features": size, **layer} for size in sizes[1:]]).verify()


def _table(data: dict, found: Estimate) -> Table:
    table = Table(title=f"ESTIMATE for {data['board']} ({data['device']}), no tool has run",
                  title_justify="left")
    for column in ("", "predicted", "interval", "available", "share"):
        table.add_column(column, justify="right" if column else "left")
    has = targets.device(data["device"]).capacity
    for key, title in _ROWS.items():
        value, interval = getattr(found, key), ""
        if key == "spram" and not value:
            continue
        if hasattr(found, f"{key}_low"):
            low, high = getattr(found, f"{key}_low"), getattr(found, f"{key}_high")
            interval = f"{low:,.0f}..{high:,.0f}"
        share = (f"{has[key]:,}", f"{value / has[key]:.0%}") if has.get(key) else ("", "")
        table.add_row(title, f"{value:,.0f}", interval, *share)
    return table


def _lines(data: dict, found: Estimate, energy) -> list[str]:
    borrowed = ", with the UP5K's dynamic figures" if energy and energy.borrowed else ""
    cost = f"{energy.low_nj:,.0f} to {energy.total_nj:,.0f} nJ an inference (estimate{borrowed})" \
        if energy else f"no energy figures of the {data['device']} are known"
    lines = [
        f"{data['source']}: {data['synapses']:,} synapses, LCs by layer "
        f"{' + '.join(f'{lc:,.0f}' for lc in found.layers if lc)} by structure, the rest is "
        "encoder, read-out and link",
        f"{found.cycles:,} clocks an inference ({'at most' if data['event_driven'] else 'exact'}), "
        f"{data['microseconds_per_inference']:,.1f} us at {data['clock_mhz']:g} MHz, image "
        "transfer excluded",
        cost,
    ]
    if found.spram:
        lines.append(f"{data['weight_memory']:,} bits of weights; an SPRAM has {SPRAM_BITS:,}")
    lines.append("intervals hold nine measurements of ten; EBRs and clocks are exact")
    if found.assumed:
        lines.append("assumed weights: codes normally distributed with a standard deviation of "
                     f"{TYPICAL_SPREAD:g} of the largest, no biases; no interval covers that "
                     "trained ones differ")
    if found.outside:
        lines.append(f"unlike anything that was measured, so trust no interval: {found.outside}")
    lines.append("it should fit; 'spikeloom synth' measures it" if not data["problem"] else
                 f"does not fit: {data['problem']}")
    return lines
