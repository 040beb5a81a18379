"""Neurons: what one costs, and how near Izhikevich's is to floating point."""

from statistics import mean

import numpy as np

from ...flow import blocks, ir
from ...flow.passes.compile import compile_graph
from ...flow.passes.legalize import effective_weights
from ...hdl.neurons import FixedPointLif, HomeostaticLif, Lif
from ...hdl.neurons.izhikevich import PRESETS
from ...hdl.spatial import SpatialLayer
from ...sim import fi
from ..bench import Bench, group

SYNAPSES, LENGTH, WEIGHT_BITS = 16, 128, 8
SEEDS = 4
#: One neuron of each kind; thresholds of a few strong inputs.
NEURONS = {
    "lif": Lif(v_threshold=2 * LENGTH, leak_shift=3),
    "fixed": FixedPointLif(v_threshold=2 * LENGTH, beta=7, n=3),
    "homeostatic": HomeostaticLif(v_threshold=2 * LENGTH, leak_shift=3, up=16, down=1, lo=LENGTH,
                                  hi=8 * LENGTH),
    "izhikevich": PRESETS["regular_spiking"],
}


def one_neuron(neuron, seed: int) -> SpatialLayer:
    """A layer of one neuron fed by spikes, with uniform random weights."""
    top = (1 << (WEIGHT_BITS - 1)) - 1
    codes = np.random.default_rng(seed).integers(-top, top + 1, (1, SYNAPSES))
    graph = ir.chain(
        shape=(SYNAPSES,), encoder="spikes", readout="spike_count", num_steps=8,
        layers=[{"out_features": 1, "weight_bits": WEIGHT_BITS, "bitstream_length": LENGTH,
                 "sng": "sobol1", "weight": codes.astype(np.int16),
                 "bias": np.zeros(1, np.int32), "neuron": neuron}])
    (dense, population), = compile_graph(graph).layers
    return SpatialLayer(effective_weights(dense), length=LENGTH, neuron=neuron, bias=dense.bias,
                        v_bits=population.v_bits, fires=True, columns=False)


def cells(neuron, seed: int, bench: Bench) -> blocks.Count:
    """Yosys' count of such a layer, control and streams included."""
    layer = one_neuron(neuron, seed)
    ports = [layer.i.payload.as_value(), layer.i.valid, layer.i.ready,
             layer.o.payload.as_value(), layer.o.valid, layer.o.ready]
    return blocks.count(layer, ports, note=bench.note)[""]


@group(neuron__lif16_lut4=("LUT4", "<= 120"))
def lif16(bench: Bench) -> dict:
    """One neuron with 16 random 8-bit weights, of each kind; the largest of several LIFs."""
    lif = [cells(NEURONS["lif"], seed, bench) for seed in range(SEEDS)]
    counts = {kind: cells(neuron, 0, bench) for kind, neuron in NEURONS.items()}
    each = ", ".join(f"{kind} {count.lut4} LUT4 and {count.ff} flip-flops"
                     for kind, count in counts.items())
    return {"neuron.lif16_lut4": (
        max(count.lut4 for count in lif),
        f"Yosys synth_ice40, L = {LENGTH}, one layer of one neuron with {SYNAPSES} synapses, "
        f"streams and control included; largest of {SEEDS} draws of weights, mean "
        f"{mean(count.lut4 for count in lif):.1f}; of the first draw: {each}; Izhikevich's engine "
        "is shared by all neurons of a layer")}


@group(neuron__izhikevich_fi_error=("fraction", "<= 0.05"))
def izhikevich(bench: Bench) -> dict:
    """The fixed-point f-I curves against float64."""
    found = fi.curves()
    detail = ", ".join(f"{curve.preset} {curve.error:.4f}" for curve in found)
    return {"neuron.izhikevich_fi_error": (
        max(curve.error for curve in found),
        f"largest difference of rates over the float64 model's peak rate, {fi.DURATION} ms, I = "
        f"{fi.CURRENTS[0]}..{fi.CURRENTS[-1]} in steps of 1, of the worst preset; {detail}; "
        "against a float64 model with the contract's 41/1024 for 0.04: "
        f"{max(curve.rounding for curve in found):.4f}")}
