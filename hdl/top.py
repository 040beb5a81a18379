"""Everything between the pins of a board: UART, link and core."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .link import SILENCE_BITS, Link
from .uart import Uart


class Top(wiring.Component):
    """A core behind a serial line, for any platform; one clock, domain `sync`.

    core: a component with the ports of `hdl.core.Core` and its `n_inputs`, `n_classes`,
    `num_steps`, `n_traces`. design: 8 bytes that identify the network. divisor: clocks per bit at
    reset. `busy` and `cls` are for lights: a request is being served; the class, while it is valid,
    in as many bits as the classes need.
    """

    def __init__(self, core, design_hash: bytes, divisor: int = 104,
                 silence_bits: int = SILENCE_BITS) -> None:
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1),
            "cls": Out(range(max(2, core.n_classes))),
        })
        self.core = core
        self.link = Link(core.n_inputs, core.n_classes, core.num_steps, design_hash, divisor,
                         silence_bits, core.n_traces)

    def elaborate(self, platform) -> Module:
        m = Module()
        core, link = self.core, self.link
        m.submodules.core = core
        m.submodules.link = link
        m.submodules.uart = uart = Uart()
        wiring.connect(m, uart.o, link.i)
        wiring.connect(m, link.o, uart.i)
        wiring.connect(m, link.pixels, core.pixels)
        m.d.comb += [
            uart.rx.eq(self.rx), self.tx.eq(uart.tx),
            uart.divisor.eq(link.divisor), link.tick.eq(uart.tick),
            core.restart.eq(link.restart), core.start.eq(link.start), core.select.eq(link.select),
            link.done.eq(core.done), link.cls.eq(core.cls), link.score.eq(core.score),
            link.trace.eq(core.trace),
            self.busy.eq(link.busy), self.cls.eq(core.cls),
        ]
        return m
