"""The UART, proved for all bytes, all times and all lines by k-induction; divisors 4 and 5."""

import inspect

import pytest
from amaranth.hdl import Array, Cat, Mux, Signal
from formal import Spec
from formal.mutants import mutant

from spikeloom.hdl.uart import FullDuplex, HalfDuplex, Uart

BITS = 8


def add(spec: Spec, name: str, uart, divisor: int):
    spec.m.submodules[name] = uart
    spec.m.d.comb += uart.divisor.eq(divisor)
    duplex = type(uart).__name__ == "FullDuplex"  # mutants too
    for timer in ("in_", "out_") if duplex else ("",):
        spec.always(f"{name} counts half a bit at most {timer}",
                    spec.inside(f"{name}.{timer}half", BITS - 1) <= divisor // 2)
    busy = Signal(range(10 * divisor + 2))
    spec.m.d.sync += busy.eq(Mux(uart.i.ready, 0, busy + 1))
    spec.always(f"{name} is busy for a frame at most", busy <= 10 * divisor)
    if duplex:
        received = Signal(range(10 * divisor + 2))
        spec.m.d.sync += received.eq(Mux(spec.inside(f"{name}.receiving", 1), received + 1, 0))
        spec.always(f"{name} receives for a frame at most", received <= 10 * divisor)
    return uart


def sender(uart: Uart, divisor: int) -> Spec:
    """Nothing on rx: tx is high, or shows the last byte taken, each bit for `divisor` clocks."""
    spec = Spec()
    m = spec.m
    add(spec, "uart", uart, divisor)
    m.d.comb += [uart.rx.eq(1), uart.i.valid.eq(spec.any(1, "valid")),
                 uart.i.payload.eq(spec.any(8, "payload"))]
    position, clock = Signal(range(11), init=10), Signal(range(divisor))
    byte = Signal(8)
    with m.If(position != 10):
        m.d.sync += clock.eq(clock + 1)
        with m.If(clock == divisor - 1):
            m.d.sync += [clock.eq(0), position.eq(position + 1)]
    with m.Elif(uart.i.valid):
        m.d.sync += [position.eq(0), clock.eq(0), byte.eq(uart.i.payload)]
    spec.always("position", (position <= 10) & (clock < divisor))
    spec.always("line", uart.tx == Array([0, *byte, 1, 1])[position])
    spec.always("ready when done, and only then", uart.i.ready == (position == 10))
    spec.always("the bits that leave are its own", ~uart.i_strobe
                | ((position < 9) & (uart.i_bit == Array([*byte, 0, 0, 0])[position])))
    spec.always("receives nothing", ~uart.o.valid & ~uart.error & ~uart.o_strobe)
    return spec


def receiver(uart: Uart, divisor: int, quiet: bool = True) -> Spec:
    """Any line at all on rx: a byte comes out exactly of what a frame on the line looked like.

    The line is sampled in the middle of each bit, found from the falling edge of its start bit,
    and takes two clocks through the synchroniser.
    """
    spec = Spec()
    m = spec.m
    add(spec, "uart", uart, divisor)
    rx = spec.any(1, "rx")
    m.d.comb += uart.rx.eq(rx)
    depth = 10 * divisor + 4
    past = Signal(depth, init=2**depth - 1)  # bit k is the line k + 1 clocks ago
    m.d.sync += past.eq(Cat(rx, past[:-1]))
    ago = [past[k - 1] for k in range(1, depth)]  # ago[k] is the line k + 1 clocks ago
    samples = [ago[1 + divisor * k] for k in range(10)]  # stop bit, bits 7..0, start bit
    stop, start = samples[0], samples[-1]
    edge = 1 + divisor * 9 + divisor // 2
    found = Cat(*samples[8:0:-1])
    spec.always("a byte is what the line said", ~uart.o.valid | (uart.o.payload == found))
    spec.always("its start bit was low, its stop bit high", ~uart.o.valid | (~start & stop))
    spec.always("its start bit began with an edge", ~uart.o.valid | (~ago[edge] & ago[edge + 1]))
    spec.always("an error is a low stop bit", ~uart.error | (~start & ~stop))
    if quiet:
        spec.always("sends nothing", uart.tx)
    else:
        m.d.comb += [uart.i.valid.eq(spec.any(1, "valid")),
                     uart.i.payload.eq(spec.any(8, "payload"))]
    return spec


def loopback(uart: Uart, divisor: int) -> Spec:
    """From tx of one into rx of another: every byte arrives, once, equal, in time."""
    spec = Spec()
    m = spec.m
    a = add(spec, "a", HalfDuplex(BITS), divisor)
    b = add(spec, "b", uart, divisor)
    m.d.comb += [a.rx.eq(1), b.rx.eq(a.tx), a.i.valid.eq(spec.any(1, "valid")),
                 a.i.payload.eq(spec.any(8, "payload"))]
    late = 10 * divisor + 4
    pending, age, byte = Signal(), Signal(range(late + 1)), Signal(8)
    m.d.sync += age.eq(Mux(pending, age + 1, 0))
    with m.If(b.o.valid):
        m.d.sync += pending.eq(0)
    with m.If(a.i.valid & a.i.ready):
        m.d.sync += [pending.eq(1), age.eq(0), byte.eq(a.i.payload)]
    spec.always("what comes was sent, and is equal", ~b.o.valid | (pending & (b.o.payload == byte)))
    spec.always("it comes before the next one is taken", ~(pending & a.i.ready & ~b.o.valid))
    spec.always("it comes in time", age < late)
    duplex = type(uart).__name__ == "FullDuplex"
    receiving = spec.inside("b.receiving", 1) if duplex else ~b.i.ready
    spec.always("receives while a byte is on its way, and only then",
                receiving == (pending & (age >= 3)))
    spec.always("no errors", ~b.error)
    return spec


@pytest.mark.parametrize("divisor", [4, 5])
@pytest.mark.parametrize("kind", [HalfDuplex, FullDuplex])
@pytest.mark.parametrize("what", [sender, receiver, loopback])
def test_for_all_time(what, kind, divisor):
    """k-induction with k = a frame and a few clocks: unbounded in time, for these divisors."""
    assert what(kind(BITS), divisor).inductive(10 * divisor + 6) is None


@pytest.mark.parametrize("divisor", [4, 5])
def test_a_duplex_uart_receives_while_it_sends(divisor):
    """Anything at any time; that it sends while it receives follows, for they share no register."""
    spec = receiver(FullDuplex(BITS), divisor, quiet=False)
    assert spec.inductive(10 * divisor + 6) is None


MUTANTS = {
    "sends nine bits": (sender, "with m.If(bits == 0):", "with m.If(bits == 1):"),
    "takes a byte while it sends": (sender, "self.i.ready.eq(~receiving & ~sending)",
                                    "self.i.ready.eq(~receiving)"),
    "tx rests low": (sender, "self.tx.eq(1), sending", "self.tx.eq(0), sending"),
    "shows the stop bit too": (sender, "i_strobe.eq(bits[1:] != 0)", "i_strobe.eq(bits != 0)"),
    "no check of the stop bit": (receiver, "self.o.valid.eq(bits[0] & rx)",
                                 "self.o.valid.eq(bits[0])"),
    "no check of the start bit": (receiver, "Mux(start, ~rx, ~bits[0])",
                                  "Mux(start, 1, ~bits[0])"),
    "most significant bit first": (loopback, "bits.eq(Cat(bits[1:], rx))",
                                   "bits.eq(Cat(rx, bits[:-1]))"),
    "samples at the end of a bit": (loopback, "with m.If(receiving), m.If(middle):",
                                    "with m.If(receiving), m.If(end):"),
    "a level for an edge": (receiver, "receiving.eq(falls & ~self.i.valid)",
                            "receiving.eq(~rx & ~self.i.valid)"),
    "takes a byte while it sends one": (sender, "self.i.ready.eq(~sending)", "self.i.ready.eq(1)"),
    "a level for an edge, duplex": (receiver, "receiving.eq(falls), bits",
                                    "receiving.eq(~rx), bits"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_refuted(name):
    """Each change is in all the classes that have the line; the first one is proved wrong."""
    what, old, new = MUTANTS[name]
    kind = HalfDuplex if old in inspect.getsource(HalfDuplex) else FullDuplex
    found = what(mutant(kind, old, new)(BITS), 4).bounded(90)
    assert found is not None, f"{name} must be refuted"
