"""Events as data: section [data] of an experiment, and what a run remembers of recordings.

A recording of an event camera or a cochlea is a list of events, each with its time in microseconds,
a place on the sensor and a polarity. Networks read frames of them, one a timestep
(`sim.recordings`).
"""

from collections.abc import Iterator

from msgspec import Struct

from . import ir

BINNINGS = ("time", "window", "count")
POLARITIES = ("both", "merged")
VALUES = ("binary", "counts")
FAULTS = ("refuse", "mend")
#: Of a window, in microseconds.
LONGEST = 1_000_000_000

#: What the rules of a section yield, as in `flow.config`.
Rule = tuple[str, bool, str]


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """Which data set; its splits are pinned by the data set itself."""

    name: str = "digits"

    def rules(self) -> Iterator[Rule]:
        yield "name", bool(self.name), "the name of a data set"


class EventData(Data, frozen=True, forbid_unknown_fields=True):
    """Section [data] of a data set of recordings: how events become frames, `num_steps` of them.

    binning: `time`, windows of equal length that a recording is just divided into; `window`,
    windows of `window_us` microseconds from its first event, of which the first ones are taken;
    `count`, frames of equally many events (to one). downsample: side of the squares of pixels that
    become one; 0 is what the data set says. polarity: `both`, a map for each, or `merged`.
    values: `binary`, 1 where at least `threshold` events fell, or `counts`, up to 255, which the
    `spikes` encoder cannot take. faults: what becomes of a recording whose times go backward, which
    has events outside its sensor or ends within one: `refuse`, or `mend`, its events sorted by time
    and those left out.
    """

    num_steps: int = 16
    binning: str = "time"
    window_us: int = 0
    downsample: int = 0
    polarity: str = "both"
    values: str = "binary"
    threshold: int = 1
    faults: str = "refuse"

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield "num_steps", 1 <= self.num_steps <= ir.MAX_STEPS, f"in 1..{ir.MAX_STEPS}"
        for key, known in (("binning", BINNINGS), ("polarity", POLARITIES), ("values", VALUES),
                           ("faults", FAULTS)):
            yield key, getattr(self, key) in known, "one of " + ", ".join(map(repr, known))
        if self.binning == "window":
            yield ("window_us", 1 <= self.window_us <= LONGEST,
                   f"in 1..{LONGEST} with binning = 'window'")
        else:
            yield ("window_us", self.window_us == 0, f"0 with binning = {self.binning!r}, whose "
                   "frames follow from num_steps")
        yield "downsample", 0 <= self.downsample <= 1024, "in 1..1024, or 0 for the data set's own"
        yield "threshold", 1 <= self.threshold <= 255, "in 1..255"
        yield ("threshold", self.values == "binary" or self.threshold == 1,
               "1 with values = 'counts'")

    def text(self) -> str:
        """The settings in a few words, others for others: ``T=16 time 1/2``."""
        words = [f"T={self.num_steps}", self.binning]
        if self.binning == "window":
            words[-1] = f"{self.window_us} us"
        if self.downsample != 1:
            words.append(f"1/{self.downsample}")
        if self.polarity == "merged":
            words.append("merged")
        if self.values == "counts":
            words.append("counts")
        elif self.threshold > 1:
            words.append(f">={self.threshold}")
        return " ".join(words + ["mended"] * (self.faults == "mend"))


class Recorded(Struct, frozen=True, forbid_unknown_fields=True):
    """What recordings a run was made of: `format` of this file; `reader`, a module of
    `sim.recordings`; `sensor`, its polarities, rows and columns; and how they became frames.
    """

    format: int
    reader: str
    sensor: tuple[int, int, int]
    classes: int
    data: EventData


def data_of(item: dict) -> type[Data]:
    """The struct of a section [data]: that of recordings where it has a key of theirs."""
    return Data if set(item) <= {"name"} else EventData
