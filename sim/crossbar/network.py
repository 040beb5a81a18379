"""A network on crossbars: the reference model, whose currents the arrays compute.

Delays, pools, skips, biases, neurons and read-out are the reference model's own. A layer that
`stream` input feeds is digital and exact. With all effects off the result equals the reference
model's, integer for integer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs

from ...flow import ir
from ...flow.cim import shapes
from ...flow.cim.array import Array
from ...flow.cim.devices import States
from ...flow.errors import ConfigError, GraphError
from .. import reference
from ..reference import Trace
from . import adc, layer
from .adc import Seen
from .effects import Effects, cells_of
from .layer import CrossbarLayer


@dataclass(frozen=True)
class Chip:
    """A network written into cells: what is on crossbars, by name of the synapses."""

    graph: ir.Graph
    array: Array
    effects: Effects
    layers: dict[str, CrossbarLayer]

    def run(self, inputs: np.ndarray, *, trace: bool = False,
            seen: Mapping[str, Seen] | None = None) -> Trace:
        """Infer a batch, as `reference.run`. seen: also note what each layer's converters see."""
        def currents(node, x):
            return self.layers[node.name].currents(x, seen and seen[node.name])

        return reference.run(self.graph, inputs, trace=trace, synapses=currents)

    def watch(self) -> dict[str, Seen]:
        """An empty note of what each layer's converters see."""
        return {name: Seen(scales=item.digits.scales) for name, item in self.layers.items()}

    def with_ranges(self, ranges: Mapping[str, float]) -> "Chip":
        """The same cells behind converters of these full scales, in counts."""
        return replace(self, layers={name: replace(item, full_scale=ranges[name])
                                     for name, item in self.layers.items()})

    def fitted_like(self, other: "Chip") -> "Chip":
        """The same cells with the full scales and gains of another chip of the same network."""
        return replace(self, layers={
            name: replace(item, full_scale=other.layers[name].full_scale,
                          gains=other.layers[name].gains) for name, item in self.layers.items()})


def program(graph: ir.Graph, array: Array | None = None, effects: Effects | None = None, *,
            seed: int = 0, draw: int = 0, table: States | None = None,
            ranges: Mapping[str, float] | None = None) -> Chip:
    """Write an integer graph into cells: one draw of what is random.

    table: the user's states of a cell (`devices.load_states`). ranges: full scales by name, in
    counts, for `calibrated` converters (`calibrate`). Raises ConfigError, GraphError for a graph
    without integer weights, FitError for weights that are wider than a crossbar.
    """
    array, effects = (array or Array()).check(), (effects or Effects()).check()
    if graph.stage not in ("integer", "scheduled"):
        raise GraphError(f"crossbars hold integer graphs, not stage {graph.stage!r}; run quantize "
                         "first")
    cells = cells_of(array, table)
    if len(cells.mean) != 1 << array.cell_bits:
        raise ConfigError(f"a table of states must have {1 << array.cell_bits} of "
                          f"{array.cell_bits} bits a cell, not {len(cells.mean)}")
    found = {}
    for index, shape in enumerate(shapes.of_graph(graph).layers):
        if not shape.digital:
            found[shape.name] = layer.program(
                graph.node(shape.name), shape, array, cells, effects, seed=seed, draw=draw,
                index=index, full_scale=(ranges or {}).get(shape.name))
    return Chip(graph=graph, array=array, effects=effects, layers=found)


def observe(graph: ir.Graph, inputs: np.ndarray, array: Array | None = None,
            effects: Effects | None = None, **options) -> dict[str, Seen]:
    """What ideal converters behind the array see of these inputs, by layer; options of `program`.

    All effects but the converters' are as given.
    """
    effects = structs.replace(effects or Effects(), adc_bits=None)
    chip = program(graph, array, effects, **options)
    seen = chip.watch()
    chip.run(inputs, seen=seen)
    return seen


def calibrate(graph: ir.Graph, inputs: np.ndarray, array: Array | None = None,
              effects: Effects | None = None, *, method: str = "mse", percentile: float = 99.9,
              **options) -> dict[str, float]:
    """Full scales by layer, in counts, for what `observe` sees (`adc.full_scale`).

    The bits are those of the effects, or the array's where the effects have ideal converters.
    """
    bits = (effects.adc_bits if effects else None) or (array or Array()).adc_bits
    seen = observe(graph, inputs, array, effects, **options)
    return {name: adc.full_scale(item, bits, method, percentile) for name, item in seen.items()}
