"""Accuracy on crossbars against what is wrong with them, as they are and repaired.

Sweeps go through one point, the array as it is built (`sim.crossbar.effects.as_built`), along one
axis each: all else stays. Each point is a number of chips, the same draws at every point.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import structs
from rich.table import Table

from ...flow import ir
from ...flow.cim import devices
from ...flow.cim.array import Array
from ...flow.cim.settings import array_of
from ...flow.cim.shapes import of_graph
from ...flow.errors import ConfigError, unknown
from ...flow.passes.compile import compile_graph
from ...flow.run import Run
from ...sim.crossbar import network, report
from ...sim.crossbar.effects import Effects, as_built
from ...sim.crossbar.repair import NAMES, Repair
from ...sim.images import shaped
from ..pictures import Curve, Line
from ..study import Points, Sheet, keep

WHAT = "accuracy on RRAM crossbars against variation, ADC bits, crossbar size and wires"
DRAWS = 20
COLUMNS = (("sweep", ""), ("value", "g"), ("repair", ""), ("mean", ".2%"), ("sd", ".2%"),
           ("draws", "d"), ("images", "d"), ("ideal", ".2%"))


@dataclass(frozen=True)
class Sweep:
    """One axis: values, and what each makes of the array and what is wrong with it."""

    title: str
    label: str
    values: tuple[float, ...]
    apply: Callable[[Array, Effects, float], tuple[Array, Effects]]
    log: bool = False


def _bits(array: Array, effects: Effects, value: float) -> tuple[Array, Effects]:
    return structs.replace(array, adc_bits=int(value)), structs.replace(effects,
                                                                        adc_bits=int(value))


SWEEPS = {
    "variation": Sweep("variation of programming", "standard deviation of a cell's conductance",
                       (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4),
                       lambda array, effects, value: (
                           array, structs.replace(effects, variation=value))),
    "adc_bits": Sweep("converters", "bits", (2, 3, 4, 5, 6, 8), _bits),
    "size": Sweep("crossbar size", "rows and columns", (16, 32, 64, 128, 256),
                  lambda array, effects, value: (
                      structs.replace(array, rows=int(value), cols=int(value)), effects), log=True),
    "wire": Sweep("wires", "ohm between two cells of a column", (0.0, 1.0, 2.0, 5.0, 10.0, 20.0),
                  lambda array, effects, value: (structs.replace(array, r_col=value), effects)),
}


def configure(parser) -> None:
    add = parser.add_argument
    add("--sweep", default="all", metavar="NAME[,NAME...]",
        help=f"{', '.join(SWEEPS)} or all (default: all)")
    add("--draws", type=int, default=DRAWS, metavar="N", help="chips a point (default: 20)")
    add("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    add("--count", type=int, metavar="N", help="the first N test images (default: all)")
    add("--array", metavar="FILE",
        help="the array: a TOML file (default: what the run's search chose, or SpikeSim's 64 x 64)")
    add("--set", action="append", metavar="KEY=VALUE",
        help="a setting of the array over those of --array; again for more")
    add("--variation", type=float, metavar="S",
        help="sigma of programming where it is not swept (default: the device's)")
    add("--repair", default="adc,gain", metavar="NAME[,NAME...]",
        help=f"the second line: {', '.join(NAMES)}, or none (default: adc,gain)")


def run(args, out) -> int:
    import matplotlib  # noqa: F401, what is not installed is said before anything is measured

    chosen = _sweeps(args.sweep)
    opened = Run.open(args.run)
    array = array_of(opened, args.array and Path(args.array), args.set or ())
    known = devices.preset(array.technology) if array.technology in devices.presets() else None
    variation = args.variation if args.variation is not None else known and known.variation
    if variation is None:
        raise ConfigError(f"--variation must be given with {array.technology}, whose cells' is not "
                          "known")
    effects = as_built(array, variation).check()
    names = [word.strip() for word in args.repair.split(",") if word.strip()]
    repair = None if names == ["none"] else Repair(names=tuple(names)).check()
    if not 0 <= args.seed < 1 << 32:
        raise ConfigError(f"--seed must be in 0..{(1 << 32) - 1}, not {args.seed}")
    graph = compile_graph(opened.graph())
    count = len(opened.samples()[0]) if args.count is None else args.count
    images, labels = opened.first_samples("--count", count)
    calibration = opened.calibration()
    work = Work(graph, shaped(graph, images, str(opened.samples_file)), labels,
                shaped(graph, calibration[0], str(opened.calibration_file)), calibration[1],
                args.draws, args.seed)
    folder = opened.path / "study" / "crossbar"
    points = Points(folder / "points.json")
    found: dict[str, list] = {}
    try:
        for name in chosen:
            for value in SWEEPS[name].values:
                for fix in [None, repair] if repair else [None]:
                    settings = SWEEPS[name].apply(array, effects, value)
                    with out.progress.status(f"{name} {value:g}{', repaired' if fix else ''}"):
                        key = work.key(*settings, fix)
                        found.setdefault(name, []).append((value, fix, points.find(
                            key, lambda s=settings, f=fix: work.measure(*s, f))))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"finished points are in {points.path}; run the same command "
                                "again to go on") from None
    rows = [(name, value, "" if fix is None else " ".join(fix.names), item["mean"], item["std"],
             args.draws, len(images), item["ideal"])
            for name in chosen for value, fix, item in found[name]]
    title = (f"{opened.path.name}: {len(images):,} test images, {args.draws} chips a point; "
             f"{_described(array, variation)}")
    digital = [layer.name for layer in of_graph(graph).layers if layer.digital]
    title += f"; digital and exact: {', '.join(digital)}" if digital else ""
    files = [str(points.path), *keep(
        folder, "curves", [Sheet("curves", title, COLUMNS, tuple(rows))],
        [_curve(name, found[name], repair) for name in chosen], title, "accuracy")]
    data = {"sweeps": {name: [{"value": value, "repair": list(fix.names) if fix else [], **item}
                              for value, fix, item in found[name]] for name in chosen},
            "array": msgspec.to_builtins(array), "effects": msgspec.to_builtins(effects),
            "draws": args.draws, "seed": args.seed, "images": len(images), "digital": digital,
            "measured": points.measured, "files": files}
    out.result(data, *[_text(name, found[name], repair) for name in chosen],
               f"{title}; ideal {rows[0][-1]:.2%}", *files)
    return 0


@dataclass(frozen=True)
class Work:
    """What every point is measured on."""

    graph: ir.Graph
    images: np.ndarray
    labels: np.ndarray
    calibration: np.ndarray
    known: np.ndarray
    draws: int
    seed: int

    def key(self, array: Array, effects: Effects, repair: Repair | None) -> dict:
        """All that a point depends on."""
        held = hashlib.sha256()
        for part in (self.images, self.labels, self.calibration, self.known):
            held.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
        return {"design": self.graph.digest(), "images": held.hexdigest()[:16],
                "array": msgspec.to_builtins(array), "effects": msgspec.to_builtins(effects),
                "repair": repair and msgspec.to_builtins(repair), "draws": self.draws,
                "seed": self.seed}

    def measure(self, array: Array, effects: Effects, repair: Repair | None) -> dict:
        ranges = network.calibrate(self.graph, self.calibration, array, effects.nominal)
        fit = repair and repair.fitter(self.calibration, self.known)
        found = report.measure(self.graph, self.images, self.labels, array, effects,
                               draws=self.draws, seed=self.seed, ranges=ranges, repair=fit)
        return {"ideal": found.ideal, "mean": found.mean, "std": found.std,
                "accuracy": list(found.accuracy),
                "layers": {item.name: {"own": item.own, "total": item.total}
                           for item in found.layers}}


def _sweeps(text: str) -> list[str]:
    names = [word.strip() for word in text.split(",") if word.strip()]
    if names == ["all"]:
        return list(SWEEPS)
    for name in names:
        if name not in SWEEPS:
            raise ConfigError("--sweep: " + unknown("sweep", name, [*SWEEPS, "all"]))
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"--sweep must be different ones of {', '.join(SWEEPS)}, or all, not "
                          f"{text!r}")
    return names


def _lines(items: list, repair: Repair | None) -> list[Line]:
    out = []
    for fix, label in ((None, "as it is"), (repair, _fixed(repair)))[:2 if repair else 1]:
        own = [item for _, found, item in items if found == fix]
        out.append(Line(label, tuple(item["mean"] for item in own),
                        tuple(item["std"] for item in own)))
    return out


def _fixed(repair: Repair | None) -> str:
    return f"repaired: {', '.join(repair.names)}" if repair else ""


def _curve(name: str, items: list, repair: Repair | None) -> Curve:
    sweep = SWEEPS[name]
    return Curve(title=sweep.title, x_label=sweep.label, x=sweep.values, log=sweep.log,
                 ticks=sweep.values, lines=tuple(_lines(items, repair)),
                 level=("ideal", items[0][2]["ideal"]))


def _text(name: str, items: list, repair: Repair | None) -> Table:
    out = Table(title=f"{SWEEPS[name].title}: accuracy, mean and standard deviation",
                title_justify="left")
    lines = _lines(items, repair)
    out.add_column(SWEEPS[name].label, justify="right")
    for line in lines:
        out.add_column(line.label, justify="right")
    for number, value in enumerate(SWEEPS[name].values):
        out.add_row(f"{value:g}", *(f"{line.mean[number]:.2%} ± {line.std[number]:.2%}"
                                    for line in lines))
    return out


def _described(array: Array, variation: float) -> str:
    """The point that all sweeps go through."""
    return (f"{array.rows} x {array.cols} cells of {array.cell_bits} bit"
            f"{'s' if array.cell_bits > 1 else ''}, {array.encoding}, {array.adc_bits}-bit ADC, "
            f"variation {variation:g}, {array.r_col:g} ohm")
