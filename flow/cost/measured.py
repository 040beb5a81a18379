"""Measurements: what one run of the tools made of one design, as a plain record.

What was measured stands beside what was known before: the structure of the network (`features`),
the bits of its weights, the tools and the options. A design that was not routed has the reason in
the place of a clock, and one on which a tool failed has no numbers at all.
"""

import json
import time
from dataclasses import replace
from typing import Annotated

import msgspec

from ...boards import Board
from .. import ir, targets
from ..build import Outcome, Unmeasured
from ..nextpnr import CriticalPath
from .work import work

#: `routed`: measured whole. `over-full`: more than the device has, counted or, by its netlist, at
#: least `lc_low`. `unroutable`: counted, but no way found to connect it. `failed`, `timed-out`: a
#: tool gave no answer. `cancelled`: none was asked, for a prediction said that it cannot fit.
STATUS = ("routed", "over-full", "unroutable", "failed", "timed-out", "cancelled")
#: Those that may have counts.
COUNTED = STATUS[:3]
#: Lowerings that are told apart; a design that mixes them has several, with a plus between.
LOWERINGS = ("spatial", "shared", "folded")

#: Bits of a block memory and of an SPRAM (FPGA-DS-02008-1.9).
EBR_BITS, SPRAM_BITS = 4096, 262144

#: What SQLite holds in a column.
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
#: Unix time, until the year 9999.
Moment = Annotated[float, msgspec.Meta(ge=0, lt=253370764800)]

_COUNTS = ("lc", "lut4", "ff", "carry", "ebr", "spram", "dsp")


class Measurement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One design, one seed of place and route, one set of tools.

    plan: digest of all that Yosys is given, which with `seed`, `tools` and `options` is the key.
    design: digest of the scheduled graph; network: of it without the choices of hardware, so that
    the same network on other lanes or boards has the same. variant: what is built beside the plain
    design, empty for nothing. weight_memory: bits of all weights; memory_bits: those of the block
    memories that are used, for whatever. lc_low: where lc is not counted, the fewest that there can
    be, which is no measurement. seconds: of each tool when it ran. finished: Unix time.
    """

    plan: str
    seed: Count
    tools: dict[str, str]
    options: dict[str, str]
    design: str
    network: str
    board: str
    device: str
    clock_mhz: float
    lowering: str
    variant: str
    status: str
    reason: str
    lc: Count | None = None
    lc_low: Count | None = None
    lut4: Count | None = None
    ff: Count | None = None
    carry: Count | None = None
    ebr: Count | None = None
    spram: Count | None = None
    dsp: Count | None = None
    fmax_mhz: float | None = None
    critical_path: CriticalPath | None = None
    weight_memory: Count
    memory_bits: Count | None = None
    seconds: dict[str, float]
    features: dict[str, float]
    finished: Moment

    def __post_init__(self) -> None:
        if self.status not in STATUS:
            raise ValueError(f"status must be one of {', '.join(STATUS)}, not {self.status!r}")
        counted, bound = self.status in COUNTED, self.lc_low is not None
        if bound and self.status != "over-full":
            raise ValueError(f"lc_low must be left out where status is {self.status!r}")
        for name in (*_COUNTS, "memory_bits"):
            wanted = counted and not (bound and name == "lc")
            if (getattr(self, name) is not None) != wanted:
                raise ValueError(f"{name} must be {'given' if wanted else 'left out'} where "
                                 f"status is {self.status!r}")
        if (self.fmax_mhz is not None) != (self.status == "routed"):
            raise ValueError("fmax_mhz must be given where status is 'routed', and only there")

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells this measurement from any other."""
        return self.plan, self.seed, plain(self.tools), plain(self.options)

    @property
    def counted(self) -> bool:
        """Whether the tools counted its cells, all of them."""
        return self.lc is not None

    @property
    def numbers(self) -> tuple:
        """What two runs of the same tools on the same plan must agree on."""
        return (self.status, *(getattr(self, name) for name in _COUNTS), self.fmax_mhz)


def plain(value: object) -> str:
    """Canonical JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def network_digest(graph: ir.Graph) -> str:
    """Digest of a graph without the choices of hardware that leave its spikes as they are."""
    changes = {}
    for synapses, population in graph.layers:
        changes[synapses.name] = {"lowering": None, "lanes": None, "memory": None}
        if isinstance(synapses, ir.Dense):
            changes[synapses.name]["delay_blocks"] = None
        changes[population.name] = {"v_bits": None}
    return replace(graph.replace(**changes), max_shift=0).digest()


def lowering_of(graph: ir.Graph) -> str:
    """The lowering of a scheduled graph: of `LOWERINGS`, or several with a plus."""
    from ..passes.legalize import shares

    names = {"shared" if shares(dense) else dense.lowering for dense, _ in graph.layers}
    return "+".join(sorted(names, reverse=True))


def measurement(graph: ir.Graph, board: Board, outcome: Outcome, *, variant: str = "",
                options: dict[str, str], features: dict[str, float]) -> Measurement:
    """The record of what a build of a scheduled graph came to."""
    common = {
        "plan": outcome.plan, "seed": outcome.seed, "tools": dict(outcome.tools),
        "options": dict(options), "design": graph.digest(), "network": network_digest(graph),
        "board": board.name, "device": board.device, "clock_mhz": board.clock_hz / 1e6,
        "lowering": lowering_of(graph), "variant": variant, "features": features,
        "weight_memory": work(graph).weight_memory, "finished": time.time(),
    }
    if isinstance(outcome, Unmeasured):
        return Measurement(status=outcome.status, reason=outcome.problem, seconds={}, **common)
    status = "routed"
    if not outcome.fits:
        over = targets.device(board.device).excess(outcome.used)
        status = "over-full" if over else "unroutable"
    counts = {key: getattr(outcome, key) for key in _COUNTS}
    if outcome.bound:
        counts |= {"lc": None, "lc_low": outcome.lc}
    return Measurement(
        status=status, reason=outcome.problem, seconds=dict(outcome.seconds), **counts,
        fmax_mhz=outcome.fmax_mhz if outcome.fits else None,
        critical_path=outcome.critical_path,
        memory_bits=EBR_BITS * outcome.ebr + SPRAM_BITS * outcome.spram, **common)
