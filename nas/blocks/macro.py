"""The macro network around blocks: a stem, stages of blocks with down-sampling between, classifier.

B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022, section 4:
stem Conv3x3-BN-PLIF, whose analog map is fed in each timestep; block C -> C; max pool; C -> 2C, 2C
-> 2C; max pool; 2C -> 4C, 4C -> 4C; max pool; FC-PLIF with ten outputs of a class, over which a
voter averages; the mean over timesteps. The found network has 416,688 weights with C = 16 on
CIFAR-10, those of the stem, the 1 x 1 convolutions and the FC layer among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from msgspec import Struct, structs

from ...flow.cim.shapes import INPUT, Layer, Network
from ...flow.errors import ConfigError, unknown
from .block import MARKS, Conv, Plan, check, plan, words

#: How maps are halved behind a stage; `strided` is by a block of stride 2 of its own.
DOWNS = ("max", "avg", "strided")
#: Most channels of maps, those inside blocks apart.
WIDEST = 65536


@dataclass(frozen=True)
class Place:
    """Where a block stands: channels that it takes and gives, rows and columns of both maps."""

    ins: int
    outs: int
    before: int
    extent: int
    stride: int = 1


class Macro(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """Sizes of a macro network for maps of in_channels x image_size x image_size.

    channels: of the stem and the first stage, times `growth` in each stage after it. stages: blocks
    of each. down: what is behind each stage: `max` or `avg` pools of 2 x 2, or `strided`, one more
    block with stride 2, to the channels of the stage after it. voters: outputs of a class.
    global_pooling: the mean of each map before the FC layer. A PLIF that sums is behind every mean.
    stem_down: more max pools behind the stem, as for event cameras' maps of 128 x 128; a
    Conv3x3-BN-PLIF is behind each but the last of several (released code: two for event cameras,
    one for Tiny ImageNet).
    """

    num_classes: int = 10
    in_channels: int = 3
    image_size: int = 32
    channels: int = 16
    stages: tuple[int, ...] = (1, 2, 2)
    growth: int = 2
    num_steps: int = 8
    voters: int = 10
    down: str = "max"
    global_pooling: bool = False
    stem_down: int = 0

    def check(self, where: str = "macro") -> "Macro":
        """Raise ConfigError for the first size that is out of range."""
        for key, low, high in (("num_classes", 2, 10_000), ("in_channels", 1, 64),
                               ("channels", 1, 4096), ("growth", 1, 4), ("num_steps", 1, 256),
                               ("voters", 1, 100), ("stem_down", 0, 6)):
            value = getattr(self, key)
            if not low <= value <= high:
                raise ConfigError(f"{where}.{key} must be in {low}..{high}, not {value}")
        if not 1 <= len(self.stages) <= 6 or not all(1 <= count <= 16 for count in self.stages):
            raise ConfigError(f"{where}.stages must be 1..6 counts of blocks in 1..16, not "
                              f"{list(self.stages)}")
        if self.down not in DOWNS:
            raise ConfigError(f"{where}: " + unknown("down", self.down, DOWNS))
        halvings = self.stem_down + len(self.stages)
        if not 1 << halvings <= self.image_size <= 1024:
            raise ConfigError(f"{where}.image_size must be in {1 << halvings}..1024, as maps are "
                              f"halved {halvings} times, not {self.image_size}")
        most = WIDEST // self.growth ** (len(self.stages) - (self.down != "strided"))
        if self.channels > most:
            raise ConfigError(f"{where}.channels must be at most {most}, as they grow, not "
                              f"{self.channels}")
        return self

    @cached_property
    def _places(self) -> tuple[Place, ...]:
        """Every place, those of down-sampling blocks among them."""
        found, width, extent = [], self.channels, self.stem_extent
        for stage, count in enumerate(self.stages):
            outs = self.channels * self.growth ** stage
            for _ in range(count):
                found.append(Place(width, outs, extent, extent))
                width = outs
            if self.down == "strided":
                outs, smaller = width * self.growth, (extent + 1) // 2
                found.append(Place(width, outs, extent, smaller, stride=2))
                width, extent = outs, smaller
            else:
                extent //= 2
        return tuple(found)

    @property
    def places(self) -> int:
        """How many blocks a network has."""
        return len(self._places)

    def place(self, index: int) -> Place:
        """Place 0, 1, ..."""
        return self._places[index]

    def width(self, place: int) -> int:
        """Channels that the block at place 0, 1, ... gives."""
        return self._places[place].outs

    def extent(self, place: int) -> int:
        """Rows and columns of the maps that it gives."""
        return self._places[place].extent

    @property
    def stem_extent(self) -> int:
        """Rows and columns of the maps that the first block takes."""
        return self.image_size >> self.stem_down

    @property
    def stem_convolutions(self) -> int:
        """Behind the stem's pools."""
        return self.stem_down - (self.stem_down > 1)

    @cached_property
    def pooled(self) -> frozenset[int]:
        """Places behind which maps are pooled."""
        if self.down == "strided":
            return frozenset()
        return frozenset(sum(self.stages[:k + 1]) - 1 for k in range(len(self.stages)))

    @property
    def flat(self) -> int:
        """Inputs of the FC layer."""
        return self._places[-1].outs * (1 if self.global_pooling else self.last_extent ** 2)

    @property
    def last_extent(self) -> int:
        """Rows and columns of the maps behind all blocks."""
        return self._places[-1].extent // (1 if self.down == "strided" else 2)

    @property
    def outputs(self) -> int:
        """Outputs of the FC layer."""
        return self.num_classes * self.voters

    def all_of(self, blocks: Sequence[str], where: str = "blocks") -> tuple[str, ...]:
        """One block for each place; a single one is used everywhere. ConfigError for others."""
        blocks = tuple(blocks)
        if len(blocks) not in (1, self.places):
            raise ConfigError(f"{where} must be 1, used everywhere, or {self.places}, one for each "
                              f"place, not {len(blocks)}")
        for name in blocks:
            check(name, where)
        return blocks * self.places if len(blocks) == 1 else blocks

    def parse(self, text: str) -> tuple[str, ...]:
        """The blocks of a text for this macro network, whose marks, if any, are where it has them.
        """
        found = words(text)
        blocks = self.all_of([word for word in found if word not in MARKS])
        if set(found) & set(MARKS) and " ".join(found) != (wanted := self.text(blocks)):
            raise ConfigError(f"blocks must be {wanted!r}, or have no marks, as maps are halved "
                              f"there, not {text!r}")
        return blocks

    def text(self, blocks: Sequence[str]) -> str:
        """Blocks with marks where maps are pooled: ``srb_k5 M srb_k5 skip M srb_k3 srb_k5 M``."""
        mark = {kind: mark for mark, kind in MARKS.items()}.get(self.down)
        found = []
        for place, name in enumerate(self.all_of(blocks)):
            found += [name, mark] if place in self.pooled else [name]
        return " ".join(found)

    def plans(self, blocks: Sequence[str]) -> list[Plan]:
        """What each block is at its place."""
        return [plan(name, place.ins, place.outs, place.stride)
                for name, place in zip(self.all_of(blocks), self._places)]

    def weights(self, blocks: Sequence[str], *, classifier: bool = True) -> int:
        """How many weights, as the paper counts them, or without those of the FC layer."""
        stem = 9 * self.channels * (self.in_channels + self.stem_convolutions * self.channels)
        return (stem + sum(conv.weights for each in self.plans(blocks)
                           for conv in each.convolutions)
                + self.flat * self.outputs * classifier)

    def convolutions(self, blocks: Sequence[str]) -> list[Layer]:
        """Shapes of all convolutions in order, each with the layer whose spikes it reads.

        A depth-wise one is that of a crossbar, which holds a zero wherever it reads nothing. Bits
        are set by `network`.
        """
        extent = self.image_size
        found = [_layer("stem", Conv("", self.in_channels, self.channels, 3), extent, extent,
                        source=INPUT, pool=2 if self.stem_down else 1)]
        for number in range(self.stem_convolutions):
            extent = self.image_size >> number + 1
            found.append(_layer(f"stem_conv{number + 1}",
                                Conv("", self.channels, self.channels, 3), extent, extent,
                                source=found[-1].name,
                                pool=2 if number + 1 < self.stem_down else 1))
        before = found[-1].name
        for index, (place, each) in enumerate(zip(self._places, self.plans(blocks))):
            source, extent = before, place.before
            short = each.short and f"block{index + 1}_{each.short.name}"
            if each.short:
                found.append(_layer(short, each.short, extent, place.extent, source=source))
            for conv in each.main:
                after = place.extent if conv.stride > 1 else extent
                last = conv is each.main[-1]
                found.append(_layer(
                    f"block{index + 1}_{conv.name}", conv, extent, after, source=before,
                    skip=last and each.adds,
                    skip_source=(short or source) if last and each.adds else ""))
                before, extent = found[-1].name, after
            if index in self.pooled:
                found[-1] = _pooled(found[-1], 2)
        return [*found[:-1], _pooled(found[-1], self.last_extent if self.global_pooling else 1)]

    def network(self, blocks: Sequence[str], *, weight_bits: int, name: str = "blocks") -> Network:
        """The shapes that the crossbar mapper and its prices take, the FC layer last."""
        layers = self.convolutions(blocks)
        layers.append(Layer(name="fc", kind="dense", in_channels=self.flat,
                            out_channels=self.outputs, magnitude_bits=1, source=layers[-1].name))
        bits = max(1, weight_bits - 1)
        return Network(name=name, num_steps=self.num_steps, layers=tuple(
            structs.replace(layer, magnitude_bits=bits) for layer in layers))


def _pooled(layer: Layer, window: int) -> Layer:
    return structs.replace(layer, pool=layer.pool * window)


def _layer(name: str, conv: Conv, before: int, after: int, **more) -> Layer:
    return Layer(name=name, kind="conv2d", in_channels=conv.in_channels,
                 out_channels=conv.out_channels, magnitude_bits=1, kernel_size=conv.kernel_size,
                 in_size=(before, before), out_size=(after, after), **more)
