"""Accuracy of cells over the bits of their weights, and whether scores of rounded weights agree.

Weights are codes times a power of two for each layer, or in NeuroNAS's fixed format Q1.(n-1)
(R. V. W. Putra and M. Shafique, 2024; `nas.cells.quantiser`): rounded after training, or with the
quantiser in the loop. QaFE scores networks of rounded weights; what it ranks is compared with the
score of the same networks in float.
"""

import math
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from ...flow.errors import ConfigError
from ...flow.output import Output, counted
from .. import published, ranking
from ..cells import named, trials
from ..cells.cell import Cell
from ..cells.macro import Macro
from ..cells.quantiser import MAX_BITS, MIN_BITS, SCALES
from ..cells.trials import Trials
from ..pictures import Curve, Line
from ..study import Points, Sheet, keep

WHAT = "accuracy of cells, and agreement of their scores, over the bits of their weights"
BITS = (4, 5, 6, 8, 16)
AFTER, DURING = "rounded after training", "quantiser in the loop"
ACCURACY = (("weights", ""), ("format", ""), ("bits", "d"), ("accuracy", ".2%"), ("sd", ".2%"),
            ("against float", "+.2%"), ("trainings", "d"))
RANKS = (("format", ""), ("bits", "d"), ("tau", ".3f"), ("low", ".3f"), ("high", ".3f"),
         ("without a score", "d"), ("networks", "d"), ("weights at 0", ".1%"))
#: What formats are called.
FORMATS = {"power_of_two": "power of two", "fixed": "fixed Q1.(n-1)"}


def configure(parser: ArgumentParser) -> None:
    add = parser.add_argument
    trials.configure(parser, data="cifar10-small", seeds=2)
    add("--cells", default="3|13|131", metavar="TEXT",
        help="the network that is trained: a text of one cell or of one for each place, the name "
             "of a published one, or RUN:ID (default: %(default)s)")
    add("--bits", default=",".join(map(str, BITS)), metavar="N[,N...]",
        help=f"of weights, each in {MIN_BITS}..{MAX_BITS} (default: %(default)s)")
    add("--formats", default=",".join(SCALES), metavar="NAME[,NAME...]",
        help="power_of_two, fixed, or both (default: %(default)s)")
    add("--networks", type=int, default=24, metavar="N",
        help="random cells whose scores are compared, 0 for none (default: %(default)s)")
    add("--rank-channels", type=int, default=64, metavar="N",
        help="channels of those, with which a fixed format loses small weights as in networks of "
             "the papers' size (default: %(default)s)")
    add("--rank-image-size", type=int, default=8, metavar="N",
        help="rows and columns that those see (default: %(default)s)")
    trials.configure_training(parser)


def run(args: Namespace, out: Output) -> int:
    seeds, bits, formats = trials.seeds(args), _bits(args.bits), _formats(args.formats)
    bed = trials.trials(args, args.data)
    cells = list(map(str, bed.macro.all_of(named.cells_by(args.cells))))
    ranked = _ranked(args, bed)
    folder, points = trials.begun(args, "precision")
    rows, panels, title = _accuracies(args, out, bed, cells, folder, points, seeds, bits, formats)
    sheets = [Sheet("accuracy", f"Accuracy over bits, mean over "
                    f"{counted(args.seeds, 'seed')}: {bed.recipe}",
                    ACCURACY, tuple(rows))]
    if args.networks:
        keys = [{"images": bed.digest, "data": bed.data.name, "macro": structs.asdict(ranked),
                 "networks": args.networks, "bits": n, "scale": scale, "settings": trials.BATCH}
                for scale, n in [(None, None), *((scale, n) for scale in formats for n in bits)]]
        whole, *others = trials.measured(points, keys, scored, "scoring", args, out)
        found = [(FORMATS[key["scale"]], key["bits"], *_tau(item["scores"], whole["scores"]),
                  item["scores"].count(None), args.networks, item["zeros"])
                 for key, item in zip(keys[1:], others)]
        sheets.append(Sheet("ranks", f"QaFE against the score of the same {args.networks} random "
                            f"cells in float: Kendall tau, {ranking.LEVEL:.0%} interval over "
                            f"cells; {bed.data.name}, {ranked.image_size} x {ranked.image_size}, "
                            f"{ranked.channels} channels", RANKS, tuple(found)))
        panels.append(_curve_of_ranks(found, bits, formats, args, ranked))
    sheets.append(published.sheet("precision"))
    files = [str(points.path), *keep(folder, "precision", sheets, panels, title, "")]
    data = {sheet.name: sheet.plain() for sheet in sheets}
    out.result({**data, "measured": points.measured, "files": files},
               *(sheet.text() for sheet in sheets), title, *files)
    return 0


def _accuracies(args: Namespace, out: Output, bed: Trials, cells: list[str], folder: Path,
                points: Points, seeds: range, bits: Sequence[int], formats: Sequence[str]
                ) -> tuple[list, list, str]:
    """Rows of the first table, their curves, and the picture's title."""
    kept = folder / "float"
    floats = [bed.train(cells, seed) for seed in seeds]
    places = [(scale, n, seed) for scale in formats for n in bits for seed in seeds]
    loop = [bed.train(cells, seed, weight_bits=n, scale=scale) for scale, n, seed in places]
    after = [{"float": bed.train(cells, seed), "after": {"bits": n, "scale": scale}}
             for scale, n, seed in places]
    whole = [item["accuracy"] for item in trials.measured(
        points, floats, trials.in_folder(trials.trained, kept), "training in float", args, out)]
    rounded = trials.measured(points, after, trials.in_folder(trials.rounded, kept), "rounding",
                              args, out)
    trained = trials.measured(points, loop, trials.trained, "training", args, out)
    mean, sd = trials.spread(whole)
    rows: list[tuple] = [("float", "float", None, mean, sd, None, _count(whole))]
    lines = []
    for what, found in ((AFTER, rounded), (DURING, trained)):
        for scale in formats:
            own = [[item["accuracy"] for place, item in zip(places, found)
                    if place[:2] == (scale, n)] for n in bits]
            spreads = [trials.spread(values) for values in own]
            rows += [(what, FORMATS[scale], n, *found, trials.spread(
                [None if a is None or b is None else a - b for a, b in zip(values, whole)])[0],
                _count(values)) for n, values, found in zip(bits, own, spreads)]
            lines.append(Line(f"{what}, {FORMATS[scale]}",
                              tuple(math.nan if value is None else value for value, _ in spreads),
                              tuple(value or 0.0 for _, value in spreads)))
    title = (f"Bits of weights: cells {args.cells}, {bed.sizes}, "
             f"{counted(args.seeds, 'seed')}; {bed.recipe}")
    level = None if mean is None else ("float", mean)
    return rows, [Curve("accuracy", "bits of a weight", tuple(map(float, bits)), tuple(lines),
                        level=level, ticks=tuple(map(float, bits)),
                        y_label="accuracy on validation images")], title


def scored(key: dict) -> dict:
    """Scores of random networks, None where one has none, in float or of rounded weights; with the
    share of all weights of convolutions that are 0 after rounding.
    """
    from .. import datasets, scores
    from ..cells.network import CellNetwork
    from ..cells.pixels import maps
    from ..train import cores

    macro = msgspec.convert(key["macro"], Macro)
    settings = dict(key["settings"])
    bits, scale = key["bits"], key["scale"]
    name = "sahd" if bits is None else "qafe"
    if bits is not None:
        settings |= {"bits": bits, "scale": scale}
    count = settings["batch_size"] * settings["batches"]
    images = maps(datasets.load(key["data"]).train.inputs[:count], macro)
    score = scores.load(name)(macro, images, **settings)
    cells = ranking.cells("full")[:key["networks"]]
    with cores(1):
        found = [score.score([cell]) for cell in cells]
        zeros = total = 0
        if bits is not None:
            network = CellNetwork(macro, [Cell(("conv3x3",) * 6)], weight_bits=bits, scale=scale)
            for weight in network.weights().values():
                if weight.ndim == 4:
                    zeros, total = zeros + int((weight == 0).sum()), total + weight.numel()
    return {"scores": [value if math.isfinite(value) else None for value in found],
            "zeros": zeros / total if total else None}


def _tau(scores: Sequence[float | None], whole: Sequence[float | None]
         ) -> tuple[float | None, ...]:
    """Agreement of two rankings, and its interval; None where all are alike."""
    own, other = ([math.nan if value is None else value for value in values]
                  for values in (scores, whole))
    tau = ranking.tau(own, ranking.ranked(other))
    return (None,) * 3 if math.isnan(tau) else (tau, *ranking.interval(own, ranking.ranked(other)))


def _curve_of_ranks(found: Sequence[tuple], bits: Sequence[int], formats: Sequence[str],
                    args: Namespace, macro: Macro) -> Curve:
    lines = []
    for scale in formats:
        own = [[math.nan if value is None else value for value in row[2:5]] for row in found
               if row[0] == FORMATS[scale]]
        lines.append(Line(FORMATS[scale], *(tuple(column) for column in list(zip(*own))[:1]),
                          low=tuple(row[1] for row in own), high=tuple(row[2] for row in own)))
    return Curve(f"QaFE against float, {args.networks} random cells, {macro.channels} channels, "
                 f"{macro.image_size} x {macro.image_size}", "bits of a weight",
                 tuple(map(float, bits)), tuple(lines), ticks=tuple(map(float, bits)),
                 percent=False, y_label="Kendall tau, 95 % interval")


def _ranked(args: Namespace, bed: Trials) -> Macro:
    """The macro network of scores that are compared."""
    from ..cells.pixels import check

    most = ranking.SPACES["full"][1]
    if args.networks and not 3 <= args.networks <= most:
        raise ConfigError(f"--networks must be 0 or in 3..{most}, not {args.networks}")
    macro = structs.replace(bed.macro, channels=args.rank_channels,
                            image_size=args.rank_image_size).check("--rank-channels and "
                                                                   "--rank-image-size: macro")
    check(bed.data.shape, macro, f"--rank-image-size: images of {bed.data.name!r}")
    return macro


def _bits(text: str) -> list[int]:
    rule = f"--bits must be different numbers in {MIN_BITS}..{MAX_BITS}, not {text!r}"
    try:
        found = [int(word) for word in trials.split(text, "--bits", "numbers of bits")]
    except ValueError as error:
        raise ConfigError(rule) from error
    if len(set(found)) < len(found) or not all(MIN_BITS <= n <= MAX_BITS for n in found):
        raise ConfigError(rule)
    return sorted(found)


def _formats(text: str) -> list[str]:
    found = trials.split(text, "--formats", f"ones of {', '.join(SCALES)}")
    if not set(found) <= set(SCALES):
        raise ConfigError(f"--formats must be different ones of {', '.join(SCALES)}, not {text!r}")
    return found


def _count(values: Sequence[float | None]) -> int:
    """Trainings that did not diverge."""
    return sum(value is not None for value in values)
