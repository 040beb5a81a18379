"""``spikeloom bench scores``: train small networks of cells, which scores are then to rank."""

from argparse import Namespace
from pathlib import Path

from rich.table import Table

from ...flow.errors import ConfigError
from ...flow.output import Output
from .. import ranking

FILE = Path("build/scores.json")


def run(args: Namespace, out: Output) -> int:
    """Train every network that the file lacks, one after the other; print all."""
    path = Path(args.out or FILE)
    if path.is_dir():
        raise ConfigError(f"--out must be a file, not the directory {path}")
    try:
        found = ranking.complete(path, out.note)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the networks that were trained are in {path}; the same command "
                                "goes on with the others") from None
    table = Table("space", "cell", "accuracy", "spikes per image", "s",
                  title=f"networks of cells on {ranking.SUBSET}", title_justify="left")
    for item in sorted(found, key=lambda item: (item.space, -item.accuracy)):
        table.add_row(item.space, item.cell, f"{item.accuracy:.2%}",
                      f"{item.spikes_per_image:,.0f}", f"{item.seconds:.0f}")
    out.result({"file": str(path), "networks": len(found)}, table, str(path))
    return 0
