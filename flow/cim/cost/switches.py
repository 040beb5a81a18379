"""Switches: each choice in which one way of pricing differs from another, by name.

A mode is a set of them. `released` prices as SpikeSim's script does, `neuronas` as the tables of
R. V. W. Putra et al., "NeuroNAS" (arXiv:2407.00641) can only have been made, `physical` prices the
chip that the mapper plans; `event` is `physical` with spikes that were measured.
"""

from collections.abc import Iterator

from msgspec import Struct, structs

from ...errors import ConfigError, unknown
from .table import SCALINGS

#: For each switch, what its settings assume, in the order in which `explain` turns them.
MEANING: dict[str, dict[str, str]] = {
    "dense": {
        "excluded": "dense layers are left out",
        "priced": "dense layers are priced as a 1 x 1 kernel at one place"},
    "kernel": {
        "first_layer": "the kernel of the first layer is taken for all",
        "three": "every kernel is taken as 3 x 3, a 1 x 1 too",
        "per_layer": "every layer has its own kernel"},
    "weight_factor": {
        "none": "no factor for the bits of a weight",
        "quarter_bits": "PEs, area and energy are times ceil(bits / 4): this divisor of 4 "
                        "reproduces the paper's table, though the paper's Table I says 1 bit a "
                        "cell; latency carries no factor, although the text says that it does"},
    "mapping": {
        "blocks": "a layer takes ceil(inputs / rows) * ceil(outputs / cols) PEs, a weight one "
                  "column whatever its bits",
        "plan": "PEs, crossbars and columns are the mapper's, with the bits and signs of weights; "
                "inputs of several bits are read bit by bit"},
    "tile_sharing": {
        "shared": "layers share tiles",
        "as_array": "layers share tiles only if the array says so"},
    "adcs": {
        "per_pe": "a PE has the ADCs of one crossbar for all of its crossbars",
        "per_crossbar": "every crossbar has its own ADCs"},
    "conversions": {
        "all_columns": "a PE cycle has (cols / mux)**2 conversions, 64 of 64 columns",
        "columns_used": "ADCs convert the columns in use of every crossbar, one by one"},
    "constants": {
        "fixed": "constants are those of a 64 x 64 crossbar and ADCs of 4 bits, whatever the array",
        "by_size": "crossbars are priced by the cell, flash ADCs by the comparator, of 2**b - 1, "
                   "multiplexers' area by the input, the H-tree's energy by the column; its area "
                   "stays that of a tile of 8 PEs"},
    "input_memory": {
        "bits_22": "every input is stored in 22 bits",
        "bits_as_is": "an input is stored in as many bits as it has, 1 of a spike"},
    "neuron_memory": {
        "first_five": "only the first five layers have memory for their neurons",
        "all_layers": "every layer has memory for its neurons"},
    "neurons": {
        "per_pe_cycle": "neurons are priced by the PE cycle, their memory is not accessed",
        "per_update": "every neuron is updated in every timestep, its membrane read and written"},
    "latency": {
        "per_channel": "latency has a PE cycle for every neuron: channels one after the other",
        "pe_cycles": "latency has a PE cycle for every place and input bit, or the flits of the "
                     "place on a link if they take longer; of more turns than the table's a PE "
                     "cycle takes a clock each, of fewer a clock less each"},
    "overlap": {
        "three_quarters": "a layer starts when three quarters of the one before are done",
        "none": "a layer starts when the one before is done"},
    "buffers": {
        "released": "buffers are SpikeSim's constants of a tile",
        "sized": "buffers have the sizes of SpikeSim's Table I (of a PE, a tile and the chip), "
                 "each in the next larger memory of the table; a PE reads its rows at every place "
                 "and writes and reads its sums"},
    "arithmetic": {
        "released": "only subtractions are priced",
        "counted": "shift-and-adds of every conversion and additions of sums and skips are priced"},
    "drivers": {
        "left_out": "word-line drivers are left out",
        "priced": "a driver for every row, whose word line an input drives"},
    "noc": {
        "left_out": "the network on the chip is left out",
        "priced": "a router a tile; spikes travel as the plan places them, over links as long as "
                  "the root of a tile's area"},
    "pooling": {
        "left_out": "pooling is left out",
        "priced": "one pooling module as wide as the mesh; a window is an OR of its spikes, or "
                  "a sum where counts come in"},
    "leakage": {
        "left_out": "leakage is left out",
        "priced": "memories and routers leak over the latency; an idle crossbar does not"},
    "activity": {
        "all_rows": "every input drives its word line in every timestep",
        "spikes": "energies follow the spikes that come in, taken as spread evenly and "
                  "independently; a crossbar or a PE without any is not read, and spikes travel "
                  "as addresses where those are fewer bits"},
    "scaling": {name: text for name, (_, text) in SCALINGS.items()},
}


class Switches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting of every switch, with the defaults of `physical`; `MEANING` says what each is.

    membrane_bits: of a neuron's memory.
    """

    dense: str = "priced"
    kernel: str = "per_layer"
    weight_factor: str = "none"
    mapping: str = "plan"
    tile_sharing: str = "as_array"
    adcs: str = "per_crossbar"
    conversions: str = "columns_used"
    constants: str = "by_size"
    input_memory: str = "bits_as_is"
    neuron_memory: str = "all_layers"
    neurons: str = "per_update"
    latency: str = "pe_cycles"
    overlap: str = "none"
    buffers: str = "sized"
    arithmetic: str = "counted"
    drivers: str = "priced"
    noc: str = "priced"
    pooling: str = "priced"
    leakage: str = "priced"
    activity: str = "all_rows"
    scaling: str = "none"
    membrane_bits: int = 22

    def check(self) -> "Switches":
        """Hold every switch to its settings; returns them, raises ConfigError."""
        for name, settings in MEANING.items():
            if getattr(self, name) not in settings:
                raise ConfigError(f"switches.{name}: " + unknown("setting", getattr(self, name),
                                                                 settings))
        if not 1 <= self.membrane_bits <= 64:
            raise ConfigError(f"switches.membrane_bits must be in 1..64, not {self.membrane_bits}")
        return self

    def assumptions(self) -> list[str]:
        """A line for each switch, and the bits of a membrane."""
        return [settings[getattr(self, name)] for name, settings in MEANING.items()] + [
            f"a membrane has {self.membrane_bits} bits"]

    def steps_to(self, other: "Switches") -> Iterator[tuple[str, object, "Switches"]]:
        """The other's settings one after the other: switch, its new setting, all settings then."""
        now = self
        for name in self.__struct_fields__:
            if getattr(now, name) != getattr(other, name):
                now = structs.replace(now, **{name: getattr(other, name)})
                yield name, getattr(other, name), now


_RELEASED = Switches(
    dense="excluded", kernel="first_layer", mapping="blocks", tile_sharing="shared", adcs="per_pe",
    conversions="all_columns", constants="fixed", input_memory="bits_22",
    neuron_memory="first_five", neurons="per_pe_cycle", latency="per_channel",
    overlap="three_quarters", buffers="released", arithmetic="released", drivers="left_out",
    noc="left_out", pooling="left_out", leakage="left_out")
MODES = {
    "released": _RELEASED,
    "neuronas": structs.replace(_RELEASED, kernel="three", weight_factor="quarter_bits"),
    "physical": Switches(),
    "event": Switches(activity="spikes"),
}


def of_mode(mode: str) -> Switches:
    """The switches of a mode; ConfigError for an unknown one."""
    if mode not in MODES:
        raise ConfigError(unknown("mode", mode, MODES))
    return MODES[mode]
