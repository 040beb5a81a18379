"""Axonal delay: spikes leave a whole number of timesteps after they came, in flip-flops."""

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .spatial import spikes_layout


class SpikeDelay(wiring.Component):
    """Passes timesteps through without a clock of its own; their spikes come `depth` later.

    The line counts as empty when an inference's first timestep arrives, so the first `depth`
    timesteps carry no spikes, and those still in flight after the last one are dropped.
    """

    def __init__(self, n: int, depth: int) -> None:
        self.n, self.depth = n, depth
        super().__init__({
            "i": In(stream.Signature(spikes_layout(n))),
            "o": Out(stream.Signature(spikes_layout(n))),
        })

    def elaborate(self, platform):
        m = Module()
        line = [Signal(self.n, name=f"line{k}") for k in range(self.depth)]
        first = self.i.payload.first
        m.d.comb += [
            self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready),
            self.o.payload.first.eq(first), self.o.payload.last.eq(self.i.payload.last),
            self.o.payload.spikes.eq(Mux(first, 0, line[-1])),
        ]
        with m.If(self.i.valid & self.o.ready):
            m.d.sync += line[0].eq(self.i.payload.spikes)
            m.d.sync += [after.eq(Mux(first, 0, before))
                         for before, after in pairwise(line)]
        return m
