"""A small UART, 8N1: no FIFO, a divisor (clocks per bit) that may change while the line is idle.

A bit is sampled once, in its middle. Counters run up and are compared with the divisor, because an
iCE40 logic cell holds a counter bit with a synchronous reset, but not one with a load.
"""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

#: Width of the divisor, and the least number of clocks per bit that is received reliably.
DIVISOR_BITS, MIN_DIVISOR = 12, 4
MAX_DIVISOR = (1 << DIVISOR_BITS) - 1


class Receiver(wiring.Component):
    """Bytes from a line, least significant bit first.

    A byte whose stop bit is low is dropped and strobes `error`; a start bit that is gone by its
    middle is taken for noise. `o` has no back-pressure: a byte is valid for one clock. A divisor of
    D tolerates a sender that is off by about 1/20 - 1/(10 * D) of its rate, half of that for odd D
    below 8.
    """

    rx: In(1, init=1)
    divisor: In(DIVISOR_BITS)
    o: Out(stream.Signature(8, always_ready=True))
    error: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        rx, before = Signal(init=1), Signal(init=1)
        m.submodules.sync = FFSynchronizer(self.rx, rx, init=1)
        m.d.sync += before.eq(rx)

        active, start = Signal(), Signal()
        data = Signal(9, reset_less=True)  # a one, shifted in front of the bits, marks the eighth
        half = Signal(DIVISOR_BITS - 1, init=1)  # clocks in this half of a bit
        second, extra = Signal(), Signal()  # which half; an odd divisor makes the second longer
        tick, sample, last = Signal(), Signal(), Signal()
        m.d.comb += [
            tick.eq((half == self.divisor[1:]) & ~extra),
            sample.eq(tick & ~second),
            last.eq(sample & data[0]),
            self.o.payload.eq(data[1:]),
            self.o.valid.eq(active & last & rx),
            self.error.eq(active & last & ~rx),
        ]
        m.d.sync += half.eq(half + ~extra)
        m.d.sync += extra.eq(0)
        with m.If(tick):
            m.d.sync += [half.eq(1), second.eq(~second), extra.eq(self.divisor[0] & ~second)]
        with m.If(~active):
            m.d.sync += [half.eq(1), second.eq(0), extra.eq(0), start.eq(1)]
            m.d.sync += data.eq(1 << 8)
            m.d.sync += active.eq(before & ~rx)
        with m.Elif(sample):
            m.d.sync += start.eq(0)
            with m.If(start):
                m.d.sync += active.eq(~rx)
            with m.Else():
                m.d.sync += data.eq(Cat(data[1:], rx))
                m.d.sync += active.eq(~data[0])
        return m


class Transmitter(wiring.Component):
    """Bytes to a line, least significant bit first.

    Bit boundaries lie on `tick`, which strobes every `divisor` clocks, busy or not; so a byte may
    wait for up to a bit. `i` is ready at the tick that ends the stop bit before, which is the one
    clock at which the divisor may change.
    """

    i: In(stream.Signature(8))
    divisor: In(DIVISOR_BITS)
    tx: Out(1, init=1)
    tick: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        clocks = Signal(DIVISOR_BITS, init=1)
        bits = Signal(10, init=1)  # the one in front is the stop bit, and the last that is sent
        m.d.comb += [
            self.tick.eq(clocks == self.divisor),
            self.tx.eq(bits[0]),
            self.i.ready.eq(self.tick & (bits[1:] == 0)),
        ]
        m.d.sync += clocks.eq(clocks + 1)
        with m.If(self.tick):
            m.d.sync += clocks.eq(1)
            with m.If(bits[1:] != 0):
                m.d.sync += bits.eq(bits[1:])
            with m.Elif(self.i.valid):
                m.d.sync += bits.eq(Cat(0, self.i.payload, 1))
        return m


class Uart(wiring.Component):
    """Receiver and transmitter of one line, full duplex, with a common divisor (4..4095)."""

    rx: In(1, init=1)
    tx: Out(1, init=1)
    divisor: In(DIVISOR_BITS)
    i: In(stream.Signature(8))
    o: Out(stream.Signature(8, always_ready=True))
    error: Out(1)
    tick: Out(1)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = Receiver()
        m.submodules.transmitter = transmitter = Transmitter()
        wiring.connect(m, wiring.flipped(self.o), receiver.o)
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx),
            receiver.divisor.eq(self.divisor), transmitter.divisor.eq(self.divisor),
            self.error.eq(receiver.error), self.tick.eq(transmitter.tick),
        ]
        return m
