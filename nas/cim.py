"""Candidates on crossbars: what a search asks of a chip, its closed-form price, its accuracy.

Columns `cim_mm2`, `cim_ms`, `cim_uj` are `flow.cim.cost` of the mapped network, tiles in order;
`cim_memory` counts bits of the cells that hold a digit. `cim_accuracy` is that of `sim.crossbar`,
the mean over a few chips drawn from fixed seeds, every candidate's the same. Imported only where an
experiment asks for crossbars.
"""

import math
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from msgspec import Struct

from ..flow import ir
from ..flow.cim.array import ENCODINGS, MOST, Array
from ..flow.cim.cost.price import price
from ..flow.cim.cost.table import shipped
from ..flow.cim.devices import preset
from ..flow.cim.mapper import map_network
from ..flow.cim.shapes import Network, of_graph
from ..flow.cim.weights import columns_per_weight
from ..flow.errors import FitError
from ..flow.rules import Rule
from ..sim import reference
from ..sim.crossbar import network as crossbars
from ..sim.crossbar.effects import Effects
from .datasets import Split

_ARRAY, _EFFECTS = Array(), Effects()
#: How energy is priced: with every input driven in every timestep, or with the spikes there are.
MODES = ("physical", "event")
#: More chips, or images, say nothing new of a candidate.
MOST_DRAWS, MOST_IMAGES = 1000, 1_000_000


class Cim(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section [cim]: what arrays there may be, each list a gene; the rest of the array
    (`flow.cim.array`); what is not ideal of it (`sim.crossbar.effects`) beside its converters.

    sizes: rows and columns. mode: `physical`, or `event`, whose cim_uj is known after training.
    draws: chips of cim_accuracy, from `seed`; 0 leaves it out. images: of a split, at most so many
    are run, 0 for all; converters are calibrated on as many of the training split.
    """

    sizes: tuple[int, ...] = (_ARRAY.rows,)
    cell_bits: tuple[int, ...] = (_ARRAY.cell_bits,)
    adc_bits: tuple[int, ...] = (_ARRAY.adc_bits,)
    muxes: tuple[int, ...] = (_ARRAY.mux,)
    encodings: tuple[str, ...] = (_ARRAY.encoding,)
    r_on: float = _ARRAY.r_on
    r_off: float = _ARRAY.r_off
    v_read: float = _ARRAY.v_read
    r_row: float = _ARRAY.r_row
    r_col: float = _ARRAY.r_col
    crossbars_per_pe: int = _ARRAY.crossbars_per_pe
    pes_per_tile: int = _ARRAY.pes_per_tile
    clock_mhz: float = _ARRAY.clock_mhz
    share_tiles: bool = _ARRAY.share_tiles
    technology: str = _ARRAY.technology
    mode: str = "physical"
    variation: float = preset(_ARRAY.technology).variation
    variation_law: str = preset(_ARRAY.technology).law
    stuck_on: float = _EFFECTS.stuck_on
    stuck_off: float = _EFFECTS.stuck_off
    drift_nu: float = _EFFECTS.drift_nu
    drift_ratio: float = _EFFECTS.drift_ratio
    read_noise: float = _EFFECTS.read_noise
    ir_drop: str = "columns"
    draws: int = 3
    seed: int = 0
    images: int = 0

    def rules(self) -> Iterator[Rule]:
        for key, most in (("sizes", MOST["rows"]), ("cell_bits", MOST["cell_bits"]),
                          ("adc_bits", MOST["adc_bits"]), ("muxes", MOST["mux"])):
            values = getattr(self, key)
            yield (key, len(values) > 0 and len(set(values)) == len(values),
                   "a list of different values, at least one")
            yield key, all(1 <= value <= most for value in values), f"in 1..{most}"
        yield ("encodings", len(self.encodings) > 0
               and len(set(self.encodings)) == len(self.encodings),
               "a list of different values, at least one")
        yield "mode", self.mode in MODES, f"one of {', '.join(MODES)}"
        yield "draws", 0 <= self.draws <= MOST_DRAWS, f"in 0..{MOST_DRAWS}"
        yield "seed", 0 <= self.seed < 1 << 31, "in 0..2**31-1"
        yield "images", 0 <= self.images <= MOST_IMAGES, f"in 0..{MOST_IMAGES}, 0 for all"

    def names(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        yield "encodings", "encoding", ENCODINGS

    def check(self, where: str) -> "Cim":
        """Hold what array and effects know to their ranges; ConfigError."""
        for array in self.arrays():
            self.effects(array.check(where)).check(where)
        shipped(self.technology)
        return self

    @property
    def values(self) -> dict[str, tuple]:
        """Values by gene (`arrays.GENES`)."""
        return {"size": self.sizes, "cell_bits": self.cell_bits, "adc_bits": self.adc_bits,
                "mux": self.muxes, "encoding": self.encodings}

    def arrays(self) -> Iterator[Array]:
        """Every array that may be chosen."""
        for values in product(*self.values.values()):
            yield self.array(dict(zip(self.values, values)))

    def array(self, chosen: Mapping[str, int | str]) -> Array:
        """The array of a genome's choice."""
        genes = {key: chosen[key] for key in ("cell_bits", "adc_bits", "mux", "encoding")}
        fixed = {name: getattr(self, name) for name in Array.__struct_fields__
                 if name in self.__struct_fields__ and name not in genes}
        return Array(rows=chosen["size"], cols=chosen["size"], **genes, **fixed)

    def effects(self, array: Array) -> Effects:
        """What is not ideal of an array, its converters calibrated."""
        fixed = {name: getattr(self, name) for name in Effects.__struct_fields__
                 if name in self.__struct_fields__ and name != "adc_bits"}
        return Effects(adc_bits=array.adc_bits, full_scale="calibrated", **fixed)

    def some(self, inputs: np.ndarray) -> np.ndarray:
        """As many of a split's inputs as are run."""
        return inputs[:self.images or None]


def free_check(graph: ir.Graph, array: Array, cim: Cim) -> tuple[dict[str, float], float]:
    """Columns that shapes alone tell, and by how much weights are too wide for a crossbar, as a
    fraction of it; with such, or too many tiles, there are no columns.
    """
    found = of_graph(graph)
    wide = sum(max(0.0, columns_per_weight(layer.magnitude_bits, array) / array.cols - 1)
               for layer in found.layers)
    if wide:
        return {}, wide
    try:
        columns = costs(found, array)
    except FitError:
        return {}, 1.0
    if cim.mode == "event":
        del columns["cim_uj"]
    return columns, 0.0


def costs(network: Network, array: Array, spikes: list[float] | None = None) -> dict[str, float]:
    """Area, latency, energy and memory in closed form; with spikes the energy follows them."""
    plan = map_network(network, array, moves=0)
    cost = price(network, array, spikes=spikes, plan=plan)
    return {"cim_mm2": cost.area_mm2, "cim_ms": cost.latency_ms, "cim_uj": cost.energy_uj,
            "cim_memory": float(plan.cells * array.cell_bits)}


def columns(graph: ir.Graph, array: Array, cim: Cim, fit: Split, check: Split | None
            ) -> dict[str, float]:
    """Every column of a trained network, which must have no dead neurons any more.

    Spikes and ranges of converters are those of `fit`, without labels; cim_accuracy is of `check`,
    and there only with one.
    """
    known = spikes(graph, cim.some(fit.inputs)) if cim.mode == "event" else None
    found = costs(of_graph(graph), array, known)
    if check is not None and cim.draws:
        found["cim_accuracy"] = accuracy(graph, array, cim, fit, check)
    return found


def spikes(graph: ir.Graph, inputs: np.ndarray) -> list[float]:
    """What comes into each layer in the mean timestep of the mean inference."""
    found: dict[str, float] = {}

    def noted(node, x):
        found[node.name] = float(x.sum()) / math.prod(x.shape[:-1])
        return reference.product(x, reference.effective_weights(node), node)

    reference.run(graph, inputs, synapses=noted)
    return [found[synapses.name] for synapses, _ in graph.layers]


def accuracy(graph: ir.Graph, array: Array, cim: Cim, fit: Split, check: Split) -> float:
    """The share of images that chips classify rightly, the mean over draws."""
    effects, inputs = cim.effects(array), cim.some(check.inputs)
    ranges = crossbars.calibrate(graph, fit.inputs[:len(inputs)], array, effects.nominal)
    shares = []
    for draw in range(cim.draws if effects.random else 1):
        chip = crossbars.program(graph, array, effects, seed=cim.seed, draw=draw, ranges=ranges)
        shares.append((chip.run(inputs).classes == check.labels[:len(inputs)]).mean())
    return float(np.mean(shares))
