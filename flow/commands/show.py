"""``spikeloom show``: a run's network, its blocks, number generators, f-I curves, or the boards."""

from dataclasses import asdict
from importlib import import_module

import numpy as np
from rich.table import Table
from rich.text import Text

from ...boards import BOARDS
from ...hdl import sng
from .. import blocks, ir, lower
from ..errors import ConfigError, unknown
from ..passes.compile import compile_graph
from ..run import Run
from ..targets import DEVICES

#: What is shown by a module that this package must not import: named, as in `cli`.
ELSEWHERE = {"fi": "spikeloom.sim.commands.fi"}


def configure(parser) -> None:
    parser.add_argument("what", metavar="WHAT", help=f"one of {', '.join(WHAT)}")
    parser.add_argument("--bits", type=int, default=3, metavar="B",
                        help="sng: width of the generators, L = 2**B (default: 3)")
    parser.add_argument("--weight-bits", type=int, default=4, metavar="W",
                        help="sng: sign and code (default: 4)")
    parser.add_argument("--svg", metavar="FILE", help="fi: write a picture, too")


def run(args, out) -> None:
    if args.what not in WHAT:
        raise ConfigError(unknown("thing to show", args.what, WHAT))
    WHAT[args.what](args, out)


def show_graph(args, out) -> None:
    """The canonical text, the digest, and a row for each layer; compiled if it can be."""
    opened = Run.open(args.run)
    graph = opened.graph()
    if graph.stage != "shape":
        graph = compile_graph(graph)
    layers = [_layer(dense, population) for dense, population in graph.layers]
    data = {"run": str(opened.path), "stage": graph.stage, "digest": graph.digest(),
            "text": graph.text(), "layers": layers}
    out.result(data, graph.text().rstrip(), f"digest {data['digest']}, stage {graph.stage}",
               _table("layers", layers))


def _layer(dense: ir.Dense, population: ir.Population) -> dict:
    row = {"name": dense.name, "in": dense.in_features, "out": dense.out_features,
           "weight_bits": dense.weight_bits, "L": dense.bitstream_length, "sng": dense.sng,
           "lowering": dense.lowering or "", "v_bits": "", "zero_weights": ""}
    if population.v_bits is not None:
        row["v_bits"] = int(population.v_bits.max())
    if dense.weight is not None:
        row["zero_weights"] = f"{np.mean(dense.weight == 0):.0%}"
    return row


def show_sng(args, out) -> None:
    """Every pair of generators: how far the count C[p, c] / L is from the product of the values.

    Errors are fractions of full scale (1 is p = L times m = L). A weight stream alone is exact for
    every generator that takes each value once.
    """
    pairs = [_pair(x, w, args.bits, args.weight_bits) for x, w in _pairs(args)]
    pairs.sort(key=lambda pair: (pair["worst_error"], pair["mean_error"], pair["x"], pair["w"]))
    data = {"bits": args.bits, "length": 1 << args.bits, "weight_bits": args.weight_bits,
            "pairs": pairs}
    shown = [{**pair, "worst_error": f"{pair['worst_error']:.4f}",
              "mean_error": f"{pair['mean_error']:.4f}"} for pair in pairs]
    out.result(data, _table(f"stream input x weight, L = {1 << args.bits}, weight_bits = "
                            f"{args.weight_bits}: |C[p, c] / L - product|, best first", shown))


def _pairs(args) -> list[tuple[str, str]]:
    if not sng.MIN_BITS <= args.bits <= sng.MAX_BITS:
        raise ConfigError(f"--bits must be in {sng.MIN_BITS}..{sng.MAX_BITS}, not {args.bits}")
    if not 2 <= args.weight_bits <= args.bits + 1:
        raise ConfigError(f"--weight-bits must be in 2..{args.bits + 1} with --bits {args.bits}, "
                          f"not {args.weight_bits}")
    return [(x, w) for x in sng.KINDS for w in sng.KINDS if x != w]


def _pair(x: str, w: str, bits: int, weight_bits: int) -> dict:
    length = 1 << bits
    codes = np.arange(1 << (weight_bits - 1))
    weights = sng.stream_number(codes, bits, weight_bits) / length
    product = np.arange(length + 1)[:, None] / length * weights
    error = np.abs(sng.count_table(x, w, bits, weight_bits) / length - product)
    return {"x": x, "w": w, "worst_error": float(error.max()), "mean_error": float(error.mean())}


def show_boards(args, out) -> None:
    """The boards that can be built for, and the devices that are known."""
    del args
    boards = [{"name": board.name, "title": board.title, "device": board.device,
               "package": board.package, "clock_mhz": board.clock_hz / 1e6,
               "programmer": " ".join(board.programmer)} for board in BOARDS.values()]
    devices = [{"name": device.name, **device.capacity, "source": device.source}
               for device in DEVICES.values()]
    out.result({"boards": boards, "devices": devices}, _table("boards", boards),
               _table("devices", devices))


def show_blocks(args, out) -> None:
    """What each block of a run's design costs by Yosys' count, each block synthesised by itself.

    A flat design, which is what `synth` builds, is a little smaller.
    """
    opened = Run.open(args.run)
    found = blocks.of_top(lower.top(compile_graph(opened.graph())), note=out.note)
    rows = [{"block": path or "all", **asdict(count)} for path, count in found.items()]
    out.result({"run": str(opened.path), "blocks": rows},
               _table("cells of each block, without place and route", rows))


def show_fi(args, out) -> None:
    """f-I curves of Izhikevich's neuron, fixed point against floating point."""
    import_module(ELSEWHERE["fi"]).show(args, out)


WHAT = {"graph": show_graph, "blocks": show_blocks, "sng": show_sng, "fi": show_fi,
        "boards": show_boards}


def _table(title: str, rows: list[dict]) -> Table:
    table = Table(title=Text(title), title_justify="left")
    for key, value in rows[0].items():
        table.add_column(key.replace("_", " "), overflow="fold",
                         justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
