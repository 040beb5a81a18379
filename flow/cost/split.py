"""Energy of what was counted: actions times prices, split by where it goes.

``E = P_static * t + clocks * (E_clock + flip-flops * E_flip_flop) + toggles * E_toggle
+ accesses * E_ebr + accesses of SPRAM * E_spram``, for the lower and the upper bound of every
price. It is an estimate, and its interval is that of the prices; the spread over images is told
apart from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .actions import GROUPS, Actions, Phase
from .prices import DevicePrices

#: Where energy goes. clock: the clock network and clocking flip-flops. compute, link: toggles of
#: the core, and of link and UART. memory: accesses of block memories, without those of SPRAM.
#: other: toggles of what is neither, as the power-on reset and lights.
PARTS = ("static", "clock", "compute", "memory", "spram", "link", "other")


@dataclass(frozen=True)
class Span:
    """nJ by the lower and by the upper prices.

    Calibrated prices are two readings of the same currents: where one gives a part more, another
    part has less, so that of a part `low` may be the larger.
    """

    low: float
    high: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.high + other.high)

    def text(self) -> str:
        low, high = sorted((_short(self.low), _short(self.high)),
                           key=lambda text: float(text.replace(",", "")))
        return low if low == high else f"{low}..{high}"


ZERO = Span(0.0, 0.0)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}"


@dataclass(frozen=True)
class Split:
    """nJ of an inference by phase and part, and its clocks by phase."""

    transfer: Mapping[str, Span]
    compute: Mapping[str, Span]
    clocks: Mapping[str, float]
    clock_hz: float

    def total(self, *phases: str) -> Span:
        """nJ of these phases; of both without any."""
        return sum((span for phase in phases or ("transfer", "compute")
                    for span in getattr(self, phase).values()), ZERO)

    @property
    def seconds(self) -> float:
        """Of an inference, one after the other without a pause."""
        return sum(self.clocks.values()) / self.clock_hz

    def milliwatts(self) -> Span:
        """Average power of inferences without a pause."""
        total = self.total()
        return Span(1e-6 * total.low / self.seconds, 1e-6 * total.high / self.seconds)


def split(actions: Actions, prices: DevicePrices, *, divisor: int, clock_hz: float,
          image: int | None = None) -> Split:
    """An inference's energy at a rate of the line; of the mean image, or of one by its number."""
    if image is None:
        transfer, compute = actions.mean(divisor)
    else:
        transfer = actions.transfer(actions.images[image], divisor)
        compute = actions.images[image].compute
    return Split(parts(transfer, actions, prices, clock_hz),
                 parts(compute, actions, prices, clock_hz),
                 {"transfer": transfer.clocks, "compute": compute.clocks}, clock_hz)


def parts(phase: Phase, actions: Actions, prices: DevicePrices, clock_hz: float
          ) -> dict[str, Span]:
    """nJ of a phase by part."""
    toggles = dict.fromkeys(GROUPS, 0.0)
    for component, count in phase.toggles.items():
        toggles[actions.groups[component]] += count
    flip_flops = phase.clocks * sum(actions.flip_flops.values())
    return {
        "static": _nj(prices.static, phase.clocks / clock_hz),
        "clock": _nj(prices.clock, phase.clocks) + _nj(prices.flip_flop, flip_flops),
        "compute": _nj(prices.toggle, toggles["compute"]),
        "memory": _nj(prices.ebr_read, sum(phase.ebr_reads.values()))
        + _nj(prices.ebr_write, sum(phase.ebr_writes.values())),
        "spram": _nj(prices.spram_read, sum(phase.spram_reads.values()))
        + _nj(prices.spram_write, sum(phase.spram_writes.values())),
        "link": _nj(prices.toggle, toggles["link"]),
        "other": _nj(prices.toggle, toggles["other"]),
    }


def _nj(price, count: float) -> Span:
    return Span(1e9 * price.low * count, 1e9 * price.high * count)
