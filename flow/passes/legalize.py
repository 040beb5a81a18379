"""Legalize: prove what gateware needs, or refuse a network with one clear reason."""

import numpy as np

from ...hdl import encoders, sng
from .. import ir
from ..errors import GraphError

#: Widest membrane that a lowering builds, and widest read-out value on the link.
MAX_V_BITS = 24
#: The link's length field has 16 bits.
MAX_IMAGE_BYTES = 65535


def effective_weights(dense: ir.Dense) -> np.ndarray:
    """Signed counts sign * w_eff[code] that a spike adds: int64 [out, in].

    The reference model has its own, from the contract, so that the two can disagree.
    """
    table = sng.weight_table(dense.sng, dense.bits, dense.weight_bits)
    codes = dense.weight.astype(np.int64)
    return np.sign(codes) * table[np.abs(codes)]


def signed_bits(lo: int, hi: int) -> int:
    """Two's complement width that holds every integer in lo..hi."""
    return max(int(x if x >= 0 else ~x).bit_length() for x in (lo, hi)) + 1


def drive_ranges(dense: ir.Dense) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest I + bias of each neuron, int64 [out]: what some input reaches."""
    weights, bias = effective_weights(dense), dense.bias.astype(np.int64)
    return np.minimum(weights, 0).sum(1) + bias, np.maximum(weights, 0).sum(1) + bias


def membrane_ranges(graph: ir.Graph) -> dict[str, np.ndarray]:
    """Width of every membrane, by interval arithmetic over the timesteps of one inference.

    Returns per population int64 [size]. The current of a neuron lies between the sum of its
    negative and of its positive counts, whatever the inputs; every bound is reached by some input
    of the layer, so no width is wasted on the first step, and none can overflow on a later one.
    """
    out = {}
    for index, (dense, population) in enumerate(graph.layers):
        fires = graph.fires(index)
        neuron = population.neuron
        if neuron.v_width is not None:
            out[population.name] = np.full(population.size, neuron.v_width)
            continue
        lows, highs = drive_ranges(dense)
        widths = np.empty(population.size, np.int64)
        for j in range(population.size):
            lo = hi = 0
            low_seen, high_seen = 0, neuron.thresholds[1] if fires else 0
            for _ in range(graph.num_steps):
                before = (lo, hi)
                lo, hi, wide_lo, wide_hi = neuron.after_step(
                    lo, hi, int(lows[j]), int(highs[j]), fires)
                lo, hi = min(lo, before[0]), max(hi, before[1])
                low_seen, high_seen = min(low_seen, wide_lo, lo), max(high_seen, wide_hi, hi)
                if (lo, hi) == before:
                    break
            widths[j] = signed_bits(low_seen, high_seen)
        out[population.name] = widths
    return out


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
    for dense, population in graph.layers:
        width = population.neuron.v_width
        if width is None:
            continue
        lows, highs = drive_ranges(dense)
        lo, hi = int(lows.min()), int(highs.max())
        if max(-lo, hi).bit_length() >= width:
            raise GraphError(f"{population.name}: I + bias must fit {width} bits, not {lo}..{hi}; "
                             "use a shorter bitstream_length, fewer inputs or a smaller bias")


def legalize(graph: ir.Graph) -> ir.Graph:
    """Refuse what no lowering can take, and set every membrane's width.

    Raises GraphError that names the node and the reason; needs an integer graph.
    """
    if graph.stage not in ("integer", "scheduled"):
        raise GraphError(f"legalize needs integer weights, not stage {graph.stage!r}; "
                         "train and quantize first")
    image = encoders.KINDS[graph.input.encoder].image_bytes(graph.input.size, graph.num_steps)
    if image > MAX_IMAGE_BYTES:
        raise GraphError(f"{graph.input.name}: the link carries images of at most "
                         f"{MAX_IMAGE_BYTES} bytes, not {image}")
    if graph.readout.size > 255:
        raise GraphError(f"readout: the link carries at most 255 classes, not {graph.readout.size}")
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
