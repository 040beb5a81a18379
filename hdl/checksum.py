"""The checksum of a frame, bit by bit as the line carries it."""

from binascii import crc_hqx

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

BITS = 16
PRESET = (1 << BITS) - 1
_TAPS = (3, 10, 15)  # 0x8408, which is 0x1021 reflected
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc16(data: bytes) -> int:
    """CRC-16/MCRF4XX: polynomial 0x1021, reflected, from 0xFFFF; of b"123456789" it is 0x6F91.

    Sent low byte first, it makes the checksum of everything 0.
    """
    return int(f"{crc_hqx(data.translate(_REVERSED), PRESET):016b}"[::-1], 2)


class Checksum(wiring.Component):
    """The register of `crc16`: takes `bit` where `strobe` is high, lowest bit of a byte first.

    A register that is fed its own lowest bit shifts its value out. `clear` goes before `strobe`.
    """

    clear: In(1)
    strobe: In(1)
    bit: In(1)
    value: Out(BITS, init=PRESET)

    def elaborate(self, platform) -> Module:
        m = Module()
        fed = Signal()
        m.d.comb += fed.eq(self.bit ^ self.value[0])
        with m.If(self.clear):
            m.d.sync += self.value.eq(PRESET)
        with m.Elif(self.strobe):
            shifted = [*self.value[1:], 0]
            m.d.sync += self.value.eq(Cat(bit ^ fed if k in _TAPS else bit
                                          for k, bit in enumerate(shifted)))
        return m
