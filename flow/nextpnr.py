"""What nextpnr writes: its report and its log."""

import re

import msgspec

from .errors import ToolError
from .targets import CELLS

#: A router is stuck after so many lines of router1's log (1,000 arcs each) without one arc less to
#: route, or so many iterations of router2. Counts, not seconds, so that it does not depend on load.
STUCK_LINES = 100
STUCK_ITERATIONS = 300


class _Clock(msgspec.Struct):
    achieved: float
    constraint: float


class _Used(msgspec.Struct):
    used: int


class _Hop(msgspec.Struct):
    type: str
    delay: float
    from_: dict = msgspec.field(name="from")
    to: dict


class _Path(msgspec.Struct):
    from_: str = msgspec.field(name="from")
    to: str
    path: list[_Hop]


class CriticalPath(msgspec.Struct, frozen=True):
    """The slowest path between two registers: ns, those in wires, cells passed, and its ends."""

    ns: float
    wires_ns: float
    cells: int
    begin: str
    end: str


class Timing(msgspec.Struct):
    """What this flow reads of nextpnr's report."""

    fmax: dict[str, _Clock]
    utilization: dict[str, _Used]
    critical_paths: list[_Path] = []

    def critical_path(self) -> CriticalPath | None:
        """Of the paths between registers of one clock, the longest; None if there is none."""
        found = [item for item in self.critical_paths if item.from_ == item.to and item.path]
        slowest = max(found, key=lambda item: sum(hop.delay for hop in item.path), default=None)
        if slowest is None:
            return None
        hops = slowest.path
        return CriticalPath(
            ns=round(sum(hop.delay for hop in hops), 3),
            wires_ns=round(sum(hop.delay for hop in hops if hop.type == "routing"), 3),
            cells=sum(hop.type == "logic" for hop in hops),
            begin=hops[0].from_.get("cell", ""), end=hops[-1].to.get("cell", ""))

    def used(self) -> dict[str, int]:
        """Counts by resource; 0 for what the device lacks."""
        return {key: self.utilization[cell].used if cell in self.utilization else 0
                for cell, key in CELLS.items()}

    def fmax_mhz(self, clock_hz: int) -> float:
        """The slowest clock constrained to `clock_hz`.

        To 0.2 %: nextpnr rounds its periods to ps, and that of a PLL's oscillator, of 938 ps or
        more, before it is divided.
        """
        own = [clock.achieved for clock in self.fmax.values()
               if abs(clock.constraint * 1e6 - clock_hz) <= 2e-3 * clock_hz]
        if not own:
            raise ToolError(f"nextpnr reported no clock of {clock_hz / 1e6:g} MHz, only "
                            f"{', '.join(self.fmax) or 'none'}; the design must use domain 'sync'")
        return min(own)


def read_timing(data: bytes) -> Timing:
    """nextpnr's --report; ToolError if it is not one."""
    try:
        return msgspec.json.decode(data, type=Timing)
    except msgspec.DecodeError as error:
        raise ToolError(f"nextpnr wrote a report that cannot be read ({error}); spikeloom needs "
                        "nextpnr 0.7 or later") from error


def read_utilisation(log: str) -> dict[str, int]:
    """Counts by resource from nextpnr's log, as known before placement; empty if not packed."""
    counts = dict(re.findall(r"^Info:\s+(\w+):\s+(\d+)/\s*\d+\s+\d+%", log, re.MULTILINE))
    if not counts:
        return {}
    return {key: int(counts.get(cell, 0)) for cell, key in CELLS.items()}


def is_packed(log: str) -> bool:
    """Whether nextpnr's log, so far, has all its counts: they end with an empty line."""
    return re.search(r"^Info: Device utilisation:\n(Info: .*\n)*\n", log, re.MULTILINE) is not None


def routing_is_stuck(log: str) -> bool:
    """Whether nextpnr's log, so far, shows a router that does not converge."""
    if re.search(rf"^Info:\s+iter={STUCK_ITERATIONS} ", log, re.MULTILINE):
        return True
    still, before = 0, None
    for match in re.finditer(r"^Info:\s+\d+ \|\s+\d+\s+\d+ \|\s+\d+\s+(\d+) \|\s+(\d+)\|", log,
                             re.MULTILINE):
        routed, remaining = match.groups()
        still = still + 1 if routed == "0" and remaining == before else 0
        before = remaining
        if still >= STUCK_LINES:
            return True
    return False
