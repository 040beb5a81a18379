"""Features: the numbers by which the cost model compares designs.

What the parts of a design take by structure comes first, then what the counts do not show: how the
trained weights are spread, what is deep, and the clock that the tools aim at.
"""

import math

import numpy as np

from ...hdl.popcount import chains
from .. import ir
from ..passes.legalize import shares
from .structure import Structure

#: Raised where a feature means something else than before, as where parts are counted otherwise. A
#: stored evaluation of an earlier number is counted again; a measurement of one teaches nothing.
VERSION = 2


def describe(found: Structure) -> dict[str, float]:
    """The features of a design; floats, by name."""
    graph, cells = found.graph, found.cells
    out = {"version": VERSION, "lc": cells.lc, "lut4": cells.lut, "ff": cells.ff,
           "carry": cells.carry, "ebr": found.ebr}
    out |= {f"part_{name}": part.lc for name, part in sorted(found.parts.items())}
    out |= {f"ff_{name}": part.ff for name, part in sorted(found.parts.items()) if part.ff}
    layers = [synapses for synapses, _ in graph.layers]
    weights = [np.abs(synapses.weight.astype(np.int64)) for synapses in layers]
    total = sum(weight.size for weight in weights)
    out |= {
        "layers": len(layers),
        "inputs": graph.input.size,
        "classes": graph.readout.size,
        "neurons": sum(synapses.out_features for synapses in layers),
        "synapses": sum(int((weight > 0).sum()) for weight in weights),
        "zeros": sum(int((weight == 0).sum()) for weight in weights) / total,
        "distinct": float(np.mean([_distinct(weight) for weight in weights])),
        "magnitude": sum(float(weight.sum()) / max(1, synapses.max_code)
                         for weight, synapses in zip(weights, layers)) / total,
        "fan_in": max(_most(weight) for weight in weights),
        "length": max(math.log2(synapses.bitstream_length) for synapses in layers),
        "weight_bits": max(synapses.weight_bits for synapses in layers),
        "v_bits": max(int(population.v_bits.max()) for _, population in graph.layers),
        "refractory": max(getattr(population.neuron, "refractory", 0)
                          for _, population in graph.layers),
        "max_delay": max(synapses.max_delay for synapses in layers),
        "num_steps": graph.num_steps,
        "lanes": max(synapses.lanes or 0 for synapses in layers),
        "folded": float(np.mean([synapses.lowering == "folded" for synapses in layers])),
        "shared": float(np.mean([shares(synapses) for synapses in layers])),
        "in_luts": float(any(synapses.memory == "lut" for synapses in layers)),
        "spike_count": float(graph.readout.kind == "spike_count"),
    }
    if found.spram:
        out["spram"] = found.spram
    lengths = [chains(block.counted) for block in found.blocks if block and block.counted]
    out |= {
        "counted": max((block.counted for block in found.blocks if block), default=0),
        "first_chain": max((levels[0] for levels in lengths if levels), default=0),
        "chain": max((sum(levels[1:]) for levels in lengths), default=0),
        "uncut": max((sum(chains(block.counted)) for block in found.blocks
                      if block and not block.cut), default=0),
    }
    out |= {f"encoder_{name}": float(graph.input.encoder == name) for name in ir.ENCODERS}
    kinds = {population.neuron.kind for _, population in graph.layers}
    out |= {f"neuron_{kind}": 1.0 for kind in sorted(kinds)}
    return {name: float(value) for name, value in out.items()}


def _distinct(weight: np.ndarray) -> float:
    """Different magnitudes, zero aside, that an input meets: the mean over inputs."""
    columns = np.sort(weight.reshape(len(weight), -1), axis=0)
    new = np.diff(columns, axis=0, prepend=np.zeros((1, columns.shape[1]), np.int64)) > 0
    return float(new.sum(0).mean())


def _most(weight: np.ndarray) -> int:
    """The most synapses that are not zero of any neuron."""
    return int((weight.reshape(len(weight), -1) > 0).sum(1).max())
