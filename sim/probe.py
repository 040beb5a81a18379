"""The Verilog around a design under test: its pins, and a log of each layer at its commits.

Layer k writes one line per timestep into ``layerK.log``: every membrane, the word of spikes, and
every neuron's count of the bitstream, in decimal. Where names live in one flat netlist they are
escaped; `path` says how a signal is found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..flow import ir
from ..flow.errors import ToolError

#: Module of the wrapper, with the ports clk, rst, rx, tx.
BENCH = "bench"


@dataclass(frozen=True)
class Ports:
    """How the design's module is connected: its port names, None for one that it lacks."""

    clk: str
    rx: str
    tx: str
    rst: str | None = None


def hierarchical(name: str) -> str:
    """A signal of the RTL, whose modules are instances of `dut`."""
    return f"dut.{name}"


def flat(name: str) -> str:
    """A signal of a flattened netlist of a board's design, in which `top` is a prefix."""
    return f"dut.\\top.{name} "


def wrapper(ports: Ports, layers: list, path: Callable[[str], str] | None,
            module: str = "top") -> str:
    """The wrapper's Verilog; layers: the design's `SpatialLayer`s; path None: no names, no logs."""
    connected = [f".{ports.clk}(clk)", f".{ports.rx}(rx)", f".{ports.tx}(tx)"]
    if ports.rst:
        connected.append(f".{ports.rst}(rst)")
    lines = ["`timescale 1ns/1ps", f"module {BENCH}(input clk, input rst, input rx, output tx);",
             f"  {module} dut({', '.join(connected)});"]
    if path:
        for index, layer in enumerate(layers, 1):
            lines += _layer(index, layer, path)
    return "\n".join([*lines, "endmodule", ""])


def _layer(index: int, layer, path: Callable[[str], str]) -> list[str]:
    """The log of one layer: it commits in the clock in which `step` returns to 0."""
    scope, n = f"core.layer{index}", len(layer.cells)
    step, before, file = f"step{index}", f"before{index}", f"file{index}"
    bits = (layer.steps - 1).bit_length()
    out = [f"  integer {file};", f'  initial {file} = $fopen("layer{index}.log", "w");',
           f"  wire [{bits - 1}:0] {step} = {path(f'{scope}.step')};",
           f"  reg [{bits - 1}:0] {before} = 0;",
           f"  always @(posedge clk) {before} <= {step};"]
    out += [f"  integer sum{index}_{j} = 0;" for j in range(n)]
    out += ["  always @(negedge clk) begin",
            f"    if ({step} >= {layer.counted.start} && {step} < {layer.counted.stop}) begin"]
    for j in range(n):
        name = f"sum{index}_{j}"
        out.append(f"      {name} = {name} + {path(f'{scope}.neuron{j}.count')};")
    out += ["    end", f"    if ({before} == {layer.steps - 1} && {step} == 0) begin",
            f'      $fdisplay({file}, "{" ".join(["%0d"] * (2 * n))} %b",']
    values = [f"$signed({path(f'{scope}.neuron{j}.v')})" for j in range(n)]
    values += [f"sum{index}_{j}" for j in range(n)]
    values.append(path(f"{scope}.o__payload") if layer.fires else f"{{{n}{{1'b0}}}}")
    out += [f"        {value}," for value in values[:-1]] + [f"        {values[-1]});"]
    out += [f"      sum{index}_{j} = 0;" for j in range(n)]
    return [*out, "    end", "  end"]


def read_log(folder: Path, index: int, layer, graph: ir.Graph, batch: int) -> tuple:
    """v, spikes and currents of layer `index` (from 1): int64 [T, batch, size] each."""
    file = folder / f"layer{index}.log"
    try:
        rows = [line.split() for line in file.read_text().splitlines()]
    except OSError as error:
        raise ToolError(f"{file}: was not written by the simulation ({error.strerror})") from error
    n, steps = len(layer.cells), graph.num_steps
    if len(rows) != steps * batch:
        raise ToolError(f"{file}: layer {index} took {len(rows)} timesteps, not the "
                        f"{steps * batch} of {batch} images")
    try:
        numbers = np.array([[int(word) for word in row[:-1]] for row in rows], np.int64)
        words = [int(row[-1], 2) for row in rows]
    except ValueError as error:
        raise ToolError(f"{file}: layer {index} has unknown values ({error})") from error
    spikes = np.array([[word >> j & 1 for j in range(n)] for word in words], np.int64)
    excess = np.array([cell.excess for cell in layer.cells])
    found = (numbers[:, :n], spikes, numbers[:, n:] - excess)
    return tuple(a.reshape(batch, steps, n).transpose(1, 0, 2) for a in found)
