"""``spikeloom bench characterise``: what networks of every kind come to on real devices."""

from argparse import Namespace
from collections import defaultdict
from pathlib import Path

from rich.table import Table

from ...flow.cost.measured import LOWERINGS, STATUS, Measurement
from ...flow.errors import ConfigError
from ...flow.output import Output, Wide, counted
from ...flow.targets import board
from ..characterise import characterise, networks, write_data
from ..designs import BOARDS
from ..loaded_designs import builds_for
from ..workers import workers

NETWORKS, LOADED = 141, 16
#: More would take months.
MOST = 10000
FOLDER = Path("build/characterised")


def run(args: Namespace, out: Output) -> int:
    """Measure what the store lacks, write all to a folder, and print what came of it."""
    count = NETWORKS if args.networks is None else args.networks
    if not 1 <= count <= MOST:
        raise ConfigError(f"--networks must be in 1..{MOST}, not {count}")
    loaded = LOADED if args.spram is None else args.spram
    if not 0 <= loaded <= MOST:
        raise ConfigError(f"--spram must be in 0..{MOST}, not {loaded}")
    boards = tuple(board(name).name for name in args.board or BOARDS)
    if len(set(boards)) < len(boards):
        raise ConfigError(f"--board must name each board once, not {' '.join(boards)}")
    path = Path(args.out or FOLDER)
    if path.exists() and not path.is_dir():
        raise ConfigError(f"--out must be a directory, not the file {path}")
    try:
        with workers(args.jobs, "run the same command again with") as executor:
            items = characterise(count, loaded, executor, out.note, boards)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("every build that ended is in the store of measurements; the same "
                                "command goes on with the others") from None
    write_data(path, items, networks(count, loaded), out.note)
    rows = _rows(items)
    count += loaded if any(builds_for(board(name)) for name in boards) else 0
    out.result({"folder": str(path), "networks": count, "boards": boards,
                "measurements": len(items), "rows": rows}, Wide(_table(rows)),
               f"{counted(len(items), 'measurement')} of {counted(count, 'network')}", str(path))
    return 0


def _rows(items: list[Measurement]) -> list[dict]:
    """Of each lowering and board, how many measurements have which status, and their LCs."""
    groups: dict[tuple[str, str], list[Measurement]] = defaultdict(list)
    for item in items:
        groups[item.lowering, item.board].append(item)
    rows = []
    for (lowering, name), group in sorted(groups.items(), key=lambda pair: _order(*pair[0])):
        cells = [item.lc for item in group if item.counted]
        rows.append({
            "lowering": lowering, "board": name,
            **{status: sum(item.status == status for item in group) for status in STATUS},
            "least_lc": min(cells, default=None), "most_lc": max(cells, default=None)})
    return rows


def _order(lowering: str, name: str) -> tuple[int, str, str]:
    return LOWERINGS.index(lowering) if lowering in LOWERINGS else len(LOWERINGS), lowering, name


def _table(rows: list[dict]) -> Table:
    table = Table(title="measurements (some networks have three seeds)",
                  title_justify="left")
    for title in ("lowering", "board", *STATUS, "LCs"):
        table.add_column(title, justify="left" if title in ("lowering", "board") else "right")
    for row in rows:
        cells = "" if row["least_lc"] is None else f"{row['least_lc']:,} to {row['most_lc']:,}"
        table.add_row(row["lowering"], row["board"], *(str(row[name]) for name in STATUS), cells)
    return table
