"""Lower: a scheduled graph becomes gateware."""

from ..hdl import encoders, sng
from ..hdl.core import Core
from ..hdl.delay import SpikeDelay
from ..hdl.protocol import BASIC, Features
from ..hdl.readout import Readout
from ..hdl.spatial import SpatialLayer
from ..hdl.trace import Traces
from . import ir
from .errors import GraphError
from .passes.legalize import effective_weights


def design_hash(graph: ir.Graph) -> bytes:
    """The eight bytes by which a bitstream names its design: the head of the graph's digest."""
    return bytes.fromhex(graph.digest())[:8]


def core(graph: ir.Graph, *, trace: bool = False, features: Features = BASIC) -> Core:
    """The inference engine of a scheduled graph; with `trace`, the one of its proof build."""
    if graph.stage != "scheduled":
        raise GraphError(f"lowering needs a scheduled graph, not stage {graph.stage!r}; "
                         "run compile_graph first")
    first = graph.layers[0][0]
    if graph.input.encoder == "stream":
        order = sng.rank_order(first.sng, first.bits)
        thresholds = sng.sequence(graph.input.sng, first.bits)[order]
        encoder = encoders.StreamEncoder(graph.input.size, first.bits, thresholds, graph.num_steps)
    else:
        encoder = encoders.KINDS[graph.input.encoder](graph.input.size, graph.num_steps)
    layers = []
    delays = [SpikeDelay(dense.delays, dense.delay_blocks or 0) if dense.max_delay else None
              for dense, _ in graph.layers]
    membrane = graph.readout.kind == "membrane"
    for index, (dense, population) in enumerate(graph.layers):
        layers.append(SpatialLayer(
            effective_weights(dense), length=dense.bitstream_length, neuron=population.neuron,
            bias=dense.bias, v_bits=population.v_bits,
            fires=graph.fires(index),
            columns=index == 0 and graph.input.encoder == "stream"))
    membranes = [cell.v for cell in layers[-1].cells] if membrane else None
    readout = Readout(graph.readout.size, graph.num_steps, membranes)
    return Core(encoder, layers, readout, num_steps=graph.num_steps, delays=delays,
                traces=Traces(layers) if trace else None)


def top(graph: ir.Graph, divisor: int = 104, *, trace: bool = False,
        features: Features = BASIC):
    """The whole design with its UART link; `divisor` is the clocks per bit at reset.

    With `trace` it is the proof build, which also answers a checksum per layer (`hdl.trace`).
    """
    from ..hdl.top import Top

    return Top(core(graph, trace=trace, features=features), design_hash(graph), divisor=divisor,
               features=features)
