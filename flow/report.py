"""The report of one build: what place and route measured, and with which tools."""

from pathlib import Path

import msgspec
from rich.table import Table

from .errors import RunError
from .files import write_atomic
from .nextpnr import CriticalPath
from .targets import device

FORMAT = 1


class Length(msgspec.Struct, frozen=True, kw_only=True):
    """A run-time shift h of the bitstream lengths L, which are L >> h, one of each layer.

    served: whether the device takes it. images: those over which the accuracy is; None without any.
    microseconds and the bounds of the estimated energy are those of a build.
    """

    shift: int
    bitstream_lengths: tuple[int, ...]
    served: bool
    cycles: int
    images: int
    accuracy: float | None
    microseconds: float | None = None
    low_nj: float | None = None
    high_nj: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One placed and routed design; all numbers are measured, but those of `lengths` and a bound.

    lc, ebr, spram, dsp as nextpnr counts them, lut4, ff and carry as Yosys does before packing.
    fmax_mhz is what nextpnr achieved for the design's clock, clock_mhz what it runs at, within the
    share `tolerance`; clock says from where (`boards.clock.SOURCES`). seeds: the MHz of every seed
    of place and route that was tried and fits, by the seed, this one's among them. A
    design that does not fit has its counts and the `problem`, but no fmax_mhz (0) and no bitstream
    (""). seconds are those of the tools when they ran, which for a `cached` report was earlier.
    bound: nextpnr was not run, because the netlist alone is too large: lc is no measurement, but
    the fewest that it can come to (`netlist.floor`).
    lengths: a row for each run-time length, where somebody has added them (`length_table`).
    critical_path: None in what was routed before reports had one.
    """

    format: int = FORMAT
    design: str
    board: str
    device: str
    lc: int
    lut4: int
    ff: int
    carry: int
    ebr: int
    spram: int
    dsp: int
    fmax_mhz: float
    clock_mhz: float
    meets_clock: bool
    fits: bool
    problem: str
    router: str
    tools: dict[str, str]
    seed: int
    seconds: dict[str, float]
    cached: bool
    plan: str
    bitstream: str
    bitstream_bytes: int
    bitstream_sha256: str
    lengths: tuple[Length, ...] = ()
    critical_path: CriticalPath | None = None
    bound: bool = False
    clock: str = "board"
    tolerance: float = 0.0
    seeds: dict[str, float] = {}

    @property
    def needed_mhz(self) -> float:
        """The fastest that its clock may be, at which it must work."""
        return self.clock_mhz * (1 + self.tolerance)

    @property
    def used(self) -> dict[str, int]:
        """Counts of the resources that a device limits."""
        return {"lc": self.lc, "ebr": self.ebr, "spram": self.spram, "dsp": self.dsp}


def write_report(report: Report, path: Path) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def decode_report(data: bytes, where: Path | str) -> Report:
    """A report from its JSON; RunError if it is damaged or of another format."""
    again = "'spikeloom synth' writes it again"
    try:
        version = msgspec.json.decode(data, type=_Version).format
        if version != FORMAT:
            raise RunError(f"{where}: has report format {version}, this version reads {FORMAT}; "
                           f"{again}")
        return msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{where}: is damaged ({error}); {again}") from error


def read_report(path: Path) -> Report:
    """Read a report written by `write_report`; RunError if it is missing or damaged."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); 'spikeloom synth' writes it"
                       ) from error
    return decode_report(data, path)


class _Version(msgspec.Struct):
    format: int


_ROWS = {"lc": "LCs", "lut4": "LUT4", "ff": "flip-flops", "carry": "carries", "ebr": "EBR",
         "spram": "SPRAM", "dsp": "DSP"}


def compare(report: Report, estimate: object | None = None) -> Table:
    """A table of what was measured, what the device has, and what was predicted, if known.

    estimate: a `cost.estimate.Estimate`; nine measurements of ten are in its intervals.
    """
    cached = ", from the cache" if report.cached else ""
    table = Table(title=f"{report.board} ({report.device}), seed {report.seed}{cached}",
                  title_justify="left")
    columns = ["", "measured", "available"]
    if estimate is not None:
        columns += ["predicted", "interval", "error"]
        if estimate.outside:
            table.caption = ("unlike anything that was measured before, so trust no interval: "
                             + estimate.outside)
            table.caption_justify = "left"
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    has = device(report.device).capacity
    for key, title in _ROWS.items():
        measured = getattr(report, key)
        least = "at least " if report.bound and key == "lc" else ""
        row = [title, f"{least}{measured:,}", f"{has[key]:,}" if key in has else ""]
        table.add_row(*row, *_predicted(estimate, key, 0 if least else measured, "{:,.0f}"))
    table.add_row("Fmax (MHz)", f"{report.fmax_mhz:.1f}", f"{report.needed_mhz:g} needed",
                  *_predicted(estimate, "fmax_mhz", report.fmax_mhz, "{:.1f}"))
    table.add_row("seconds", f"{sum(report.seconds.values()):.1f}", "",
                  *_predicted(estimate, "seconds", sum(report.seconds.values()), "{:.0f}"))
    return table


def _predicted(estimate: object | None, key: str, measured: float, text: str) -> list[str]:
    """What was predicted, its interval, if it has one, and its error."""
    guess = getattr(estimate, key, None)
    if guess is None:
        return []
    low, high = (getattr(estimate, f"{key}_{end}", None) for end in ("low", "high"))
    interval = "" if low is None else f"{text.format(low)}..{text.format(high)}"
    error = f"{(guess - measured) / measured:+.1%}" if measured else ""
    return [text.format(guess), interval, error]
