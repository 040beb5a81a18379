"""Estimate: what a network will cost on a device, by its structure and what was measured."""

from dataclasses import dataclass

from .. import ir
from .features import describe
from .predict import Predictor, shipped
from .structure import assume_weights, structure


@dataclass(frozen=True)
class Estimate:
    """Predicted costs of a design with its link; EBRs, SPRAMs and clocks are exact.

    Each *_low and *_high hold nine measurements of ten. lut4 and carry are counts by structure, in
    cells that no measurement corrects; seconds are those of Yosys and nextpnr. assumed: the weights
    were drawn, because the graph has none, which no interval covers. outside: what of the design is
    unlike all that was measured, empty if nothing is.
    """

    lc: float
    lc_low: float
    lc_high: float
    lut4: float
    ff: float
    ff_low: float
    ff_high: float
    carry: float
    ebr: int
    fmax_mhz: float
    fmax_mhz_low: float
    fmax_mhz_high: float
    seconds: float
    seconds_low: float
    seconds_high: float
    structural_lc: float
    cycles: int
    load_cycles: int
    layers: tuple[float, ...]
    assumed: bool
    outside: str
    spram: int = 0


def estimate(graph: ir.Graph, device: str, *, predictor: Predictor | None = None) -> Estimate:
    """Predict a graph of any stage on a device; by default with what comes with the package.

    Raises GraphError where the network cannot be lowered.
    """
    assumed = graph.stage == "shape"
    graph = assume_weights(graph) if assumed else graph
    found = structure(graph)
    predictor = predictor or shipped()
    predicted = predictor.predict([describe(found)], device)
    values = {}
    for target, interval in predicted.targets.items():
        values[target] = float(interval.value[0])
        values[f"{target}_low"] = float(interval.low[0])
        values[f"{target}_high"] = float(interval.high[0])
    return Estimate(
        **values, lut4=found.cells.lut, carry=found.cells.carry, ebr=found.ebr,
        structural_lc=found.cells.lc, cycles=found.cycles, load_cycles=found.load_cycles,
        layers=found.layers, assumed=assumed, outside=predicted.outside[0],
        spram=found.spram)
