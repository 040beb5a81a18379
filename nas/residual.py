"""The space of small residual networks on maps.

conv3x3 - max pool - block - dense, where the block is the spiking residual block (SRB) of AutoSNN
(B. Na et al., "AutoSNN: towards energy-efficient spiking neural networks", ICML 2022): two times
conv3x3 and neurons, the block's input added before the last neurons.
"""

import json
from functools import cached_property

from ..flow import config, ir
from ..flow.builder import Builder
from ..flow.errors import ConfigError
from ..flow.passes import generators
from ..hdl.neurons import SERIAL
from ..hdl.words import WORD, words
from .arrays import Arrays
from .space import Genome, Space

#: Layers: a convolution, two of the block, and the classes.
DEPTH = 4


class ResidualSpace(Space):
    """As `Space`: width0 is the channels of the first convolution and the block, width1 those
    inside the block; weight bits and bitstream lengths are chosen per layer.

    Inside the block there are as many words of channels as around it, as `folded` wants beside a
    skip (`flow.fold.check`).
    """

    def __init__(self, settings: config.Space, shape: tuple[int, ...], num_classes: int,
                 arrays: Arrays | None = None) -> None:
        super().__init__(settings, shape, num_classes, arrays)
        if len(self.shape) not in (2, 3) or min(self.shape[-2:]) < 2:
            raise ConfigError("space.network must be 'chain' for inputs that are no maps of 2 x 2 "
                              f"or more, not {settings.network!r}; these have shape {self.shape}")
        if not set(settings.neurons) <= set(SERIAL):
            raise ConfigError(f"space.neurons must be of {', '.join(SERIAL)} with network = "
                              f"{settings.network!r}, whose layers are folded, not "
                              f"{list(settings.neurons)}")
        self.depths = [DEPTH]

    @cached_property
    def bounds(self) -> dict[str, tuple[int, int]]:
        """As those of four layers, but the block's last convolution has the width of the first."""
        return {name: range_ for name, range_ in super().bounds.items() if name != "width2"}

    def size(self) -> int:
        """The exact number of different networks (genomes)."""
        widths = range(self.settings.min_width, self.settings.max_width + 1)
        pairs = len({(width, self._inner(width, inner)) for width in widths for inner in widths})
        return super().size() // len(widths) ** (DEPTH - 1) * pairs

    def _inner(self, width: int, inner: int) -> int:
        """The channels inside a block, as near to `inner` as `width` around it allows."""
        most = min(words(width) * WORD, self.settings.max_width)
        least = max((words(width) - 1) * WORD + 1, self.settings.min_width)
        return min(max(inner, least), most)

    def genome(self, vector: dict[str, int]) -> Genome:
        """The canonical form of a vector; a bitstream too short for its weights is lengthened."""
        width = vector["width0"]
        inner = self._inner(width, vector["width1"])
        item = json.loads(super().genome({**vector, "width1": inner, "width2": width}))
        item["network"] = "residual"
        return json.dumps(item, sort_keys=True, separators=(",", ":"))

    def graph(self, genome: Genome) -> ir.Graph:
        """The graph of shapes of a genome; thresholds are learned, so they stand at 1."""
        item = json.loads(genome)
        neuron, last = self._populations(item)
        layers = [{"weight_bits": layer["weight_bits"], "sng": item["sng"],
                   "bitstream_length": layer["bitstream_length"], "neuron": neuron}
                  for layer in item["layers"]]
        input_sng, layers = generators.choose(item["encoder"], item.get("input_sng"), layers)
        maps = {"kernel_size": 3, "padding": 1}
        width, inner = (layer["width"] for layer in item["layers"][:2])
        builder = Builder(shape=self.shape, encoder=item["encoder"], sng=input_sng)
        builder.conv(width, **maps, **layers[0])
        block = builder.pool(2)
        builder.conv(inner, **maps, **layers[1])
        builder.conv(width, skip=block, **maps, **layers[2])
        builder.dense(self.num_classes, **{**layers[3], "neuron": last})
        return builder.graph(num_steps=item["num_steps"], readout=item["readout"]).verify()
