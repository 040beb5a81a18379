"""``study autosnn --space N``: how good a space is, by networks drawn from it and trained alone.

As B. Na et al., "AutoSNN", ICML 2022, judge the macro networks that a search may be of.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import numpy as np

from ...flow.errors import ConfigError, FitError, unknown
from ...flow.output import Output, counted
from .. import datasets
from ..cells import asked
from ..cells.trials import begun, measured, spread
from ..pictures import MOST_LINES, Histogram
from ..study import Sheet, keep
from . import block, trials
from .macro import Macro
from .named import published

SPACES = (("space", ""), ("networks", "d"), ("accuracy", ".2%"), ("sd", ".2%"),
          ("least", ".2%"), ("median", ".2%"), ("best", ".2%"), ("spikes/image", ",.0f"),
          ("sd of spikes", ",.0f"), ("fewest", ",.0f"), ("most", ",.0f"))
NETWORKS = (("space", ""), ("blocks", ""), ("weights", ",.0f"), ("accuracy", ".2%"),
            ("spikes/image", ",.0f"), ("firing rate", ".2%"))
MOST = 10_000


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--space", type=int, metavar="N",
        help="in place of all this, N random networks of each space: histograms of their accuracy "
             "and spikes")
    add("--spaces", default="snn-1,snn-2", metavar="NAME[,NAME...]",
        help="with --space: those of the macro networks of these published networks (default: "
             "%(default)s)")
    add("--offered", default=",".join(block.BLOCKS), metavar="NAME[,NAME...]",
        help="with --space and --lambdas: blocks of each place (default: %(default)s)")


def run(args: Namespace, out: Output) -> int:
    asked.seeds(args)
    if not 1 <= args.space <= MOST:
        raise ConfigError(f"--space must be in 1..{MOST:,} networks, not {args.space}")
    names, blocks = _names(args.spaces), offered(args)
    bed = trials.trials(args)
    macros = {name: published()[name].sized(bed.macro).check("study") for name in names}
    networks = [(name, drawn) for name, macro in macros.items()
                for drawn in draw(macro, blocks, args.space)]
    folder, points = begun(args, "autosnn-space")
    keys = [bed.train(macros[name], drawn, 0) for name, drawn in networks]
    found = measured(points, keys, trials.trained, "training", args, out)
    rows = [(name, macros[name].text(drawn), macros[name].weights(drawn), item["accuracy"],
             item["spikes"], item["firing_rate"]) for (name, drawn), item in zip(networks, found)]
    title = (f"{counted(args.space, 'random network')} of each space: {bed.sizes}; {bed.recipe}")
    sheets = [Sheet("autosnn-spaces", f"{title}\n{datasets.described(args.data)}", SPACES, tuple(
                  _row(name, [row for row in rows if row[0] == name]) for name in names)),
              Sheet("autosnn-networks", "The networks", NETWORKS, tuple(rows))]
    kinds = {name: [row for row in rows if row[0] == name and row[3] is not None]
             for name in names}
    if not any(kinds.values()):
        raise FitError(f"all {len(rows)} trainings diverged; lower --learning-rate")
    panels = [Histogram(label, label, tuple((name, tuple(row[column] for row in own))
                                            for name, own in kinds.items() if own),
                        percent=column == 3)
              for label, column in (("accuracy", 3), ("spikes per image", 4))]
    files = [str(points.path), *keep(folder, "autosnn-space", sheets, panels, title, "networks")]
    data = {"spaces": sheets[0].plain(), "networks": sheets[1].plain(),
            "measured": points.measured, "files": files}
    out.result(data, sheets[0].text(), title, *files)
    return 0


def offered(args: Namespace) -> list[str]:
    """The blocks of `--offered`."""
    found = asked.split(args.offered, "--offered", "blocks")
    for name in found:
        block.check(name, "--offered")
    return found


def draw(macro: Macro, offered: Sequence[str], count: int, seed: int = 0
         ) -> list[tuple[str, ...]]:
    """Different networks, each as likely as any other; ConfigError where there are not as many."""
    size = len(offered) ** macro.places
    if count > size:
        raise ConfigError(f"--space must be at most {size:,}, the networks of {len(offered)} "
                          f"blocks at {macro.places} places, not {count:,}")
    rng, found = np.random.default_rng(seed), {}
    while len(found) < count:
        found[tuple(offered[k] for k in rng.integers(len(offered), size=macro.places))] = None
    return list(found)


def _names(text: str) -> list[str]:
    names = asked.split(text, "--spaces", "published networks")
    for name in names:
        if name not in published():
            raise ConfigError("--spaces: " + unknown("network of blocks", name, published()))
    if len(names) > MOST_LINES:
        raise ConfigError(f"--spaces must be at most {MOST_LINES}, not {len(names)}")
    return names


def _row(name: str, rows: Sequence[tuple]) -> tuple:
    known = [row for row in rows if row[3] is not None]
    if not known:
        return (name, len(rows), *(None,) * (len(SPACES) - 2))
    accuracy, spikes = (np.array([row[column] for row in known], float) for column in (3, 4))
    return (name, len(rows), *spread(list(accuracy)), float(accuracy.min()),
            float(np.median(accuracy)), float(accuracy.max()), *spread(list(spikes)),
            float(spikes.min()), float(spikes.max()))
