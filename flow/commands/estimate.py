"""``spikeloom estimate``: price a network without any tool, by its structure and what was measured.

Everything printed is a prediction but EBRs and clocks, which are exact. A network is that of
`--run`, or one described by options, whose weights do not exist yet and are assumed.
"""

import math
from dataclasses import asdict
from itertools import pairwise

from rich.table import Table

from ...hdl.neurons import Lif
from .. import bare, ir, targets
from ..cost.energy import energy_if_known
from ..cost.estimate import Estimate, estimate
from ..cost.structure import TYPICAL_SPREAD
from ..errors import ConfigError, FitError, unknown
from ..passes.compile import compile_graph
from ..passes.folding import event_driven
from ..run import Run

#: More synapses than any iCE40 can hold by far: they are not worth counting.
MAX_SYNAPSES = 1 << 22

#: Encoders that have gateware, and so a price.
ENCODERS = ("rate", "stream")

#: What a device limits and an estimate knows.
LIMITED = ("lc", "ebr")

_ROWS = {"lc": "LCs", "lut4": "LUT4", "ff": "flip-flops", "carry": "carries", "ebr": "EBR",
         "fmax_mhz": "Fmax (MHz)", "seconds": "seconds to build"}


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


def run(args, out) -> int:
    board = bare.chosen(args)
    if args.layers is None:
        opened = Run.open(args.run)
        graph, source = compile_graph(opened.graph()), str(opened.graph_file)
    else:
        graph, source = graph_from(args), f"--layers {args.layers}"
    found = estimate(graph, board.device)
    energy = energy_if_known(board.device, found.lc, found.cycles, board.clock_hz)
    used = {key: math.ceil(getattr(found, key)) for key in LIMITED}
    fits = not targets.device(board.device).excess(used)
    problem = "" if fits else targets.advice(board.device, used)
    data = {
        "estimate": asdict(found), "event_driven": event_driven(graph), "source": source,
        "network": graph.text(),
        "synapses": sum(dense.synapses for dense, _ in graph.layers),
        "board": board.name, "device": board.device, "fits": fits, "problem": problem,
        "clock_mhz": board.clock_hz / 1e6,
        "microseconds_per_inference": 1e6 * found.cycles / board.clock_hz,
        "energy": energy and {**asdict(energy), "low_nj": energy.low_nj,
                              "total_nj": energy.total_nj},
    }
    out.result(data, _table(data, found), *_lines(data, found, energy))
    return 0 if fits else FitError.exit_code


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
        if hasattr(found, f"{key}_low"):
            low, high = getattr(found, f"{key}_low"), getattr(found, f"{key}_high")
            interval = f"{low:,.0f}..{high:,.0f}"
        share = (f"{has[key]:,}", f"{value / has[key]:.0%}") if key in has else ("", "")
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
