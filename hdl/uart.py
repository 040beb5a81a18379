"""Small UARTs: 8N1, no FIFO, with the divisor (clocks per bit) set at run time.

`HalfDuplex` shares one timer and one shift register between both directions, which is enough for
requests that are answered one by one; `FullDuplex` has a pair of each. Timers count up and are
compared, because an iCE40 logic cell holds a counter bit with a synchronous reset, but not one with
a load.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

#: The least number of clocks per bit that is received reliably, and widths of the divisor.
MIN_DIVISOR, MIN_DIVISOR_BITS, MAX_DIVISOR_BITS = 4, 3, 12
MAX_DIVISOR = (1 << MAX_DIVISOR_BITS) - 1


class Uart(wiring.Component):
    """Bytes from `rx` to `o` and from `i` to `tx`, least significant bit first.

    A bit is sampled once, in its middle, up to a clock late. A start bit that is gone by its middle
    is taken for noise; a byte whose stop bit is low is dropped and strobes `error`. `o` has no
    back-pressure: a byte is valid for one clock. `o_bit` and `i_bit` are the data bits themselves,
    in the clocks in which `o_strobe` and `i_strobe` are high, those of a byte before `o` has it and
    after `i` was taken. `tick` strobes once per bit time. The divisor,
    MIN_DIVISOR..2**divisor_bits - 1, may change while `i` is ready and nothing is received.
    """

    def __init__(self, divisor_bits: int) -> None:
        assert MIN_DIVISOR_BITS <= divisor_bits <= MAX_DIVISOR_BITS
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "divisor": In(divisor_bits),
            "i": In(stream.Signature(8)), "i_bit": Out(1), "i_strobe": Out(1),
            "o": Out(stream.Signature(8, always_ready=True)), "o_bit": Out(1), "o_strobe": Out(1),
            "error": Out(1), "tick": Out(1),
        })

    def _line(self, m: Module) -> tuple:
        """The level of `rx` in this clock domain, and whether it falls in this clock."""
        level = Signal(init=1)
        before = Signal(init=1)
        m.submodules.sync = FFSynchronizer(self.rx, level, init=1)
        m.d.sync += before.eq(level)
        return level, before & ~level

    def _timer(self, m: Module, begin, name: str) -> tuple:
        """Strobes in the middle and at the end of each bit, counted from `begin` on."""
        # Clocks of this half of a bit; an odd divisor makes the second half one longer.
        half = Signal(len(self.divisor) - 1, init=1, reset_less=True, name=f"{name}half")
        second = Signal(reset_less=True, name=f"{name}second")
        extra = Signal(reset_less=True, name=f"{name}extra")
        middle, end = Signal(name=f"{name}middle"), Signal(name=f"{name}end")
        with m.If((half == self.divisor[1:]) & ~extra):
            m.d.comb += [middle.eq(~second), end.eq(second)]
        m.d.sync += [half.eq(half + ~extra), extra.eq(0)]
        with m.If(begin):
            m.d.sync += [half.eq(1), second.eq(0)]
        with m.Elif(middle | end):
            m.d.sync += [half.eq(1), second.eq(middle), extra.eq(middle & self.divisor[0])]
        return middle, end


# A one in front of the bits in a shift register marks their end: in front of eight zeros at first
# when receiving, and as the stop bit when sending.


class HalfDuplex(Uart):
    """`i` is ready while the line is idle in both directions; what arrives meanwhile is lost."""

    def elaborate(self, platform) -> Module:
        m = Module()
        rx, falls = self._line(m)
        begin = Signal()
        middle, end = self._timer(m, begin, "")
        bits = Signal(9, reset_less=True)
        receiving = Signal()
        sending = Signal()
        start = Signal(reset_less=True)
        m.d.comb += [
            self.tick.eq(end), self.i.ready.eq(~receiving & ~sending),
            self.o.payload.eq(bits[1:]), self.o_bit.eq(rx), self.i_bit.eq(bits[0]),
        ]
        with m.If(receiving), m.If(middle):
            m.d.sync += [start.eq(0), receiving.eq(Mux(start, ~rx, ~bits[0]))]
            with m.If(~start):
                m.d.sync += bits.eq(Cat(bits[1:], rx))
                m.d.comb += [self.o_strobe.eq(~bits[0]), self.o.valid.eq(bits[0] & rx),
                             self.error.eq(bits[0] & ~rx)]
        with m.Elif(sending), m.If(end):
            m.d.sync += [bits.eq(bits[1:]), self.tx.eq(bits[0])]
            m.d.comb += self.i_strobe.eq(bits[1:] != 0)
            with m.If(bits == 0):
                m.d.sync += [self.tx.eq(1), sending.eq(0)]
        with m.Else():
            m.d.comb += begin.eq(self.i.valid | falls)
            m.d.sync += [start.eq(1), sending.eq(self.i.valid), self.tx.eq(~self.i.valid)]
            m.d.sync += receiving.eq(falls & ~self.i.valid)
            m.d.sync += bits.eq(Cat(self.i.payload & self.i.valid.replicate(8), 1))
        return m


class FullDuplex(Uart):
    """Both directions at once; `i` is ready while nothing is sent."""

    def elaborate(self, platform) -> Module:
        m = Module()
        self._receive(m)
        self._send(m)
        return m

    def _receive(self, m: Module) -> None:
        rx, falls = self._line(m)
        receiving = Signal()
        begin = Signal()
        middle, end = self._timer(m, begin, "in_")
        bits = Signal(9, reset_less=True, name="in_bits")
        start = Signal(reset_less=True)
        m.d.comb += [self.tick.eq(end), self.o.payload.eq(bits[1:]), self.o_bit.eq(rx),
                     begin.eq(~receiving & falls)]
        with m.If(~receiving):
            m.d.sync += [start.eq(1), receiving.eq(falls), bits.eq(1 << 8)]
        with m.Elif(middle):
            m.d.sync += [start.eq(0), receiving.eq(Mux(start, ~rx, ~bits[0]))]
            with m.If(~start):
                m.d.sync += bits.eq(Cat(bits[1:], rx))
                m.d.comb += [self.o_strobe.eq(~bits[0]), self.o.valid.eq(bits[0] & rx),
                             self.error.eq(bits[0] & ~rx)]

    def _send(self, m: Module) -> None:
        sending = Signal()
        begin = Signal()
        _, end = self._timer(m, begin, "out_")
        bits = Signal(9, reset_less=True, name="out_bits")
        m.d.comb += [self.i.ready.eq(~sending), self.i_bit.eq(bits[0]),
                     begin.eq(self.i.valid & ~sending)]
        with m.If(~sending):
            m.d.sync += [sending.eq(self.i.valid), self.tx.eq(~self.i.valid),
                         bits.eq(Cat(self.i.payload, 1))]
        with m.Elif(end):
            m.d.sync += [bits.eq(bits[1:]), self.tx.eq(bits[0])]
            m.d.comb += self.i_strobe.eq(bits[1:] != 0)
            with m.If(bits == 0):
                m.d.sync += [self.tx.eq(1), sending.eq(0)]
