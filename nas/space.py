"""The search space: genes for pymoo, genomes as people read them, graphs of shapes.

A *vector* is what pymoo recombines: a dict of integers, one per gene, genes of absent layers
included. A *genome* is its canonical form, in which every active gene has its value and no inactive
one appears, so that two vectors are the same network exactly if their genomes are equal.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import product

import numpy as np

from ..flow import config, ir
from ..hdl.neurons import KINDS, FixedPointLif, HomeostaticLif, Lif
from ..hdl.neurons.izhikevich import PRESETS
from .arrays import Arrays, described
from .lowered import Lowered, layer_of
from .lowered import described as gateware

#: Text of a genome: JSON with sorted keys, the key of every store.
Genome = str
#: Kinds that leak as a LIF does, so that they are one where nothing fires.
_LIFS = {"lif", "homeostatic", "izhikevich"}


class Space:
    """All networks of one experiment for inputs of `shape` and `num_classes` classes, each on every
    array if there are any.
    """

    def __init__(self, settings: config.Space, shape: tuple[int, ...], num_classes: int,
                 arrays: Arrays | None = None) -> None:
        self.settings, self.arrays = settings, arrays
        self.shape = tuple(shape)
        self.num_classes = num_classes
        self.depths = sorted(settings.layers)
        self.weight_bits = sorted(settings.weight_bits)
        self.lengths = sorted(settings.bitstream_lengths)
        self.num_steps = sorted(settings.num_steps)
        self.choices = {
            "leak_shift": [shift or None for shift in settings.leak_shifts],
            "encoder": list(settings.encoders),
            "sng": list(settings.sng),
            "input_sng": list(settings.input_sng),
            "readout": list(settings.readouts),
            "reset": list(settings.resets),
        }
        # Genes that came later are there only where there is a choice, so that a space without
        # them draws the same vectors as ever.
        self.later = {
            "neuron": list(settings.neurons), "beta": list(settings.betas),
            "adaptation": [list(item) for item in settings.adaptations],
            "preset": list(settings.presets), "refractory": sorted(settings.refractory),
            "sparsity": sorted(settings.sparsities),
        }
        self.choices |= {name: values for name, values in self.later.items() if len(values) > 1}
        self.lowered = Lowered(settings)
        self.choices |= self.lowered.choices
        self.delays = sorted(settings.delays)
        self.delay_seeds = sorted(settings.delay_seeds)

    @cached_property
    def bounds(self) -> dict[str, tuple[int, int]]:
        """Ordered genes and their inclusive ranges: positions in sorted lists, and widths."""
        bounds = {"layers": (0, len(self.depths) - 1), "num_steps": (0, len(self.num_steps) - 1)}
        for index in range(self.depths[-1]):
            bounds[f"weight_bits{index}"] = (0, len(self.weight_bits) - 1)
            bounds[f"length{index}"] = (0, len(self.lengths) - 1)
            if index + 1 < self.depths[-1]:
                bounds[f"width{index}"] = (self.settings.min_width, self.settings.max_width)
        if len(self.delays) > 1:
            for index in range(self.depths[-1]):
                bounds[f"delay{index}"] = (0, len(self.delays) - 1)
        if len(self.delay_seeds) > 1:
            bounds["delay_seed"] = (0, len(self.delay_seeds) - 1)
        bounds |= self.lowered.bounds
        return bounds if self.arrays is None else bounds | self.arrays.bounds

    def size(self) -> int:
        """The exact number of different networks (genomes)."""
        pairs = sum(1 for w in self.weight_bits for n in self.lengths if _legal(w, n))
        widths = self.settings.max_width - self.settings.min_width + 1
        total = 0
        for encoder, steps, depth in product(self.choices["encoder"], self.num_steps, self.depths):
            inputs = len(self.choices["input_sng"]) if encoder == "stream" else 1
            # what a layer fed by `stream` cannot have
            delays = self._sets_of_delays(depth - (encoder == "stream"), steps)
            kinds = sum(self._neurons(depth, readout) for readout in self.choices["readout"])
            total += widths ** (depth - 1) * pairs ** depth * inputs * delays * kinds
        arrays = 1 if self.arrays is None else self.arrays.size()
        return (total * len(self.choices["sng"]) * len(self.later["sparsity"]) * arrays
                * self.lowered.size())

    def _sets_of_delays(self, layers: int, steps: int) -> int:
        """In how many ways `layers` can have delays whose largest sum to less than `steps`."""
        ways = {0: 1}
        for _ in range(layers):
            sums = Counter()
            for (total, count), delay in product(ways.items(), self.delays):
                if total + delay < steps:
                    sums[total + delay] += count
            ways = sums
        silent = 1 if 0 in self.delays or not layers else 0  # without any delay, seeds say nothing
        return silent + (sum(ways.values()) - silent) * len(self.delay_seeds)

    def _neurons(self, depth: int, readout: str) -> int:
        """How many different neurons a network may have."""
        leaks, rests = len(self.choices["leak_shift"]), len(self.later["refractory"])
        kinds = self.later["neuron"]
        if depth == 1 and readout == "membrane":
            fixed = len(self.later["beta"]) if "fixed" in kinds else 0
            others = len(set(kinds) - _LIFS - {"fixed"}) + bool(_LIFS & set(kinds))
            return fixed + leaks * others
        resting = len(self.choices["reset"]) * rests
        each = {"lif": leaks * resting, "fixed": len(self.later["beta"]) * resting,
                "homeostatic": leaks * resting * len(self.later["adaptation"]),
                "izhikevich": len(self.later["preset"]) * (leaks if readout == "membrane" else 1)}
        return sum(each.get(kind, leaks * resting) for kind in kinds)

    def sample(self, rng: np.random.Generator, layers: int | None = None) -> dict[str, int]:
        """A random vector; widths are log-uniform, the other genes uniform.

        `layers` holds that gene fixed, so that drawing until something fits does not favour nets
        of few layers.
        """
        vector = {}
        for name, (lo, hi) in self.bounds.items():
            if name.startswith("width"):
                value = math.exp(rng.uniform(math.log(lo), math.log(hi + 1)))
                vector[name] = min(hi, int(value))
            else:
                vector[name] = int(rng.integers(lo, hi + 1))
        for name, values in self.choices.items():
            vector[name] = int(rng.integers(len(values)))
        return vector if layers is None else {**vector, "layers": layers}

    def genome(self, vector: dict[str, int]) -> Genome:
        """The canonical form of a vector; a bitstream too short for its weights is lengthened."""
        depth = self.depths[vector["layers"]]
        chosen = {name: values[vector[name]] for name, values in self.choices.items()
                  if name not in self.later and name not in self.lowered.choices}
        chosen |= self.lowered.chosen(vector)
        if chosen["encoder"] != "stream":
            del chosen["input_sng"]
        self._choose_neuron(vector, chosen, depth > 1 or chosen["readout"] != "membrane")
        steps = self.num_steps[vector["num_steps"]]
        layers, left = [], steps - 1
        for index in range(depth):
            weight_bits = self.weight_bits[vector[f"weight_bits{index}"]]
            length = self.lengths[vector[f"length{index}"]]
            if not _legal(weight_bits, length):
                longer = [n for n in self.lengths if _legal(weight_bits, n)]
                length = longer[0] if longer else self.lengths[-1]
                if not longer:
                    weight_bits = max(w for w in self.weight_bits if _legal(w, length))
            layer = {"weight_bits": weight_bits, "bitstream_length": length}
            if index + 1 < depth:
                layer["width"] = int(vector[f"width{index}"])
            delay = self.delays[vector.get(f"delay{index}", 0)]
            if index or chosen["encoder"] != "stream":
                delay = max((d for d in self.delays if d <= min(delay, left)), default=0)
                left -= delay
                layer |= {"delay": delay} if delay else {}
            layers.append(layer)
        seed = self.delay_seeds[vector.get("delay_seed", 0)]
        if seed and any("delay" in layer for layer in layers):
            chosen["delay_seed"] = seed
        sparsity = self.later["sparsity"][vector.get("sparsity", 0)]
        if sparsity:
            chosen["sparsity"] = sparsity
        if self.arrays is not None:
            chosen["array"] = self.arrays.chosen(vector)
        chosen.update(layers=layers, num_steps=steps)
        return json.dumps(chosen, sort_keys=True, separators=(",", ":"))

    def _choose_neuron(self, vector: dict[str, int], chosen: dict, fires: bool) -> None:
        """Keep the neuron's active genes in `chosen`; a LIF without a rest is not mentioned."""
        later = {name: values[vector.get(name, 0)] for name, values in self.later.items()}
        kind = later["neuron"]
        if not fires and kind in _LIFS:
            kind = "lif"  # with nothing to fire, all that is left is the leak
        if kind != "lif":
            chosen["neuron"] = kind
        if kind == "fixed" or (kind == "izhikevich" and chosen["readout"] != "membrane"):
            del chosen["leak_shift"]
        if not fires or kind == "izhikevich":
            del chosen["reset"]
        elif later["refractory"]:
            chosen["refractory"] = later["refractory"]
        own = {"fixed": "beta", "homeostatic": "adaptation", "izhikevich": "preset"}.get(kind)
        if own:
            chosen[own] = later[own]

    def graph(self, genome: Genome) -> ir.Graph:
        """The graph of shapes of a genome; thresholds are learned, so they stand at 1."""
        item = json.loads(genome)
        neuron, last = self._populations(item)
        layers, axons = [], math.prod(self.shape)
        for layer in item["layers"]:
            width = layer.get("width", self.num_classes)
            layers.append({
                "out_features": width, "sng": item["sng"], "weight_bits": layer["weight_bits"],
                "bitstream_length": layer["bitstream_length"],
                "delay": spread(layer.get("delay", 0), axons, item.get("delay_seed", 0)),
                "neuron": neuron, **layer_of(item, width)})
            axons = width
        layers[-1]["neuron"] = last
        return ir.chain(shape=self.shape, encoder=item["encoder"], layers=layers,
                        readout=item["readout"], num_steps=item["num_steps"],
                        input_sng=item.get("input_sng")).verify()

    def _populations(self, item: dict) -> tuple:
        """The neurons of a genome: of the layers, and of the last one.

        They differ where the last one integrates without firing and the kind cannot; it is a LIF.
        """
        common = {"v_threshold": 1, "reset": item.get("reset", "subtract"),
                  "refractory": item.get("refractory", 0)}
        leak, kind = item.get("leak_shift"), item.get("neuron", "lif")
        if kind == "izhikevich":
            neuron = PRESETS[item["preset"]]
            return neuron, (Lif(leak_shift=leak, **common) if item["readout"] == "membrane"
                            else neuron)
        if kind == "fixed":
            neuron = FixedPointLif(beta=item["beta"], n=self.settings.beta_bits, **common)
        elif kind == "homeostatic":
            up, down, lo, hi = item["adaptation"]
            neuron = HomeostaticLif(up=up, down=down, lo=lo, hi=hi, leak_shift=leak, **common)
        else:
            neuron = KINDS[kind](leak_shift=leak, **common)
        return neuron, neuron

    def floor(self, genome: Genome) -> dict[str, float]:
        """Columns that a network has at the least, for less than pricing it takes; any may lack."""
        return {}

    def smaller(self, vector: dict[str, int]) -> Iterator[dict[str, int]]:
        """Vectors with one ordered, active gene made smaller: widths by an eighth, others by one.

        What `repair` walks along, arrays in both directions; the last of them drops a layer.
        """
        depth = self.depths[vector["layers"]]
        for name, (lo, _) in self.bounds.items():
            if name in ("layers", "delay_seed") or name.startswith("array_") or vector[name] <= lo:
                continue
            index = name.lstrip("abcdefghijklmnopqrstuvwxyz_")
            if index and int(index) >= depth - name.startswith("width"):
                continue
            step = max(1, vector[name] // 8) if name.startswith("width") else 1
            yield {**vector, name: max(lo, vector[name] - step)}
        if self.arrays is not None:
            yield from self.arrays.neighbours(vector)
        if vector["layers"]:
            yield {**vector, "layers": vector["layers"] - 1}


def spread(largest: int, axons: int, seed: int = 0) -> int | tuple[int, ...]:
    """Axonal delays of a layer over 0..`largest`.

    With seed 0 evenly, from 0 for the first axon to `largest`: axons of a hidden layer are alike
    before training, so any even pattern is as good as this one. Axons of an input are not, and
    what their order suggests may be wrong: another seed draws the delays.
    """
    if not largest or axons == 1:
        return largest
    if seed:
        drawn = np.random.default_rng(seed).integers(0, largest + 1, axons)
        return tuple(map(int, drawn))
    return tuple((2 * i * largest + axons - 1) // (2 * (axons - 1)) for i in range(axons))


def repair(space: Space, vector: dict[str, int], excess: Callable[[Genome], float],
           rng: np.random.Generator) -> dict[str, int] | None:
    """The vector made smaller, gene by gene, until `excess` of its genome is 0.

    Each step takes one of the reductions that lower the excess, at random in proportion to how
    much each does, so that repaired candidates do not all end in one corner and cheap genes are not
    spent first. None where no single reduction helps any more.
    """
    left = excess(space.genome(vector))
    while left > 0:
        better = [(value, item) for item in space.smaller(vector)
                  if (value := excess(space.genome(item))) < left]
        if not better:
            return None
        gains = np.array([left - value for value, _ in better])
        left, vector = better[int(rng.choice(len(better), p=gains / gains.sum()))]
    return vector


def sparsity(genome: Genome) -> float:
    """The share of its weights that training makes zero; a graph of shapes does not say it."""
    return json.loads(genome).get("sparsity", 0.0)


def identity(genome: Genome) -> str:
    """A short stable name for a genome: 12 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(genome.encode()).hexdigest()[:12]


def describe(genome: Genome) -> str:
    """A genome in a few words: ``stream 24w4/16-w3/32d8 T=8 leak=2``.

    Each layer is its width (none for the last), weight bits, bitstream length, and largest delay if
    it has any, and its kind of neuron where each has its own; then comes what is not a LIF's, or a
    rest, or a share of zeros, and how layers are `folded`, if they are. Of cells it is
    ``cells 3|01|234 1|33|030``, of blocks ``blocks srb_k5 skip``.
    """
    item = json.loads(genome)
    for name in ("cells", "blocks"):
        if name in item:
            return " ".join([name, *item[name]])
    layers = "-".join(f"{layer.get('width', '')}w{layer['weight_bits']}/"
                      f"{layer['bitstream_length']}"
                      + (f"d{layer['delay']}" if "delay" in layer else "")
                      + (f":{layer['neuron']}" if "neuron" in layer else "")
                      for layer in item["layers"])
    words = [item["encoder"], layers, f"T={item['num_steps']}"]
    if "network" in item:
        words.insert(1, item["network"])
    if "leak_shift" in item:
        words.append(f"leak={item['leak_shift'] or 'no'}")
    if item.get("neuron") not in (None, "fixed", "homeostatic", "izhikevich"):
        words.append(item["neuron"])
    if "beta" in item:
        words.append(f"beta={item['beta']}")
    if "adaptation" in item:
        words.append("homeostatic=" + "/".join(map(str, item["adaptation"])))
    if "preset" in item:
        words.append(item["preset"])
    if "refractory" in item:
        words.append(f"rest={item['refractory']}")
    if "delay_seed" in item:
        words.append(f"delays#{item['delay_seed']}")
    if "sparsity" in item:
        words.append(f"zeros={item['sparsity']:g}")
    words += gateware(item)
    if "array" in item:
        words.append(described(item["array"]))
    return " ".join(words)


def _legal(weight_bits: int, length: int) -> bool:
    """Whether streams of `length` = 2**B clocks carry `weight_bits` w: w - 1 <= B."""
    return weight_bits - 1 <= length.bit_length() - 1
