"""Networks of blocks as integers: the graph of shapes that is trained exactly, priced and built.

Stem and blocks become convolutions of spikes, PLIFs `FixedPointLif`, pools OR, the block that SRB
and SIB add a `Sum`, the classifier a layer of one neuron a class. A PLIF at its first value,
``v <- v / 2 + x / 2``, is beta = 1 of one bit, the input's half folded into the weights. What the
`folded` lowering cannot take is refused by name (`check`).
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ...flow import ir
from ...flow.builder import Builder
from ...flow.errors import ConfigError, GraphError
from ...flow.fold import check as check_folds
from ...flow.passes import generators
from ...flow.passes.schedule import schedule
from ...flow.rules import Rule
from ...hdl import sng
from ...hdl.neurons import FixedPointLif
from .block import Conv, Plan
from .macro import Macro

#: What a skip that is priced adds, in counts of the largest weight there is.
SKIP = 3


class Gateware(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Integers of all layers, one value for the whole network.

    weight_bits: a sign and a magnitude. bitstream_length: SC clocks per timestep. encoder, sng,
    input_sng, readout: as in [space] of other networks. beta, beta_bits: v becomes
    ``v * beta >> beta_bits`` in each timestep. reset: `zero`, as PLIFs do, or `subtract`. lanes:
    channels of a position that are computed at once; more are faster, and take more block memories.
    """

    weight_bits: int = 4
    bitstream_length: int = 8
    encoder: str = "stream"
    sng: str = "sobol1"
    input_sng: str = "ramp"
    readout: str = "membrane"
    beta: int = 1
    beta_bits: int = 1
    reset: str = "zero"
    lanes: int = 8

    def rules(self) -> Iterator[Rule]:
        length = self.bitstream_length
        yield ("bitstream_length", 8 <= length <= 512 and not length & (length - 1),
               "a power of two in 8..512")
        yield ("weight_bits", 2 <= self.weight_bits <= length.bit_length(),
               f"in 2..{length.bit_length()} with a bitstream of {length}")
        yield "lanes", 1 <= self.lanes <= 64, "in 1..64"
        yield "encoder", self.encoder in ("stream", "rate"), "stream or rate"
        yield "readout", self.readout in ir.READOUTS, " or ".join(ir.READOUTS)
        yield "reset", self.reset in ("zero", "subtract"), "zero or subtract"
        for key in ("sng", "input_sng"):
            kinds = ("auto", *sng.KINDS)
            yield key, getattr(self, key) in kinds, f"one of {', '.join(kinds)}"
        yield "beta_bits", 1 <= self.beta_bits <= 16, "in 1..16"
        yield ("beta", 0 <= self.beta <= 1 << self.beta_bits,
               f"in 0..{1 << self.beta_bits} with beta_bits = {self.beta_bits}")

    @property
    def neuron(self) -> FixedPointLif:
        """All neurons; thresholds are learned, so they stand at 1."""
        return FixedPointLif(v_threshold=1, beta=self.beta, n=self.beta_bits, reset=self.reset)


def graph(macro: Macro, blocks: Sequence[str], gateware: Gateware) -> ir.Graph:
    """The graph of shapes of a network; GraphError, with the block, for what has no gateware."""
    layer = {"weight_bits": gateware.weight_bits, "bitstream_length": gateware.bitstream_length,
             "sng": gateware.sng, "neuron": gateware.neuron}
    input_sng, (layer,) = generators.choose(
        gateware.encoder, gateware.input_sng if gateware.encoder == "stream" else None, [layer])
    size = macro.image_size
    builder = Builder(shape=(macro.in_channels, size, size), encoder=gateware.encoder,
                      sng=input_sng)
    lanes = gateware.lanes

    def conv(shape: Conv, skip: str | None = None) -> None:
        builder.conv(shape.out_channels, kernel_size=shape.kernel_size, stride=shape.stride,
                     padding=shape.kernel_size // 2, skip=skip,
                     lanes=min(lanes, shape.out_channels), **layer)

    conv(Conv("stem", macro.in_channels, macro.channels, 3))
    for number in range(macro.stem_down):
        builder.pool(2)
        if number < macro.stem_convolutions:
            conv(Conv("stem", macro.channels, macro.channels, 3))
    for place, (name, plan) in enumerate(zip(blocks, macro.plans(blocks), strict=True)):
        _refuse(plan, f"{name} at place {place + 1}")
        before = builder.name
        for shape in plan.main:
            conv(shape, before if plan.adds and shape is plan.main[-1] else None)
        if place in macro.pooled:
            builder.pool(2)
    builder.dense(macro.num_classes, lanes=min(lanes, macro.num_classes), **layer)
    return builder.graph(num_steps=macro.num_steps, readout=gateware.readout).verify()


def typical(made: ir.Graph) -> ir.Graph:
    """A graph of shapes with skips to be priced with, which are wider than weights where training
    wants them to be: it makes them up to about three times as strong as the largest one.
    """
    skips = {}
    for index, (synapses, _) in enumerate(made.layers):
        if (skip := made.skip(index)) is not None:
            skips[skip.name] = {"c_skip": SKIP * synapses.bitstream_length}
    return made.replace(**skips)


def _refuse(plan: Plan, where: str) -> None:
    """Raise GraphError for a block that is more than convolutions of spikes and skips of them."""
    if any(shape.groups > 1 for shape in plan.main):
        raise GraphError(f"{where}: a depth-wise convolution has no gateware, whose layers sum "
                         "over all channels")
    if plan.short is not None:
        raise GraphError(f"{where}: a 1x1 convolution of what is added has no gateware, which adds "
                         "spikes as they are; take growth = 1, or blocks that add nothing")


def check(macro: Macro, offered: Sequence[str], gateware: Gateware, where: str) -> None:
    """Raise ConfigError for a macro network, or one of the blocks, that gateware cannot take."""
    if macro.down == "avg":
        raise ConfigError(f"{where}.down must be 'max' or 'strided' with {where}.gateware, whose "
                          "maps of spikes become smaller by OR, not 'avg'")
    if macro.global_pooling:
        raise ConfigError(f"{where}.global_pooling must be false with {where}.gateware, which has "
                          "no neurons behind an average, not true")
    for name in offered:
        try:
            made = graph(macro, [name] * macro.places, gateware)
            check_folds(schedule(made, "folded"))
        except GraphError as error:
            raise ConfigError(f"{where}.offered must be without {name} with {where}.gateware: "
                              f"{error}") from error
