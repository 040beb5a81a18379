"""Everything between the pins of a board: UART, link and core."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .boot import Boot
from .buffer import ImageBuffer
from .flash_reader import flash_signature
from .link import Link
from .protocol import BASIC, SILENCE_BITS, Features
from .stored import StoredImages
from .uart import FullDuplex, HalfDuplex


class Top(wiring.Component):
    """A core behind a serial line, for any platform; one clock, domain `sync`.

    core: a component with the ports of `hdl.core.Core` and its `n_inputs`, `n_classes`,
    `num_steps`, `n_traces`, `n_counters`. design: 8 bytes that identify the network.
    divisor: clocks per bit at reset. `busy` and `cls` are for lights: a request is being served;
    the class, while it is valid, in as many bits as the classes need. A duplex build has an image
    buffer between link and core. With images `stored`, `button` steps through them. boot: for a
    core with a port `load`, where it brings the weights, from `flash` if it reads one; no image is
    inferred before.
    """

    def __init__(self, core, design_hash: bytes, divisor: int = 104,
                 silence_bits: int = SILENCE_BITS, features: Features = BASIC,
                 stored: StoredImages | None = None, boot: Boot | None = None) -> None:
        reads = boot is not None and boot.reader is not None
        super().__init__({
            "rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1),
            "cls": Out(range(max(2, core.n_classes))), **({"button": In(1)} if stored else {}),
            **({"flash": Out(flash_signature())} if reads else {}),
        })
        assert stored is None or stored.n == core.n_inputs, "images as the link would bring them"
        assert features.weights == (boot is not None), "a boot is for weights to be loaded"
        self.core, self.stored, self.boot = core, stored, boot
        self.link = Link(core.n_inputs, core.n_classes, core.num_steps, design_hash, divisor,
                         silence_bits, core.n_traces, core.n_counters, features)

    def elaborate(self, platform) -> Module:
        m = Module()
        core, link = self.core, self.link
        info = link.info
        m.submodules.core = core
        m.submodules.link = link
        kind = FullDuplex if info.features.duplex else HalfDuplex
        m.submodules.uart = uart = kind(info.divisor_bits)
        wiring.connect(m, uart.o, link.i)
        wiring.connect(m, link.o, uart.i)
        images = core
        if info.features.duplex:
            m.submodules.images = images = ImageBuffer(core.n_inputs)
            wiring.connect(m, images.o, core.pixels)
            m.d.comb += [core.restart.eq(images.o_restart), core.start.eq(images.o_start)]
        if self.stored is not None:
            m.submodules.stored = stored = self.stored
            wiring.connect(m, stored.o, images.pixels)
            m.d.comb += [
                images.restart.eq(stored.o_restart), images.start.eq(stored.o_start),
                stored.busy.eq(link.busy), stored.button.eq(self.button),
            ]
            images = stored
        wiring.connect(m, link.pixels, images.pixels)
        m.d.comb += [
            uart.rx.eq(self.rx), self.tx.eq(uart.tx),
            uart.divisor.eq(link.divisor), link.tick.eq(uart.tick),
            link.i_bit.eq(uart.o_bit), link.i_strobe.eq(uart.o_strobe),
            link.o_bit.eq(uart.i_bit), link.o_strobe.eq(uart.i_strobe),
            images.restart.eq(link.restart), images.start.eq(link.start),
            core.select.eq(link.select), core.steps.eq(link.steps), core.shift.eq(link.shift),
            core.failed.eq(link.failed | uart.error),
            link.done.eq(core.done), link.cls.eq(core.cls),
            link.score.eq(core.score), link.word.eq(core.word),
            link.counter.eq(core.counter),
            self.busy.eq(link.busy), self.cls.eq(core.cls),
        ]
        if self.boot is not None:
            self._boot(m, images)
        return m

    @property
    def ports(self) -> list:
        """The pins but for the button, the clock and its reset."""
        flash = [getattr(self.flash, name) for name in self.flash.signature.members] if hasattr(
            self, "flash") else []
        return [self.rx, self.tx, self.busy, self.cls, *flash]

    def _boot(self, m: Module, images) -> None:
        """The weights; what is computed with them is forgotten when they are."""
        m.submodules.boot = boot = self.boot
        core, link = self.core, self.link
        wiring.connect(m, boot.load, core.load)
        wiring.connect(m, link.pieces, boot.i)
        m.d.comb += [boot.forget.eq(link.forget), link.weights.eq(boot.status)]
        with m.If(link.forget):
            m.d.comb += [images.restart.eq(1), core.restart.eq(1)]
        if self.stored is not None:
            with m.If(~boot.loaded):
                m.d.comb += self.stored.busy.eq(1)
        if boot.reader is not None:
            wiring.connect(m, boot.flash, wiring.flipped(self.flash))
