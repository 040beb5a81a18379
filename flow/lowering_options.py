"""The options that say how a run's network becomes gateware, and keep it in the run."""

from dataclasses import replace

from . import fit, ir, throughput
from .errors import ConfigError
from .passes.compile import compile_graph
from .run import Run


def add_arguments(parser) -> None:
    """Add them to a command's parser."""
    parser.add_argument("--lowering", choices=ir.LOWERINGS,
                        help="lower every layer this way, and keep it in the run's network")
    parser.add_argument("--lanes", type=int, metavar="P",
                        help="neurons that a layer computes at once, for every layer")
    parser.add_argument("--memory", choices=ir.MEMORIES,
                        help="where folded layers keep their weights (default: block memory)")
    parser.add_argument("--fit", action="store_true",
                        help="take the first lowering that fits the board, from the fastest to the "
                             "smallest, and keep it in the run's network")
    parser.add_argument("--target-ips", type=float, metavar="N",
                        help="take the smallest lowering that makes N inferences a second at the "
                             "board's clock, whatever the inputs, and keep it in the run's network")
    parser.add_argument("--max-shift", type=int, metavar="N",
                        help="let the device take bitstreams of L >> h clocks at run time, h in "
                             "0..N, and keep that in the run's network")


def apply(args, opened: Run, board, out) -> None:
    """Make the run's network what the options say.

    Raises ConfigError for options that contradict each other, GraphError for what a network cannot
    be, FitError if nothing fits or is fast enough.
    """
    chosen = [name for name in ("fit", "target_ips") if getattr(args, name)]
    given = [name for name in ("lowering", "lanes", "memory") if getattr(args, name) is not None]
    if len(chosen) > 1 or (chosen and given):
        names = " and ".join("--" + name.replace("_", "-") for name in [*chosen, *given])
        raise ConfigError(f"{names} must not be used together; --fit and --target-ips choose the "
                          "lowering themselves")
    if args.target_ips is not None and not 0 < args.target_ips < 1e12:
        raise ConfigError(f"--target-ips must be a positive number, not {args.target_ips:g}")
    if not (chosen or given or args.max_shift is not None):
        return
    graph = opened.graph()
    if given:
        graph = _lowered(graph, args)
    if args.max_shift is not None:
        graph = replace(graph, max_shift=args.max_shift)
    if args.target_ips:
        name, graph, found = throughput.choose(graph, board.clock_hz, args.target_ips)
        out.note(f"{name}: {found.text(board.clock_hz)}")
    elif args.fit:
        fitted = fit.must_fit(graph, board, note=out.note)
        graph = fitted.graph
        out.note(f"{board.name}: {fitted.choice}")
    else:
        compile_graph(graph)
    opened.keep(graph)  # all of it or nothing


def _lowered(graph: ir.Graph, args) -> ir.Graph:
    """The graph with the lowering, lanes and memory of the options, where they are given."""
    if args.lanes is not None and args.lanes < 1:
        raise ConfigError(f"--lanes must be at least 1, not {args.lanes}")
    changes = {}
    for layer, _ in graph.layers:
        change = {"lowering": args.lowering or layer.lowering}
        if args.lanes is not None:
            change["lanes"] = min(args.lanes, layer.out_features)
        elif args.lowering is not None:
            change["lanes"] = None
        change["memory"] = args.memory or (layer.memory if change["lowering"] == "folded" else None)
        changes[layer.name] = change
    return graph.replace(**changes)
