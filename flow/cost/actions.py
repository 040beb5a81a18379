"""What a design did in an inference: counts alone, no joules (`actions.json`).

Whoever prices them (`split`) needs nothing else, so a table of prices can change without another
simulation. An inference has two phases: `transfer`, in which the line carries the image in and the
answer out, and `compute`, from the middle of the request's last bit to the reply's first. Loading
weights is in neither.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from ..files import read_json, write_atomic

FORMAT = 1
FILE = "actions.json"
#: What `Actions.groups` says of a component.
GROUPS = ("compute", "link", "other")
#: Bits of a byte on the line.
FRAME_BITS = 10


class Phase(Struct, frozen=True, forbid_unknown_fields=True):
    """Counts by component, over `clocks`; of a mean they are no integers.

    toggles: changes of the settled outputs of LUTs, flip-flops and memories, at most one of a net
    in a clock. carries: those of carry chains, which lie within cells whose sums are counted.
    enabled: clocks of flip-flops whose clock enable is high; all are clocked. ebr_reads and
    ebr_writes: clock edges with the port enabled, whether its address has changed or not;
    spram_reads and spram_writes: those with an SPRAM selected.
    """

    clocks: float = 0
    toggles: dict[str, float] = field(default_factory=dict)
    carries: dict[str, float] = field(default_factory=dict)
    enabled: dict[str, float] = field(default_factory=dict)
    ebr_reads: dict[str, float] = field(default_factory=dict)
    ebr_writes: dict[str, float] = field(default_factory=dict)
    spram_reads: dict[str, float] = field(default_factory=dict)
    spram_writes: dict[str, float] = field(default_factory=dict)

    def plus(self, other: "Phase", times: float = 1) -> "Phase":
        """The counts of this, and `times` those of another."""
        return Phase(clocks=self.clocks + times * other.clocks, **{
            name: _sum(getattr(self, name), getattr(other, name), times) for name in _COUNTS})

    def by(self, factor: float) -> "Phase":
        return Phase().plus(self, factor)


_COUNTS = tuple(f.name for f in msgspec.structs.fields(Phase) if f.name != "clocks")


def _sum(a: dict, b: dict, times: float) -> dict:
    return {key: value for key in {**a, **b}
            if (value := a.get(key, 0) + times * b.get(key, 0))}


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    """One inference; spikes of each layer in each timestep, [layer][timestep]."""

    transfer: Phase
    compute: Phase
    spikes: list[list[int]]


class Actions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was counted on the netlist of a design, image by image, and of what it consists.

    design: the network's digest. divisor: clocks per bit that were simulated; waiting: what each
    further clock of a bit adds. idle: each clock in which nobody asks anything. request and reply:
    bytes on the line. cells by Yosys' type; flip_flops, all clocked, and `groups` by component.
    """

    format: int = FORMAT
    design: str
    board: str
    device: str
    clock_hz: float
    tools: dict[str, str]
    divisor: int
    request: int
    reply: int
    cells: dict[str, int]
    flip_flops: dict[str, int]
    groups: dict[str, str]
    waiting: Phase
    idle: Phase
    layers: list[str]
    images: list[Image]

    @property
    def line_bits(self) -> int:
        """Bits on the line of an inference."""
        return FRAME_BITS * (self.request + self.reply)

    def transfer(self, image: Image, divisor: int) -> Phase:
        """The transfer of an image at so many clocks per bit.

        Clocks are exact to a bit's, in which a reply begins when the line's clock says so; toggles
        are within some percent of those of a simulation at that rate.
        """
        return image.transfer.plus(self.waiting, self.line_bits * (divisor - self.divisor))

    def mean(self, divisor: int) -> tuple[Phase, Phase]:
        """Transfer and compute of the mean image."""
        return (mean(self.transfer(image, divisor) for image in self.images),
                mean(image.compute for image in self.images))


def mean(phases: Iterable[Phase]) -> Phase:
    phases = list(phases)
    total = Phase()
    for phase in phases:
        total = total.plus(phase)
    return total.by(1 / len(phases))


def write_actions(actions: Actions, path: Path) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(actions), indent=1) + b"\n")


def read_actions(path: Path) -> Actions:
    """Read what `write_actions` wrote; RunError if it is missing, damaged or of another format."""
    return read_json(path, Actions, FORMAT, "actions",
                     "'spikeloom estimate --activity --images N' writes it again")
