"""``spikeloom train --cells``: a network of named cells, without a search, into a run directory."""

import argparse
from pathlib import Path

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...flow import config
from ...flow.errors import ConfigError
from ...flow.files import read_json
from ...flow.output import Output
from ...flow.run import Run
from .. import datasets
from ..cells import final, named
from ..cells.cell import Cell, parse
from ..cells.macro import Macro
from ..cells.pixels import check
from ..cells.recipe import CellTraining
from ..cells.settings import Cells

#: What takes the cells that the run has already.
CHOSEN = "chosen"
#: Options of ``spikeloom train`` that mean something here; the others must be left out.
TAKEN = ("data", "weight_bits", "seed", "epochs", "learning_rate", "num_steps")
#: Sections of --set.
SECTIONS = ("cells", "train")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cells", metavar="TEXT[,TEXT...]",
        help="a network of these cells, such as '3|13|333', one for all places or one for each, "
             "by the name of a published one, or RUN:ID, a candidate of a search; "
             f"{CHOSEN}: those of the network that --run has. Goes on with a training that was cut "
             f"short; takes --{', --'.join(name.replace('_', '-') for name in TAKEN)} and --set")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="with --cells: a size of the macro network (cells.channels=16, cells.image_size=16, "
             "...) or a setting of its training (train.patience=10, train.device=\"cuda\", ...); "
             "without, how recordings of events become frames (data.num_steps=32, ...)")


class _Kept(msgspec.Struct):
    """What a run says of its network of cells."""

    format: int
    cells: tuple[str, ...]
    macro: Macro


def run(args: argparse.Namespace, out: Output, parser: argparse.ArgumentParser) -> int:
    """parser: with the options of the command, which knows what they are by default."""
    _only(args, parser)
    given = _given(args.set)
    data = datasets.load(args.data)
    if data.num_steps is not None:
        raise ConfigError(f"--data must be a data set of images with --cells, not {data.name!r}, "
                          "which has events")
    opened = Run(Path(args.run))
    cells, macro = _network(args, opened, given["cells"], data)
    check(data.shape, macro, f"--set cells.image_size: images of {data.name!r}")
    settings = _settings(args, parser, given["train"])
    out.record(seeds={"first weights": [args.seed], "training": [settings.seed]}, data=data)
    opened = Run.create(opened.path)
    what = [macro, settings, [str(cell) for cell in cells], args.weight_bits, args.seed, data.name]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())
    try:
        with Progress(*columns, console=out.progress, transient=True) as progress:
            bar = progress.add_task("epochs", total=settings.epochs)

            def on_epoch(epoch, total: int) -> None:
                words = "epochs" if epoch.check is None else (
                    f"epochs ({epoch.check.accuracy:.1%} on validation)")
                progress.update(bar, completed=epoch.epoch, description=words)

            made = final.make(data, macro, cells, settings, weight_bits=args.weight_bits,
                              seed=args.seed, on_epoch=on_epoch,
                              folder=final.checkpoints_at(opened.path / "training", what))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("every finished epoch is saved; the same command goes on with it"
                                ) from None
    kept = final.save(made, opened)
    result = {"run": str(opened.path), **msgspec.to_builtins(made.result)}
    out.result(result, *made.result.sentences(), *kept)
    return 1 if made.result.stopped.startswith("diverged") else 0


def _only(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse options of networks that are not of cells."""
    default = vars(parser.parse_args([]))
    for name, value in default.items():
        given = getattr(args, name)
        if name not in (*TAKEN, "cells", "set") and given != value:
            option = f"--{name.removeprefix('neuron_').replace('_', '-')}"
            raise ConfigError(f"{option} must be left out with --cells, not {given!r}; --set has "
                              "the sizes of the macro network and the settings of its training")


def _given(changes: list[str]) -> dict[str, dict]:
    """What --set gives, by section."""
    found: dict[str, dict] = {name: {} for name in SECTIONS}
    for text in changes:
        section, key, value = config.change(text)
        if section not in SECTIONS:
            raise ConfigError(f"--set must be of {' or '.join(SECTIONS)} with --cells, not "
                              f"{section!r}")
        found[section][key] = value
    return found


def _network(args: argparse.Namespace, opened: Run, sizes: dict, data: datasets.Dataset
             ) -> tuple[tuple[Cell, ...], Macro]:
    """The cells, and the macro network around them."""
    if args.num_steps is not None:
        sizes = {"num_steps": args.num_steps, **sizes}
    channels = data.shape[0] if len(data.shape) == 3 else 1
    known = {"num_classes": data.num_classes, "in_channels": channels}
    if args.cells == CHOSEN:
        kept = read_json(opened.path / final.FILE, _Kept, 1, "cells", "search for some first")
        texts, before = kept.cells, msgspec.to_builtins(kept.macro)
    else:
        texts = tuple(map(str, named.cells_by(args.cells)))
        before = {"image_size": data.shape[-1], "channels": Cells().channels,
                  "cells": max(2, len(texts))}
    macro = config.section(Macro, {**before, **sizes, **known}, "--set", "cells").check("cells")
    return macro.all_of([parse(text) for text in texts]), macro


def _settings(args: argparse.Namespace, parser: argparse.ArgumentParser, changes: dict):
    """The recipe: --epochs, --learning-rate where it is given, and --set."""
    plain = {"epochs": args.epochs, "seed": args.seed}
    if args.learning_rate != parser.get_default("learning_rate"):
        plain["learning_rate"] = args.learning_rate
    return config.section(CellTraining, {**plain, **changes}, "--set", "train").check()
