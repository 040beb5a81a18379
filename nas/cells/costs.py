"""What networks of cells cost, by closed form: weights, their bits, and a chip of crossbars.

Chips are priced as `flow.cim.cost` prices any network. A cell's price depends on its live
convolutions, not on which nodes they connect, so many networks share one.
"""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import structs

from ...flow.cim.array import Array
from ...flow.cim.cost.price import price
from ...flow.cim.mapper import map_network
from ...flow.cim.shapes import Network
from ...flow.errors import FitError
from .cell import Cell
from .macro import Macro

#: Modes whose memory is the mapper's plan; the others count weights and their bits.
PLANNED = ("physical",)


def costs(macro: Macro, cells: Sequence[Cell], *, weight_bits: int, classifier: bool = False,
          mode: str = "physical", array: Array | None = None) -> dict[str, float]:
    """Columns of a network; those of a chip are left out where no chip can have it.

    classifier: whether both FC layers count as weights; chips have them where the mode has any.
    cim_memory: bits of the cells that hold a digit, or of convolutions' weights in a mode without
    a plan.
    """
    weights = macro.weights(cells, classifier=classifier)
    found = {"weights": float(weights), "weight_memory": float(weights * weight_bits)}
    network = macro.network(cells, weight_bits=weight_bits, classifier=True)
    return found | on_chip(network, mode, array or Array(), macro.weights(cells) * weight_bits)


def on_chip(network: Network, mode: str, array: Array, bits: int) -> dict[str, float]:
    """Columns of a chip, none where no chip can have the network; bits: `cim_memory` in a mode
    without a plan.
    """
    try:
        found = _chip(_by_number(network), mode, array)
    except FitError:
        return {}
    return found if mode in PLANNED else {**found, "cim_memory": float(bits)}


def _by_number(network: Network) -> Network:
    """The network with numbers for the names of its layers, by which others are equal to it."""
    names = {layer.name: f"layer{index}" for index, layer in enumerate(network.layers)}
    return structs.replace(network, layers=tuple(
        structs.replace(layer, name=names[layer.name], source=names.get(layer.source, layer.source),
                        skip_source=names.get(layer.skip_source, layer.skip_source))
        for layer in network.layers))


@lru_cache(maxsize=1 << 16)
def _chip(network: Network, mode: str, array: Array) -> dict[str, float]:
    plan = map_network(network, array, moves=0) if mode in PLANNED else None
    cost = price(network, array, mode, plan=plan)
    found = {"cim_mm2": cost.area_mm2, "cim_ms": cost.latency_ms, "cim_uj": cost.energy_uj}
    return found if plan is None else {**found, "cim_memory": float(plan.cells * array.cell_bits)}
