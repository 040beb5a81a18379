"""Section [cells]: what networks of cells there may be, how they are scored, and how priced."""

from collections.abc import Iterator

from msgspec import Struct, field, structs

from ...flow import config
from ...flow.cim.array import Array
from ...flow.cim.cost.switches import MODES
from ...flow.errors import ConfigError
from ...flow.rules import Rule
from .cell import MAX_NODES, OPERATIONS
from .macro import Macro

_MACRO = Macro()
#: Bits of a weight: the quantiser's fewest, and the most that are priced (those of a float).
LEAST_BITS, MOST_BITS = 4, 32
#: More images say nothing new of a candidate.
MOST_IMAGES = 1_000_000


class Cells(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """operations: of edges. nodes: of a cell, input and output included. backward: edges may run
    from a later node to an earlier one. shared: one cell is used everywhere, as in SNASNet, else
    each place has its own.

    image_size: rows and columns that the network sees, 0 for those of the data set, which must be a
    multiple; the sizes after it are `nas.cells.macro.Macro`'s.

    score: its name (`nas.scores`). score_settings: what it may be told. images: of the train split,
    its first ones, the same for every candidate. proxy: sizes of the macro network, such as
    channels or image_size, that scoring takes in place of the others, which are still priced.
    short: settings in place of those of [train] where candidates are trained to be compared.

    weight_bits: of a weight that is priced, and trained; from 17 on training leaves it in floating
    point. classifier: whether both FC layers count as weights; papers leave them out. cim_mode:
    how chips are priced (`flow.cim.cost.switches`), with both FC layers where the mode has any.
    array: sizes of the crossbars, `flow.cim.array`.
    """

    operations: tuple[str, ...] = OPERATIONS[:5]
    nodes: int = 4
    backward: bool = False
    shared: bool = False
    image_size: int = 0
    channels: int = 16
    cells: int = _MACRO.cells
    num_steps: int = _MACRO.num_steps
    hidden: int = _MACRO.hidden
    voters: int = _MACRO.voters
    dropout: float = _MACRO.dropout
    score: str = "sahd"
    score_settings: dict[str, object] = field(default_factory=dict)
    images: int = 128
    proxy: dict[str, object] = field(default_factory=dict)
    short: dict[str, object] = field(default_factory=dict)
    weight_bits: int = 8
    classifier: bool = False
    cim_mode: str = "physical"
    array: dict[str, object] = field(default_factory=dict)

    def rules(self) -> Iterator[Rule]:
        names = self.operations
        yield ("operations", len(names) > 0 and len(set(names)) == len(names),
               "a list of different values, at least one")
        yield "nodes", 2 <= self.nodes <= MAX_NODES, f"in 2..{MAX_NODES}"
        yield "images", 1 <= self.images <= MOST_IMAGES, f"in 1..{MOST_IMAGES}"
        yield "weight_bits", LEAST_BITS <= self.weight_bits <= MOST_BITS, (
            f"in {LEAST_BITS}..{MOST_BITS}")
        modes = [name for name in MODES if name != "event"]
        yield "cim_mode", self.cim_mode in modes, f"one of {', '.join(modes)}"

    def names(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        yield "operations", "operation", OPERATIONS

    def macro(self, shape: tuple[int, ...], num_classes: int, source: str) -> Macro:
        """The macro network for images of a shape, [H, W] or [C, H, W]; ConfigError."""
        sizes = {name: getattr(self, name) for name in Macro.__struct_fields__
                 if name in self.__struct_fields__}
        sizes["image_size"] = self.image_size or shape[-1]
        channels = shape[0] if len(shape) == 3 else 1
        return Macro(num_classes=num_classes, in_channels=channels, **sizes).check(
            f"{source}: cells")

    def scored(self, macro: Macro, source: str) -> Macro:
        """The macro network that is scored."""
        where = f"{source}: cells.proxy"
        for key in self.proxy:
            if key in ("num_classes", "in_channels", "cells"):
                raise ConfigError(f"{where} must be without {key}, which the data set or the cells "
                                  "say; take channels, image_size, num_steps, hidden or voters")
        found = config.section(Macro, self.proxy, source, "cells.proxy")
        return structs.replace(macro, **{key: getattr(found, key) for key in self.proxy}
                               ).check(where)

    def crossbars(self, source: str) -> Array:
        """The array that chips are made of."""
        return config.section(Array, self.array, source, "cells.array").check(
            f"{source}: cells.array")
