"""``spikeloom bench autosnn``: search a small space of AutoSNN, and train its winner and others."""

from argparse import Namespace
from pathlib import Path

from rich.table import Table

from ...flow.errors import ConfigError
from ...flow.output import Output
from ..blocks import alone

FILE = Path("build/autosnn.json")


def run(args: Namespace, out: Output) -> int:
    """Search and train what the folder beside the file lacks; print all."""
    path = Path(args.out or FILE)
    if path.is_dir():
        raise ConfigError(f"--out must be a file, not the directory {path}")
    folder = Path("build/autosnn")
    try:
        held = alone.complete(path, folder, args.jobs, out.note)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what was finished is in {folder}; the same command goes on with "
                                "the rest") from None
    table = Table("", "network", "validation", "test", "spikes per image", "s",
                  title=f"trained from scratch on {alone.SUBSET}", title_justify="left")
    rows = [*(("winner", item) for item in held.winner),
            *(("", item) for item in sorted(held.random, key=lambda item: -item.test))]
    for mark, item in rows:
        table.add_row(mark, item.blocks, f"{item.validation:.2%}", f"{item.test:.2%}",
                      f"{item.spikes:,.0f}", f"{item.seconds:.0f}")
    value, median, spread = alone.gain(held)
    found = held.searched
    out.result(
        {"file": str(path), "gain": value, "seconds": found.seconds}, table,
        f"super-network {found.supernet_seconds:.0f} s, evolution of {found.evaluations} networks "
        f"{found.evolution_seconds:.0f} s; test accuracy of the winner is {value:+.2%} from the "
        f"median of the others and one standard deviation ({median:.2%} + {spread:.2%})", str(path))
    return 0
