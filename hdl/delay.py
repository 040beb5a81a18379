"""Axonal delay: spikes leave a whole number of timesteps after they came, in flip-flops."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .spatial import spikes_layout


class SpikeDelay(wiring.Component):
    """Passes timesteps through without a clock of its own; axon i's spikes come delays[i] later.

    The line is emptied by an inference's last timestep, so the first timesteps of the next one
    carry no spikes of this one, and those still in flight are dropped.
    """

    def __init__(self, delays: Sequence[int]) -> None:
        self.delays = [int(delay) for delay in delays]
        n = len(self.delays)
        super().__init__({
            "i": In(stream.Signature(spikes_layout(n))),
            "o": Out(stream.Signature(spikes_layout(n))),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [
            self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready),
            self.o.payload.first.eq(self.i.payload.first),
            self.o.payload.last.eq(self.i.payload.last),
        ]
        taken = self.i.valid & self.o.ready
        late = {axon: self.i.payload.spikes[axon] for axon in range(len(self.delays))}
        for k in range(max(self.delays)):
            axons = [axon for axon, delay in enumerate(self.delays) if delay > k]
            line = Signal(len(axons), name=f"line{k}")
            with m.If(taken):
                m.d.sync += line.eq(Cat(late[axon] for axon in axons))
            with m.If(taken & self.i.payload.last):
                m.d.sync += line.eq(0)
            late |= dict(zip(axons, line, strict=True))
        m.d.comb += self.o.payload.spikes.eq(Cat(late.values()))
        return m
