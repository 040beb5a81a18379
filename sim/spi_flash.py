"""An SPI flash, strict about what it is asked and when: for Amaranth's simulator and for cocotb.

It knows what `hdl.flash_reader` says; anything else, or anything too early, ends the simulation.
"""

from ..flow import ir
from ..flow.errors import SpikeloomError
from ..flow.weights_file import packed
from ..hdl.flash_reader import ADDRESS_BYTES, Opcode

#: Seconds: what a W25Q128JV's data sheet asks for between two commands, after waking up, and from
#: one rising edge of the clock to the next in a READ.
DESELECTED, WAKING, PERIOD = 50e-9, 3e-6, 20e-9


class SpiFlash:
    """Mode 0, single bits, `content` from address 0 on, erased behind it; asleep until it is woken.

    size: bytes, a power of two; a read goes on at 0 behind the last one. `reads` are the addresses
    from which it was read since then.
    """

    def __init__(self, content: bytes, *, size: int = 1 << 22, waking: float = WAKING) -> None:
        assert len(content) <= size and size & (size - 1) == 0
        self.content, self.size, self.waking = content, size, waking
        self.power_down()

    def power_down(self) -> None:
        """As after the configuration of the device, which leaves it in deep power-down."""
        self.asleep, self.reads = True, []
        self._cs_n, self._clk, self._copi = 1, 0, 0
        self._ready = self._risen = float("-inf")
        self._taken = self._byte = 0
        self._out = 1

    def pins(self, cs_n: int, clk: int, copi: int, now: float) -> int:
        """The level of its output after its inputs have become these, at `now` seconds.

        Raises SpikeloomError for what a flash need not understand.
        """
        rose, fell = clk > self._clk, clk < self._clk
        moved = copi != self._copi
        was = self._cs_n
        self._cs_n, self._clk, self._copi = cs_n, clk, copi
        if cs_n:
            if not was:
                self._deselect(clk or fell, now)
            elif rose or fell:
                self._complain("its clock runs while it is not selected")
            self._out = 1
        elif was:
            if clk or fell:
                self._complain("it is selected while its clock is high, which is not mode 0")
            if now < self._ready:
                self._complain("it is selected before it is ready for another command")
            self._taken = self._byte = 0
        elif rose:
            if moved:
                self._complain("its input changes with the rising edge, which is not mode 0")
            if now - self._risen < PERIOD * (1 - 1e-6):
                self._complain(f"its clock is faster than {1e-6 / PERIOD:.0f} MHz")
            self._risen = now
            self._take(copi)
        elif fell:
            self._shift()
        return self._out

    def _take(self, bit: int) -> None:
        self._byte = (self._byte << 1 | bit) & (1 << 8 * (1 + ADDRESS_BYTES)) - 1
        self._taken += 1
        if self._taken == 8:
            self.opcode = self._byte
            if self.opcode not in iter(Opcode):
                self._complain(f"it has no opcode 0x{self.opcode:02X} here")
            if self.asleep and self.opcode != Opcode.WAKE:
                self._complain(f"it is asked for 0x{self.opcode:02X} in deep power-down")
        elif self._taken == 8 * (1 + ADDRESS_BYTES) and self.opcode == Opcode.READ:
            self.reads.append(self._byte & (1 << 8 * ADDRESS_BYTES) - 1)

    def _shift(self) -> None:
        bits = self._taken - 8 * (1 + ADDRESS_BYTES)
        if bits < 0 or self.opcode != Opcode.READ:
            return
        address = (self.reads[-1] + bits // 8) % self.size
        byte = self.content[address] if address < len(self.content) else 0xFF
        self._out = byte >> 7 - bits % 8 & 1

    def _deselect(self, clocked, now: float) -> None:
        if clocked:
            self._complain("it is deselected while its clock is high")
        if self._taken < 8 or self._taken % 8:
            self._complain(f"a command ends after {self._taken} bits")
        self._ready = now + DESELECTED
        if self.opcode == Opcode.WAKE:
            self.asleep = False
            self._ready = now + self.waking

    @staticmethod
    def of(design, graph: ir.Graph) -> "SpiFlash | None":
        """What a design (`flow.lower.top`) of a graph reads, with its weights; or None."""
        boot = design.boot
        if boot is None or boot.reader is None:
            return None
        return SpiFlash(bytes(boot.reader.start) + packed(graph))

    @staticmethod
    def _complain(what: str) -> None:
        raise SpikeloomError(f"the simulated SPI flash: {what}; this must never happen, please "
                             "report it")
