"""Prices: counts times figures, as area, latency and energy of every component and layer.

`price` counts and prices a network; `priced` prices counts that were kept.
"""

from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path

import msgspec
from msgspec import Struct

from ...errors import ConfigError, unknown
from ...files import write_atomic
from ..array import Array
from ..devices import programming
from ..plan import Plan
from ..shapes import Network
from .actions import COMPONENTS, IN_TILES, Actions, Counts
from .count import count
from .switches import Switches, of_mode
from .table import Table, load, shipped

FILE = "cost.json"
LEAKAGE = "leakage"


class Row(Struct, frozen=True, kw_only=True):
    """A component: um2, pJ of an inference, and shares of the total."""

    component: str
    area_um2: float
    energy_pj: float
    area_share: float
    energy_share: float


class LayerCost(Struct, frozen=True, kw_only=True):
    """A layer: its memories and, by its PEs in use, its part of the rest of the chip; until the
    next may start; without leakage, pJ by component.
    """

    name: str
    area_um2: float
    latency_ns: float
    energy_pj: float
    components: dict[str, float]


class Cost(Struct, frozen=True, kw_only=True):
    """What an inference on a chip costs, and what that assumes.

    not_priced: component -> why. borrowed: figures of other nodes than the table's, in nm.
    """

    network: str
    mode: str
    technology: str
    node: float
    tiles: int
    pes: int
    area_mm2: float
    latency_ms: float
    energy_uj: float
    rows: tuple[Row, ...]
    layers: tuple[LayerCost, ...]
    assumptions: tuple[str, ...]
    not_priced: dict[str, str]
    borrowed: dict[str, float]

    def row(self, component: str) -> Row:
        """The row of a component, of zeros if it has no part in this cost; ConfigError for a name
        that is none.
        """
        if component not in (*COMPONENTS, LEAKAGE):
            raise ConfigError(unknown("component", component, (*COMPONENTS, LEAKAGE)))
        return next((row for row in self.rows if row.component == component),
                    Row(component=component, area_um2=0.0, energy_pj=0.0, area_share=0.0,
                        energy_share=0.0))

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        write_atomic(path, msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def price(network: Network, array: Array, mode: str = "physical",
          switches: Switches | None = None, spikes: Sequence[float] | None = None,
          prices: Table | Path | str | None = None, *, plan: Plan | None = None) -> Cost:
    """Price an inference of a network.

    switches go before the mode's. spikes: float [layers], what comes into each layer in the mean
    timestep; with them `physical` is `event`. prices: a table, or the file of one that is laid over
    the array's technology. plan: of this network and array, else one is made, its tiles in order.
    """
    table = table_of(array, prices)
    return priced(counted(network, array, mode, switches, spikes, table, plan=plan), table)


def counted(network: Network, array: Array, mode: str = "physical",
            switches: Switches | None = None, spikes: Sequence[float] | None = None,
            prices: Table | Path | str | None = None, *, plan: Plan | None = None) -> Actions:
    """The counts that `price` prices."""
    if switches is None:
        mode = "event" if mode == "physical" and spikes is not None else mode
        switches = of_mode(mode)
    return count(network, array, switches, table_of(array, prices), mode=mode, spikes=spikes,
                 plan=plan)


def table_of(array: Array, prices: Table | Path | str | None) -> Table:
    """The table of an array's technology, or the given one."""
    if isinstance(prices, Table):
        return prices
    return shipped(array.technology) if prices is None else load(Path(prices), array.technology)


def priced(actions: Actions, table: Table) -> Cost:
    """Price counts; ConfigError for figures that the table lacks."""
    scaling, used = actions.switches.scaling, set()

    def sums(quantity: str, counts: Counts, lengths: float = 1.0) -> dict[str, float]:
        found = {}
        for component, figures in counts.items():
            found[component] = actions.factor * sum(
                number * table.value(quantity, name, scaling)
                * (lengths if name == "link_bit_mm" else 1)
                for name, number in figures.items())
            used.update((quantity, name) for name in figures)
        return found

    chip = sums("area", actions.area)
    own = [sums("area", layer.area) for layer in actions.layers]
    in_tiles = sum(chip.get(component, 0) for component in IN_TILES) / actions.factor
    pitch_mm = 1e-3 * sqrt(in_tiles / actions.tiles)
    energies = [sums("energy", layer.energy, pitch_mm) for layer in actions.layers]
    latency = [layer.clocks * 1e3 / actions.clock_mhz for layer in actions.layers]
    watts = sum(sums("power", actions.leakage).values())
    area, energy = _joined([chip, *own]), _joined(energies)
    if actions.leakage:
        energy[LEAKAGE] = watts * sum(latency) * 1e3
    pes, shared = sum(layer.pes for layer in actions.layers), sum(chip.values())
    all_area, all_energy = sum(area.values()), sum(energy.values())
    layers = tuple(
        LayerCost(name=layer.name, area_um2=sum(mine.values()) + shared * layer.pes / pes,
                  latency_ns=ns, energy_pj=sum(spent.values()), components=spent)
        for layer, mine, ns, spent in zip(actions.layers, own, latency, energies))
    return Cost(
        network=actions.network, mode=actions.mode, technology=table.name, node=table.node,
        tiles=actions.tiles, pes=pes, area_mm2=1e-6 * all_area, latency_ms=1e-6 * sum(latency),
        energy_uj=1e-6 * all_energy, rows=tuple(_rows(area, energy)), layers=layers,
        assumptions=tuple(_assumptions(actions, table)),
        not_priced={**{name: f"stays digital: {why}" for name, why in actions.digital.items()},
                    **table.unpriced},
        borrowed={f"{quantity}.{name}": found.node for quantity, name in sorted(used)
                  if (found := table.figure(quantity, name)).node != table.node})


def explain(network: Network, array: Array, from_mode: str, to_mode: str, *,
            spikes: Sequence[float] | None = None, prices: Table | Path | str | None = None,
            plan: Plan | None = None) -> list[tuple[str, str, Cost]]:
    """From one mode to another, switch by switch: which, its new setting, and the cost then.

    The first row is the mode that is left, the last one the other.
    """
    table, start, end = table_of(array, prices), of_mode(from_mode), of_mode(to_mode)
    rows = [(from_mode, "", start)]
    rows += [(name, str(setting), now) for name, setting, now in start.steps_to(end)]
    return [(name, setting, price(network, array, to_mode, now, spikes, table, plan=plan))
            for name, setting, now in rows]


def writing(plan: Plan, device: str) -> tuple[float, float]:
    """uJ and ms of writing all cells of a plan one after the other, each from r_off to r_on.

    Raises ConfigError where the device's source does not say what writing takes.
    """
    one = programming(device)
    return 1e6 * plan.cells * one.joules, 1e3 * plan.cells * one.seconds


def _joined(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in parts:
        for component, value in part.items():
            found[component] = found.get(component, 0) + value
    return found


def _rows(area: dict[str, float], energy: dict[str, float]) -> Iterator[Row]:
    areas, energies = sum(area.values()), sum(energy.values())
    for component in (*COMPONENTS, LEAKAGE):
        if component in area or component in energy:
            mm, pj = area.get(component, 0.0), energy.get(component, 0.0)
            yield Row(component=component, area_um2=mm, energy_pj=pj,
                      area_share=mm / areas if areas else 0.0,
                      energy_share=pj / energies if energies else 0.0)


def _assumptions(actions: Actions, table: Table) -> Iterator[str]:
    yield f"figures are of {table.node:g} nm ({table.name}), those of other nodes are listed"
    yield (f"{actions.num_steps} timesteps at {actions.clock_mhz:g} MHz; no supply, no pads, "
           "nothing outside the chip")
    yield from actions.switches.assumptions()
