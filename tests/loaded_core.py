"""A core whose weights have to be loaded, and its image: not a network."""

import numpy as np
from amaranth.hdl import Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In
from conftest import CountingCore

from spikeloom.hdl.boot import Boot
from spikeloom.hdl.flash_image import pack
from spikeloom.hdl.protocol import Features
from spikeloom.hdl.spram import load_layout
from spikeloom.hdl.top import Top
from spikeloom.sim.simulated import SimTransport
from spikeloom.sim.spi_flash import SpiFlash

DESIGN = bytes(range(0xA0, 0xA8))
AT = 0x20000
WEIGHTS = Features(weights=True)
#: So that simulations are short: 2**5 clocks, 2.7 us at 12 MHz.
WAKE_BITS = 5


def some_words(count=10, seed=0):
    return np.random.default_rng(seed).integers(0, 1 << 16, count).astype(np.uint16)


class LoadedCore(CountingCore):
    """Keeps its words in a memory `words`; `writes` counts those that came."""

    load: In(stream.Signature(load_layout()))

    def __init__(self, count=10, **options):
        super().__init__(**options)
        self.words = Memory(shape=16, depth=count, init=[])
        self.writes = Signal(32)

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.submodules.words = self.words
        port, item = self.words.write_port(), self.load.payload
        m.d.comb += [port.addr.eq(item.address), port.data.eq(item.data),
                     port.en.eq(self.load.valid), self.load.ready.eq(1)]
        m.d.sync += self.writes.eq(self.writes + self.load.valid)
        return m


def loaded_top(count=10, *, flash=AT, features=WEIGHTS, silence_bits=6, design=DESIGN,
               stored=None, **core):
    boot = Boot(design, count, flash, wake_bits=WAKE_BITS)
    return Top(LoadedCore(count, **core), design, divisor=4, silence_bits=silence_bits,
               features=features, stored=stored, boot=boot)


def flash_with(image, at=AT, **options):
    """A flash with a bitstream's zeros in front of the image."""
    return SpiFlash(bytes(at) + image, waking=2.5e-6, **options)


def loaded_line(image=None, **options):
    """The line to such a design, with a flash that holds `image`, by default the right one."""
    if image is None:
        image = pack(some_words(options.get("count", 10)), options.get("design", DESIGN))
    top = loaded_top(**options)
    return Line(top, flash=flash_with(image) if top.boot.reader else None)


class Line(SimTransport):
    """Shows the design behind it: `top`, and what its signals are now by `ctx.get`."""

    def __init__(self, top, **options):
        self.top = top
        super().__init__(top, **options)

    async def _send(self, ctx):
        self.ctx = ctx
        await super()._send(ctx)


def memory_of(line):
    """The words in the memory of a design behind a line, and how many were written."""
    core, get = line.top.core, line.ctx.get
    words = [get(core.words.data[k]) for k in range(core.words.depth)]
    return np.array(words, np.uint16), get(core.writes)
