"""Counters of a core: clocks of an inference, spikes of every layer in it, and errors."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .protocol import WORD_BYTES

CYCLES_BITS, FAILED_BITS = 32, 8


class Counters(wiring.Component):
    """`byte` is byte `select` of the counters, `WORD_BYTES` each, little-endian: the clocks from
    the first one with `busy` to `done`, the clocks with `failed` since the reset, at most 255, and
    the spikes of each of `layers`, which show their neurons as `observe` says.

    `restart` clears all of them but the errors.
    """

    def __init__(self, layers: list, num_steps: int) -> None:
        self.layers, self.num_steps = layers, num_steps
        self.count = 2 + len(layers)
        super().__init__({
            "restart": In(1), "busy": In(1), "done": In(1), "failed": In(1),
            "select": In(8), "byte": Out(8),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        cycles, begun = Signal(CYCLES_BITS), Signal()
        failed = Signal(FAILED_BITS)
        with m.If((self.busy | begun) & ~self.done):
            m.d.sync += [cycles.eq(cycles + 1), begun.eq(1)]
        m.d.sync += failed.eq(failed + (self.failed & (failed != (1 << FAILED_BITS) - 1)))
        spikes = [Signal(range(self.num_steps * layer.size + 1), name=f"spikes{k}")
                  for k, layer in enumerate(self.layers)]
        for count, layer in zip(spikes, self.layers, strict=True):
            with m.If(layer.commit):
                m.d.sync += count.eq(count + _spiking(layer))
        with m.If(self.restart):
            m.d.sync += [begun.eq(0), *(count.eq(0) for count in (cycles, *spikes))]
        words = Cat(Cat(count, Const(0, 8 * WORD_BYTES - len(count)))
                    for count in (cycles, failed, *spikes))
        m.d.comb += self.byte.eq(words.word_select(self.select, 8))
        return m


def _spiking(layer):
    """How many neurons a layer shows with a spike."""
    shown = []
    for lane, image in enumerate(layer.shown):
        real = [group[lane] >= 0 for group in layer.members if lane < len(group)]
        there = 1 if all(real) and len(real) == len(layer.members) else Array(
            Const(lane < len(group) and group[lane] >= 0, 1) for group in layer.members)[
                layer.group]
        shown.append(Mux(there, image.spike, 0))
    return sum(shown)
