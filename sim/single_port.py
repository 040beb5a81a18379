"""One SB_SPRAM256KA, clock by clock: what it reads, and how often it is read and written."""

from ..flow.errors import ToolError
from .flat_netlist import Cell, net_of

_DEPTH = 16384
#: What keeps it powered and awake, which no design here changes.
_AWAKE = {"STANDBY": 0, "SLEEP": 0, "POWEROFF": 1}


class SinglePort:
    """One SB_SPRAM256KA: words, and reads and writes so far. Raises ToolError where it may sleep.

    Each bit of MASKWREN writes a nibble. What a write leaves at the output is unknown on the device
    (FPGA-TN-02022); here it stays.
    """

    def __init__(self, name: str, cell: Cell) -> None:
        ports = {port: [net_of(bit) for bit in bits] for port, bits in cell.connections.items()}
        for port, level in _AWAKE.items():
            if ports[port] != [level]:
                raise ToolError(f"{name}: {port} must be {level} for its activity to be counted")
        self.out, self.data, self.mask = ports["DATAOUT"], ports["DATAIN"], ports["MASKWREN"]
        self.address = ports["ADDRESS"]
        (self.select,), (self.write,) = ports["CHIPSELECT"], ports["WREN"]
        self.words = [0] * _DEPTH
        self.reads = self.writes = 0

    def clock(self, v: bytearray) -> list[tuple[int, int]]:
        """What a clock edge makes of the values `v`: nets of the output and their new values."""
        if not v[self.select]:
            return []
        at = sum(v[net] << k for k, net in enumerate(self.address))
        if v[self.write]:
            self.writes += 1
            word = self.words[at]
            for k, net in enumerate(self.data):
                if v[self.mask[k // 4]]:
                    word = word & ~(1 << k) | v[net] << k
            self.words[at] = word
            return []
        self.reads += 1
        word = self.words[at]
        return [(net, word >> k & 1) for k, net in enumerate(self.out)]
