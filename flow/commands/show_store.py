"""``spikeloom show store``: what has been measured, and by which tools."""

import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence

import msgspec
from rich import box
from rich.table import Table

from .. import store_options, tools
from ..build import TIMEOUTS
from ..cost.measured import STATUS, Measurement
from ..cost.salvage import read_store
from ..cost.store import default_path
from ..errors import ConfigError, ToolError
from ..output import Output, Wide, counted

#: Rows for people who do not say how many.
LIMIT = 20
FILLED_BY = "'spikeloom synth', 'search' and 'bench characterise' measure what they build"


def configure(parser: ArgumentParser) -> None:
    store_options.add_arguments(parser, "store: ")
    parser.add_argument("--limit", type=int, metavar="N",
                        help=f"store: the last N (default: {LIMIT}, with --json all)")


def show(args: Namespace, out: Output) -> None:
    """A row for each of the last measurements, and how many there are of each kind."""
    if args.limit is not None and args.limit < 1:
        raise ConfigError(f"--limit must be at least 1, not {args.limit}")
    limit = args.limit or (None if args.json else LIMIT)
    with read_store(store_options.path(args)) as store:
        chosen = store_options.wanted(args, store) if store else {}
        items = store.select(**chosen) if store else []
        total = store.count() if store else 0
        path = str(store.path if store else store_options.path(args) or default_path())
    shown = items[-limit:] if limit else items
    sets, here = by_tools(items), identities()
    data = {"store": path, "filters": chosen, "stored": total, "selected": len(items),
            "status": by_status(items),
            "tools": [{"tools": dict(names), "count": count, "here": dict(names) == here}
                      for names, count in sets.items()],
            "measurements": [msgspec.to_builtins(item) for item in shown]}
    if not total:
        out.result(data, f"{path}: no measurements yet; {FILLED_BY}")
    elif not items:
        out.result(data, f"{path}: none of {counted(total, 'measurement')} is of "
                         f"{of(chosen)}")
    else:
        out.result(data, Wide(table(shown)), *_summary(items, len(shown), chosen, sets, here), path)


def of(chosen: dict[str, str]) -> str:
    """What was selected by, in words."""
    return ", ".join(f"{name} {value}" for name, value in chosen.items())


def by_status(items: Sequence[Measurement]) -> dict[str, int]:
    """How many there are of each status that there is."""
    found = Counter(item.status for item in items)
    return {name: found[name] for name in STATUS if found[name]}


def by_tools(items: Sequence[Measurement]) -> Counter:
    """How many came of each set of tools, given as pairs of name and identity."""
    return Counter(tuple(sorted(item.tools.items())) for item in items)


def identities() -> dict[str, str] | None:
    """The tools of this installation, None if one is missing."""
    try:
        return {name: tools.find(name).identity for name in TIMEOUTS}
    except ToolError:
        return None


def _summary(items: Sequence[Measurement], shown: int, chosen: dict[str, str], sets: Counter,
             here: dict[str, str] | None) -> list[str]:
    counts = ", ".join(f"{count:,} {name}" for name, count in by_status(items).items())
    last = f"; the last {shown} of them are shown" if shown < len(items) else ""
    lines = [f"{counted(len(items), 'measurement')}{' of ' if chosen else ''}{of(chosen)}: "
             f"{counts}{last}"]
    for names, count in sets.most_common():
        own = "the tools here" if dict(names) == here else "other tools than here"
        lines.append(f"{count:,} by {own}: {', '.join(value for _, value in names)}")
    return lines


def table(items: Sequence[Measurement]) -> Table:
    """A row for each measurement; nothing where nothing was measured."""
    found = Table(title="measurements, the newest last; weights and memory in bits",
                  title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("when", "network", "board", "lowering", "status", "LCs", "LUT4", "FF", "EBR",
                  "MHz", "path ns", "weights", "memory", "s"):
        left = title in ("when", "network", "board", "lowering", "status")
        found.add_column(title, justify="left" if left else "right", no_wrap=True)
    for item in items:
        path = item.critical_path
        found.add_row(
            time.strftime("%Y-%m-%d %H:%M", time.localtime(item.finished)), item.network[:8],
            item.board, item.lowering, item.status,
            *(_number(value) for value in (item.lc, item.lut4, item.ff, item.ebr)),
            _number(item.fmax_mhz, ".1f"), _number(path and path.ns, ".1f"),
            _number(item.weight_memory), _number(item.memory_bits),
            _number(sum(item.seconds.values()) if item.seconds else None, ".0f"))
    return found


def _number(value: float | None, form: str = ",") -> str:
    return "" if value is None else format(value, form)
