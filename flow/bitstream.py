"""What can be said of a bitstream file before it goes to a board."""

from hashlib import sha256
from pathlib import Path

from .errors import RunError
from .report import Report
from .targets import device

#: Every iCE40 configuration starts with it, after a comment between FF 00 and 00 FF (icepack).
SYNC_WORD = bytes.fromhex("7eaa997e")

# nextpnr and icepack write a comment of a few bytes; one that is longer is not theirs.
_HEADER = 256


def check(path: Path, report: Report, *, board: str, design: str,
          again: str) -> dict[str, str]:
    """Hold a bitstream file to its report, a board and a design hash.

    again: the command that builds it. Returns what was checked, as words; raises RunError for the
    first thing that is wrong.
    """
    again = f"run '{again}' again"
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); {again}") from error
    if report.board != board:
        raise RunError(f"{path}: must be for board {board}, not {report.board}; {again}")
    size = device(report.device).bitstream_bytes
    if len(data) != size:
        raise RunError(f"{path}: must have {size:,} bytes for the {report.device}, not "
                       f"{len(data):,}; {again}")
    if SYNC_WORD not in data[:_HEADER]:
        raise RunError(f"{path}: is no iCE40 bitstream (no sync word 7E AA 99 7E); {again}")
    if sha256(data).hexdigest() != report.bitstream_sha256:
        raise RunError(f"{path}: has another checksum than the build reported; {again}")
    if report.design != design:
        raise RunError(f"{path}: holds design {report.design[:16]}, but the run's network is "
                       f"{design[:16]}; {again}")
    if not report.meets_clock:
        inexact = f", up to {report.needed_mhz:g}" if report.tolerance else ""
        raise RunError(f"{path}: runs at {report.fmax_mhz:.1f} MHz at most, its clock is "
                       f"{report.clock_mhz:g} MHz{inexact}; try 'spikeloom synth --seeds 8', a "
                       "slower --clock, or a smaller network")
    return {"size": f"{size:,} bytes", "sync word": "present",
            "checksum": f"sha256 {report.bitstream_sha256[:16]}",
            "design": design[:16],
            "clock": f"{report.fmax_mhz:.1f} MHz, {report.needed_mhz:g} MHz needed"}
