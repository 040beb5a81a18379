"""Estimate: what a network of given layers will cost, before anything is trained."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...flow import targets
from ...flow.cost.energy import energy_if_known
from ...flow.cost.estimate import estimate as predicted
from ...flow.cost.structure import TYPICAL_SPREAD, assume_weights
from ...flow.errors import ConfigError
from ...flow.passes.compile import compile_graph
from ...flow.passes.schedule import inference_cycles
from .space import MOST_CLASSES, MOST_INPUTS, plain_graph, whole
from .targets import Target, find

#: More synapses than any target can hold by far: they are not worth counting.
MOST_SYNAPSES = 1 << 22


@dataclass(frozen=True)
class Report:
    """Costs of one inference and of the design, link included; all are estimates.

    *_low and *_high hold nine measurements of ten, but that trained weights differ from the drawn
    ones no interval covers; energy_low_nj and energy_nj are the bounds of the energy model. What is
    not known is nan. memory_bits: of the weights. problem: why it does not fit, empty where it
    does; outside: what is unlike all that was measured, so that no interval can be trusted.
    """

    target: Target
    layer_sizes: list[tuple[int, int]]
    bitstream_length: int
    luts: int
    luts_low: float
    luts_high: float
    ebr: int
    memory_bits: int
    energy_nj: float
    energy_low_nj: float
    latency_us: float
    fmax_mhz: float
    cycles: int
    fits: bool
    problem: str
    outside: str

    def summary(self) -> str:
        """The report in lines."""
        sizes = "-".join(map(str, [self.layer_sizes[0][0], *(out for _, out in self.layer_sizes)]))
        interval = "" if math.isnan(self.luts_low) else (
            f" ({self.luts_low:,.0f}..{self.luts_high:,.0f})")
        clock = self.target.board.clock_hz / 1e6
        stand_in = "" if self.target.measured else f", as if on an {self.target.board.title}"
        energy = "energy: no figures of this target are known" if math.isnan(self.energy_nj) else (
            f"energy: ~{self.energy_low_nj:,.1f} to ~{self.energy_nj:,.1f} nJ an inference")
        lines = [
            f"ESTIMATE of {sizes}, L={self.bitstream_length}, for {self.target.title}",
            f"LUTs: ~{self.luts:,}{interval} of {self.target.luts:,} "
            f"({self.luts / self.target.luts:.0%})",
            f"memory: {self.memory_bits:,} bits of weights, {self.ebr} block memories of 4,096 "
            f"bits{stand_in}",
            f"latency: {self.latency_us:,.1f} us ({self.cycles:,} clocks at {clock:g} MHz"
            f"{stand_in})",
            energy,
            f"fits: {'yes' if self.fits else 'no: ' + self.problem}",
            f"weights are drawn from a fixed seed, with a spread of {TYPICAL_SPREAD:g} of the "
            "largest code; " + ("the interval holds nine measurements of ten" if interval else
                                "Yosys counted the LUTs, nothing was placed and routed"),
        ]
        if self.outside:
            lines.append("unlike anything that was measured, so trust no interval: "
                         + self.outside)
        return "\n".join(lines)


def estimate(layer_sizes: Sequence[tuple[int, int]], target: str = "ice40",
             bitstream_length: int = 64, *, weight_bits: int = 3) -> Report:
    """The costs of a network of LIF layers on a target, without training it.

    layer_sizes: inputs and outputs of each layer, as an architecture has them. The rest is as in
    every `SearchSpace`. Boards are predicted from what was measured of other designs; for `artix7`
    and `ecp5` Yosys counts LUTs, which takes its time. Raises ConfigError for sizes that do not
    follow each other, or a bitstream length that is no power of two in 8..512.
    """
    sizes = _sizes(layer_sizes)
    length = whole("bitstream_length", bitstream_length, 8, 512)
    if length & length - 1:
        raise ConfigError(f"bitstream_length must be a power of two in 8..512, not {length}")
    bits = whole("weight_bits", weight_bits, 2, min(10, length.bit_length()))
    chosen = find(target)
    graph = plain_graph(sizes, length, bits, chosen.memories)
    common = {"target": chosen, "layer_sizes": list(pairwise(sizes)),
              "bitstream_length": length,
              "memory_bits": sum(dense.synapses for dense, _ in graph.layers) * bits}
    board = chosen.board
    if not chosen.measured:
        from ...flow import estimated

        drawn = compile_graph(assume_weights(graph))
        found = estimated.synthesise(drawn, chosen.name)
        cycles = inference_cycles(drawn)
        return Report(**common, luts=found.luts, luts_low=math.nan, luts_high=math.nan,
                      ebr=predicted(graph, board.device).ebr, energy_nj=math.nan,
                      energy_low_nj=math.nan, latency_us=1e6 * cycles / board.clock_hz,
                      fmax_mhz=math.nan, cycles=cycles, fits=found.fits, problem=found.problem,
                      outside="")
    found = predicted(graph, board.device)
    energy = energy_if_known(board.device, found.lc, found.cycles, board.clock_hz)
    used = {"lc": math.ceil(found.lc), "ebr": found.ebr, "spram": found.spram}
    fits = not targets.device(board.device).excess(used)
    return Report(
        **common, luts=round(found.lc), luts_low=found.lc_low, luts_high=found.lc_high,
        ebr=found.ebr, energy_nj=energy.total_nj if energy else math.nan,
        energy_low_nj=energy.low_nj if energy else math.nan,
        latency_us=1e6 * found.cycles / board.clock_hz, fmax_mhz=found.fmax_mhz,
        cycles=found.cycles, fits=fits,
        problem="" if fits else targets.advice(board.device, used), outside=found.outside)


def _sizes(layer_sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Widths, inputs first, of pairs that follow each other."""
    try:
        pairs = [(ins, out) for ins, out in layer_sizes]
    except (TypeError, ValueError) as error:
        raise ConfigError("layer_sizes must be a list of pairs (inputs, outputs), not "
                          f"{layer_sizes!r}") from error
    if not pairs:
        raise ConfigError("layer_sizes must have at least one layer, not none")
    sizes = [whole("layer_sizes", pairs[0][0], 1, MOST_INPUTS)]
    for ins, out in pairs:
        if ins != sizes[-1]:
            raise ConfigError(f"layer_sizes must follow each other: {sizes[-1]} outputs are not "
                              f"{ins} inputs")
        sizes.append(whole("layer_sizes", out, 1, 4096))
    whole("layer_sizes: classes", sizes[-1], 2, MOST_CLASSES)
    synapses = sum(ins * out for ins, out in pairs)
    if synapses > MOST_SYNAPSES:
        raise ConfigError(f"layer_sizes must have at most {MOST_SYNAPSES:,} synapses, not "
                          f"{synapses:,}")
    return sizes
