"""Legalize: prove what gateware needs, or refuse a network with one clear reason."""

import numpy as np

from ...hdl import encoders, neurons, sng
from .. import ir
from ..errors import GraphError
from ..lengths import check_shift

#: Widest membrane that a lowering builds, and widest read-out value on the link.
MAX_V_BITS = 24
#: The link's length field has 16 bits.
MAX_IMAGE_BYTES = 65535


def effective_weights(dense: ir.Dense | ir.Conv2d, shift: int = 0) -> np.ndarray:
    """Signed counts sign * w_eff[code] that a spike adds: int64 in the shape of the weights.

    With a shift, counts of bitstreams of L >> shift clocks, shifted left again.

    The reference model has its own, from the contract, so that the two can disagree.
    """
    table = sng.weight_table(dense.sng, dense.bits, dense.weight_bits, shift) << shift
    codes = dense.weight.astype(np.int64)
    return np.sign(codes) * table[np.abs(codes)]


def signed_bits(lo: int, hi: int) -> int:
    """Two's complement width that holds every integer in lo..hi."""
    return max(int(x if x >= 0 else ~x).bit_length() for x in (lo, hi)) + 1


def drive_ranges(graph: ir.Graph, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest I + bias of each neuron of layer `index`, int64 [out].

    Each is what some input of the layer reaches; with a skip, some input and some skipped spikes.
    With run-time lengths that is at the shortest, whose counts are rounded up by most.
    """
    node, skip = graph.layers[index][0], graph.skip(index)
    weights, source = effective_weights(node, graph.max_shift), graph.source(node)
    # a `stream` pixel of full scale counts as much as a spike
    highest = source.highest if not isinstance(source, ir.Input) else 1
    sums = _sums_of_kernels if isinstance(node, ir.Conv2d) else _sums_of_rows
    bias = np.repeat(node.bias.astype(np.int64), node.size // len(node.bias))
    more = int(skip.c_skip) if skip else 0
    return (highest * sums(np.minimum(weights, 0), node) + bias + min(more, 0),
            highest * sums(np.maximum(weights, 0), node) + bias + max(more, 0))


def _sums_of_rows(weights: np.ndarray, _node: ir.Dense) -> np.ndarray:
    """Sum of each neuron's weights: int64 [out]."""
    return weights.sum(1)


def _sums_of_kernels(weights: np.ndarray, node: ir.Conv2d) -> np.ndarray:
    """Sum of each neuron's weights that lie on the map and not on its border: int64 [out]."""
    inside = np.pad(np.ones(node.in_shape[1:], np.int64), node.padding)
    window = (node.kernel_size, node.kernel_size)
    seen = np.lib.stride_tricks.sliding_window_view(inside, window)
    seen = seen[::node.stride, ::node.stride].reshape(-1, node.kernel_size ** 2)
    maps = weights.sum(1).reshape(node.out_channels, -1)
    return (maps @ seen.T).reshape(-1)


def membrane_ranges(graph: ir.Graph) -> dict[str, np.ndarray]:
    """Width of every membrane, by interval arithmetic over the timesteps of one inference.

    Returns per population int64 [size]. The current of a neuron lies between the sum of its
    negative and of its positive counts, whatever the inputs; every bound is reached by some input
    of the layer, so no width is wasted on the first step, and none can overflow on a later one.
    """
    out = {}
    for index, (_, population) in enumerate(graph.layers):
        neuron = population.neuron
        if neuron.v_width is not None:
            out[population.name] = np.full(population.size, neuron.v_width)
            continue
        out[population.name] = _widths(neuron, *drive_ranges(graph, index), graph.num_steps,
                                       graph.fires(index))
    return out


def _widths(neuron, low: np.ndarray, high: np.ndarray, num_steps: int, fires: bool) -> np.ndarray:
    """Widths of membranes whose I + bias lies in low..high: int64 [n], of int64 [n] each."""
    lo, hi = np.zeros_like(low), np.zeros_like(low)
    low_seen = np.zeros_like(low)
    high_seen = np.full_like(low, neuron.thresholds[1] if fires else 0)
    for _ in range(num_steps):
        before = lo, hi
        lo, hi, wide_lo, wide_hi = neuron.after_step(lo, hi, low, high, fires)
        lo, hi = np.minimum(lo, before[0]), np.maximum(hi, before[1])
        low_seen = np.minimum(low_seen, np.minimum(wide_lo, lo))
        high_seen = np.maximum(high_seen, np.maximum(wide_hi, hi))
        if np.array_equal(lo, before[0]) and np.array_equal(hi, before[1]):
            break
    return np.array([signed_bits(int(lo), int(hi)) for lo, hi in zip(low_seen, high_seen)],
                    np.int64)


def check_readout(graph: ir.Graph) -> None:
    """Refuse a membrane read-out of neurons that cannot integrate without firing."""
    population = graph.layers[-1][1]
    if graph.readout.kind == "membrane" and not population.neuron.integrates:
        raise GraphError(f"{graph.readout.name}: readout must be 'spike_count' behind "
                         f"{population.name}, whose neurons are of kind "
                         f"{population.neuron.kind!r}, not 'membrane'; they have no membrane that "
                         "integrates without firing")


def check_drive(graph: ir.Graph) -> None:
    """Refuse I + bias that does not fit the width that the contract gives v, where it gives one."""
    for index, (_, population) in enumerate(graph.layers):
        width = population.neuron.v_width
        if width is None:
            continue
        lows, highs = drive_ranges(graph, index)
        lo, hi = int(lows.min()), int(highs.max())
        if max(-lo, hi).bit_length() >= width:
            raise GraphError(f"{population.name}: I + bias must fit {width} bits, not {lo}..{hi}; "
                             "use a shorter bitstream_length, fewer inputs or a smaller bias")


def shares(dense: ir.Dense) -> bool:
    """Whether the neurons of a `spatial` layer share lanes (`hdl.shared`)."""
    return (dense.lowering == "spatial" and dense.lanes is not None
            and dense.lanes < dense.out_features)


def not_spatial(graph: ir.Graph, index: int) -> str | None:
    """Why the `spatial` lowering cannot take layer `index`, or None.

    It knows chains alone, so it cannot take what is in front of a layer that is no link of one.
    """
    reasons = (_no_link(graph, k) for k in range(index, len(graph.layers)))
    return next((why for why in reasons if why), None)


def _no_link(graph: ir.Graph, index: int) -> str | None:
    """Why layer `index` is more than a dense one that reads the layer before it, or None."""
    synapses, _ = graph.layers[index]
    source, skip = graph.source(synapses), graph.skip(index)
    before = graph.layers[index - 1][1] if index else graph.input
    for node in (synapses, source, skip):
        if isinstance(node, ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d | ir.Sum):
            return f"{node.name} is {'an' if node.op[0] == 'a' else 'a'} {node.op}"
    if source is not before:
        return f"{synapses.name} reads {source.name} and not {before.name}, the layer before it"
    return None


def check_lowerings(graph: ir.Graph) -> None:
    """Refuse a layer whose lowering cannot take it."""
    for index, (synapses, _) in enumerate(graph.layers):
        why = not_spatial(graph, index) if synapses.lowering == "spatial" else None
        if why:
            raise GraphError(f"{synapses.name}: lowering must be 'folded', not 'spatial', which "
                             f"takes dense layers in a chain; {why}")


def check_lengths(graph: ir.Graph) -> None:
    """Refuse run-time lengths of a network, or of a lowering, that has none."""
    check_shift(graph, graph.max_shift, "max_shift")
    for index, (synapses, _) in enumerate(graph.layers if graph.max_shift else ()):
        if synapses.lowering == "folded" or not_spatial(graph, index):
            raise GraphError(f"{synapses.name}: max_shift must be 0 with the lowering 'folded', "
                             f"not {graph.max_shift}; run-time lengths need 'spatial' layers")
        if synapses.lanes is not None and synapses.lanes < synapses.out_features:
            raise GraphError(f"{synapses.name}: max_shift must be 0 where {synapses.lanes} lanes "
                             f"serve {synapses.out_features} neurons, not {graph.max_shift}; "
                             "run-time lengths need a lane for each neuron (no lanes given)")


def without_gateware(graph: ir.Graph) -> ir.Population | None:
    """The first population whose neurons are of a plug-in that has no gateware for them."""
    for _, population in graph.layers:
        saturates = getattr(population.neuron, "saturate_bits", None) is not None
        if population.neuron.kind not in (neurons.SATURATING if saturates else neurons.CELLS):
            return population
    return None


def legalize(graph: ir.Graph) -> ir.Graph:
    """Refuse what no lowering can take, and set every membrane's width.

    Raises GraphError that names the node and the reason; needs an integer graph.
    """
    if graph.stage not in ("integer", "scheduled"):
        raise GraphError(f"legalize needs integer weights, not stage {graph.stage!r}; "
                         "train and quantize first")
    if graph.sums:
        raise GraphError(ir.no_layers(graph))
    if graph.input.encoder == ir.DIRECT:
        raise GraphError(f"{graph.input.name}: encoder {ir.DIRECT!r} has no gateware, where "
                         "synapses take spikes or streams of bits and no pixels; the reference "
                         "model alone computes this network")
    for synapses in graph.synapses:
        if synapses.out_features > ir.MAX_FEATURES:
            raise GraphError(f"{synapses.name}: gateware takes at most {ir.MAX_FEATURES} neurons "
                             f"of a layer, not {synapses.out_features}")
    image = encoders.KINDS[graph.input.encoder].image_bytes(graph.input.size, graph.num_steps)
    if image > MAX_IMAGE_BYTES:
        raise GraphError(f"{graph.input.name}: the link carries images of at most "
                         f"{MAX_IMAGE_BYTES} bytes, not {image}")
    if graph.readout.size > 255:
        raise GraphError(f"readout: the link carries at most 255 classes, not {graph.readout.size}")
    if bare := without_gateware(graph):
        raise GraphError(f"{bare.name}: neurons must be of a kind with gateware, not "
                         f"{bare.neuron}, whose plug-in has none")
    check_lowerings(graph)
    check_lengths(graph)
    check_readout(graph)
    check_drive(graph)
    ranges = membrane_ranges(graph)
    for name, widths in ranges.items():
        if widths.max() > MAX_V_BITS:
            raise GraphError(
                f"{name}: membranes must fit {MAX_V_BITS} bits, but only {widths.max()} exclude an "
                "overflow; use a shorter bitstream_length, fewer inputs or num_steps, a stronger "
                f"leak, or let {name} saturate (saturate_bits)")
    return graph.replace(**{k: {"v_bits": v.astype(np.uint8)} for k, v in ranges.items()}).verify()
