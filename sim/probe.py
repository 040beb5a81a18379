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
from ..flow.weights_file import WEIGHTS
from ..hdl.flash_reader import ADDRESS_BYTES, Opcode
from .spi_flash import DESELECTED, PERIOD, WAKING

#: Module of the wrapper, with the ports rst, rx and tx; it has its own clock, and a flash for a
#: design that reads one, which loses its power in resets.
BENCH = "bench"
#: Of that clock, which rises at 0 and every so often.
CLOCK_NS = 10
#: The flash, in Verilog.
FLASH_MODEL = Path(__file__).with_name("spi_flash.v")


@dataclass(frozen=True)
class Ports:
    """How the design's module is connected: its port names, None for one that it lacks.

    flash: the names of its ports by those of `boards.board.FLASH_PINS`, if it reads a flash, which
    has weights (`flow.weights_file`, from the file that `icarus` writes) from byte `weights_at` on.
    """

    rx: str
    tx: str
    clk: str | None = None
    rst: str | None = None
    flash: dict[str, str] | None = None
    weights_at: int | None = None


def hierarchical(name: str) -> str:
    """A signal of the RTL, whose modules are instances of `dut`."""
    return f"dut.{name}"


def flat(name: str) -> str:
    """A signal of a flattened netlist of a board's design, in which `top` is a prefix."""
    return f"dut.\\top.{name} "


def wrapper(ports: Ports, layers: list, path: Callable[[str], str] | None,
            module: str = "top") -> str:
    """The wrapper's Verilog; layers: the design's layers; path None: no names, no logs."""
    connected = [f".{ports.rx}(rx)", f".{ports.tx}(tx)"]
    connected += [f".{port}({name})" for name, port in (("clk", ports.clk), ("rst", ports.rst))
                  if port]
    connected += [f".{name}(flash_{pin})" for pin, name in (ports.flash or {}).items()]
    lines = ["`timescale 1ns/1ps", f"module {BENCH}(input rst, input rx, output tx);",
             "  reg level = 1;", f"  always #({CLOCK_NS / 2}) level = !level;",
             "  wire clk = level;  // may be connected to an inout"]
    if ports.flash:
        pins = ", ".join(f".{pin}(flash_{pin})" for pin in ports.flash)
        lines += [f"  wire flash_{pin};" for pin in ports.flash]
        lines.append(f"  spi_flash #({flash_parameters(WEIGHTS, ports.weights_at)})\n"
                     f"    flash({pins}, .lost(rst));")
    lines.append(f"  {module} dut({', '.join(connected)});")
    if path:
        for index, layer in enumerate(layers, 1):
            lines += _layer(index, layer, path)
    return "\n".join([*lines, "endmodule", ""])


def flash_parameters(file: str, at: int) -> str:
    """Of a FLASH_MODEL whose content from byte `at` on is a file: what the model in Python has."""
    values = {"FILE": f'"{file}"', "AT": at, "READ": int(Opcode.READ), "WAKE": int(Opcode.WAKE),
              "ADDRESS_BITS": 8 * ADDRESS_BYTES, "DESELECTED": 1e9 * DESELECTED,
              "WAKING": 1e9 * WAKING, "PERIOD": 1e9 * PERIOD}
    return ", ".join(f".{name}({value})" for name, value in values.items())


def _layer(index: int, layer, path: Callable[[str], str]) -> list[str]:
    """The log of one layer: a line for each neuron that it shows (`hdl.observe`).

    Which neuron a lane has in which group is looked up, so that a clock costs as much for one lane
    of many neurons as for one of few.
    """
    scope, drive, n = f"core.layer{index}", layer.drive, layer.size
    sums, at_hand = f"sum{index}", f"j{index}"

    def at(value) -> str:
        return f"1'b{value.value}" if isinstance(value, Const) else path(f"{scope}.{value.name}")

    def add(j, value) -> str:
        sign = "$signed" if value.shape().signed else ""
        return f"{sums}[{j}] = {sums}[{j}] + {sign}({at(value)});"

    def write(j, shown) -> str:
        return (f'$fwrite(file{index}, "%0d %0d %0d %0d\\n", {j}, $signed({at(shown.v)}), '
                f"{at(shown.spike)}, {sums}[{j}]); {sums}[{j}] = 0;")

    out = [f"  integer file{index}, {at_hand}, {sums} [0:{n - 1}];", "  initial begin",
           f'    file{index} = $fopen("layer{index}.log", "w");',
           f"    for ({at_hand} = 0; {at_hand} < {n}; {at_hand} = {at_hand} + 1) "
           f"{sums}[{at_hand}] = 0;", "  end"]
    clock = ["  always @(negedge clk) begin"]
    for name, view, strobe, values, statement in (
            ("driven", drive, drive.strobe, drive.values, add),
            ("lane", layer, layer.commit, layer.shown, write)):
        clock.append(f"    if ({at(strobe)}) begin")
        for lane, value in enumerate(values):
            neurons = [members[lane] for members in view.members]
            if view.group is None:
                clock += [f"      {statement(j, value)}" for j in neurons if j >= 0]
                continue
            table = f"{name}{index}_{lane}"
            out += [f"  integer {table} [0:{len(neurons) - 1}];", "  initial begin"]
            out += [f"    {table}[{group}] = {j};" for group, j in enumerate(neurons)]
            out.append("  end")
            clock += [f"      {at_hand} = {table}[{at(view.group)}];",
                      f"      if ({at_hand} >= 0) begin {statement(at_hand, value)} end"]
        clock.append("    end")
    return [*out, *clock, "  end"]


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
