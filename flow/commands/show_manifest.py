"""``spikeloom show manifest``: what made a run, and with what."""

from msgspec import to_builtins
from rich.table import Table

from .. import manifest
from ..output import Wide
from ..run import Run

#: Digits of a hash that are shown; --json has all.
SHORT = 12


def show(args, out) -> None:
    """Commands, then seeds, data and programs."""
    opened = Run.open(args.run)
    found = manifest.read(opened.path)
    out.result({"run": str(opened.path), **to_builtins(found)}, *tables(found))


def summary(found: manifest.Manifest) -> str:
    """One line for reports."""
    if not found.commands:
        return "no command has been recorded for this run"
    made = ", ".join(f"{item.command} {item.seconds:,.1f} s" + (
        f" (exit code {item.exit})" if item.exit else "") for item in found.commands)
    return f"made by {made}; 'spikeloom show manifest' has versions, seeds and data"


def tables(found: manifest.Manifest) -> list:
    """For people."""
    if not found.commands:
        return [summary(found)]
    commands = Table(title="commands", title_justify="left")
    for column in ("began (UTC)", "command", "seconds", "exit", "with", "seeds"):
        commands.add_column(column, justify="right" if column in ("seconds", "exit") else "left")
    for item in found.commands:
        commands.add_row(
            item.began.partition("+")[0].replace("T", " "),
            _line(item), f"{item.seconds:,.1f}",
            str(item.exit), item.environment,
            ", ".join(f"{name} {_range(values)}" for name, values in item.seeds.items()))
    held = [commands]
    data = {(name, split, subset.samples, subset.sha256) for item in found.commands
            for name, splits in item.data.items() for split, subset in splits.items()}
    if data:
        table = Table("data set", "split", "samples", "SHA-256", title="data", title_justify="left")
        for name, split, samples, digest in sorted(
                data, key=lambda row: (row[0], manifest.SPLITS.index(row[1]), *row[2:])):
            table.add_row(name, split, f"{samples:,}", digest[:SHORT])
        held.append(table)
    lines = []
    for key, one in found.environments.items():
        commit = "" if one.commit is None else f", commit {one.commit[:SHORT]}" + (
            " with changes" if one.modified else "")
        lines.append(f"{key}: spikeloom {one.spikeloom}{commit}, {one.python}, {one.platform}; "
                     + ", ".join(f"{name} {version}" for name, version in one.packages.items()))
    tools = {text for item in found.commands for text in item.tools.values()}
    return [*map(Wide, held), *lines, *([f"tools: {', '.join(sorted(tools))}"] if tools else [])]


def _line(item: manifest.Command) -> str:
    """How it was called; `nas` is a function."""
    if item.command == "nas":
        return f"nas({', '.join(item.arguments)})"
    return " ".join(["spikeloom", item.command, *item.arguments])


def _range(values: list[int]) -> str:
    """Seeds in short: ``1``, ``0..4``, ``1, 5``."""
    if len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]}..{values[-1]}"
    return ", ".join(map(str, values))
