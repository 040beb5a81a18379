"""Lower: a scheduled graph becomes gateware."""

from collections.abc import Sequence
from dataclasses import replace

from ..hdl import encoders, sng
from ..hdl.core import Core
from ..hdl.counters import Counters
from ..hdl.delay import SpikeDelay
from ..hdl.encoders.codes import CodeEncoder
from ..hdl.folded import FoldedRun
from ..hdl.folded_view import FoldedLayerView
from ..hdl.link import MAX_TRACES
from ..hdl.protocol import BASIC, Features
from ..hdl.readout import Readout
from ..hdl.serial_readout import SerialReadout
from ..hdl.shared import SharedLayer, passes
from ..hdl.spatial import SpatialLayer
from ..hdl.trace import Traces
from ..hdl.words import VectorToWords
from . import fold, ir
from .errors import GraphError
from .memories import banked
from .passes.legalize import effective_weights, shares

#: Layers of which the link answers a checksum or a counter each, beside two more counters.
MAX_LAYERS = MAX_TRACES - 2
#: Clocks in which a neuron of a folded layer is served in a proof build: its witness takes four
#: to read it, and one to begin.
PROOF_PACE = 6


def design_hash(graph: ir.Graph) -> bytes:
    """The eight bytes by which a bitstream names its design: the head of the graph's digest."""
    return bytes.fromhex(graph.digest())[:8]


def core(graph: ir.Graph, *, trace: bool = False, features: Features = BASIC) -> Core:
    """The inference engine of a scheduled graph; with `trace`, the one of its proof build."""
    if graph.stage != "scheduled":
        raise GraphError(f"lowering needs a scheduled graph, not stage {graph.stage!r}; "
                         "run compile_graph first")
    if features.pixel_bits < 8 and graph.input.encoder == "spikes":
        raise GraphError("pixel_bits must be 8 with `spikes` input, whose events are packed "
                         f"already, not {features.pixel_bits}")
    if (trace or features.counters) and len(graph.layers) > MAX_LAYERS:
        raise GraphError(f"a proof build, and one with counters, must have at most {MAX_LAYERS} "
                         f"layers, not {len(graph.layers)}")
    row, layers, last = {}, [None] * len(graph.layers), None
    encoder = _encoder(graph)
    for indices in fold.runs(graph):
        dense, _ = graph.layers[indices[0]]
        number = indices[0] + 1
        if dense.max_delay:
            row[f"delay{number}"] = SpikeDelay(dense.delays, dense.delay_blocks or 0)
        if dense.lowering == "spatial":
            last = row[f"layer{number}"] = layers[indices[0]] = _spatial(
                graph, indices[0], trace)
            continue
        run = fold.fold_run(graph, indices)
        if run.streams is None and not (indices[0] == 0 and fold.serial_input(graph)):
            size, order = dense.in_features, None
            if indices[0] == 0:
                size, order = graph.input.size, fold.input_order(graph)
            row[f"words{number}"] = VectorToWords(size, order)
        last = row[f"run{number}"] = FoldedRun(
            run.steps, run.lanes, inputs=run.inputs, streams=run.streams, memory=run.memory,
            listed=run.listed, order=fold.order(graph, indices[-1]),
            pace=PROOF_PACE if trace else 1)
        for k, index in enumerate(indices):
            layers[index] = FoldedLayerView(last, k, fold.order(graph, index), kept=trace)
    counts = graph.readout.kind == "spike_count"
    size = graph.readout.size
    if hasattr(last, "results"):
        readout = SerialReadout(size, graph.num_steps, last.results, counts=counts)
    else:
        membranes = None if counts else [cell.v for cell in last.cells]
        readout = Readout(size, graph.num_steps, membranes)
    return Core(encoder, row, layers, readout, num_steps=graph.num_steps,
                traces=Traces(layers) if trace else None, pixel_bits=features.pixel_bits,
                counters=Counters(layers, graph.num_steps) if features.counters else None)


def _encoder(graph: ir.Graph):
    """What turns pixels into what the first layer reads."""
    first, size = graph.layers[0][0], graph.input.size
    if graph.input.encoder != "stream":
        return encoders.KINDS[graph.input.encoder](size, graph.num_steps,
                                                   words=fold.serial_input(graph))
    if first.lowering == "folded":
        return CodeEncoder(size, first.bits, graph.num_steps, listed=fold.listed(graph))
    order = sng.rank_order(first.sng, first.bits)
    thresholds = sng.sequence(graph.input.sng, first.bits)[order]
    rounds = passes(first.out_features, first.lanes) if shares(first) else 0
    return encoders.StreamEncoder(size, first.bits, thresholds, graph.num_steps, rounds,
                                  graph.max_shift, (graph.input.sng == "ramp", first.sng == "ramp"))


def _spatial(graph: ir.Graph, index: int, trace: bool) -> SpatialLayer | SharedLayer:
    dense, population = graph.layers[index]
    options = {"length": dense.bitstream_length, "neuron": population.neuron, "bias": dense.bias,
               "fires": graph.fires(index),
               "columns": index == 0 and graph.input.encoder == "stream"}
    if shares(dense):
        return SharedLayer(effective_weights(dense), lanes=dense.lanes, proof=trace,
                           banked=banked(graph) if options["columns"] else 0,
                           v_bits=population.v_bits.max(), **options)
    return SpatialLayer(effective_weights(dense), v_bits=population.v_bits,
                        max_shift=graph.max_shift, **options)


def top(graph: ir.Graph, divisor: int = 104, *, trace: bool = False,
        features: Features = BASIC, stored: Sequence[bytes] = (),
        weights_at: int | None = None):
    """The whole design with its UART link; `divisor` is the clocks per bit at reset.

    With `trace` it is the proof build, which also answers a checksum per layer (`hdl.trace`). With
    images `stored`, as the link would bring them, a button steps through them. The graph says which
    max_shift the link has among its features, and whether weights have to be loaded: from byte
    `weights_at` of a flash, and over the link; over the link alone for None.
    """
    from ..hdl.boot import Boot
    from ..hdl.stored import StoredImages
    from ..hdl.top import Top

    inner = core(graph, trace=trace, features=features)
    words = sum(part.words for part in inner.loaded)
    features = replace(features, max_shift=graph.max_shift, weights=words > 0)
    return Top(inner, design_hash(graph), divisor=divisor, features=features,
               stored=StoredImages(list(stored)) if stored else None,
               boot=Boot(design_hash(graph), words, weights_at) if words else None)
