"""What others publish (`claims.toml`), held against a run's own figures and against physics.

Two questions, each answered from numbers: does this build do what the claim says, and can the claim
hold on its own terms, for which the clock network and the leakage of the device are a floor that no
design goes below.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise

import msgspec
from msgspec import Struct
from rich.table import Table

from .prices import Prices
from .split import Span

#: Words of a verdict: reached; an interval holds the claim; missed; reached, but with other inputs
#: or classes, or of a network of which they are not told.
WITHIN, OPEN, OUT, OTHER = "within reach", "open", "out of reach", "another task"


class Claim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One published design; None or nothing for what it does not tell. See `claims.toml`."""

    name: str
    task: str
    source: str
    device: str | None = None
    layers: tuple[int, ...] = ()
    input_bits: int | None = None
    accuracy: float | None = None
    lut4: int | None = None
    lc: int | None = None
    nj: float | None = None
    clock_mhz: float | None = None
    measured: tuple[str, ...] = ()

    @property
    def synapses(self) -> int:
        return sum(a * b for a, b in pairwise(self.layers))


class _Claims(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    claim: tuple[Claim, ...]


@cache
def published() -> tuple[Claim, ...]:
    """All claims, as they are in the file."""
    text = (resources.files(__package__) / "claims.toml").read_text()
    return msgspec.toml.decode(text.encode(), type=_Claims).claim


@dataclass(frozen=True)
class Ours:
    """A build: nj of an inference whose image is there and of the image's transfer.

    accuracy: over test images, None without; inputs, classes and synapses of the network, clocks of
    an inference. transfer: None where it was not counted.
    """

    accuracy: float | None
    lut4: int
    lc: int
    nj: Span | None
    transfer: Span | None
    clocks: float
    inputs: int
    classes: int
    synapses: int


@dataclass(frozen=True)
class Verdict:
    """`WITHIN`, `OPEN`, `OUT` or `OTHER`, and why."""

    word: str
    reasons: tuple[str, ...]

    def text(self) -> str:
        return f"{self.word}: {'; '.join(self.reasons)}" if self.reasons else self.word


def same_task(claim: Claim, ours: Ours) -> bool:
    """Whether inputs and classes are as many; otherwise accuracies say nothing of each other."""
    return bool(claim.layers) and (claim.layers[0], claim.layers[-1]) == (ours.inputs,
                                                                           ours.classes)


def verdict(claim: Claim, ours: Ours) -> Verdict:
    """Whether the build does what is claimed, in all that can be compared.

    A build that misses on its own task what is claimed of another is out of reach of it; one that
    does not miss it has not reached it.
    """
    found: list[tuple[str, str]] = []
    for unit in ("lut4", "lc"):
        wanted, got = getattr(claim, unit), getattr(ours, unit)
        if wanted is not None and got > wanted:
            found.append((OUT, f"{got:,} {unit.upper()}, not {wanted:,}"))
    if claim.accuracy is not None and ours.accuracy is not None and same_task(claim, ours) \
            and ours.accuracy < claim.accuracy:
        found.append((OUT, f"{ours.accuracy:.1%} right, not {claim.accuracy:.1%}"))
    if claim.nj is not None and ours.nj is not None and ours.nj.high > claim.nj:
        word = OUT if ours.nj.low > claim.nj else OPEN
        found.append((word, f"{ours.nj.text()} nJ, {'not' if word == OUT else 'not surely'} "
                            f"{claim.nj:,g}"))
    words = {word for word, _ in found}
    word = OUT if OUT in words else OTHER if not same_task(claim, ours) else \
        OPEN if OPEN in words else WITHIN
    return Verdict(word, tuple(text for _, text in found))


@dataclass(frozen=True)
class Terms:
    """A claim on its own terms, at a clock: clocks for which its energy lasts if nothing but the
    clock network and leakage took any, and what its input's arrival, a bit a clock, takes of it.
    """

    clocks: float
    floor_pj: float
    input_nj: float | None
    verdict: Verdict


def terms(claim: Claim, prices: Prices, clock_hz: float) -> Terms | None:
    """What a claim's energy buys on its device; None without energy, or prices of the device."""
    if claim.nj is None or claim.device is None or not prices.known(claim.device):
        return None
    floor = prices.of(claim.device).floor(clock_hz)
    clocks = 1e-9 * claim.nj / floor
    arrival = None if claim.input_bits is None else 1e9 * floor * claim.input_bits
    if arrival is not None and arrival > claim.nj:
        return Terms(clocks, 1e12 * floor, arrival, Verdict(OUT, (
            f"the {claim.input_bits:,} bits of an image, one a clock on a serial line, take "
            f"{arrival:,.0f} nJ of it before anything is computed",)))
    return Terms(clocks, 1e12 * floor, arrival, Verdict(WITHIN, ()))


def lines(ours: Ours, prices: Prices, clock_hz: float, baud: float,
          claims: Iterable[Claim] | None = None) -> list[str]:
    """Why this build does not reach a claim, and what one of an energy means on its own terms.

    The latter where its energy lasts for fewer clocks than it has synapses.
    """
    out = []
    for claim in published() if claims is None else claims:
        found = verdict(claim, ours)
        if found.word != WITHIN and found.reasons:
            out.append(f"{claim.name}: {found.text()}")
        own = terms(claim, prices, clock_hz)
        if own is None or claim.synapses < own.clocks:
            continue
        need, have = claim.synapses / own.clocks, ours.synapses / ours.clocks
        text = (f"{claim.name}, on its own terms: {claim.nj:,g} nJ last {own.clocks:,.0f} clocks "
                f"of a {claim.device} at {clock_hz / 1e6:g} MHz, if nothing but clock network and "
                f"leakage took any ({own.floor_pj:.1f} pJ a clock): {need:,.1f} of its "
                f"{claim.synapses:,} synapses a clock, where this build does {have:,.1f} in each "
                f"of {ours.clocks:,.0f}")
        if own.input_nj is not None:
            text += f"; with its image's arrival {own.verdict.text()}"
        out.append(text)
        if ours.transfer is not None and own.input_nj is not None:
            out.append(f"{claim.name}: this build's image alone takes {ours.transfer.text()} nJ "
                       f"at {baud:,.0f} baud, {ours.transfer.low / claim.nj:,.0f} times the claim "
                       "at the least")
    return out


def table(ours: Ours, name: str, claims: Iterable[Claim] | None = None) -> Table:
    """The claims beside ours."""
    shown = Table(title="published beside this build (c claimed, m measured); energies of an "
                        "inference whose image is there", title_justify="left")
    for column in ("", "accuracy", "LUT4", "LC", "nJ", "this build"):
        shown.add_column(column, no_wrap=column != "",
                         justify="left" if column in ("", "this build") else "right")
    shown.add_row(name, "" if ours.accuracy is None else f"{ours.accuracy:.1%} m",
                  f"{ours.lut4:,} m", f"{ours.lc:,} m", "" if ours.nj is None else ours.nj.text(),
                  "estimated nJ")
    for claim in published() if claims is None else claims:
        def cell(key: str, form: str, claim: Claim = claim) -> str:
            value = getattr(claim, key)
            return "" if value is None else \
                f"{value:{form}} {'m' if key in claim.measured else 'c'}"

        shown.add_row(f"{claim.name} ({claim.task})", cell("accuracy", ".1%"), cell("lut4", ","),
                      cell("lc", ","), cell("nj", ",g"), verdict(claim, ours).word)
    return shown


def plain(ours: Ours, prices: Prices, clock_hz: float) -> list[dict]:
    """The claims and their verdicts, for --json."""
    out = []
    for claim in published():
        own = terms(claim, prices, clock_hz)
        found = verdict(claim, ours)
        out.append({**msgspec.to_builtins(claim), "verdict": found.word,
                    "reasons": list(found.reasons), "same_task": same_task(claim, ours),
                    "own_terms": own and {"clocks": own.clocks, "input_nj": own.input_nj,
                                          "verdict": own.verdict.word,
                                          "reasons": list(own.verdict.reasons)}})
    return out
