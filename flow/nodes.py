"""The nodes of a network: frozen dataclasses, ordered, each reading what it names in `src`.

Values between them are spikes (0 or 1 of an Input, a Population or a MaxPool2d), window sums of
spikes (AvgPool2d), or integer currents (Dense, Conv2d, Sum, CurrentSum, CurrentPool2d). Maps have
shape [C, H, W], and count as a vector in that order.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Input:
    """Pixels (8 bits each) and how they become spikes: `stream` also names its generator; under
    `direct` the synapses read the pixels themselves, 0..255, in every timestep.
    """

    name: str
    shape: tuple[int, ...]
    encoder: str
    sng: str | None = None

    op = "input"
    src = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


#: Where weights may be kept: block memory, LUTs, or single-port memory that is loaded.
MEMORIES = ("ebr", "lut", "spram")


class Synapses:
    """What Dense and Conv2d have in common; in_features and out_features count their neurons."""

    def __post_init__(self) -> None:
        delay = self.delay
        if isinstance(delay, np.ndarray):
            delay = delay.tolist()
        if isinstance(delay, list | tuple):
            delay = tuple(delay)
            if len(delay) == self.in_features and len(set(delay)) == 1:
                delay = delay[0]
        object.__setattr__(self, "delay", delay)

    @property
    def size(self) -> int:
        return self.out_features

    @property
    def fan_in(self) -> int:
        """Synapses of a neuron, those on a border included."""
        return int(np.prod(self.weight_shape[1:]))

    @property
    def synapses(self) -> int:
        """Pairs of an input and a neuron that it reaches."""
        return self.in_features * self.out_features

    @property
    def bits(self) -> int:
        """B, the width of the layer's generators: log2(bitstream_length)."""
        return self.bitstream_length.bit_length() - 1

    @property
    def max_code(self) -> int:
        return (1 << (self.weight_bits - 1)) - 1

    @property
    def delays(self) -> np.ndarray:
        """Timesteps that each input axon takes: int64 [in_features]."""
        return np.broadcast_to(np.array(self.delay, np.int64), self.in_features)

    @property
    def max_delay(self) -> int:
        """The largest of `delays`."""
        return int(self.delays.max())


@dataclass(frozen=True, kw_only=True)
class Dense(Synapses):
    """Fully connected synapses: weight [out, in], bias [out] (added once per timestep).

    weight_bits w is a sign and a code in 0..2**(w-1)-1; bitstream_length L = 2**B clocks. `delay`
    is the axonal delay in timesteps, one for the layer or one for each input; a sequence becomes a
    tuple, and one whose entries are all equal becomes their value. Once scheduled, delay_blocks is
    how many of its `hdl.delay.delay_blocks` are block memories; the rest waits in flip-flops.
    lanes, 1..out_features: how many outputs the lowering computes at once, None for its own choice.
    memory: where `folded` keeps the weights, one of `MEMORIES`, None for block memory; `spram` are
    loaded before the first inference (`weights_image`).
    """

    name: str
    src: str
    in_features: int
    out_features: int
    weight_bits: int
    bitstream_length: int
    sng: str
    delay: int | tuple[int, ...] = 0
    lowering: str | None = None
    lanes: int | None = None
    memory: str | None = None
    delay_blocks: int | None = None
    weight: np.ndarray | None = field(default=None, repr=False, compare=False)
    bias: np.ndarray | None = field(default=None, repr=False, compare=False)

    op = "dense"

    @property
    def weight_shape(self) -> tuple[int, int]:
        return self.out_features, self.in_features

    @property
    def bias_shape(self) -> tuple[int]:
        return (self.out_features,)

    @property
    def out_shape(self) -> tuple[int]:
        return (self.out_features,)


@dataclass(frozen=True, kw_only=True)
class Conv2d(Synapses):
    """Convolution as torch.nn.Conv2d computes it: weight [out, in, k, k], bias [out], one a map.

    in_shape is (C, H, W); an input of shape (H, W) counts as one map. A border of `padding` zeros,
    which never spike, lies around each map. The other fields are those of Dense; delay must be 0.
    """

    name: str
    src: str
    in_shape: tuple[int, int, int]
    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    weight_bits: int
    bitstream_length: int
    sng: str
    delay: int = 0
    lowering: str | None = None
    lanes: int | None = None
    memory: str | None = None
    weight: np.ndarray | None = field(default=None, repr=False, compare=False)
    bias: np.ndarray | None = field(default=None, repr=False, compare=False)

    op = "conv2d"
    delay_blocks = None

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of the maps it computes."""
        rows, columns = (
            (extent + 2 * self.padding - self.kernel_size) // self.stride + 1
            for extent in self.in_shape[1:])
        return self.out_channels, rows, columns

    @property
    def in_features(self) -> int:
        return int(np.prod(self.in_shape))

    @property
    def out_features(self) -> int:
        return int(np.prod(self.out_shape))

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        return self.out_channels, self.in_shape[0], self.kernel_size, self.kernel_size

    @property
    def bias_shape(self) -> tuple[int]:
        return (self.out_channels,)

    @property
    def synapses(self) -> int:
        """Pairs of an input and a neuron that it reaches; the border is no input."""
        rows, columns = (
            sum(0 <= place * self.stride + tap - self.padding < extent
                for place in range(outputs) for tap in range(self.kernel_size))
            for extent, outputs in zip(self.in_shape[1:], self.out_shape[1:]))
        return self.out_channels * self.in_shape[0] * rows * columns


class Pool:
    """What the pools have in common: windows side by side, and what is left over is dropped."""

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns): one window of kernel_size x kernel_size an output."""
        channels, rows, columns = self.in_shape
        return channels, rows // self.kernel_size, columns // self.kernel_size

    @property
    def size(self) -> int:
        return int(np.prod(self.out_shape))


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(Pool):
    """A spike where any neuron of the window spikes; in_shape (C, H, W)."""

    name: str
    src: str
    in_shape: tuple[int, int, int]
    kernel_size: int

    op = "max_pool2d"
    #: The largest value that it passes on.
    highest = 1


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(Pool):
    """How many neurons of the window spike; in_shape (C, H, W).

    The divisor of the mean belongs to the scale of the synapses behind it, which alone may read it.
    """

    name: str
    src: str
    in_shape: tuple[int, int, int]
    kernel_size: int

    op = "avg_pool2d"

    @property
    def highest(self) -> int:
        """The largest value that it passes on."""
        return self.kernel_size ** 2


@dataclass(frozen=True, kw_only=True)
class Sum:
    """A skip: the current of the synapses src[0], plus c_skip where src[1] spikes.

    Both have the same size. c_skip is in counts, of training or an integer; None before training.
    """

    name: str
    src: tuple[str, str]
    c_skip: int | float | None = None

    op = "sum"


@dataclass(frozen=True, kw_only=True)
class CurrentSum:
    """Currents of several sources in a common unit: bias [C] plus scale [sources, C] times each.

    shape: of the sum and of every source, [C, H, W] or [n], where a scale is one a neuron. Of
    synapses it takes the current with their bias. delay: 0 or 1 timesteps a source; only a source
    of delay 1, which gives zeros in the first timestep, may stand behind it and so close a cycle.
    The reference model alone computes it.
    """

    name: str
    src: tuple[str, ...]
    shape: tuple[int, ...]
    delay: tuple[int, ...]
    scale: np.ndarray | None = field(default=None, repr=False, compare=False)
    bias: np.ndarray | None = field(default=None, repr=False, compare=False)

    op = "current_sum"

    def __post_init__(self) -> None:
        for key in ("src", "delay"):
            if isinstance(getattr(self, key), list):
                object.__setattr__(self, key, tuple(getattr(self, key)))

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def out_shape(self) -> tuple[int, ...]:
        return tuple(self.shape)


@dataclass(frozen=True, kw_only=True)
class CurrentPool2d:
    """Sums of windows of currents, with a border of zeros; in_shape (C, H, W).

    The divisor of a mean belongs to the scale of what reads it. The reference model alone computes
    it.
    """

    name: str
    src: str
    in_shape: tuple[int, int, int]
    kernel_size: int
    stride: int
    padding: int

    op = "current_pool2d"

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns)."""
        rows, columns = ((extent + 2 * self.padding - self.kernel_size) // self.stride + 1
                         for extent in self.in_shape[1:])
        return self.in_shape[0], rows, columns

    @property
    def size(self) -> int:
        return int(np.prod(self.out_shape))


@dataclass(frozen=True, kw_only=True)
class Population:
    """Neurons of one kind; v_bits [size] is each membrane's two's complement width once proven."""

    name: str
    src: str
    size: int
    neuron: object
    v_bits: np.ndarray | None = field(default=None, repr=False, compare=False)

    op = "population"
    highest = 1


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Scores per class: `spike_count`, or the last layer's `membrane`; argmax, ties to lowest."""

    name: str
    src: str
    size: int
    kind: str

    op = "readout"


NODES = {cls.op: cls for cls in (Input, Dense, Conv2d, MaxPool2d, AvgPool2d, Sum, CurrentSum,
                                 CurrentPool2d, Population, Readout)}
#: Fields that are tensors, and those that are tuples (lists in a file's header).
TENSORS = {"dense": ("weight", "bias"), "conv2d": ("weight", "bias"),
           "current_sum": ("scale", "bias"), "population": ("v_bits",)}
TUPLES = ("shape", "in_shape")
