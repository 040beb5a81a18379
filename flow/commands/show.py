"""``spikeloom show``: a run's network, blocks or manifest, generators, f-I curves, data sets,
boards, measurements.
"""

from dataclasses import asdict
from importlib import import_module

import numpy as np
from rich.table import Table
from rich.text import Text

from ...boards import BOARDS
from ...boards.board import WEIGHTS_AT
from ...hdl import sng
from .. import blocks, ir, lower
from ..errors import ConfigError, unknown
from ..passes.compile import compile_graph
from ..passes.generators import pair_errors
from ..run import Run
from ..targets import DEVICES
from . import show_manifest, show_store

#: What is shown by a module that this package must not import: named, as in `cli`.
ELSEWHERE = {"fi": "spikeloom.sim.commands.fi", "data": "spikeloom.nas.commands.data"}


def configure(parser) -> None:
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(WHAT)}")
    parser.add_argument("--bits", type=int, metavar="B",
                        help="sng: width of the generators, L = 2**B (default: all, 3 to 9)")
    parser.add_argument("--weight-bits", type=int, default=4, metavar="W",
                        help="sng: sign and code (default: 4)")
    parser.add_argument("--svg", metavar="FILE", help="fi: write a picture, too")
    show_store.configure(parser)


def run(args, out) -> None:
    if args.what not in WHAT:
        raise ConfigError(unknown("thing to show", args.what, WHAT))
    WHAT[args.what](args, out)


def show_graph(args, out) -> None:
    """The canonical text, the digest, and a row for each layer; compiled if it can be."""
    opened = Run.open(args.run)
    graph = opened.graph()
    if graph.stage != "shape" and not graph.sums:
        graph = compile_graph(graph)
    layers = ([_layer(node, None) for node in graph.synapses] if graph.sums else
              [_layer(dense, population) for dense, population in graph.layers])
    data = {"run": str(opened.path), "stage": graph.stage, "digest": graph.digest(),
            "text": graph.text(), "layers": layers}
    out.result(data, graph.text().rstrip(), f"digest {data['digest']}, stage {graph.stage}",
               _table("layers", layers))


def _layer(dense: ir.Dense | ir.Conv2d, population: ir.Population | None) -> dict:
    row = {"name": dense.name, "in": dense.in_features, "out": dense.out_features,
           "weight_bits": dense.weight_bits, "L": dense.bitstream_length, "sng": dense.sng,
           "longest_delay": dense.max_delay, "delay_blocks": dense.delay_blocks or 0,
           "lowering": dense.lowering or "", "v_bits": "", "zero_weights": ""}
    if population is not None and population.v_bits is not None:
        row["v_bits"] = int(population.v_bits.max())
    if dense.weight is not None:
        row["zero_weights"] = f"{np.mean(dense.weight == 0):.0%}"
    return row


def show_sng(args, out) -> None:
    """Every pair of generators: how far the count C[p, c] / L is from the product of the values.

    Errors are fractions of full scale (1 is p = L times m = L), worst and mean over all p and c. A
    weight stream alone is exact for every generator that takes each value once.
    """
    widths = _widths(args)
    errors = {bits: pair_errors(bits, args.weight_bits) for bits in widths}
    data = {"weight_bits": args.weight_bits, "pairs": [
        {"length": 1 << bits, "x": pair.x, "w": pair.w, "worst_error": pair.worst,
         "mean_error": pair.mean} for bits in widths for pair in errors[bits]]}
    best = [{"L": str(1 << bits), "best pair": str(errors[bits][0])} for bits in widths]
    about = f"stream input x weight, weight_bits = {args.weight_bits}, |C[p, c] / L - product|"
    order = f"by L, best at L = {1 << widths[-1]} first"
    out.result(data, *(_table(f"{about}: {kind}, % of full scale, {order}",
                              _by_length(errors, kind)) for kind in ("worst", "mean")),
               _table("the best pair at each length", best))


def _by_length(errors: dict, kind: str) -> list[dict]:
    """A row for each pair with its `worst` or `mean` errors, a column for each length."""
    values = {bits: {(pair.x, pair.w): getattr(pair, kind) for pair in found}
              for bits, found in errors.items()}
    last = values[max(errors)]
    return [{"input": x, "weight": w,
             **{str(1 << bits): f"{values[bits][x, w]:.2%}"[:-1] for bits in errors}}
            for x, w in sorted(last, key=lambda names: (last[names], names))]


def _widths(args) -> list[int]:
    """The widths of generators to show; all that can carry the weights, if none is asked for."""
    lo, hi = sng.MIN_BITS, sng.MAX_BITS
    if args.bits is not None and not lo <= args.bits <= hi:
        raise ConfigError(f"--bits must be in {lo}..{hi}, not {args.bits}")
    most = (hi if args.bits is None else args.bits) + 1
    if not 2 <= args.weight_bits <= most:
        raise ConfigError(f"--weight-bits must be in 2..{most} with --bits {most - 1}, "
                          f"not {args.weight_bits}")
    return [args.bits] if args.bits is not None else [
        bits for bits in range(lo, hi + 1) if args.weight_bits <= bits + 1]


def show_boards(args, out) -> None:
    """The boards that can be built for, what to know of each, and the devices that are known."""
    del args
    boards = [{"name": board.name, "title": board.title, "device": board.device,
               "package": board.package, "clock_mhz": board.clock_hz / 1e6,
               "programmer": " ".join(board.programmer), "notes": board.notes}
              for board in BOARDS.values()]
    rows = [{"name": board["name"], "title": board["title"], "device": board["device"],
             "package": board["package"], "MHz": f"{board['clock_mhz']:g}"} for board in boards]
    devices = [{"name": device.name, **device.capacity, "source": device.source}
               for device in DEVICES.values()]
    out.result({"boards": boards, "devices": devices}, _table("boards", rows),
               *(f"{board['name']}: {board['notes']}" for board in boards if board["notes"]),
               _table("devices", devices))


def show_blocks(args, out) -> None:
    """What each block of a run's design costs by Yosys' count, each block synthesised by itself.

    A flat design, which is what `synth` builds, is a little smaller.
    """
    opened = Run.open(args.run)
    design = lower.top(compile_graph(opened.graph()), weights_at=WEIGHTS_AT)
    found = blocks.of_top(design, note=out.note)
    rows = [{"block": path or "all", **asdict(count)} for path, count in found.items()]
    out.result({"run": str(opened.path), "blocks": rows},
               _table("cells of each block, without place and route", rows))


def show_fi(args, out) -> None:
    """f-I curves of Izhikevich's neuron, fixed point against floating point."""
    import_module(ELSEWHERE["fi"]).show(args, out)


def show_data(args, out) -> None:
    """Data sets: their splits, which are there, and where the files of the others are from."""
    import_module(ELSEWHERE["data"]).show(args, out)


WHAT = {"graph": show_graph, "blocks": show_blocks, "sng": show_sng, "fi": show_fi,
        "data": show_data, "boards": show_boards, "manifest": show_manifest.show,
        "store": show_store.show}


def _table(title: str, rows: list[dict]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for key, value in rows[0].items():
        table.add_column(key.replace("_", " "), overflow="fold",
                         justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
