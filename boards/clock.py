"""Where a design's clock comes from: the board's pin, the oscillator of an UP5K, or a PLL.

A board has the clock of its pin. `Clock` is another one, for which `Board.clocked` gives the same
board; the power-on reset waits until that one is stable.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Elaboratable,
    Instance,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

#: Of the command line, and of a report.
SOURCES = ("board", "hfosc", "pll")

#: SB_HFOSC makes 48 MHz, or that divided by 2, 4 or 8 (CLKHF_DIV).
HFOSC_HZ = tuple(48_000_000 >> divide for divide in range(4))
#: How far it may be off from 0 to 85 degrees Celsius; from -40 to 100 it is 0.2 (FPGA-DS-02008,
#: table 4.11).
HFOSC_TOLERANCE = 0.10
#: Seconds until the oscillator is stable (FPGA-TN-02008), and until block memories are readable,
#: five times what was seen (YosysHQ/icestorm, issue 76); each is how long a power-on reset takes.
OSCILLATOR_STARTS, MEMORIES_START = 100e-6, 15e-6

#: Hz, both ends included (data sheets of both families: phase detector, oscillator, output; the
#: same in icepll). With the simple feedback path DIVF has all of its 7 bits.
PFD_HZ, VCO_HZ, PLL_HZ = (10e6, 133e6), (533e6, 1066e6), (16e6, 275e6)
MOST_DIVR, MOST_DIVF, DIVQS = 15, 127, range(1, 7)

#: Per PLL of a package its two pads, by which the clock may come to it and over which it goes out:
#: while it is used, neither can be another input. A package without one is not here (icebox.py of
#: YosysHQ/icestorm: pinloc_db, pllinfo_db and noplls_db).
_1K = {"CB121": (("L9", "L8"),), "CB132": (("P7", "P8"),), "CM121": (("J5", "L5"),),
       "CM81": (("H4", "J6"),), "QN84": (("A14", "B12"),), "TQ144": (("49", "50"),)}
_8K = {"BG121": (("L5", "K6"), ("B6", "B7")), "CB132": (("P7", "P8"), ("A6", "A7")),
       "CM121": (("L5", "K6"), ("B6", "B7")), "CM225": (("N7", "L9"), ("D8", "C9")),
       "CM81": (("G4", "H4"),), "CT256": (("R9", "K9"), ("F7", "C8"))}
PADS = {"HX1K": _1K, "LP1K": _1K, "HX8K": _8K, "LP8K": _8K,
        "UP5K": {"SG48": (("35", "37"),), "UWG30": (("B3", ""),)}}


@dataclass(frozen=True, order=True)
class Dividers:
    """Settings of a PLL with the simple feedback path, and the Hz that it makes of its input's."""

    hz: int
    divr: int
    divf: int
    divq: int
    filter_range: int


def dividers(input_hz: float) -> Iterator[Dividers]:
    """Every setting within the limits: input_hz * (DIVF + 1) / 2**DIVQ / (DIVR + 1)."""
    for divr in range(MOST_DIVR + 1):
        pfd = input_hz / (divr + 1)
        if not PFD_HZ[0] <= pfd <= PFD_HZ[1]:
            continue
        for divf in range(MOST_DIVF + 1):
            vco = pfd * (divf + 1)
            if not VCO_HZ[0] <= vco <= VCO_HZ[1]:
                continue
            for divq in DIVQS:
                if PLL_HZ[0] <= vco / 2**divq <= PLL_HZ[1]:
                    yield Dividers(round(vco / 2**divq), divr, divf, divq, _filter(pfd))


def _filter(pfd: float) -> int:
    """FILTER_RANGE for the frequency of the phase detector (icepll)."""
    return 1 + sum(pfd >= edge for edge in (17e6, 26e6, 44e6, 66e6, 101e6))


def nearest_dividers(input_hz: float, most_hz: float) -> Dividers | None:
    """The setting that makes the most Hz that are not above `most_hz`, None if none is."""
    found = [item for item in dividers(input_hz) if item.hz <= most_hz]
    # of equals the one with the fastest phase detector and the slowest oscillator
    return max(found, key=lambda item: (item.hz, -item.divr, -item.divf), default=None)


@dataclass(frozen=True)
class Clock:
    """A clock that is not the board's pin. pll: how it is made of that pin's, if it is."""

    hz: int
    pll: Dividers | None = None
    pad: bool = False

    @property
    def source(self) -> str:
        return "hfosc" if self.pll is None else "pll"

    @property
    def tolerance(self) -> float:
        """The share by which its frequency may be off; a PLL's is as exact as the pin's."""
        return HFOSC_TOLERANCE if self.pll is None else 0.0

    @property
    def reset_seconds(self) -> float:
        """Of the power-on reset, once a PLL is locked."""
        return OSCILLATOR_STARTS if self.pll is None else MEMORIES_START

    def configure(self, platform) -> None:
        """Have a platform take it for domain `sync`, as far as it can do so itself."""
        if self.pll is None:
            platform.default_clk, platform.hfosc_div = "SB_HFOSC", HFOSC_HZ.index(self.hz)


class PllDomain(Elaboratable):
    """Drives domain `sync` from a PLL behind the clock pin; its reset ends after the lock.

    Where the pin is the PLL's own pad (`Clock.pad`) it has no other way in, elsewhere that is
    through the fabric. A lock that is lost resets the design.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def elaborate(self, platform) -> Module:
        m = Module()
        pll, out, lock = self.clock.pll, Signal(), Signal()
        pin = platform.request(platform.default_clk, dir="-")
        if self.clock.pad:
            source = {"i_PACKAGEPIN": pin.io}
        else:
            m.submodules.pin = buffer = io.Buffer("i", pin)
            source = {"i_REFERENCECLK": buffer.i}
        m.submodules.pll = Instance(
            f"SB_PLL40_{'PAD' if self.clock.pad else 'CORE'}", p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=pll.divr, p_DIVF=pll.divf, p_DIVQ=pll.divq, p_FILTER_RANGE=pll.filter_range,
            i_RESETB=1, i_BYPASS=0, o_PLLOUTGLOBAL=out, o_LOCK=lock, **source)
        m.submodules.hold = hold = Hold(round(self.clock.reset_seconds * self.clock.hz))
        m.domains += ClockDomain("por", reset_less=True, local=True)
        m.d.comb += [ClockSignal("por").eq(out), ClockSignal("sync").eq(out), hold.lock.eq(lock),
                     ResetSignal("sync").eq(~hold.ready)]
        return m


class Hold(Elaboratable):
    """`ready`, in domain `por`, so many clocks after `lock`, which is asynchronous, and until that
    is lost.
    """

    def __init__(self, clocks: int) -> None:
        self.clocks = clocks
        self.lock, self.ready = Signal(), Signal()

    def elaborate(self, platform) -> Module:
        m = Module()
        timer, locked = Signal(range(self.clocks + 1)), Signal()
        m.submodules.lock = FFSynchronizer(self.lock, locked, o_domain="por")
        m.d.por += self.ready.eq(locked & (timer == self.clocks))
        with m.If(~locked):
            m.d.por += timer.eq(0)
        with m.Elif(timer != self.clocks):
            m.d.por += timer.eq(timer + 1)
        return m
