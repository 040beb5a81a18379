"""The search space as its users state it, and the architectures in it."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ...flow import config, ir
from ...flow.errors import ConfigError, unknown
from ..layered import LayeredSpace, graph
from ..space import identity

#: Kinds of neurons by the names that users give them: the short ones first, by which they are
#: called afterwards.
NEURONS = {"LIF": "lif", "FixedPointLIF": "fixed", "HomeostaticLIF": "homeostatic",
           "Izhikevich": "izhikevich", "StochasticLIFNeuron": "lif",
           "FixedPointLIFNeuron": "fixed", "HomeostaticLIFNeuron": "homeostatic",
           "SCIzhikevichNeuron": "izhikevich"}
#: The short name of each kind.
SHORT = {kind: name for name, kind in reversed(NEURONS.items()) if not name.endswith("Neuron")}

#: Timesteps of an inference, where delays do not ask for more.
NUM_STEPS = 8
#: What is one value for every network: `stream` input, a LIF's leak of v / 16 a timestep, that of
#: `fixed` of v / 8, and the reset that subtracts.
FIXED = {"encoders": ("stream",), "input_sng": ("ramp",), "sng": ("sobol1",), "leak_shifts": (4,),
         "betas": (7,), "beta_bits": 3, "resets": ("subtract",), "readouts": ("membrane",),
         "presets": ("regular_spiking",)}
#: Most inputs and classes, and most layers with neurons in them.
MOST_INPUTS, MOST_CLASSES, MOST_LAYERS = 65535, 256, 7


@dataclass(frozen=True)
class Architecture:
    """One network of a space: what was chosen per hidden layer, first to last, and how it did.

    delays: largest axonal delay of each hidden layer's own axons, in timesteps. fitness_accuracy:
    on the validation split, the mean of its trainings, or what an `accuracy_fn` said. fitness_luts:
    logic cells of the whole design, a LUT each; fitness_energy_nj: of one inference, an estimate,
    nan where no figures of the device are known. measured: whether the cells were placed and
    routed, rather than estimated. weights: `trained`, `given` by an accuracy_fn, or `assumed`,
    drawn from a fixed seed. test_accuracy: of the chosen one, trained anew; None for the others.
    What is not known is None.
    """

    id: str
    n_inputs: int
    n_outputs: int
    layer_widths: list[int]
    neuron_types: list[str]
    bitstream_lengths: list[int]
    delays: list[int]
    weight_bits: list[int]
    fitness_accuracy: float | None = None
    fitness_luts: int | None = None
    fitness_energy_nj: float | None = None
    measured: bool = False
    fits: bool | None = None
    fmax_mhz: float | None = None
    latency_us: float | None = None
    weights: str | None = None
    test_accuracy: float | None = None
    genome: str = field(default="", repr=False)

    @property
    def layer_sizes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each layer of synapses, the one of the classes last."""
        sizes = [self.n_inputs, *self.layer_widths, self.n_outputs]
        return list(pairwise(sizes))

    @property
    def delay_ranges(self) -> list[int]:
        """Another name of `delays`."""
        return self.delays

    def text(self) -> str:
        """In a few words: ``64-32-10, LIF L=64``."""
        sizes = "-".join(map(str, (self.n_inputs, *self.layer_widths, self.n_outputs)))
        layers = " + ".join(f"{kind} L={length}" + (f" delay {delay}" if delay else "")
                            for kind, length, delay in zip(self.neuron_types,
                                                           self.bitstream_lengths, self.delays))
        return f"{sizes}, {layers}"


class SearchSpace:
    """Networks of `n_inputs` pixels and `n_outputs` classes with min_layers..max_layers hidden
    layers, each of which has a width, a kind of neuron, a bitstream length (a power of two in
    8..512), a delay (timesteps, 0..8) and weight bits of its own, out of these choices.

    Kinds are LIF, FixedPointLIF, HomeostaticLIF and Izhikevich. Not searched, because they follow:
    the layer of the classes is a LIF without leak whose membranes are read after the last timestep;
    its bitstream length and weight bits are those of the last hidden layer. Pixels arrive as
    stochastic streams (`stream`); an inference has 8 timesteps, or, with delays, one more than all
    of a network's delays can sum to. Layers of 4,096 synapses or more keep their weights in block
    memory, if they are of LIF or FixedPointLIF neurons (lowering `folded`), the others in LUTs; on
    an UP5K those of 32,768 or more keep them in its single-port RAM, which is loaded at the start.

    Raises ConfigError for choices that are empty, twice there, or of an unknown kind.
    """

    def __init__(self, n_inputs: int, n_outputs: int, min_layers: int = 1, max_layers: int = 3,
                 width_choices: Sequence[int] = (8, 16, 32, 64, 128, 256),
                 L_choices: Sequence[int] = (8, 16, 32, 64, 128, 256, 512),
                 neuron_choices: Sequence[str] = ("LIF", "FixedPointLIF", "HomeostaticLIF",
                                                  "Izhikevich"),
                 delay_choices: Sequence[int] = (0,),
                 weight_bits_choices: Sequence[int] = (3,)) -> None:
        self.n_inputs = whole("n_inputs", n_inputs, 1, MOST_INPUTS)
        self.n_outputs = whole("n_outputs", n_outputs, 2, MOST_CLASSES)
        self.max_layers = whole("max_layers", max_layers, 1, MOST_LAYERS)
        self.min_layers = whole("min_layers", min_layers, 1, MOST_LAYERS)
        if self.min_layers > self.max_layers:
            raise ConfigError(f"min_layers must be at most max_layers = {max_layers}, not "
                              f"{min_layers}")
        self.width_choices = _choices("width_choices", width_choices, 1, 4096)
        self.L_choices = _choices("L_choices", L_choices, 8, 512)
        for length in self.L_choices:
            if length & length - 1:
                raise ConfigError(f"L_choices must be powers of two in 8..512, not {length}")
        self.delay_choices = _choices("delay_choices", delay_choices, 0, ir.MAX_DELAY)
        most = min(self.L_choices).bit_length()
        self.weight_bits_choices = _choices("weight_bits_choices", weight_bits_choices, 2,
                                            min(most, 10))
        kinds = [kind_of(name) for name in _listed("neuron_choices", neuron_choices)]
        if len(set(kinds)) < len(kinds):
            raise ConfigError("neuron_choices must name each kind once, not "
                              f"{', '.join(neuron_choices)}")
        self.neuron_choices = [SHORT[kind] for kind in kinds]

    def __repr__(self) -> str:
        return (f"SearchSpace({self.n_inputs} inputs, {self.n_outputs} classes, "
                f"{self.space_size:,} architectures)")

    @property
    def settings(self) -> config.Space:
        """The space as an experiment states it (`network = "layered"`)."""
        steps = max(NUM_STEPS, 1 + self.max_layers * max(self.delay_choices))
        item = {
            "network": "layered", "layers": list(range(self.min_layers + 1, self.max_layers + 2)),
            "widths": self.width_choices, "bitstream_lengths": self.L_choices,
            "weight_bits": self.weight_bits_choices, "delays": self.delay_choices,
            "neurons": [NEURONS[name] for name in self.neuron_choices], "num_steps": (steps,),
            **FIXED}
        return config.section(config.Space, item, "SearchSpace", "space")

    @property
    def space(self) -> LayeredSpace:
        """What a strategy searches."""
        return LayeredSpace(self.settings, (self.n_inputs,), self.n_outputs)

    @property
    def space_size(self) -> int:
        """The exact number of different architectures.

        A hidden layer has ``choices = widths * lengths * kinds * delays * weight_bits`` of them,
        and a network of d hidden layers choices**d. With 5 widths, 4 lengths and 4 kinds, and one
        delay and one number of weight bits, these are 80; with 1 to 3 hidden layers
        80 + 80**2 + 80**3 = 518,480. A tutorial that says "about 100,000" of that space is five
        times too low: that is neither the sum nor any of its terms (80, 6,400 and 512,000).
        """
        return self.space.size()

    def architecture(self, genome: str, **fitness) -> Architecture:
        """The architecture of a genome of `space`."""
        layers = json.loads(genome)["layers"]
        return Architecture(
            id=identity(genome), n_inputs=self.n_inputs, n_outputs=self.n_outputs,
            layer_widths=[layer["width"] for layer in layers],
            neuron_types=[SHORT[layer["neuron"]] for layer in layers],
            bitstream_lengths=[layer["bitstream_length"] for layer in layers],
            delays=[layer.get("delay", 0) for layer in layers],
            weight_bits=[layer["weight_bits"] for layer in layers], genome=genome, **fitness)


def plain_graph(widths: Sequence[int], length: int, weight_bits: int,
                memories: tuple[str, ...] = ("ebr",)) -> ir.Graph:
    """The graph of shapes of a LIF network of these widths, inputs first, as in every space.

    memories: those of the target, of which folded layers may have SPRAM.
    """
    settings = config.Space(network="layered", num_steps=(NUM_STEPS,), memories=memories, **FIXED)
    layers = [{"width": width, "neuron": "lif", "bitstream_length": length,
               "weight_bits": weight_bits} for width in widths[1:]]
    return graph(settings, (widths[0],), layers[:-1], layers[-1])


def kind_of(name: str) -> str:
    """The kind of a neuron's name; ConfigError for an unknown one."""
    if name not in NEURONS:
        raise ConfigError("neuron_choices: " + unknown("neuron", name, NEURONS))
    return NEURONS[name]


def whole(name: str, value: object, lo: int, hi: int) -> int:
    """An integer in lo..hi; ConfigError for anything else."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not lo <= value <= hi:
        raise ConfigError(f"{name} must be an integer in {lo}..{hi}, not {value!r}")
    return int(value)


def _listed(name: str, values: Iterable) -> list:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigError(f"{name} must be a list, not {values!r}")
    found = list(values)
    if not found:
        raise ConfigError(f"{name} must be a list of at least one choice, not an empty one")
    return found


def _choices(name: str, values: Iterable, lo: int, hi: int) -> list[int]:
    """Different integers in lo..hi, ascending."""
    found = [whole(name, value, lo, hi) for value in _listed(name, values)]
    if len(set(found)) < len(found):
        raise ConfigError(f"{name} must be different values, not {found}")
    return sorted(found)


def nan_if_none(value: float | None) -> float:
    """A number to print, nan for what is not known."""
    return math.nan if value is None else float(value)
