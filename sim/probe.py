"""The Verilog around a design under test: its pins, and a log of each layer at its commits.

Layer k writes one line per neuron and timestep into ``layerK.log``: the neuron, its membrane, its
spike, and the sum of what drove it, in decimal. Where names live in one flat netlist they are
escaped; `path` says how a signal is found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.hdl import Const

from ..flow import ir
from ..flow.errors import ToolError

#: Module of the wrapper, with the ports clk, rst, rx, tx, and those of a flash: flash_cs_n,
#: flash_clk, flash_copi, flash_cipo.
BENCH = "bench"


@dataclass(frozen=True)
class Ports:
    """How the design's module is connected: its port names, None for one that it lacks.

    flash: the names of its ports by those of `boards.board.FLASH_PINS`, if it reads a flash.
    """

    clk: str
    rx: str
    tx: str
    rst: str | None = None
    flash: dict[str, str] | None = None


def hierarchical(name: str) -> str:
    """A signal of the RTL, whose modules are instances of `dut`."""
    return f"dut.{name}"


def flat(name: str) -> str:
    """A signal of a flattened netlist of a board's design, in which `top` is a prefix."""
    return f"dut.\\top.{name} "


def wrapper(ports: Ports, layers: list, path: Callable[[str], str] | None,
            module: str = "top") -> str:
    """The wrapper's Verilog; layers: the design's layers; path None: no names, no logs."""
    connected = [f".{ports.clk}(clk)", f".{ports.rx}(rx)", f".{ports.tx}(tx)"]
    if ports.rst:
        connected.append(f".{ports.rst}(rst)")
    pins = ["input clk", "input rst", "input rx", "output tx"]
    for pin, name in (ports.flash or {}).items():
        connected.append(f".{name}(flash_{pin})")
        pins.append(f"{'input' if pin == 'cipo' else 'output'} flash_{pin}")
    lines = ["`timescale 1ns/1ps", f"module {BENCH}({', '.join(pins)});",
             f"  {module} dut({', '.join(connected)});"]
    if path:
        for index, layer in enumerate(layers, 1):
            lines += _layer(index, layer, path)
    return "\n".join([*lines, "endmodule", ""])


def _layer(index: int, layer, path: Callable[[str], str]) -> list[str]:
    """The log of one layer: a line for each group of neurons that it shows (`hdl.observe`)."""
    scope, drive = f"core.layer{index}", layer.drive

    def at(value) -> str:
        return f"1'b{value.value}" if isinstance(value, Const) else path(f"{scope}.{value.name}")

    def when(strobe, group, number: int) -> str:
        return at(strobe) + (f" && {at(group)} == {number}" if group is not None else "")

    out = [f"  integer file{index};",
           f'  initial file{index} = $fopen("layer{index}.log", "w");']
    out += [f"  integer sum{index}_{j} = 0;" for j in range(layer.size)]
    out.append("  always @(negedge clk) begin")
    for number, members in enumerate(drive.members):
        out.append(f"    if ({when(drive.strobe, drive.group, number)}) begin")
        for j, value in zip(members, drive.values, strict=True):
            if j >= 0:
                sign = "$signed" if value.shape().signed else ""
                out.append(f"      sum{index}_{j} = sum{index}_{j} + {sign}({at(value)});")
        out.append("    end")
    for number, members in enumerate(layer.members):
        out.append(f"    if ({when(layer.commit, layer.group, number)}) begin")
        for j, shown in zip(members, layer.shown, strict=True):
            if j >= 0:
                out += [f'      $fwrite(file{index}, "{j} %0d %0d %0d\\n", $signed({at(shown.v)}), '
                        f"{at(shown.spike)}, sum{index}_{j});",
                        f"      sum{index}_{j} = 0;"]
        out.append("    end")
    return [*out, "  end"]


def read_log(folder: Path, index: int, layer, graph: ir.Graph, batch: int) -> tuple:
    """v, spikes and currents of layer `index` (from 1): int64 [T, batch, size] each."""
    file = folder / f"layer{index}.log"
    try:
        rows = [line.split() for line in file.read_text().splitlines()]
    except OSError as error:
        raise ToolError(f"{file}: was not written by the simulation ({error.strerror})") from error
    n, steps = layer.size, graph.num_steps
    try:
        numbers = np.array([[int(word) for word in row] for row in rows], np.int64).reshape(-1, 4)
    except ValueError as error:
        raise ToolError(f"{file}: layer {index} has unknown values ({error})") from error
    seen = np.bincount(numbers[:, 0], minlength=n)
    if (seen != steps * batch).any():
        j = int(np.flatnonzero(seen != steps * batch)[0])
        raise ToolError(f"{file}: neuron {j} of layer {index} took {seen[j]} timesteps, not the "
                        f"{steps * batch} of {batch} images")
    # Neuron by neuron, each in the order of time.
    numbers = numbers[np.argsort(numbers[:, 0], kind="stable"), 1:].reshape(n, batch, steps, 3)
    v, spikes, sums = numbers.transpose(3, 2, 1, 0)
    return v, spikes, sums - np.asarray(layer.drive.less)
