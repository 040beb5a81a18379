"""Repair: what a chip that is not ideal is given so that its currents are right again.

Each repair is one switch; together they apply in this order:

* `remap`: weights lie around stuck cells (`remap`);
* `adc`: full scales are searched for, layer by layer, at the least error or the best accuracy;
* `gain`: codes of converters are multiplied by digital gains, fitted by least squares to the exact
  counts; what wires take is mostly gain, and a chip's own variation partly.

Layers are fitted in order: each to the inputs that it gets from repaired layers before it. Images
must be of the splits that a network may be fitted to, never those that it is scored on.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from msgspec import Struct

from ...flow.errors import ConfigError, unknown
from .. import reference
from .adc import codes
from .layer import CrossbarLayer
from .network import Chip, program
from .remap import remapped

NAMES = ("remap", "adc", "gain")
GRANULARITIES = ("column", "layer")
OBJECTIVES = ("error", "accuracy")
FITTED = ("chip", "nominal")
#: Full scales that are tried per layer, as shares of its largest count.
SHARES = np.arange(3, 33) / 32
#: The same where each is a run of the whole network.
FEW_SHARES = np.arange(3, 13) / 12
#: Numbers that a fit looks at, at most; reads of more images are thinned out evenly.
_NUMBERS = 1 << 19


class Repair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to repair, and how. gains: one per `column` of each crossbar, or one per `layer`.
    search: full scales at the least squared `error` of a layer's currents, or at the best
    `accuracy` on labelled images, ties to the least error. fitted: to each `chip`, as a test after
    it was written would, or once, before any is made, to what is `nominal` of all.
    """

    names: tuple[str, ...]
    gains: str = "column"
    search: str = "error"
    fitted: str = "chip"

    def check(self) -> "Repair":
        """Raise ConfigError for a name that is not known."""
        for name in self.names:
            if name not in NAMES:
                raise ConfigError("repair: " + unknown("repair", name, NAMES))
        for field, known in (("gains", GRANULARITIES), ("search", OBJECTIVES),
                             ("fitted", FITTED)):
            if getattr(self, field) not in known:
                raise ConfigError(f"repair.{field}: " + unknown("choice", getattr(self, field),
                                                                known))
        if not self.names:
            raise ConfigError(f"repair must be some of {', '.join(NAMES)}, not nothing")
        return self

    def fitter(self, images: np.ndarray, labels: np.ndarray | None = None
               ) -> Callable[[Chip], Chip]:
        """What repairs one chip after the other on these images; labels for `accuracy` alone.

        Raises ConfigError where the chips' effects leave nothing to repair.
        """
        self.check()
        if not len(images):
            raise ConfigError("repair must have at least one image to be fitted to, not none")
        if "adc" in self.names and self.search == "accuracy" and labels is None:
            raise ConfigError("repair.search must be error where images have no labels, not "
                              "accuracy")
        once: list[Chip] = []

        def repaired(chip: Chip) -> Chip:
            chip = remapped(chip) if "remap" in self.names else chip
            if not chip.layers or set(self.names) == {"remap"}:
                return chip
            if "adc" in self.names and chip.effects.adc_bits is None:
                raise ConfigError("repair must leave out adc where converters are ideal; give "
                                  "them adc_bits")
            if self.fitted == "chip":
                return self._fit(chip, images, labels)
            if not once:
                once.append(self._fit(nominal(chip), images, labels))
            return chip.fitted_like(once[0])

        return repaired

    def _fit(self, chip: Chip, images: np.ndarray, labels: np.ndarray | None) -> Chip:
        chip = _by_error(chip, images, self)
        if "adc" in self.names and self.search == "accuracy":
            for name in chip.layers:
                chip = _by_accuracy(chip, name, images, labels, self)
        return chip


def nominal(chip: Chip) -> Chip:
    """The chip on which nothing random has happened, its converters' ranges kept."""
    item = next(iter(chip.layers.values()))
    return program(chip.graph, chip.array, chip.effects.nominal, table=item.cells,
                   ranges={name: item.full_scale for name, item in chip.layers.items()})


def _by_error(chip: Chip, images: np.ndarray, repair: Repair) -> Chip:
    """Every layer fitted, in order, to the inputs that it gets from those before it."""
    layers = dict(chip.layers)

    def currents(node, x):
        layers[node.name] = fitted(layers[node.name], x, repair)
        return layers[node.name].currents(x)

    reference.run(chip.graph, images, synapses=currents)
    return replace(chip, layers=layers)


def fitted(item: CrossbarLayer, x: np.ndarray, repair: Repair) -> CrossbarLayer:
    """A layer whose gains and full scale, as far as the repair names them, suit these inputs."""
    driven = _driven(item, x)
    seen, exact = item.read(driven, item.reading()), driven @ item.exact_counts
    scales = [item.full_scale]
    if "adc" in repair.names:
        scales = np.unique([item.full_scale, *(max(seen.max(initial=0), 1e-6) * SHARES)])
    wanted, best = _worth(item, exact), None
    for scale in scales:
        found, gains = seen, None
        if scale is not None:
            steps = (1 << item.effects.adc_bits) - 1
            found = codes(seen, item.effects.adc_bits, scale) * (scale / steps)
        if "gain" in repair.names:
            gains = _gains(found, exact, repair.gains)
            found = found * gains
        error = np.square(_worth(item, found) - wanted).sum()
        if best is None or error < best[0]:
            best = error, scale, gains
    _, scale, gains = best
    return replace(item, full_scale=None if scale is None else float(scale), gains=gains)


def _gains(found: np.ndarray, exact: np.ndarray, of: str) -> np.ndarray:
    """Least squares of ``gain * found - exact``: [crossbars, 1, columns], 1 where nothing came."""
    axes = 1 if of == "column" else (0, 1, 2)
    power = np.square(found).sum(axes, keepdims=True)
    gains = np.divide((found * exact).sum(axes, keepdims=True), power,
                      out=np.ones_like(power), where=power > 0)
    # a column that stuck cells have turned around is better silent than subtracted
    return np.broadcast_to(np.maximum(gains, 0), (len(found), 1, found.shape[2]))


def _worth(item: CrossbarLayer, counts: np.ndarray) -> np.ndarray:
    """Sums of counts over crossbars and columns of a weight: [n, outputs]."""
    scales = np.array(item.digits.scales, np.float64)
    return counts.sum(0).reshape(counts.shape[1], -1, len(scales)) @ scales


def _driven(item: CrossbarLayer, x: np.ndarray) -> np.ndarray:
    """Reads of a layer's inputs, every bit of them one, thinned out evenly."""
    lead = x.reshape(-1, x.shape[-1])
    layer = item.digits.mapped.layer
    each = layer.places * len(item.counts) * sum(item.counts.shape[1:]) * layer.input_bits
    count = max(1, min(len(lead), _NUMBERS // each))
    rows = item.rows(lead[np.linspace(0, len(lead) - 1, count).astype(int)])
    bits = [(rows >> bit & 1).astype(np.float64) for bit in range(layer.input_bits)]
    return np.concatenate(bits, 1)


def _by_accuracy(chip: Chip, name: str, images: np.ndarray, labels: np.ndarray, repair: Repair
                 ) -> Chip:
    """The full scale of one layer at which most images are right; gains are fitted to each."""
    seen = chip.watch()
    chip.run(images, seen=seen)
    only_gain = Repair(names=("gain",), gains=repair.gains) if "gain" in repair.names else None
    best, right = chip, _right(chip, images, labels)
    for scale in max(seen[name].most, 1e-6) * FEW_SHARES:
        item = replace(chip.layers[name], full_scale=float(scale))
        tried = replace(chip, layers={**chip.layers, name: item})
        if only_gain:
            tried = _by_error(tried, images, only_gain)
        found = _right(tried, images, labels)
        if found > right:
            best, right = tried, found
    return best


def _right(chip: Chip, images: np.ndarray, labels: np.ndarray) -> int:
    return int((chip.run(images).classes == labels).sum())
