"""Run-time bitstream lengths: which shifts h, that is which lengths L >> h, a network can take."""

from ..hdl import sng
from ..hdl.protocol import MAX_SHIFT
from . import ir
from .errors import GraphError


def check_shift(graph: ir.Graph, shift: int, what: str = "shift") -> None:
    """Raise GraphError, which calls the shift `what`, unless every stream can end so early.

    Streams end after L >> shift clocks, at least one. Those of two ramps would not differ, so such
    a pair is refused as well (`hdl.sng`).
    """
    if not isinstance(shift, int) or isinstance(shift, bool) or not 0 <= shift <= MAX_SHIFT:
        raise GraphError(f"{what} must be an integer in 0..{MAX_SHIFT}, not {shift!r}")
    if not shift:
        return
    streams = graph.input.encoder == "stream"
    named = [(node.name, node.sng) for node, _ in graph.layers]
    if streams:
        named.insert(0, (graph.input.name, graph.input.sng))
    for name, kind in named:
        if kind not in sng.SHIFTABLE:
            raise GraphError(f"{name}: {what} must be 0 with the generator {kind!r}, not {shift}; "
                             "bitstreams of ramp and sobol1 to sobol8 alone can end early")
    if streams and {graph.input.sng, graph.layers[0][0].sng} == {"ramp"}:
        raise GraphError(f"{graph.layers[0][0].name}: {what} must be 0 where a ramp meets a ramp, "
                         f"not {shift}; choose a sobol generator for the input or the weights")
    for node, _ in graph.layers:
        if shift > node.bits:
            raise GraphError(f"{node.name}: {what} must be at most {node.bits} with a "
                             f"bitstream_length of {node.bitstream_length}, not {shift}")


def shift_of(graph: ir.Graph, length: int) -> int:
    """The shift at which the longest bitstream has this length; GraphError if there is none."""
    longest = max(node.bitstream_length for node, _ in graph.layers)
    choices = [longest >> shift for shift in range(most_shift(graph) + 1)]
    if length not in choices:
        raise GraphError("the length of the longest bitstream must be one of "
                         f"{', '.join(map(str, choices))} for this network, not {length}")
    return choices.index(length)


def most_shift(graph: ir.Graph) -> int:
    """The largest shift that `check_shift` lets pass."""
    best = 0
    for shift in range(1, MAX_SHIFT + 1):
        try:
            check_shift(graph, shift)
        except GraphError:
            break
        best = shift
    return best
