"""Section [blocks]: what networks of blocks there may be, their super-network, and how priced."""

import math
from collections.abc import Iterator

from msgspec import Struct, field

from ...flow import config
from ...flow.cim.array import Array
from ...flow.cim.cost.switches import MODES
from ...flow.rules import Rule
from .block import BLOCKS, KNOWN
from .graph import Gateware, check
from .macro import Macro

_MACRO = Macro()
#: Bits of a weight that is priced, those of a float at most.
LEAST_BITS, MOST_BITS = 2, 32
#: A steeper fitness has no room for accuracy.
STEEPEST = -10.0


class Blocks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """offered: blocks of each place. image_size: rows and columns that the network sees, 0 for
    those of the data set, which must be a multiple; the sizes after it are
    `nas.blocks.macro.Macro`'s.

    spike_lambda: of the fitness, accuracy * (N / N_avg) ** spike_lambda, at most 0; N are spikes of
    an image. super: the recipe of the super-network (`nas.blocks.recipe`). supernet: a run whose
    super-network is taken in place of one trained anew. calibrate: images of the train split, its
    first ones, from which batch statistics of each candidate are computed anew; 0 keeps those of
    the super-network's training.

    gateware: integers of all layers (`nas.blocks.graph`), where networks are to be built; without
    it they are not. weight_bits, cim_mode, array: of chips of crossbars, as in [cells]; a network
    with gateware has as many bits as that.
    """

    offered: tuple[str, ...] = BLOCKS
    image_size: int = 0
    channels: int = _MACRO.channels
    stages: tuple[int, ...] = _MACRO.stages
    growth: int = _MACRO.growth
    num_steps: int = _MACRO.num_steps
    voters: int = _MACRO.voters
    down: str = _MACRO.down
    global_pooling: bool = _MACRO.global_pooling
    stem_down: int = _MACRO.stem_down
    spike_lambda: float = -0.08
    super: dict[str, object] = field(default_factory=dict)
    supernet: str = ""
    calibrate: int = 0
    gateware: dict[str, object] | None = None
    weight_bits: int = 8
    cim_mode: str = "physical"
    array: dict[str, object] = field(default_factory=dict)

    def rules(self) -> Iterator[Rule]:
        names = self.offered
        yield ("offered", len(names) > 0 and len(set(names)) == len(names),
               "a list of different values, at least one")
        yield ("spike_lambda", math.isfinite(self.spike_lambda)
               and STEEPEST <= self.spike_lambda <= 0,
               f"in {STEEPEST:g}..0 (below 0 where spikes are to be few)")
        yield "calibrate", 0 <= self.calibrate <= 1_000_000, "in 0..1000000"
        yield "weight_bits", LEAST_BITS <= self.weight_bits <= MOST_BITS, (
            f"in {LEAST_BITS}..{MOST_BITS}")
        modes = [name for name in MODES if name != "event"]
        yield "cim_mode", self.cim_mode in modes, f"one of {', '.join(modes)}"

    def names(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        yield "offered", "block", KNOWN

    def macro(self, shape: tuple[int, ...], num_classes: int, source: str) -> Macro:
        """The macro network for images of a shape, [H, W] or [C, H, W]; ConfigError."""
        sizes = {name: getattr(self, name) for name in Macro.__struct_fields__
                 if name in self.__struct_fields__}
        sizes["image_size"] = self.image_size or shape[-1]
        channels = shape[0] if len(shape) == 3 else 1
        return Macro(num_classes=num_classes, in_channels=channels, **sizes).check(
            f"{source}: blocks")

    def integers(self, macro: Macro, source: str) -> Gateware | None:
        """What layers of gateware have, None where nothing is to be built; ConfigError for what
        cannot be.
        """
        if self.gateware is None:
            return None
        found = config.section(Gateware, self.gateware, source, "blocks.gateware")
        check(macro, self.offered, found, f"{source}: blocks")
        return found

    def crossbars(self, source: str) -> Array:
        """The array that chips are made of."""
        return config.section(Array, self.array, source, "blocks.array").check(
            f"{source}: blocks.array")
