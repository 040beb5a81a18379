"""Effects: what is not ideal of an array, each switched on its own, all of them off by default."""

import math
from collections.abc import Iterator

import numpy as np
from msgspec import Struct, structs

from ...flow.cim.array import MOST, Array
from ...flow.cim.devices import LAWS, States, programmed, states
from ...flow.errors import ConfigError
from ...flow.rules import Rule

IR_DROPS = ("none", "columns", "full")
FULL_SCALES = ("lossless", "calibrated")
#: Streams of random numbers of a draw: switching one effect leaves what the others draw as it was.
_STREAMS = ("variation", "stuck", "read_noise")


class Effects(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to cells, wires and converters; an effect at its default is off.

    variation: sigma of programming, by variation_law (`flow.cim.devices`). stuck_on, stuck_off:
    shares of cells that stay in their most and least conducting state whatever is written.
    drift_nu, drift_ratio: ``G(t) = G(t0) (t / t0)^-nu`` at t = drift_ratio t0, of cells that are
    not stuck (M. Le Gallo and A. Sebastian, "An overview of phase-change memory device physics",
    J. Phys. D 53, 2020). read_noise: sigma of each cell's conductance, as a share of it, anew in
    every read. ir_drop: `columns`, or `full`, which takes the array's r_row too. adc_bits: of the
    converters, None for ideal ones; full_scale: what they clip to, in counts: `lossless` takes in
    whatever digits could add up to, `calibrated` a range found per layer (`adc.full_scale`), a
    number is itself.
    """

    variation: float = 0.0
    variation_law: str = "proportional"
    stuck_on: float = 0.0
    stuck_off: float = 0.0
    drift_nu: float = 0.0
    drift_ratio: float = 1.0
    read_noise: float = 0.0
    ir_drop: str = "none"
    adc_bits: int | None = None
    full_scale: float | str = "lossless"

    def rules(self) -> Iterator[Rule]:
        for name in ("variation", "drift_nu", "read_noise"):
            yield name, 0 <= getattr(self, name) < math.inf, "0 or more and finite"
        yield "variation_law", self.variation_law in LAWS, f"one of {', '.join(LAWS)}"
        yield "stuck_on", 0 <= self.stuck_on <= 1, "in 0..1"
        yield "stuck_off", 0 <= self.stuck_off <= 1 - self.stuck_on, "in 0..1 - stuck_on"
        yield "drift_ratio", 1 <= self.drift_ratio < math.inf, "1 or more and finite"
        yield "ir_drop", self.ir_drop in IR_DROPS, f"one of {', '.join(IR_DROPS)}"
        yield ("adc_bits", self.adc_bits is None or 1 <= self.adc_bits <= MOST["adc_bits"],
               f"in 1..{MOST['adc_bits']}")
        scale = self.full_scale
        yield ("full_scale", scale in FULL_SCALES if isinstance(scale, str) else
               0 < scale < math.inf, f"{' or '.join(FULL_SCALES)}, or counts, more than 0")

    def check(self, where: str = "effects") -> "Effects":
        """Hold every field to its range; returns the effects, raises ConfigError."""
        for name, holds, text in self.rules():
            if not holds:
                raise ConfigError(f"{where}.{name} must be {text}, not {getattr(self, name)}")
        return self

    @property
    def drifts(self) -> bool:
        return self.drift_nu > 0 and self.drift_ratio > 1

    @property
    def random(self) -> bool:
        """Whether another draw is another chip."""
        return self.nominal != self

    @property
    def nominal(self) -> "Effects":
        """What is known of a chip before it is made: nothing random."""
        return structs.replace(self, variation=0.0, read_noise=0.0, stuck_on=0.0, stuck_off=0.0)

    @property
    def on(self) -> tuple[str, ...]:
        """Names of what is not ideal; empty if the array must equal the reference model."""
        return tuple(name for name, there in (
            ("variation", self.variation > 0),
            ("stuck cells", self.stuck_on > 0 or self.stuck_off > 0),
            ("drift", self.drifts), ("read noise", self.read_noise > 0),
            ("ir drop", self.ir_drop != "none"), ("adc", self.adc_bits is not None)) if there)


def as_built(array: Array, variation: float, **changes) -> Effects:
    """The array with its converters and wires, and cells of that variation (`Device.variation`)."""
    return Effects(variation=variation, ir_drop="full" if array.r_row else "columns",
                   adc_bits=array.adc_bits, full_scale="calibrated", **changes)


def generator(seed: int, draw: int, layer: int, stream: str) -> np.random.Generator:
    """Random numbers of one effect in one layer of one draw."""
    return np.random.default_rng([seed, draw, layer, _STREAMS.index(stream)])


def faults(shape: tuple[int, ...], effects: Effects, rng: np.random.Generator) -> np.ndarray:
    """Which cells are stuck: int8, 1 on, -1 off, 0 neither."""
    where = rng.random(shape)
    return ((where < effects.stuck_on).astype(np.int8)
            - (where >= 1 - effects.stuck_off).astype(np.int8))


def conductances(digits: np.ndarray, cells: States, effects: Effects, seed: int, draw: int,
                 layer: int) -> np.ndarray:
    """What cells that were written with `digits` conduct when they are read: float64 siemens.

    Programming varies, then conductances drift; a stuck cell has its state's mean.
    """
    G = cells.mean[digits]
    if effects.variation > 0:
        G = programmed(cells, digits, effects.variation_law, effects.variation,
                       generator(seed, draw, layer, "variation"))
    if effects.drifts:
        G = G * effects.drift_ratio ** -effects.drift_nu
    if effects.stuck_on or effects.stuck_off:
        stuck = faults(digits.shape, effects, generator(seed, draw, layer, "stuck"))
        G = np.where(stuck > 0, cells.on, np.where(stuck < 0, cells.off, G))
    return G


def cells_of(array: Array, table: States | None) -> States:
    """The states that an array's cells have: a user's table, or evenly spaced ones."""
    return states(array) if table is None else table
