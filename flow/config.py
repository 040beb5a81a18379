"""An experiment: `experiment.toml` as frozen, checked structures.

Every section and key has a default; an empty file is the search on scikit-learn's digits. A key
that is unknown, of the wrong type or out of range raises ConfigError: file, key, rule and value.
"""

import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import fields

from . import ir
from .errors import ConfigError, unknown
from .events import Data, EventData, data_of

#: Largest share of zeros that training makes.
MOST_SPARSE = 0.95

#: Kinds of networks that a space may be of; the last ones have sections of their own (`_OWN`).
NETWORKS = ("chain", "layered", "residual", "cells", "blocks")

#: What `target.clock` may be.
CLOCKS = ("board", "auto", "fastest")

#: What the rules of a section yield: key, whether it holds, and what the value must be.
Rule = tuple[str, bool, str]


def _within(values, lo: int, hi: int) -> bool:
    return all(lo <= value <= hi for value in values)


def _choice(values) -> bool:
    """A list that a gene can choose from: not empty, nothing twice."""
    return len(values) > 0 and len(set(values)) == len(values)


class Space(Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate may be. `layers` counts Dense layers, the last has one output per class.

    network: `chain`; `layered`, where the hidden layers have neurons of different kinds
    (`nas.layered`); or `residual`, four layers on maps whose widths are channels (`nas.residual`).
    Widths of hidden layers are min_width..max_width, those of `layered` are of `widths`; every list
    is a gene's choices. weight_bits, bitstream_length and delay are chosen per layer, the others
    per network. leak_shift 0 is no leak. delays: a layer's largest axonal delay, 0 for none; its
    axons' are spread over 0 to it, evenly with delay_seed 0, else as drawn from that seed.
    sparsities: share of the weights that training makes zero.
    neurons: the kind of all that fire. Of its parameters `betas` over 2**beta_bits are the leaks of
    `fixed`, `adaptations` the up, down, lo and hi of `homeostatic`, `presets` those of
    `izhikevich`; leak_shifts and resets are the LIF's and the homeostatic's.
    lowerings: how layers become gateware, all of a network in the same way; `folded` ones have one
    of `lanes`, neurons that are computed at once, and keep their weights in one of `memories`.
    With network = 'layered' large layers are `folded`, whatever this says, and with 'residual' all
    are; memories of 'layered' that name `spram` let the largest ones keep their weights there.
    """

    network: str = "chain"
    layers: tuple[int, ...] = (1, 2, 3)
    min_width: int = 8
    max_width: int = 256
    widths: tuple[int, ...] = ()
    weight_bits: tuple[int, ...] = (2, 3, 4, 5, 6)
    bitstream_lengths: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512)
    num_steps: tuple[int, ...] = (2, 4, 6, 8, 12, 16)
    leak_shifts: tuple[int, ...] = (0, 1, 2, 3, 4)
    encoders: tuple[str, ...] = ("rate", "stream")
    sng: tuple[str, ...] = ("sobol1",)
    input_sng: tuple[str, ...] = ("ramp",)
    readouts: tuple[str, ...] = ("membrane",)
    resets: tuple[str, ...] = ("subtract",)
    neurons: tuple[str, ...] = ("lif",)
    betas: tuple[int, ...] = (7,)
    beta_bits: int = 3
    adaptations: tuple[tuple[int, ...], ...] = ((4, 1, 8, 255),)
    presets: tuple[str, ...] = ("regular_spiking",)
    refractory: tuple[int, ...] = (0,)
    delays: tuple[int, ...] = (0,)
    delay_seeds: tuple[int, ...] = (0,)
    sparsities: tuple[float, ...] = (0.0,)
    lowerings: tuple[str, ...] = ("spatial",)
    lanes: tuple[int, ...] = (8,)
    memories: tuple[str, ...] = ("ebr",)

    def rules(self) -> Iterator[Rule]:
        yield "network", self.network in NETWORKS, f"one of {', '.join(NETWORKS)}"
        yield ("network", self.network not in _OWN,
               f"{self.network!r} in a section [space] of its own alone")
        for key in ("layers", "weight_bits", "bitstream_lengths", "num_steps", "leak_shifts",
                    "encoders", "sng", "input_sng", "readouts", "resets", "neurons", "betas",
                    "adaptations", "presets", "refractory", "delays", "delay_seeds",
                    "sparsities", "lowerings", "lanes", "memories"):
            yield key, _choice(getattr(self, key)), "a list of different values, at least one"
        yield "layers", _within(self.layers, 1, 8), "in 1..8"
        yield "min_width", 1 <= self.min_width <= 4096, "in 1..4096"
        yield ("max_width", self.min_width <= self.max_width <= 4096,
               f"in min_width = {self.min_width}..4096")
        yield "weight_bits", _within(self.weight_bits, 2, 10), "in 2..10"
        lengths = self.bitstream_lengths
        powers = _within(lengths, 8, 512) and not any(n & n - 1 for n in lengths)
        yield "bitstream_lengths", powers, "powers of two in 8..512"
        longest, most = max(lengths, default=8), min(self.weight_bits, default=2)
        yield ("weight_bits", most <= longest.bit_length(),
               f"at most {longest.bit_length()} somewhere (bitstream_lengths up to {longest} carry "
               "that many)")
        yield "num_steps", _within(self.num_steps, 1, ir.MAX_STEPS), f"in 1..{ir.MAX_STEPS}"
        yield "leak_shifts", _within(self.leak_shifts, 0, 15), "in 1..15, or 0 for no leak"
        yield "beta_bits", 1 <= self.beta_bits <= 16, "in 1..16"
        yield ("betas", _within(self.betas, 0, 1 << self.beta_bits),
               f"in 0..{1 << self.beta_bits} with beta_bits = {self.beta_bits}")
        sound = all(len(item) == 4 and _within(item[:2], 0, 65535) and 1 <= item[2] <= item[3]
                    and item[3] <= 1 << 22 for item in self.adaptations)
        yield ("adaptations", sound, "lists of four, [up, down, lo, hi], with up and down in "
               "0..65535 and 1 <= lo <= hi <= 2**22")
        yield "refractory", _within(self.refractory, 0, 255), "in 0..255"
        yield "delays", _within(self.delays, 0, ir.MAX_DELAY), f"in 0..{ir.MAX_DELAY}"
        yield "sparsities", _within(self.sparsities, 0, MOST_SPARSE), f"in 0..{MOST_SPARSE}"
        yield "delay_seeds", _within(self.delay_seeds, 0, 65535), "in 0..65535"
        yield from self._gateware()
        yield ("delays", self.network != "residual" or self.delays == (0,),
               f"[0] with network = {self.network!r}: maps have no axonal delays")
        delayed = max(self.layers, default=1) - (self.network == "layered")
        deepest = delayed * max(self.delays, default=0)
        yield ("delays", 0 in self.delays or deepest < min(self.num_steps, default=0),
               "a list with 0, no delay, in it, unless the longest delays of all layers together "
               "are less than num_steps")
        yield from self._layered() if self.network == "layered" else [
            ("widths", not self.widths, f"[] with network = {self.network!r}, whose widths are "
             "min_width..max_width")]

    def _gateware(self) -> Iterator[Rule]:
        """What holds of lowerings, lanes and memories."""
        from ..hdl.neurons import SERIAL

        yield "lanes", _within(self.lanes, 1, 256), "in 1..256"
        if self.network != "chain":
            where = f"with network = {self.network!r}, which says itself how layers are lowered"
            yield "lowerings", self.lowerings == ("spatial",), f"['spatial'] {where}"
            yield "lanes", self.lanes == (8,), f"[8] {where}"
        yield ("memories", self.network != "residual" or self.memories == ("ebr",),
               "['ebr'] with network = 'residual'")
        folds = "folded" in self.lowerings
        yield ("lanes", folds or self.lanes == (8,),
               "[8] without 'folded' in lowerings, whose lanes they are")
        yield ("memories", folds or self.network != "chain" or self.memories == ("ebr",),
               "['ebr'] without 'folded' in lowerings, whose weights they hold")
        yield ("neurons", not folds or set(self.neurons) <= set(SERIAL),
               f"of {', '.join(sorted(SERIAL))} with 'folded' in lowerings")

    def _layered(self) -> Iterator[Rule]:
        """What holds with network = 'layered', whose genes are those of its hidden layers."""
        yield ("widths", _choice(self.widths) and _within(self.widths, 1, 4096),
               "different values in 1..4096, at least one, with network = 'layered'")
        yield "layers", min(self.layers) > 1, "in 2..8 with network = 'layered'"
        for key in ("num_steps", "leak_shifts", "encoders", "sng", "input_sng", "resets", "betas",
                    "adaptations", "presets", "refractory", "delay_seeds", "sparsities"):
            yield (key, len(getattr(self, key)) == 1,
                   "one value with network = 'layered', whose genes are those of its layers")
        yield ("readouts", self.readouts == ("membrane",),
               "['membrane'] with network = 'layered', whose last layer does not fire")
        most = min(self.bitstream_lengths).bit_length()
        yield ("weight_bits", max(self.weight_bits) <= most,
               f"at most {most} with network = 'layered' and bitstreams of "
               f"{min(self.bitstream_lengths)}")
        steps = 1 + (max(self.layers) - 1) * max(self.delays)
        yield ("num_steps", self.num_steps[0] >= steps,
               f"at least {steps} with network = 'layered', more than all its delays together")

    def names(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Keys whose values are names, as (key, kind, known names)."""
        from ..hdl import neurons, sng
        from ..hdl.neurons.izhikevich import PRESETS

        yield "encoders", "encoder", ir.ENCODERS
        yield "neurons", "neuron", neurons.KINDS
        yield "presets", "preset", PRESETS
        yield "sng", "number generator", ("auto", *sng.KINDS)
        yield "input_sng", "number generator", ("auto", *sng.KINDS)
        yield "readouts", "readout", ir.READOUTS
        yield "resets", "reset", ("subtract", "zero")
        yield "lowerings", "lowering", ir.LOWERINGS
        yield "memories", "memory", ir.MEMORIES


class CellSpace(Struct, frozen=True, forbid_unknown_fields=True):
    """Section [space] of networks of cells; what these may be is in a section [cells]."""

    network: str = "cells"


class BlockSpace(Struct, frozen=True, forbid_unknown_fields=True):
    """Section [space] of networks of blocks; what these may be is in a section [blocks]."""

    network: str = "blocks"


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """How to look, whatever for: at most population * generations candidates are evaluated.

    population: candidates asked for at once. repeats: evaluations of each candidate, from different
    seeds; what it has is their mean, because one lucky training of a cheap network would push
    better ones off the front. reference: the point from which hypervolumes are measured, a value
    for an objective.
    objectives: columns to optimise, each in its own direction. constraints: a bound per column, the
    largest value of a column that is minimised, the least of one that is maximised. choose: a
    column, whose best candidate becomes the run's network, or the id of one.
    deduplicate: no network is asked for twice; without it, a network that is asked for again is
    evaluated again, from the next seed. options: of the strategy, which knows their names.
    table: a file of evaluations that were made before (`nas.tabular`), which answers in place of
    training; what it does not have is not asked for.
    """

    strategy: str = "nsga2"
    population: int = 50
    generations: int = 20
    repeats: int = 1
    seed: int = 1
    objectives: tuple[str, ...] = ("accuracy", "lc")
    constraints: dict[str, float] = field(default_factory=dict)
    reference: dict[str, float] = field(default_factory=dict)
    choose: str = "accuracy"
    deduplicate: bool = True
    options: dict[str, object] = field(default_factory=dict)
    table: str = ""

    def rules(self) -> Iterator[Rule]:
        yield "population", 2 <= self.population <= 4096, "in 2..4096"
        yield "generations", 1 <= self.generations <= 100_000, "in 1..100000"
        yield "repeats", 1 <= self.repeats <= 100, "in 1..100"
        yield "seed", 0 <= self.seed < 1 << 31, "in 0..2**31-1"
        yield ("objectives", _choice(self.objectives), "a list of different columns, at least one")
        finite = all(map(math.isfinite, self.constraints.values()))
        yield "constraints", finite, "a table of finite numbers"
        finite = all(map(math.isfinite, self.reference.values()))
        yield "reference", finite, "a table of finite numbers"


class Search(Asked, frozen=True, forbid_unknown_fields=True):
    """How to look for networks on an FPGA: all candidates are trained, `routed` placed and routed.

    cost_model: `predicted` from what was measured, by the package and by this search, which places
    and routes while it trains; `structure`, counted parts alone, and building at the end. The
    device's capacity (times max_utilization) is always a constraint. `choose` is of those measured.
    confirm: trainings more of each measured candidate, from other seeds, before one is chosen by
    `accuracy`; the best of many single trainings is the luckiest of them.
    """

    max_utilization: float = 1.0
    routed: int = 20
    cost_model: str = "predicted"
    final_epochs: int = 60
    pnr_seeds: int = 2
    confirm: int = 4

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield ("cost_model", self.cost_model in ("predicted", "structure"),
               "'predicted' or 'structure'")
        yield "max_utilization", 0 < self.max_utilization <= 1, "in 0..1, above 0"
        yield "routed", 0 <= self.routed <= 4096, "in 0..4096"
        yield "pnr_seeds", 1 <= self.pnr_seeds <= 100, "in 1..100"
        yield "confirm", 0 <= self.confirm <= 100, "in 0..100"
        yield "final_epochs", 1 <= self.final_epochs <= 100_000, "in 1..100000"


class CellSearch(Asked, frozen=True, forbid_unknown_fields=True):
    """How to look for networks of cells; 5,000 candidates at most, as SNASNet looks at."""

    strategy: str = "spikenas"
    generations: int = 100
    objectives: tuple[str, ...] = ("score",)
    choose: str = "score"


class BlockSearch(Asked, frozen=True, forbid_unknown_fields=True):
    """How to look for networks of blocks; 20 rounds of 20 candidates, as AutoSNN looks at."""

    strategy: str = "autosnn"
    population: int = 20
    generations: int = 20
    objectives: tuple[str, ...] = ("score",)
    choose: str = "score"

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        yield ("repeats", self.repeats == 1, "1 with space.network = 'blocks': a super-network "
               "gives a network the same accuracy each time")


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """The board to build for, and the seed of place and route.

    clock: what the network that a search keeps runs at. Its first `synth` takes the board's pin, or
    chooses by the energy of an image (`auto`) or by its speed (`fastest`), with `search.pnr_seeds`
    seeds. Candidates are built for the pin's.
    """

    board: str = "icebreaker"
    seed: int = 1
    clock: str = "board"

    def rules(self) -> Iterator[Rule]:
        yield "seed", 0 <= self.seed < 1 << 31, "in 0..2**31-1"
        yield "clock", self.clock in CLOCKS, f"one of {', '.join(CLOCKS)}"


class Experiment(Struct, frozen=True, forbid_unknown_fields=True):
    """All sections. `train` holds keys of nas.train.TrainSettings, `cim` those of nas.cim.Cim,
    `cells` those of nas.cells.settings.Cells, `blocks` those of nas.blocks.settings.Blocks, checked
    where these are known; an experiment without crossbars has no `cim`, one of other networks no
    `cells` and no `blocks`, and `data` of images has a name alone.
    """

    data: Data | EventData = field(default_factory=Data)
    space: Space | CellSpace | BlockSpace = field(default_factory=Space)
    search: Asked = field(default_factory=Search)
    train: dict[str, int | float | str | bool] = field(default_factory=dict)
    cim: dict[str, object] | UnsetType = UNSET
    cells: dict[str, object] | UnsetType = UNSET
    blocks: dict[str, object] | UnsetType = UNSET
    target: Target = field(default_factory=Target)


def load_experiment(path: Path | None, changes: tuple[str, ...] = ()) -> Experiment:
    """Read an experiment; `changes` are ``section.key=value`` texts (TOML values) laid over it.

    Without a path it is the default one. Raises ConfigError.
    """
    source, data = "experiment", {}
    if path is not None:
        source = str(path)
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{source}: cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: is not TOML: {error}") from error
    for text in changes:
        section, key, value = change(text)
        if section not in _SECTIONS:
            raise ConfigError("--set: " + unknown("section", section, _SECTIONS))
        item = data.setdefault(section, {})
        if isinstance(item, dict):
            item[key] = value
    return experiment_from(data, source)


def experiment_from(data: dict, source: str = "experiment") -> Experiment:
    """Check plain data, section by section and key by key; raises ConfigError naming `source`."""
    sections = {}
    space = data.get("space")
    kinds = _SECTIONS
    network = space.get("network") if isinstance(space, dict) else None
    if isinstance(network, str) and network in _OWN:
        kinds = _SECTIONS | _OWN[network]
        sections = {name: cls() for name, cls in _OWN[network].items()}
    for name, item in data.items():
        if name not in _SECTIONS:
            raise ConfigError(f"{source}: " + unknown("section", name, _SECTIONS))
        if not isinstance(item, dict):
            raise ConfigError(f"{source}: {name} must be a section [{name}], not {item!r}")
        cls = data_of(item) if name == "data" else kinds[name]
        sections[name] = dict(item) if cls is None else section(cls, item, source, name)
    return Experiment(**sections)


def section(cls: type, item: dict, source: str, name: str):
    """One checked section: an instance of the Struct `cls` from a table of plain values.

    Where `cls` has `rules()` and `names()`, they are held too. Raises ConfigError.
    """
    known = {f.name: f for f in fields(cls)}
    values = {}
    for key, value in item.items():
        if key not in known:
            raise ConfigError(f"{source}: {name}.{key}: " + unknown("key", key, known))
        kind = known[key].type
        try:
            values[key] = msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{source}: {name}.{key} must be {_described(kind)}, not {value!r}"
                              ) from error
    made = cls(**values)
    for key, ok, text in made.rules() if hasattr(made, "rules") else ():
        if not ok:
            raise ConfigError(f"{source}: {name}.{key} must be {text}, "
                              f"not {toml_value(getattr(made, key))}")
    for key, kind, names in made.names() if hasattr(made, "names") else ():
        for value in getattr(made, key):
            if value not in names:
                raise ConfigError(f"{source}: {name}.{key}: " + unknown(kind, value, names))
    return made


def to_toml(experiment: Experiment) -> str:
    """The effective experiment as TOML, every key written out; reads back as the same."""
    lines = []
    for name, item in msgspec.to_builtins(experiment).items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in item.items()]
        lines.append("")
    return "\n".join(lines)


#: The struct of each section; None where others know its keys.
_SECTIONS: dict[str, type | None] = {
    "data": Data, "space": Space, "search": Search, "train": None, "cim": None, "cells": None,
    "blocks": None, "target": Target}
#: Sections of kinds of networks that have their own.
_OWN: dict[str, dict[str, type]] = {
    "cells": {"space": CellSpace, "search": CellSearch},
    "blocks": {"space": BlockSpace, "search": BlockSearch}}


def change(text: str, option: str = "--set", shape: str = "SECTION.KEY=VALUE"
           ) -> tuple[str, str, object]:
    """Split ``section.key=value``; a value that is not TOML is taken as a string."""
    where, equals, value = text.partition("=")
    name, dot, key = where.strip().partition(".")
    if not (equals and dot and name and key):
        raise ConfigError(f"{option} must be {shape}, not {text!r}")
    return name, key, _value(value)


def key_value(text: str, example: str) -> tuple[str, object]:
    """Split ``key=value``; a value that is not TOML is taken as a string."""
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise ConfigError(f"--set must be KEY=VALUE, such as {example}, not {text!r}")
    return key.strip(), _value(value)


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _described(kind) -> str:
    names = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    if get_origin(kind) is tuple:
        return f"a list, each {_described(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return ("a table of numbers, such as { lc = 5000 }" if get_args(kind)[1] is float
                else "a table, such as { sample = 10 }")
    return names.get(kind) or " or ".join(names.get(k, str(k)) for k in get_args(kind))


def toml_value(value) -> str:
    """A plain value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return json.dumps(value) if isinstance(value, str) else repr(value)
