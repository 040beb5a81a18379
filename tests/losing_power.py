"""A simulated board that loses its power, again and again if need be."""

from amaranth.hdl import Elaboratable, Module, ResetInserter, Signal
from loaded_core import Line


class Switched(Elaboratable):
    """A `hdl.top.Top` that `off` resets; its memories keep what was in them."""

    def __init__(self, top):
        self.top, self.off = top, Signal()
        self.rx, self.tx, self.link, self.core = top.rx, top.tx, top.link, top.core
        if hasattr(top, "flash"):
            self.flash = top.flash

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = ResetInserter(self.off)(self.top)
        return m


class LosingPower(Line):
    """The line to it; losses: clocks at which the power is lost, a few clocks each time.

    `lost`: how often it was.
    """

    def __init__(self, top, *, losses, flash=None, **options):
        self.losses, self.lost, self.flash = losses, 0, flash
        super().__init__(Switched(top), flash=flash, **options)

    def _benches(self):
        return [self._power, *super()._benches()]

    async def _power(self, ctx):
        clock = 0
        for loss in self.losses:
            await ctx.delay((loss - clock) / self.clock_hz)
            ctx.set(self.top.off, 1)
            await ctx.tick()
            if self.flash is not None:
                self.flash.power_down()
            await ctx.delay(7 / self.clock_hz)
            ctx.set(self.top.off, 0)
            clock, self.lost = loss + 8, self.lost + 1
