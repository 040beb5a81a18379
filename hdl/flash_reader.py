"""Bytes from a board's SPI flash, from one address on: what configured the device has more.

Standard single-bit reads in mode 0 (JEDEC opcodes, the same in the data sheets of W25Q, N25Q and
their like): the clock rests low, both sides change their data when it falls. A flash that
configured an iCE40 is in deep power-down, so it is woken up first.
"""

from enum import IntEnum

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

ADDRESS_BYTES = 3
#: 2**WAKE_BITS clocks between waking and reading: 170 us at 12 MHz, 43 us at 48 MHz; what flashes
#: ask for is 3 us (W25Q) to 30 us.
WAKE_BITS = 11
#: Clocks of all commands, but for waking, and from one byte to the next, if each is taken at once.
LEAD_CLOCKS, BYTE_CLOCKS = 5 * 17 + 1, 17


class Opcode(IntEnum):
    """What a flash is asked for: to read from an address on, or to leave deep power-down."""

    READ = 0x03
    WAKE = 0xAB


def flash_signature() -> wiring.Signature:
    """The pins of a flash, as the device drives them."""
    return wiring.Signature({"cs_n": Out(1, init=1), "clk": Out(1), "copi": Out(1), "cipo": In(1)})


class FlashReader(wiring.Component):
    """Reads bytes from byte address `start` on, once after each reset, until `stop` is high.

    The clock of the flash is half the own one, and stands still while a byte is not taken. `cipo`
    is taken in the clock in which the flash is told to change it, so a bit has nearly two clocks to
    arrive.
    """

    def __init__(self, start: int, wake_bits: int = WAKE_BITS) -> None:
        assert 0 <= start < 1 << 8 * ADDRESS_BYTES
        self.start, self.wake_bits = start, wake_bits
        super().__init__({"flash": Out(flash_signature()), "o": Out(stream.Signature(8)),
                          "stop": In(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        commands = [Opcode.WAKE, Opcode.READ, *self.start.to_bytes(ADDRESS_BYTES, "big")]
        bits, bit, index = Signal(8), Signal(3), Signal(range(len(commands) + 1))
        wake = Signal(self.wake_bits)
        selected = Signal()
        reading = index == len(commands)
        m.d.comb += [self.flash.cs_n.eq(~selected), self.flash.copi.eq(bits[-1]),
                     self.o.payload.eq(bits)]
        with m.FSM():
            with m.State("begin"):
                m.d.sync += [bits.eq(Array([*commands, 0])[index]), selected.eq(1)]
                m.next = "shift"

            with m.State("shift"):
                m.d.sync += self.flash.clk.eq(~self.flash.clk)
                with m.If(self.flash.clk):
                    m.d.sync += [bits.eq(Cat(self.flash.cipo, bits)), bit.eq(bit + 1)]
                    with m.If(bit.all()):
                        m.next = "begin"
                        with m.If(reading):
                            m.next = "offer"
                        with m.Else():
                            m.d.sync += index.eq(index + 1)
                        with m.If(index == 0):
                            m.next = "wake"

            with m.State("wake"):
                m.d.sync += [selected.eq(0), wake.eq(wake + 1)]
                with m.If(wake.all()):
                    m.next = "begin"

            with m.State("offer"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "shift"
                with m.If(self.stop):
                    m.d.sync += selected.eq(0)
                    m.next = "off"

            with m.State("off"):
                pass
        return m
