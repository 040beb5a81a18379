"""Checksums bit by bit as a line carries them: that of a frame, and that of a weights image."""

from binascii import crc_hqx
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

BITS = 16
PRESET = (1 << BITS) - 1


@dataclass(frozen=True)
class Polynomial:
    """A reflected polynomial by the bits that are one, and how many there are."""

    bits: int
    taps: tuple[int, ...]


#: 0x8408, which is 0x1021 reflected.
CRC16 = Polynomial(BITS, (3, 10, 15))
#: 0xEDB88320, which is 0x04C11DB7 reflected; zlib complements what it makes of the preset.
CRC32 = Polynomial(32, tuple(k for k in range(32) if 0xEDB88320 >> k & 1))

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc16(data: bytes) -> int:
    """CRC-16/MCRF4XX: polynomial 0x1021, reflected, from 0xFFFF; of b"123456789" it is 0x6F91.

    Sent low byte first, it makes the checksum of everything 0.
    """
    return int(f"{crc_hqx(data.translate(_REVERSED), PRESET):016b}"[::-1], 2)


class Checksum(wiring.Component):
    """The register of a checksum: takes `bit` where `strobe` is high, lowest bit of a byte first.

    It starts with ones, and again where `clear` is high, which goes before `strobe`. A register
    that is fed its own lowest bit shifts its value out.
    """

    def __init__(self, polynomial: Polynomial = CRC16) -> None:
        self.polynomial = polynomial
        bits = polynomial.bits
        super().__init__({"clear": In(1), "strobe": In(1), "bit": In(1),
                          "value": Out(bits, init=(1 << bits) - 1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        fed = Signal()
        m.d.comb += fed.eq(self.bit ^ self.value[0])
        with m.If(self.clear):
            m.d.sync += self.value.eq((1 << self.polynomial.bits) - 1)
        with m.Elif(self.strobe):
            shifted = [*self.value[1:], 0]
            m.d.sync += self.value.eq(Cat(bit ^ fed if k in self.polynomial.taps else bit
                                          for k, bit in enumerate(shifted)))
        return m
