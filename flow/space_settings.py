"""Section [space] of an experiment: what a candidate may be."""

from collections.abc import Iterator

from msgspec import Struct

from . import ir
from .rules import Rule, choice, within

#: Largest share of zeros that training makes.
MOST_SPARSE = 0.95

#: Kinds of networks that a space may be of, and those of them that have sections of their own.
NETWORKS = ("chain", "layered", "residual", "cells", "blocks")
OWN = ("cells", "blocks")


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
        yield ("network", self.network not in OWN,
               f"{self.network!r} in a section [space] of its own alone")
        for key in ("layers", "weight_bits", "bitstream_lengths", "num_steps", "leak_shifts",
                    "encoders", "sng", "input_sng", "readouts", "resets", "neurons", "betas",
                    "adaptations", "presets", "refractory", "delays", "delay_seeds",
                    "sparsities", "lowerings", "lanes", "memories"):
            yield key, choice(getattr(self, key)), "a list of different values, at least one"
        yield "layers", within(self.layers, 1, 8), "in 1..8"
        yield "min_width", 1 <= self.min_width <= 4096, "in 1..4096"
        yield ("max_width", self.min_width <= self.max_width <= 4096,
               f"in min_width = {self.min_width}..4096")
        yield "weight_bits", within(self.weight_bits, 2, 10), "in 2..10"
        lengths = self.bitstream_lengths
        powers = within(lengths, 8, 512) and not any(n & n - 1 for n in lengths)
        yield "bitstream_lengths", powers, "powers of two in 8..512"
        longest, most = max(lengths, default=8), min(self.weight_bits, default=2)
        yield ("weight_bits", most <= longest.bit_length(),
               f"at most {longest.bit_length()} somewhere (bitstream_lengths up to {longest} carry "
               "that many)")
        yield "num_steps", within(self.num_steps, 1, ir.MAX_STEPS), f"in 1..{ir.MAX_STEPS}"
        yield "leak_shifts", within(self.leak_shifts, 0, 15), "in 1..15, or 0 for no leak"
        yield "beta_bits", 1 <= self.beta_bits <= 16, "in 1..16"
        yield ("betas", within(self.betas, 0, 1 << self.beta_bits),
               f"in 0..{1 << self.beta_bits} with beta_bits = {self.beta_bits}")
        sound = all(len(item) == 4 and within(item[:2], 0, 65535) and 1 <= item[2] <= item[3]
                    and item[3] <= 1 << 22 for item in self.adaptations)
        yield ("adaptations", sound, "lists of four, [up, down, lo, hi], with up and down in "
               "0..65535 and 1 <= lo <= hi <= 2**22")
        yield "refractory", within(self.refractory, 0, 255), "in 0..255"
        yield "delays", within(self.delays, 0, ir.MAX_DELAY), f"in 0..{ir.MAX_DELAY}"
        yield "sparsities", within(self.sparsities, 0, MOST_SPARSE), f"in 0..{MOST_SPARSE}"
        yield "delay_seeds", within(self.delay_seeds, 0, 65535), "in 0..65535"
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

        yield "lanes", within(self.lanes, 1, 256), "in 1..256"
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
        yield ("widths", choice(self.widths) and within(self.widths, 1, 4096),
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
