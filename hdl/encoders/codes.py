"""`stream` for a layer that reads the pixels' codes itself (`hdl.folded`)."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..folded import steps_layout
from .memory import PixelMemory
from .pixel_list import PixelList


class CodeEncoder(wiring.Component):
    """Keeps the stream codes of an image, and offers an empty item for each of `steps` timesteps.

    `fetch` reads the code of the pixel at `address`, and `value` is it from the clock after on. If
    `listed`, it reads entry `address` of `entries` instead, those of a `PixelList`, and `index` is
    its pixel.
    """

    def __init__(self, n: int, bits: int, num_steps: int, *, listed: bool = False) -> None:
        self.n, self.bits, self.num_steps, self.listed = n, bits, num_steps, listed
        self.payload_bytes = self.image_bytes(n, num_steps)
        super().__init__({
            "pixels": In(stream.Signature(8)), "start": In(1), "busy": Out(1),
            "steps": In(range(num_steps + 1), init=num_steps),
            "o": Out(stream.Signature(steps_layout())),
            "address": In(range(n + listed)), "fetch": In(1), "value": Out(bits + 1),
            **({"index": Out(range(max(2, n))), "entries": Out(range(n + 1))} if listed else {}),
        })

    @staticmethod
    def image_bytes(n: int, num_steps: int) -> int:
        """Bytes of one image on the link."""
        return n

    def elaborate(self, platform) -> Module:
        m = Module()
        kind = PixelList if self.listed else PixelMemory
        m.submodules.image = image = kind(self.n, self.bits)
        wiring.connect(m, wiring.flipped(self.pixels), image.pixels)
        if self.listed:
            m.d.comb += [self.index.eq(image.index), self.entries.eq(image.entries)]
        step = Signal(range(self.num_steps))
        m.d.comb += [
            image.accept.eq(~self.busy), image.address.eq(self.address), image.fetch.eq(self.fetch),
            self.value.eq(image.value), self.o.valid.eq(self.busy),
            self.o.payload.first.eq(step == 0),
            self.o.payload.last.eq(step == self.steps - 1),
        ]
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += step.eq(step + 1)
            with m.If(self.o.payload.last):
                m.d.sync += [step.eq(0), self.busy.eq(0)]
        return m
