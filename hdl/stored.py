"""Images in block memory, which a button gives to the core one after the other, without a host."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .memories import BLOCK_RAM

#: 2**DEBOUNCE_BITS clocks between two looks at the button: 11 ms at 12 MHz, longer than it bounces.
DEBOUNCE_BITS = 17


class StoredImages(wiring.Component):
    """Stands between a link and a core: passes on what the link sends, or sends a stored image.

    images: at least one, each of n bytes as the core takes them. `pixels`, `restart` and `start`
    are the link's; `o`, `o_restart` and `o_start` go to a core or an `ImageBuffer`. Each press of
    `button` (high, not synchronised) sends the next image, the first after the last, if `busy` (the
    link is serving a request) is low; else it is not heeded. A `restart` of the link takes
    precedence over an image that is being sent, which is then left out.
    """

    def __init__(self, images: list[bytes], debounce_bits: int = DEBOUNCE_BITS) -> None:
        n, *others = {len(image) for image in images}
        assert n >= 1 and not others, "images must have the same number of bytes, at least one"
        self.images, self.n = images, n
        self.debounce_bits = debounce_bits
        super().__init__({
            "pixels": In(stream.Signature(8)), "restart": In(1), "start": In(1),
            "o": Out(stream.Signature(8)), "o_restart": Out(1), "o_start": Out(1),
            "busy": In(1), "button": In(1),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        data = b"".join(self.images)
        m.submodules.memory = memory = Memory(shape=8, depth=max(2, len(data)), init=data,
                                              attrs=BLOCK_RAM)
        read = memory.read_port()
        address = Signal(range(len(data)))
        left = Signal(range(self.n))
        # The link has begun an image of its own: go on to the end of this one, without sending it.
        passed_over = Signal()
        idle, offering, sending, taken = Signal(), Signal(), Signal(), Signal()
        pressed = self._pressed(m)
        m.d.comb += [
            read.en.eq(1), read.addr.eq(address),
            self.o.payload.eq(self.pixels.payload), self.o.valid.eq(self.pixels.valid),
            self.pixels.ready.eq(self.o.ready),
            self.o_restart.eq(self.restart), self.o_start.eq(self.start),
            sending.eq(~idle & ~passed_over & ~self.restart), taken.eq(self.o.ready | ~sending),
        ]
        with m.FSM() as fsm:
            m.d.comb += [idle.eq(fsm.ongoing("idle")), offering.eq(fsm.ongoing("offer"))]
            with m.State("idle"):
                m.d.sync += [left.eq(self.n - 1), passed_over.eq(0)]
                with m.If(pressed & ~self.busy & ~self.restart):
                    m.d.comb += self.o_restart.eq(1)
                    m.next = "fetch"
            with m.State("fetch"):
                m.next = "offer"
            with m.State("offer"), m.If(taken):
                m.d.sync += [left.eq(left - 1), address.eq(address + 1)]
                with m.If(address == len(data) - 1):
                    m.d.sync += address.eq(0)
                m.next = "fetch"
                with m.If(left == 0):
                    m.next = "start"
            with m.State("start"):
                m.d.comb += self.o_start.eq(sending | self.start)
                m.next = "idle"
        with m.If(sending):
            m.d.comb += [self.pixels.ready.eq(0), self.o.payload.eq(read.data),
                         self.o.valid.eq(offering)]
        with m.If(~idle & self.restart):
            m.d.sync += passed_over.eq(1)
        return m

    def _pressed(self, m: Module):
        """Strobes when the button goes down, seen so rarely that it has settled in between."""
        level, before = Signal(), Signal()
        m.submodules.sync = FFSynchronizer(self.button, level)
        timer = Signal(self.debounce_bits)
        look = Signal()
        m.d.comb += look.eq(timer.all())
        m.d.sync += timer.eq(timer + 1)
        with m.If(look):
            m.d.sync += before.eq(level)
        return look & level & ~before
