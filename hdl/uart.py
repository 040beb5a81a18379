"""A small UART: 8N1, half duplex, no FIFO, with the divisor (clocks per bit) set at run time.

One timer and one shift register serve both directions, as a link of requests and replies needs no
more. The timer counts up and is compared, because an iCE40 logic cell holds a counter bit with a
synchronous reset, but not one with a load.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

#: Width of the divisor, and the least number of clocks per bit that is received reliably.
DIVISOR_BITS, MIN_DIVISOR = 12, 4
MAX_DIVISOR = (1 << DIVISOR_BITS) - 1


class Uart(wiring.Component):
    """Bytes from `rx` to `o` and from `i` to `tx`, least significant bit first.

    A bit is sampled once, in its middle, up to a clock late. A start bit that is gone by its middle
    is taken for noise; a byte whose stop bit is low is dropped and strobes `error`. `o` has no
    back-pressure: a byte is valid for one clock. `i` is ready while the line is idle in both
    directions; what arrives during a byte that is sent is lost. `tick` strobes once per bit time.
    The divisor, MIN_DIVISOR..MAX_DIVISOR, may change while `i` is ready.
    """

    rx: In(1, init=1)
    tx: Out(1, init=1)
    divisor: In(DIVISOR_BITS)
    i: In(stream.Signature(8))
    o: Out(stream.Signature(8, always_ready=True))
    error: Out(1)
    tick: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        rx = Signal(init=1)
        before = Signal(init=1)
        m.submodules.sync = FFSynchronizer(self.rx, rx, init=1)
        m.d.sync += before.eq(rx)

        half = Signal(DIVISOR_BITS - 1, init=1, reset_less=True)  # clocks of this half of a bit
        second = Signal(reset_less=True)  # which half; an odd divisor makes this one longer
        extra = Signal(reset_less=True)
        middle = Signal()
        end = Signal()
        begin = Signal()
        with m.If((half == self.divisor[1:]) & ~extra):
            m.d.comb += [middle.eq(~second), end.eq(second)]
        m.d.sync += [half.eq(half + ~extra), extra.eq(0)]
        with m.If(begin):
            m.d.sync += [half.eq(1), second.eq(0)]
        with m.Elif(middle | end):
            m.d.sync += [half.eq(1), second.eq(middle), extra.eq(middle & self.divisor[0])]

        # A one in front of the bits marks their end: in front of eight zeros at first when
        # receiving, and as the stop bit when sending.
        bits = Signal(9, reset_less=True)
        receiving = Signal()
        sending = Signal()
        start = Signal(reset_less=True)
        m.d.comb += [
            self.tick.eq(end),
            self.i.ready.eq(~receiving & ~sending),
            self.o.payload.eq(bits[1:]),
        ]
        with m.If(receiving), m.If(middle):
            m.d.sync += [start.eq(0), receiving.eq(Mux(start, ~rx, ~bits[0]))]
            with m.If(~start):
                m.d.sync += bits.eq(Cat(bits[1:], rx))
                m.d.comb += [self.o.valid.eq(bits[0] & rx), self.error.eq(bits[0] & ~rx)]
        with m.Elif(sending), m.If(end):
            m.d.sync += [bits.eq(bits[1:]), self.tx.eq(bits[0])]
            with m.If(bits == 0):
                m.d.sync += [self.tx.eq(1), sending.eq(0)]
        with m.Else():
            m.d.comb += begin.eq(self.i.valid | before & ~rx)
            m.d.sync += [start.eq(1), sending.eq(self.i.valid), self.tx.eq(~self.i.valid)]
            m.d.sync += receiving.eq(before & ~rx & ~self.i.valid)
            m.d.sync += bits.eq(Cat(self.i.payload & self.i.valid.replicate(8), 1))
        return m
