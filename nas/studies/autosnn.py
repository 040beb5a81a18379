"""AutoSNN's study of what networks of blocks are made of, on any data set of images.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022, section 4 and
appendix: global average pooling or none, how maps are halved, which block is everywhere, and a
regulariser of spikes; where asked for, published networks. One thing at a time differs from SNN_1.
With --space, random networks of a space; with --lambdas, one super-network searched with fitnesses
that weigh spikes differently.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from ...flow.errors import ConfigError, unknown
from ...flow.output import Output, counted
from .. import datasets, published
from ..blocks import block, fronts, named, spaces, trials
from ..blocks.macro import DOWNS, Macro
from ..cells import asked
from ..cells.trials import begun, measured, spread
from ..pictures import Bars, Line
from ..study import Sheet, keep

WHAT = "what networks of blocks are made of: pooling, down-sampling, blocks, a spike regulariser"
COLUMNS = (("varied", ""), ("is", ""), ("weights", ",.0f"), ("accuracy", ".2%"), ("sd", ".2%"),
           ("spikes/image", ",.0f"), ("sd of spikes", ",.0f"), ("firing rate", ".2%"))
EFFECTS = (("varied", ""), ("is", ""), ("for", ""), ("accuracy", "+.2%"), ("low", "+.2%"),
           ("high", "+.2%"), ("spikes/image", "+,.0f"), ("low of spikes", "+,.0f"),
           ("high of spikes", "+,.0f"), ("seeds", "d"))
#: What is varied; the first value of each is that of SNN_1.
POOLING, DOWN, BLOCK, REGULARISER, NETWORK = (
    "global pooling", "down-sampling", "block", "lambda_reg", "network")
VARIED = (POOLING, DOWN, BLOCK, REGULARISER)
#: The blocks of the paper's study.
NORMAL = ("scb_k3", "srb_k3", "sib_k3_e1", "sib_k3_e3")


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    trials.configure(parser)
    add("--varied", default=",".join(name.replace(" ", "-") for name in VARIED),
        metavar="NAME[,NAME...]", help=f"what is varied; {NETWORK} is known, too (default: "
                                        "%(default)s)")
    add("--networks", default="snn-1,autosnn", metavar="NAME[,NAME...]",
        help=f"published ones, with --varied {NETWORK}: {', '.join(named.published())} (default: "
             "%(default)s)")
    add("--blocks", default=",".join(NORMAL), metavar="NAME[,NAME...]",
        help=f"that are compared, the first one the block of all other rows; of "
             f"{', '.join(block.KNOWN)} (default: %(default)s)")
    add("--regularisers", default="0.01,0.1,1", metavar="X[,X...]",
        help="of the firing rate in the loss, beside 0 (default: %(default)s)")
    spaces.configure(parser)
    fronts.configure(parser)


@dataclass(frozen=True)
class Row:
    """A network that differs from the first of what is varied in one thing."""

    varied: str
    level: str
    blocks: tuple[str, ...]
    macro: tuple[tuple[str, object], ...] = ()
    lambda_reg: float = 0.0

    def key(self, bed: trials.Trials, seed: int) -> dict:
        return bed.train(self.sized(bed.macro), self.blocks, seed, self.lambda_reg)

    def sized(self, macro: Macro) -> Macro:
        return structs.replace(macro, **dict(self.macro))


def run(args: Namespace, out: Output) -> int:
    if args.space is not None and args.lambdas is not None:
        raise ConfigError("--space and --lambdas must be asked for one at a time")
    if args.space is not None:
        return spaces.run(args, out)
    if args.lambdas is not None:
        return fronts.run(args, out)
    seeds, rows = asked.seeds(args), _rows(args)
    bed = trials.trials(args)
    for row in rows:
        row.sized(bed.macro).check("study")
    folder, points = begun(args, "autosnn")
    keys = [row.key(bed, seed) for row in rows for seed in seeds]
    found = measured(points, keys, trials.trained, "training", args, out)
    each = {row: found[k * len(seeds):(k + 1) * len(seeds)] for k, row in enumerate(rows)}
    title = (f"Networks of blocks: {bed.sizes}; {bed.recipe}, {counted(args.seeds, 'seed')}")
    sheets = [Sheet("autosnn", f"{title}\n{datasets.described(args.data)}", COLUMNS, tuple(
                  _row(row, bed.macro, each[row]) for row in rows)),
              Sheet("effects", "What a change does, seed by seed, with 95 % intervals by Student's "
                    "t", EFFECTS, tuple(_effects(rows, each))),
              published.sheet("autosnn")]
    files = [str(points.path),
             *keep(folder, "autosnn", sheets, _panels(rows, each), title, "")]
    data = {"rows": sheets[0].plain(), "effects": sheets[1].plain(),
            "published": sheets[2].plain(), "measured": points.measured,
            "trained": [{"varied": row.varied, "is": row.level, "seed": seed, **item}
                        for row in rows for seed, item in zip(seeds, each[row])], "files": files}
    out.result(data, *(sheet.text() for sheet in sheets), title, *files)
    return 0


def _rows(args: Namespace) -> list[Row]:
    """The rows that are asked for; ConfigError for what is no block, number or thing to vary."""
    names = asked.split(args.blocks, "--blocks", "blocks")
    for name in names:
        block.check(name, "--blocks")
    words = asked.split(args.varied, "--varied", "things to vary")
    known = {name.replace(" ", "-"): name for name in (*VARIED, NETWORK)}
    if wrong := [word for word in words if word not in known]:
        raise ConfigError(f"--varied must be of {', '.join(known)}, not {wrong[0]}")
    first = (names[0],)
    found = {POOLING: [Row(POOLING, "none", first),
                       Row(POOLING, "on", first, (("global_pooling", True),))],
             DOWN: [Row(DOWN, down, first, (("down", down),)) for down in DOWNS],
             BLOCK: [Row(BLOCK, name, (name,)) for name in names],
             REGULARISER: [Row(REGULARISER, f"{value:g}", first, lambda_reg=value)
                           for value in (0.0, *_regularisers(args.regularisers))],
             NETWORK: [_published(name) for name in asked.split(args.networks, "--networks",
                                                                "published networks")]}
    return [row for word in words for row in found[known[word]]]


def _published(name: str) -> Row:
    if name not in named.published():
        raise ConfigError("--networks: " + unknown("network of blocks", name, named.published()))
    item = named.published()[name]
    return Row(NETWORK, name, block.parse(item.blocks), tuple(item.macro.items()))


def _regularisers(text: str) -> list[float]:
    rule = f"--regularisers must be different numbers above 0, not {text!r}"
    try:
        found = [float(word) for word in asked.split(text, "--regularisers", "numbers above 0")]
    except ValueError as error:
        raise ConfigError(rule) from error
    if len(set(found)) < len(found) or not all(0 < value < float("inf") for value in found):
        raise ConfigError(rule)
    return found


def _values(items: Sequence[dict], name: str) -> list[float | None]:
    return [item[name] for item in items]


def _row(row: Row, macro: Macro, items: Sequence[dict]) -> tuple:
    return (row.varied, row.level, row.sized(macro).weights(row.blocks),
            *spread(_values(items, "accuracy")), *spread(_values(items, "spikes")),
            spread(_values(items, "firing_rate"))[0])


def _effects(rows: Sequence[Row], each: dict[Row, list[dict]]) -> list[tuple]:
    """Every row against the first one of what is varied there."""
    found = []
    for varied in dict.fromkeys(row.varied for row in rows):
        first, *others = [row for row in rows if row.varied == varied]
        for row in others:
            accuracy, spikes = (trials.paired(_values(each[row], name), _values(each[first], name))
                                for name in ("accuracy", "spikes"))
            seeds = sum(None not in pair for pair in zip(_values(each[row], "accuracy"),
                                                         _values(each[first], "accuracy")))
            found.append((varied, row.level, first.level, *accuracy, *spikes, seeds))
    return found


def _panels(rows: Sequence[Row], each: dict[Row, list[dict]]) -> list[Bars]:
    """Accuracy and spikes, side by side for each thing that is varied."""
    panels = []
    for varied in dict.fromkeys(row.varied for row in rows):
        own = [row for row in rows if row.varied == varied]
        for name, label in (("accuracy", "accuracy"), ("spikes", "spikes per image")):
            values = [spread(_values(each[row], name)) for row in own]
            line = Line(varied, tuple(float("nan") if mean is None else mean for mean, _ in values),
                        std=tuple(sd or 0.0 for _, sd in values))
            panels.append(Bars(varied, tuple(row.level for row in own), (line,),
                               percent=name == "accuracy", y_label=label))
    return panels
