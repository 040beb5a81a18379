"""A synthesised netlist in Python, cell by cell, with a count of what its cells do.

Zero delay: after every clock edge each cell takes its settled value once, in topological order and
only where an input changed, so a net counts at most one toggle a clock and glitches are not seen.
An image of 64 pixels through the UART of a 64-24-10 network, 4,700 clocks of 4,200 LUTs and carries
and 1,300 flip-flops, takes a second; Icarus takes four with the models that come with Yosys, and
would have to write every change down.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ..flow.errors import ToolError
from .block_memory import Memory
from .flat_netlist import Cell, Module, binary, net_of
from .single_port import SinglePort

#: What a net's value comes from: a LUT, a carry, a flip-flop, a memory, or a pin.
KINDS = ("lut", "carry", "ff", "ram", "pin")
_MAJORITY = 0b1110_1000
_BUFFER = 0b10
_FLIP_FLOP = re.compile(r"SB_DFF(?P<enable>E?)(?P<sync>S[RS])?")
#: Pins by their PIN_TYPE: an input, and outputs, without registers.
_PINS = {"000001": ("PACKAGE_PIN", "D_IN_0"), "101001": ("D_OUT_0", "PACKAGE_PIN"),
         "011001": ("D_OUT_0", "PACKAGE_PIN")}


def _passes(name: str, cell: Cell) -> tuple[str, str]:
    """The ports of a pin or a global buffer from and to which it passes a value."""
    if cell.type == "SB_GB":
        return "USER_SIGNAL_TO_GLOBAL_BUFFER", "GLOBAL_BUFFER_OUTPUT"
    kind = cell.parameters["PIN_TYPE"]
    if kind not in _PINS:
        raise ToolError(f"{name}: a pin of type {kind} has no model here; count the activity of a "
                        "design without it")
    return _PINS[kind]


@dataclass(frozen=True)
class Seen:
    """Counts of a circuit up to a clock, by component: toggles [component][kind], the rest
    [component]; reads and writes of block memories, and apart from them of SPRAMs.
    """

    clock: int
    toggles: list[list[int]]
    enabled: list[int]
    reads: list[int]
    writes: list[int]
    spram_reads: list[int]
    spram_writes: list[int]


class Circuit:
    """A flat module of a netlist, all of whose flip-flops have one clock.

    place: the component of each cell by its name, all of one without; counts are kept for each, in
    the order of `components`. `flip_flops` says how many there are of each, `cells` how many of
    each type. `values` are those of the nets, `ports` the nets of the module's ports, `sprams` the
    SPRAMs by the names of their cells. Raises ToolError for a cell that it does not know.
    """

    def __init__(self, module: Module, place: Mapping[str, str] | None = None) -> None:
        self.ports = {name: port.bits for name, port in module.ports.items()}
        self.clock = 0
        self._read(module.cells, place)
        self._order()
        self._start()

    def _read(self, cells: Mapping[str, Cell], place: Mapping[str, str] | None) -> None:
        most = max((bit for cell in cells.values() for bits in cell.connections.values()
                    for bit in bits if isinstance(bit, int)), default=1)
        self.values = bytearray(most + 1)
        self.values[1] = 1
        self._functions: list[tuple] = []  # out, four inputs, table
        self._registers: list[tuple] = []  # q, d, enable, reset, value at reset
        self._memories: list[tuple[int, Memory | SinglePort]] = []
        self.sprams: dict[str, SinglePort] = {}
        self._slot = [0] * (most + 1)
        gates: dict[tuple[int, int], int] = defaultdict(int)
        clocks: set[int] = set()
        numbers: dict[str, int] = {}
        self.cells: dict[str, int] = defaultdict(int)

        for name, cell in cells.items():
            if not cell.type.startswith("SB_"):  # a note about a module that was flattened
                continue
            part = numbers.setdefault(place[name] if place else "top", len(numbers))
            at = {port: net_of(bits[0]) for port, bits in cell.connections.items() if bits}
            self.cells[cell.type] += 1

            def drives(out: int, kind: str, part: int = part) -> int:
                self._slot[out] = part * len(KINDS) + KINDS.index(kind)
                return out

            register = _FLIP_FLOP.fullmatch(cell.type)
            if cell.type == "SB_LUT4":
                self._functions.append((drives(at["O"], "lut"), at["I0"], at["I1"], at["I2"],
                                        at["I3"], binary(cell.parameters["LUT_INIT"])))
            elif cell.type == "SB_CARRY":
                self._functions.append((drives(at["CO"], "carry"), at["I0"], at["I1"], at["CI"], 0,
                                        _MAJORITY))
            elif register:
                self._registers.append((drives(at["Q"], "ff"), at["D"], at.get("E", 1),
                                        at.get("R", at.get("S", 0)),
                                        int(register["sync"] == "SS")))
                gates[at.get("E", 1), part] += 1
                clocks.add(at["C"])
            elif cell.type == "SB_RAM40_4K":
                memory = Memory(cell)
                for out in memory.out:
                    drives(out, "ram")
                self._memories.append((part, memory))
                clocks |= {at["RCLK"], at["WCLK"]}
            elif cell.type == "SB_SPRAM256KA":
                self.sprams[name] = spram = SinglePort(name, cell)
                for out in spram.out:
                    drives(out, "ram")
                self._memories.append((part, spram))
                clocks.add(at["CLOCK"])
            elif cell.type in ("SB_IO", "SB_GB"):
                source, out = _passes(name, cell)
                if out in at:
                    self._functions.append((drives(at[out], "pin"), at[source], 0, 0, 0, _BUFFER))
            elif cell.type in ("SB_PLL40_PAD", "SB_PLL40_CORE"):  # locked from the beginning
                self._functions.append((drives(at["LOCK"], "pin"), 1, 0, 0, 0, _BUFFER))
            elif cell.type not in ("SB_GB_IO", "SB_HFOSC"):  # which bring the clock
                raise ToolError(f"{name}: cells of type {cell.type} have no model here; count "
                                "the activity of a design without it")
        clocks -= {0, 1}
        if len(clocks) > 1:
            raise ToolError("a design must have one clock for its activity to be counted, not "
                            f"{len(clocks)}")
        self.components = list(numbers)
        self.flip_flops = [0] * len(numbers)
        for (_, part), count in gates.items():
            self.flip_flops[part] += count
        self._gates = [(enable, part, count) for (enable, part), count in gates.items()]
        self._toggles = [0] * (len(numbers) * len(KINDS))
        self._enabled = [0] * len(numbers)

    def _order(self) -> None:
        """Functions by their level: one more than the highest of what they read."""
        by_out = {function[0]: function for function in self._functions}
        level: dict[int, int] = {}
        for out in by_out:
            stack = [out]
            while stack:
                at = stack[-1]
                if at in level:
                    stack.pop()
                    continue
                inputs = [net for net in by_out[at][1:5] if net in by_out]
                missing = [net for net in inputs if net not in level]
                if missing:
                    if len(stack) > len(by_out):
                        raise ToolError("the netlist has a combinational loop")
                    stack += missing
                    continue
                level[at] = 1 + max((level[net] for net in inputs), default=-1)
                stack.pop()
        self._functions.sort(key=lambda function: level[function[0]])
        self._levels = [level[function[0]] for function in self._functions]
        readers: list[list[int]] = [[] for _ in self.values]
        for number, function in enumerate(self._functions):
            for net in set(function[1:5]) - {0, 1}:
                readers[net].append(number)
        waiting: list[list[int]] = [[] for _ in self.values]
        for number, register in enumerate(self._registers):
            for net in set(register[1:4]) - {0, 1}:
                waiting[net].append(number)
        self._readers = [tuple(item) for item in readers]
        self._waiting = [tuple(item) for item in waiting]

    def _start(self) -> None:
        """Power-on: flip-flops are 0, and all functions settle."""
        depth = max(self._levels, default=-1) + 1
        self._dirty: list[list[int]] = [[] for _ in range(depth)]
        self._queued = bytearray(len(self._functions))
        self._pending = set(range(len(self._registers)))
        for number, at in enumerate(self._levels):
            self._dirty[at].append(number)
            self._queued[number] = 1
        self._settle()
        self._toggles = [0] * len(self._toggles)  # coming up is not counted

    def seen(self) -> Seen:
        """What has been counted so far."""
        n, size = len(KINDS), len(self.components)
        accesses = [[0] * size for _ in range(4)]
        for part, memory in self._memories:
            kind = 2 * isinstance(memory, SinglePort)
            accesses[kind][part] += memory.reads
            accesses[kind + 1][part] += memory.writes
        return Seen(self.clock, [self._toggles[at:at + n] for at in range(0, n * size, n)],
                    list(self._enabled), *accesses)

    def set(self, net: int, value: int) -> None:
        """Give a pin that nothing drives, or a flip-flop, a value; it settles with the next clock.
        """
        if self.values[net] != value:
            self._change(net, value)

    def _change(self, net: int, value: int) -> None:
        self.values[net] = value
        self._toggles[self._slot[net]] += 1
        for number in self._readers[net]:
            if not self._queued[number]:
                self._queued[number] = 1
                self._dirty[self._levels[number]].append(number)
        if self._waiting[net]:
            self._pending.update(self._waiting[net])

    def _settle(self) -> None:
        values, queued, functions = self.values, self._queued, self._functions
        toggles, slot, levels, dirty = self._toggles, self._slot, self._levels, self._dirty
        readers, waiting, pending = self._readers, self._waiting, self._pending
        for level in dirty:
            if not level:
                continue
            for number in level:
                queued[number] = 0
                out, a, b, c, d, table = functions[number]
                value = table >> (values[a] | values[b] << 1 | values[c] << 2
                                  | values[d] << 3) & 1
                if value != values[out]:
                    values[out] = value
                    toggles[slot[out]] += 1
                    for reader in readers[out]:
                        if not queued[reader]:
                            queued[reader] = 1
                            dirty[levels[reader]].append(reader)
                    if waiting[out]:
                        pending.update(waiting[out])
            level.clear()

    def tick(self) -> None:
        """One clock: settle what was set, then the edge, then settle again."""
        self._settle()
        values, registers = self.values, self._registers
        for enable, part, count in self._gates:
            if values[enable]:
                self._enabled[part] += count
        changes = []
        for number in self._pending:
            q, d, enable, reset, at_reset = registers[number]
            if values[enable]:
                value = at_reset if values[reset] else values[d]
                if value != values[q]:
                    changes.append((q, value))
        for _, memory in self._memories:
            changes += memory.clock(values)
        self._pending.clear()
        for net, value in changes:
            if values[net] != value:
                self._change(net, value)
        self._settle()
        self.clock += 1
