"""What a network on crossbars does in an inference, and of what the chip consists: counts alone.

Whoever prices them (`price`) needs nothing else but a table, so figures can change without another
count (`actions.json`). Counts are by component and by the figure that prices each. What a table
says of the chip (its `chip`, and which sizes its memories have) is in the counts already.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from ...files import read_json, write_atomic
from .switches import Switches

FORMAT = 1
FILE = "actions.json"
#: Component -> figure -> how many of it.
Counts = dict[str, dict[str, float]]
#: Components, in the order in which they are shown.
COMPONENTS = ("crossbar", "driver", "ADC", "multiplexer", "DIFF", "shift-add", "accumulator",
              "PE buffers", "tile buffers", "global buffer", "fetch", "H-tree", "NoC",
              "input memory", "neuron", "neuron memory", "pooling")
#: Those that a tile is made of; the side of a tile is the length of a link.
IN_TILES = ("crossbar", "driver", "ADC", "multiplexer", "DIFF", "shift-add", "PE buffers",
            "tile buffers", "H-tree")


class LayerActions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One layer in one inference. pes in use; pe_cycles: over all timesteps, those in which a PE is
    read. area: its own memories.

    clocks: until the layer after it may start, or the result is there. spikes: that come in, in the
    mean timestep, None where none were given.
    """

    name: str
    pes: int
    crossbars: int
    pe_cycles: float
    clocks: float
    energy: Counts
    area: Counts
    spikes: float | None = None


class Actions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All layers and the chip. area: parts by the figure of their area, but for memories of a
    layer; leakage: likewise of W.

    factor: what energies and areas are multiplied with (`weight_factor`). digital: layers on no
    crossbar, and why.
    """

    format: int = FORMAT
    network: str
    mode: str
    num_steps: int
    clock_mhz: float
    technology: str
    tiles: int
    factor: int
    layers: tuple[LayerActions, ...]
    area: Counts
    leakage: Counts
    digital: dict[str, str]
    switches: Switches
    notes: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        write_atomic(path, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def load_actions(path: Path) -> Actions:
    """Read what `Actions.save` wrote; RunError if it is missing, damaged or of another format."""
    return read_json(path, Actions, FORMAT, "actions", "'spikeloom map' writes it again")
