"""Every error that a user of spikeloom can meet, under one base class.

The command line prints an error as one line and exits with its `exit_code`: 2 for bad input, 1 for
something that failed. A message states the rule and then the value, and says what to try.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SpikeloomError(Exception):
    """Something failed; the base of all errors that the command line prints as one line."""

    exit_code = 1


class ConfigError(SpikeloomError, ValueError):
    """A setting is unknown or out of range (file, key, rule, value)."""

    exit_code = 2


class GraphError(SpikeloomError, ValueError):
    """A network breaks a rule of the IR or of the arithmetic contract."""

    exit_code = 2


class FitError(SpikeloomError):
    """A network does not fit a device: by how much, which resource, the nearest that does."""

    exit_code = 2


class Cancelled(FitError):
    """A build that was not begun, because a prediction says that it cannot fit."""


class RunError(SpikeloomError):
    """A run directory or artefact is missing, damaged or of another version."""

    exit_code = 2


class ToolError(SpikeloomError):
    """An external tool is missing or failed."""


class ToolTimeout(ToolError):
    """An external tool was killed because it took too long."""


class LinkError(SpikeloomError):
    """The device did not answer, or answered something else than asked."""


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The text for an unknown name: ``unknown encoder 'strem'; did you mean 'stream'? ...``."""
    known = sorted(known)
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {str(name)!r}{hint} (known: {', '.join(known)})"
