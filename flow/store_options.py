"""Which measurements a command is about: those of which store, and of which board, device, ..."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..boards import BOARDS
from .cost.measured import LOWERINGS, STATUS
from .cost.store import MeasurementStore
from .errors import ConfigError, unknown
from .targets import DEVICES

#: What every store may have, by column; other boards and mixed lowerings come with the rows.
_KNOWN = {"board": tuple(BOARDS), "device": tuple(DEVICES), "lowering": LOWERINGS,
          "status": STATUS}


def add_arguments(parser: ArgumentParser, prefix: str = "") -> None:
    """The options --store, --board, --device, --lowering and --status."""
    parser.add_argument("--store", metavar="FILE",
                        help=f"{prefix}another store of measurements (default: the user's)")
    for name, known in _KNOWN.items():
        some = known if len(known) < 6 else (*known[:2], "...")
        parser.add_argument(f"--{name}", metavar="NAME",
                            help=f"{prefix}only those of this {name}: {', '.join(some)}")


def path(args: Namespace) -> Path | None:
    """The store that the options name; None for the user's."""
    return Path(args.store) if args.store else None


def wanted(args: Namespace, store: MeasurementStore) -> dict[str, str]:
    """What the options select by; ConfigError for a name that neither is known nor in the store."""
    chosen = {}
    for name, known in _KNOWN.items():
        value = getattr(args, name)
        if value is None:
            continue
        value = value.upper() if name == "device" else value
        if value not in known and value not in (found := store.values(name)):
            raise ConfigError(f"--{name}: {unknown(name, value, {*known, *found})}")
        chosen[name] = value
    return chosen
