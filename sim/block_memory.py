"""One SB_RAM40_4K, clock by clock: what it reads, and how often it is read and written."""

from .flat_netlist import Cell, binary, net_of

#: By mode, in which a row of 16 bits is 2**mode words: the bits of the port that are used (Yosys'
#: cells_sim.v).
_LANES = {0: range(16), 1: range(0, 16, 2), 2: range(1, 16, 4), 3: range(3, 16, 8)}
_ROWS = 256


class Memory:
    """One SB_RAM40_4K: words, and reads and writes so far."""

    def __init__(self, cell: Cell) -> None:
        ports = {name: [net_of(bit) for bit in bits] for name, bits in cell.connections.items()}
        self.out, self.data, self.mask = ports["RDATA"], ports["WDATA"], ports["MASK"]
        self.read_address, self.write_address = ports["RADDR"], ports["WADDR"]
        self.reading = [*ports["RE"], *ports["RCLKE"]]
        self.writing = [*ports["WE"], *ports["WCLKE"]]
        read_mode, write_mode = (binary(cell.parameters.get(name, "0"))
                                 for name in ("READ_MODE", "WRITE_MODE"))
        self.read_step, self.write_step = 1 << read_mode, 1 << write_mode
        self.read_lanes, self.write_lanes = _LANES[read_mode], _LANES[write_mode]
        self.words = []
        for row in range(_ROWS // 16):
            bits = binary(cell.parameters.get(f"INIT_{row:X}", "0"))
            self.words += [bits >> 16 * word & 0xFFFF for word in range(16)]
        self.reads = self.writes = 0
        self._last: list[int] | None = None

    def clock(self, v: bytearray) -> list[tuple[int, int]]:
        """What a clock edge makes of the values `v`: nets of the output and their new values."""
        out = []
        if all(v[net] for net in self.reading):
            self.reads += 1
            address = [v[net] for net in self.read_address]
            if address == self._last:  # the same word again
                return self._write(v, out)
            self._last = address
            word = self.words[_value(v, self.read_address[:8])]
            column = _value(v, self.read_address[8:])
            for lane, bit in enumerate(self.read_lanes):
                first = lane * self.read_step
                out.append((self.out[bit], word >> (first + column % self.read_step) & 1))
        return self._write(v, out)

    def _write(self, v: bytearray, out: list) -> list:
        """Write, after what was read in the same clock; returns `out`."""
        if all(v[net] for net in self.writing):
            self.writes += 1
            self._last = None
            row = _value(v, self.write_address[:8])
            column = _value(v, self.write_address[8:])
            for lane, bit in enumerate(self.write_lanes):
                if self.write_step == 1 and v[self.mask[bit]]:
                    continue
                at = 1 << (lane * self.write_step + column % self.write_step)
                self.words[row] = self.words[row] | at if v[self.data[bit]] \
                    else self.words[row] & ~at
        return out


def _value(v: bytearray, nets: list[int]) -> int:
    return sum(v[net] << k for k, net in enumerate(nets))
