"""The space of chains whose hidden layers are of different kinds.

Each hidden layer has a width, a kind of neuron, a bitstream length, weight bits and an axonal delay
of its own, each one of a list; all else is one value for the whole network. The last layer has one
neuron a class and no genes.
"""

import json
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby

import numpy as np

from ..flow import config, ir
from ..flow.cost.rom import EBR_BITS
from ..flow.fold import TABLED_BITS
from ..hdl.neurons import SERIAL, FixedPointLif, HomeostaticLif, Lif
from ..hdl.neurons.izhikevich import PRESETS
from ..hdl.spram import DEPTH, MOST, WIDTH
from .arrays import Arrays
from .space import Genome, Space, spread

#: Synapses from which on a layer is `folded`, if its neurons can be: as constants in LUTs they take
#: about 1.3 logic cells each, so that the largest iCE40 holds no such layer.
FOLDED = 4096
#: Synapses from which on a folded layer keeps its weights in SPRAM, where space.memories has it: at
#: 3 bits a weight they would take 24 of an UP5K's 30 EBRs, and more with more bits.
LOADED = 1 << 15
#: Bits of weights that SPRAMs give in a clock, and the most lanes that take them.
ROW_BITS, LANES = MOST * WIDTH, 16
#: Bits of one.
SPRAM_BITS = DEPTH * WIDTH
#: What a network of this space has at the least, in logic cells: its link, encoder and read-out, a
#: synapse in LUTs by its weight bits (more bits take more), and a neuron of a kind beside a LIF's.
LEAST, SYNAPSE, NEURON = 500, {2: 0.4, 3: 0.9, 4: 1.1}, {"homeostatic": 40, "izhikevich": 35}
#: The bitstream length in whose counts `adaptations` are given; at other lengths they are scaled.
UNIT = 8


class LayeredSpace(Space):
    """As `Space`, with `widths` to choose from and a kind of neuron for each hidden layer.

    The delay of a hidden layer is that of its own axons, so the first one may have it whatever the
    encoder. The last layer is a LIF without leak whose membrane is read; its bitstream length and
    weight bits are those of the last hidden layer. Layers of `FOLDED` synapses or more are
    `folded` where their neurons can be, and those of `LOADED` or more have their weights in SPRAM,
    if `memories` names it. Every choice of genes is a network, and no two are the same
    one.
    """

    def __init__(self, settings: config.Space, shape: tuple[int, ...], num_classes: int,
                 arrays: Arrays | None = None) -> None:
        super().__init__(settings, shape, num_classes, arrays)
        self.widths = sorted(settings.widths)
        self.neurons = list(settings.neurons)
        #: The ordered genes of a layer: what each position stands for.
        self.ordered = {"width": self.widths, "length": self.lengths,
                        "weight_bits": self.weight_bits, "delay": self.delays}
        self.choices = {f"neuron{k}": self.neurons for k in range(self.depths[-1] - 1)}

    @cached_property
    def bounds(self) -> dict[str, tuple[int, int]]:
        """Ordered genes and their inclusive ranges, positions in sorted lists."""
        bounds = {"layers": (0, len(self.depths) - 1)}
        for index in range(self.depths[-1] - 1):
            bounds |= {f"{name}{index}": (0, len(values) - 1)
                       for name, values in self.ordered.items()}
        return bounds if self.arrays is None else bounds | self.arrays.bounds

    def size(self) -> int:
        """The exact number of different networks (genomes)."""
        each = len(self.neurons) * math.prod(map(len, self.ordered.values()))
        arrays = 1 if self.arrays is None else self.arrays.size()
        return arrays * sum(each ** (depth - 1) for depth in self.depths)

    def sample(self, rng: np.random.Generator, layers: int | None = None) -> dict[str, int]:
        """A random vector, every gene uniform; `layers` holds that gene fixed."""
        vector = {name: int(rng.integers(lo, hi + 1)) for name, (lo, hi) in self.bounds.items()}
        vector |= {name: int(rng.integers(len(kinds))) for name, kinds in self.choices.items()}
        return vector if layers is None else {**vector, "layers": layers}

    def genome(self, vector: dict[str, int]) -> Genome:
        """The canonical form of a vector."""
        layers = []
        for index in range(self.depths[vector["layers"]] - 1):
            value = {name: values[vector[f"{name}{index}"]]
                     for name, values in self.ordered.items()}
            layer = {"width": value["width"], "neuron": self.neurons[vector[f"neuron{index}"]],
                     "bitstream_length": value["length"], "weight_bits": value["weight_bits"]}
            layers.append(layer | ({"delay": value["delay"]} if value["delay"] else {}))
        chosen = {"network": "layered", "layers": layers, "num_steps": self.num_steps[0],
                  "encoder": self.settings.encoders[0]}
        if self.settings.sparsities[0]:
            chosen["sparsity"] = self.settings.sparsities[0]
        if self.arrays is not None:
            chosen["array"] = self.arrays.chosen(vector)
        return json.dumps(chosen, sort_keys=True, separators=(",", ":"))

    def graph(self, genome: Genome) -> ir.Graph:
        """The graph of shapes of a genome; thresholds are learned, so they stand at 1."""
        hidden = json.loads(genome)["layers"]
        return graph(self.settings, self.shape, hidden,
                     {**hidden[-1], "width": self.num_classes})

    def floor(self, genome: Genome) -> dict[str, float]:
        """Cells and memories that a network has at the least: most are refused by it."""
        cells, bits, loaded, axons = LEAST, 0, 0, math.prod(self.shape)
        hidden = json.loads(genome)["layers"]
        for layer in (*hidden, {**hidden[-1], "width": self.num_classes, "neuron": "lif"}):
            synapses, weight_bits = axons * layer["width"], layer["weight_bits"]
            if loads(self.settings, layer["neuron"], synapses):
                loaded += synapses * weight_bits
            elif folds(layer["neuron"], synapses):
                bits += synapses * weight_bits
            else:
                cells += synapses * SYNAPSE[min(weight_bits, 4)]
                cells += layer["width"] * NEURON.get(layer["neuron"], 0)
            axons = layer["width"]
        return {"lc": cells, "ebr": bits // EBR_BITS, "spram": -(-loaded // SPRAM_BITS)}

    def smaller(self, vector: dict[str, int]) -> Iterator[dict[str, int]]:
        """Vectors with one active gene changed: an ordered one a step smaller, or another kind.

        What `repair` walks along, arrays in both directions; the last of them drops a layer.
        """
        for index in range(self.depths[vector["layers"]] - 1):
            for name in (f"{gene}{index}" for gene in self.ordered):
                if vector[name]:
                    yield {**vector, name: vector[name] - 1}
            name = f"neuron{index}"
            for kind in range(len(self.neurons)):
                if kind != vector[name]:
                    yield {**vector, name: kind}
        if self.arrays is not None:
            yield from self.arrays.neighbours(vector)
        if vector["layers"]:
            yield {**vector, "layers": vector["layers"] - 1}


def graph(settings: config.Space, shape: tuple[int, ...], hidden: Sequence[dict], last: dict
          ) -> ir.Graph:
    """The graph of shapes of hidden layers and the `last` one, which is read, each with `width`,
    `bitstream_length` and `weight_bits`, a hidden one also with `neuron`, its kind, and `delay`, if
    it has any.
    """
    layers, axons, before = [], math.prod(shape), 0
    for k, layer in enumerate((*hidden, last)):
        reads = k == len(hidden)
        kind = "lif" if reads else layer["neuron"]
        synapses = axons * layer["width"]
        neuron = Lif(v_threshold=1) if reads else _neuron(settings, kind, layer["bitstream_length"])
        layers.append({
            "out_features": layer["width"], "sng": settings.sng[0],
            "weight_bits": layer["weight_bits"], "bitstream_length": layer["bitstream_length"],
            "delay": spread(before, axons, settings.delay_seeds[0]), "neuron": neuron,
            "lowering": "folded" if folds(kind, synapses) else None,
            "memory": "spram" if loads(settings, kind, synapses) else None})
        axons, before = layer["width"], layer.get("delay", 0)
    _widen(layers)
    encoder = settings.encoders[0]
    return ir.chain(shape=shape, encoder=encoder, layers=layers, readout=settings.readouts[0],
                    num_steps=settings.num_steps[0],
                    input_sng=settings.input_sng[0] if encoder == "stream" else None).verify()


def folds(kind: str, synapses: int) -> bool:
    """Whether a layer of this kind of neurons and that many synapses is `folded`."""
    return kind in SERIAL and synapses >= FOLDED


def loads(settings: config.Space, kind: str, synapses: int) -> bool:
    """Whether such a layer has its weights in SPRAM."""
    return "spram" in settings.memories and folds(kind, synapses) and synapses >= LOADED


def _widen(layers: list[dict]) -> None:
    """Give runs of folded layers with weights in SPRAM as many lanes as that feeds."""
    for _, run in groupby(layers, lambda layer: layer["lowering"]):
        run = list(run)
        if any(layer["memory"] == "spram" for layer in run):
            bits = max(layer["weight_bits"] for layer in run)
            if bits > TABLED_BITS:  # then rows hold what codes count, a sign and up to L
                bits = 1 + max(layer["bitstream_length"] for layer in run).bit_length()
            lanes = min(LANES, ROW_BITS // bits)
            for layer in run:
                layer["lanes"] = min(lanes, layer["out_features"])


def _neuron(settings: config.Space, kind: str, length: int):
    """The neurons of a hidden layer whose bitstreams have this length."""
    common = {"v_threshold": 1, "reset": settings.resets[0], "refractory": settings.refractory[0]}
    leak = settings.leak_shifts[0] or None
    if kind == "izhikevich":
        return PRESETS[settings.presets[0]]
    if kind == "fixed":
        return FixedPointLif(beta=settings.betas[0], n=settings.beta_bits, **common)
    if kind == "homeostatic":
        up, down, lo, hi = (value * length // UNIT for value in settings.adaptations[0])
        return HomeostaticLif(up=up, down=down, lo=lo, hi=hi, leak_shift=leak, **common)
    return Lif(leak_shift=leak, **common)
