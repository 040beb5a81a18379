"""The macro network around cells: a stem, cells with a change of scale between them, a classifier.

Y. Kim et al., "Neural architecture search for spiking neural networks", ECCV 2022, section 4: stem
Conv3x3-BN without neurons, its analog map fed in each timestep; cell; BN-LIF-Conv3x3-BN-AvgPool2 to
twice the channels; cell; BN-LIF, AvgPool2, dropout, FC-LIF, FC; a voter that averages the outputs
of each class; the mean over timesteps. Released CIFAR-10 code later doubled the channels; what
every paper counts fits 128 and 256.
"""

from collections.abc import Sequence

from msgspec import Struct, structs

from ...flow.cim.shapes import INPUT, Layer, Network
from ...flow.errors import ConfigError
from .cell import KERNELS, Cell


class Macro(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a macro network for maps of in_channels x image_size x image_size.

    channels: of the stem and the first cell, twice as many in each cell after it. cells: how many,
    each on maps of half the extent of the one before. hidden: neurons between the two FC layers.
    voters: outputs of a class, which the voter averages. dropout: before the first FC layer.
    """

    num_classes: int = 10
    in_channels: int = 3
    image_size: int = 32
    channels: int = 128
    cells: int = 2
    num_steps: int = 5
    hidden: int = 1024
    voters: int = 10
    dropout: float = 0.5

    def check(self, where: str = "macro") -> "Macro":
        """Raise ConfigError for the first size that is out of range."""
        for key, low, high in (("num_classes", 2, 10_000), ("in_channels", 1, 64),
                               ("channels", 1, 4096), ("cells", 1, 8), ("num_steps", 1, 256),
                               ("hidden", 1, 65536), ("voters", 1, 100)):
            value = getattr(self, key)
            if not low <= value <= high:
                raise ConfigError(f"{where}.{key} must be in {low}..{high}, not {value}")
        least = 1 << self.cells
        if not least <= self.image_size <= 1024:
            raise ConfigError(f"{where}.image_size must be in {least}..1024 with {self.cells} "
                              f"cells, not {self.image_size}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"{where}.dropout must be in 0..1, below 1, not {self.dropout}")
        return self

    def width(self, cell: int) -> int:
        """Channels of cell 0, 1, ..."""
        return self.channels << cell

    def extent(self, cell: int) -> int:
        """Rows and columns of the maps of cell 0, 1, ..."""
        return self.image_size >> cell

    @property
    def flat(self) -> int:
        """Inputs of the first FC layer."""
        last = self.cells - 1
        return self.width(last) * (self.extent(last) // 2) ** 2

    @property
    def outputs(self) -> int:
        """Outputs of the second FC layer."""
        return self.num_classes * self.voters

    def all_of(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """One cell for each place; a single one is used everywhere. ConfigError for others."""
        cells = tuple(cells)
        if len(cells) not in (1, self.cells):
            raise ConfigError(f"cells must be 1, used everywhere, or {self.cells}, one for each "
                              f"place, not {len(cells)}")
        return cells * self.cells if len(cells) == 1 else cells

    def convolutions(self, cells: Sequence[Cell]) -> list[Layer]:
        """Shapes of all convolutions in order; dead edges compute nothing and have none.

        Their bits are set by `network`.
        """
        found = [_conv("stem", self.in_channels, self.channels, 3, self.image_size, source=INPUT)]
        before = "stem"
        for place, cell in enumerate(self.all_of(cells)):
            width, extent, first = self.width(place), self.extent(place), before
            if place:
                found.append(_conv(f"wider{place}", self.width(place - 1), width, 3,
                                   self.extent(place - 1), pool=2, source=before))
                first = before = f"wider{place}"
            for edge in cell.live:
                if edge.operation in KERNELS:
                    name = f"cell{place + 1}_{edge.source}_{edge.target}"
                    found.append(_conv(name, width, width, KERNELS[edge.operation], extent,
                                       source=first))
                    before = name
        return found

    def weights(self, cells: Sequence[Cell], *, classifier: bool = False) -> int:
        """How many weights: of the convolutions, as the papers count, or with both FC layers."""
        more = self.hidden * (self.flat + self.outputs) if classifier else 0
        return sum(layer.weights for layer in self.convolutions(cells)) + more

    def network(self, cells: Sequence[Cell], *, weight_bits: int, classifier: bool = False,
                name: str = "cells") -> Network:
        """The shapes that the crossbar mapper and its prices take."""
        layers = self.convolutions(cells)
        if classifier:
            layers += [
                Layer(name="fc1", kind="dense", in_channels=self.flat, out_channels=self.hidden,
                      magnitude_bits=1),
                Layer(name="fc2", kind="dense", in_channels=self.hidden,
                      out_channels=self.outputs, magnitude_bits=1)]
        bits = max(1, weight_bits - 1)
        return Network(name=name, num_steps=self.num_steps, layers=tuple(
            structs.replace(layer, magnitude_bits=bits) for layer in layers))


def _conv(name: str, ins: int, outs: int, kernel: int, extent: int, *, pool: int = 1,
          source: str = "") -> Layer:
    return Layer(name=name, kind="conv2d", in_channels=ins, out_channels=outs, magnitude_bits=1,
                 kernel_size=kernel, in_size=(extent, extent), out_size=(extent, extent),
                 pool=pool, source=source)
