"""What an array's faults cost: accuracy over draws, and how far off each layer's currents are."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
from rich.table import Table

from ...flow import ir
from ...flow.cim.array import Array
from ...flow.cim.devices import States
from ...flow.errors import ConfigError
from .. import reference
from .adc import lossless_bits
from .effects import Effects
from .network import Chip, program

#: More draws say nothing new.
MOST_DRAWS = 10_000


@dataclass(frozen=True)
class LayerError:
    """Of one layer on crossbars, over all draws; errors are of its integer currents.

    own: their root mean square, relative to that of the exact currents for what reached the layer;
    total: relative to those of the ideal network, so with what earlier layers did wrong.
    full_scale: of the converters in counts, None for ideal ones; most: the largest count that they
    saw, most_possible what digits can add up to, lossless_bits the width that tells these apart.
    histogram: conversions of the first draw by counts.
    """

    name: str
    own: float
    total: float
    full_scale: float | None
    most: float
    most_possible: int
    lossless_bits: int
    histogram: list[int] = field(repr=False)


@dataclass(frozen=True)
class Measured:
    """Accuracy of draws in 0..1, mean and standard deviation (0 of one draw), and of the ideal
    network; digital: layers that are not on crossbars; not_ideal: names of what is wrong.
    """

    images: int
    ideal: float
    accuracy: tuple[float, ...]
    mean: float
    std: float
    layers: tuple[LayerError, ...]
    digital: tuple[str, ...]
    not_ideal: tuple[str, ...]
    seed: int
    seconds: float

    def data(self) -> dict:
        """Plain values, as JSON has them."""
        return asdict(self)


def measure(graph: ir.Graph, inputs: np.ndarray, labels: np.ndarray, array: Array | None = None,
            effects: Effects | None = None, *, draws: int = 1, seed: int = 0,
            table: States | None = None, ranges: Mapping[str, float] | None = None,
            repair: Callable[[Chip], Chip] | None = None) -> Measured:
    """Run a batch on `draws` chips, and compare with the reference model.

    repair: what each chip is given before it is run (`repair.Repair.fitter`). Where nothing is
    random all draws are one, and only that is run. Raises as `network.program`, ConfigError for a
    number of draws that is not in 1..MOST_DRAWS.
    """
    if not 1 <= draws <= MOST_DRAWS:
        raise ConfigError(f"draws must be in 1..{MOST_DRAWS:,}, not {draws}")
    start = time.monotonic()
    effects = effects or Effects()
    ideal = reference.run(graph, inputs, trace=True)
    wanted = {synapses.name: current for (synapses, _), current
              in zip(graph.layers, ideal.current, strict=True)}
    accuracy, errors = [], {}
    for draw in range(draws if effects.random else 1):
        chip = program(graph, array, effects, seed=seed, draw=draw, table=table, ranges=ranges)
        chip = repair(chip) if repair else chip
        found = _run(chip, inputs, wanted, errors)
        accuracy.append(float((found.classes == labels).mean()))
        if not draw:
            first, seen = chip, chip.watch()
            chip.run(inputs, seen=seen)
    layers = []
    for name, item in first.layers.items():
        own, total, exact, whole = errors[name]
        layers.append(LayerError(
            name=name, own=_relative(own, exact), total=_relative(total, whole),
            full_scale=item.full_scale, most=max(seen[name].most, 0.0),
            most_possible=item.digits.most, lossless_bits=lossless_bits(item.digits.most),
            histogram=seen[name].histogram()))
    return Measured(
        images=len(inputs), ideal=float((ideal.classes == labels).mean()),
        accuracy=tuple(accuracy), mean=float(np.mean(accuracy)),
        std=float(np.std(accuracy, ddof=1)) if len(accuracy) > 1 else 0.0, layers=tuple(layers),
        digital=tuple(dense.name for dense, _ in graph.layers if dense.name not in first.layers),
        not_ideal=effects.on + (("states of a table",) if table else ()), seed=seed,
        seconds=time.monotonic() - start)


def _run(chip: Chip, inputs: np.ndarray, wanted: Mapping[str, np.ndarray], errors: dict
         ) -> reference.Trace:
    """One draw; adds each layer's squares of errors and of what they are relative to."""
    def currents(node, x):
        found = chip.layers[node.name].currents(x)
        exact = reference.product(x, reference.effective_weights(node), node)
        squares = [float(np.square(a, dtype=np.float64).sum()) for a in (
            found - exact, found - wanted[node.name], exact, wanted[node.name])]
        errors[node.name] = np.add(errors.get(node.name, 0), squares)
        return found

    return reference.run(chip.graph, inputs, synapses=currents)


def _relative(error: float, of: float) -> float:
    return float(np.sqrt(error / of)) if of else float(error > 0)


def tables(measured: Measured) -> list:
    """Accuracy and the errors of layers, to print."""
    title = (f"{measured.mean:.2%} of {measured.images:,} images right"
             + (f", standard deviation {measured.std:.2%} over {len(measured.accuracy)} draws"
                if len(measured.accuracy) > 1 else "")
             + f"; {measured.ideal:.2%} by the reference model")
    table = Table(title=title, title_justify="left")
    for column in ("layer", "own error", "with earlier layers", "largest count",
                   "counts possible", "lossless ADC bits", "full scale"):
        table.add_column(column, justify="right" if column != "layer" else "left")
    for item in measured.layers:
        table.add_row(item.name, f"{item.own:.2%}", f"{item.total:.2%}", f"{item.most:.4g}",
                      str(item.most_possible), str(item.lossless_bits),
                      "ideal" if item.full_scale is None else f"{item.full_scale:.4g}")
    lines = [_conversions(item) for item in measured.layers]
    lines += ["errors are root mean squares of integer currents, relative to the exact ones for "
              "the same inputs, and to the ideal network's",
              f"not ideal: {', '.join(measured.not_ideal) or 'nothing'}"]
    if measured.digital:
        lines.append(f"digital and exact: {', '.join(measured.digital)}")
    return [table, *lines]


def _conversions(item: LayerError) -> str:
    """What a layer's converters see, in a line."""
    seen = np.array(item.histogram)
    running = np.cumsum(seen[1:])
    if not len(running):
        return f"{item.name}: all {seen.sum():,} conversions are of 0 counts"
    half, most = (1 + int(np.searchsorted(running, share * running[-1])) for share in (0.5, 0.999))
    return (f"{item.name}: {seen[0] / seen.sum():.0%} of {seen.sum():,} conversions are of 0 "
            f"counts, half of the others of at most {half}, all but 0.1 % of at most {most}")
