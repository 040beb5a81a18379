"""How a layer shows its neurons to whoever compares them with the reference model.

A layer has `size` neurons, and `commit`, `group`, `members`, `shown` and `drive`: while `commit` is
high, lane p shows the membrane and the spike of neuron ``members[group][p]`` (-1: of none) in
``shown[p]``, as they are after the timestep; `group` is None where there is one group only. Every
neuron is shown once per timestep. `hold` puts off whatever would change what is shown.

All these signals are declared in the layer itself, so that simulators find them by their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Signal, Value

#: Of signals that are compared with the reference model: synthesis keeps their names, so that a
#: netlist can be observed. It costs nothing (a trained 64-24-10 has as many LCs with as without).
#: Only registers that start at 0 may have it: iCE40 flip-flops do, so synthesis inverts the others,
#: and Yosys 0.70 then leaves a kept name, and whoever reads it, without a driver.
OBSERVED = {"keep": 1}


@dataclass(frozen=True)
class Shown:
    """What a lane shows of a neuron; spike is a constant where the layer does not fire."""

    v: Signal
    spike: Value


@dataclass(frozen=True)
class Drive:
    """A layer's currents: the sum of what lane p shows of a neuron in the clocks with `strobe`.

    The sum is taken from one `commit` of that neuron to the next, and is its current I and
    ``less[neuron]``. `group` and `members` as for a layer.
    """

    strobe: Signal
    group: Signal | None
    members: list[list[int]]
    values: list[Signal]
    less: Sequence[int]
