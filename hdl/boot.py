"""How weights get into a core: from the flash after each reset, or from a host at any time."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .flash_image import image_bytes
from .flash_reader import BYTE_CLOCKS, LEAD_CLOCKS, WAKE_BITS, FlashReader, flash_signature
from .loader import Loader
from .protocol import Status
from .spram import load_layout


def boot_clocks(words: int, wake_bits: int = WAKE_BITS) -> int:
    """Clocks from a reset until so many words have come from the flash, and their image is right.

    As if the memories took each word at once.
    """
    return LEAD_CLOCKS + (1 << wake_bits) + BYTE_CLOCKS * image_bytes(words) + 8


class Boot(wiring.Component):
    """Loads the image (`flash_image`) that a design, 8 bytes, of so many words needs.

    flash: the byte address of the image in the flash, None for a board without one; then the
    weights are LOADING until a host brings them. `forget` makes them LOADING, and the next bytes
    of `i` an image; from then on the flash is not read, until a reset.
    """

    def __init__(self, design: bytes, words: int, flash: int | None = None,
                 wake_bits: int = WAKE_BITS) -> None:
        self.loader = Loader(design, words)
        self.reader = None if flash is None else FlashReader(flash, wake_bits)
        super().__init__({
            "i": In(stream.Signature(8)), "forget": In(1),
            "load": Out(stream.Signature(load_layout())), "status": Out(4, init=Status.LOADING),
            "loaded": Out(1), **({"flash": Out(flash_signature())} if self.reader else {}),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        loader, reader = self.loader, self.reader
        m.submodules.loader = ResetInserter(self.forget)(loader)
        wiring.connect(m, loader.load, wiring.flipped(self.load))
        m.d.comb += [self.status.eq(loader.status), self.loaded.eq(loader.status == Status.OK)]
        if reader is None:
            wiring.connect(m, wiring.flipped(self.i), loader.i)
            return m
        m.submodules.reader = reader
        host = Signal()
        with m.If(self.forget):
            m.d.sync += host.eq(1)
        wiring.connect(m, reader.flash, wiring.flipped(self.flash))
        m.d.comb += [
            reader.stop.eq(loader.ended | host), reader.o.ready.eq(loader.i.ready & ~host),
            self.i.ready.eq(loader.i.ready & host),
            loader.i.valid.eq(Mux(host, self.i.valid, reader.o.valid)),
            loader.i.payload.eq(Mux(host, self.i.payload, reader.o.payload)),
        ]
        return m
