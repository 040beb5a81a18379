"""Axonal delays: spikes leave a whole number of timesteps after they came.

A spike waits in flip-flops, one a timestep, or in block memory: a ring of the last 16 timesteps, as
words of up to 16 axons that have the same delay.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .encoders.memory import WORD
from .memories import BLOCK_RAM
from .spatial import spikes_layout

#: Timesteps in a ring, twice the longest delay: no word is read in the clock that writes it.
RING = 16
#: Logic cells of a delay's memories: what they share, and an address for each delay that occurs.
#: Measured with Yosys 0.70 and nextpnr 0.11 on an HX8K, between registers, in LCs (flip-flops take
#: one an axon and timestep): 16 axons, delay 1: 19 in flip-flops, 22 in one memory; delay 4: 67 and
#: 18; 64 axons, delay 1: 67, 71 with one memory, 22 with four; delay 8: 515, 401 and 16; 72 axons
#: with every delay of 0 to 8 equally often: 291, and 52 with eight memories.
MEMORIES_CELLS, ADDRESS_CELLS = 13, 5


def delay_blocks(delays: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """What block memories can take off the flip-flops, as (delay, up to 16 axons), most first."""
    found = []
    for delay in sorted({int(d) for d in delays} - {0}):
        axons = [axon for axon, d in enumerate(delays) if d == delay]
        found += [(delay, tuple(axons[k:k + WORD])) for k in range(0, len(axons), WORD)]
    return sorted(found, key=lambda block: (-block[0] * len(block[1]), block))


def delay_cells(delays: Sequence[int], blocks: int) -> int:
    """Logic cells of a `SpikeDelay`: one a timestep that an axon waits in flip-flops, and control.

    So the break-even is 18 cells: one memory pays from 10 axons of delay 2 on, or 7 of delay 3.
    """
    memories = delay_blocks(delays)[:blocks]
    cells = sum(map(int, delays)) - sum(delay * len(axons) for delay, axons in memories)
    if memories:
        cells += MEMORIES_CELLS + ADDRESS_CELLS * len({delay for delay, _ in memories})
    return cells


class SpikeDelay(wiring.Component):
    """Passes timesteps through; axon i's spikes come delays[i] of them later, zeros before.

    The first `blocks` of `delay_blocks` are block memories, the other axons wait in flip-flops.
    With memories, the clock after a timestep was taken is for looking up the next, which a layer
    cannot notice: it is busy with that timestep for longer. An inference begins with a reset or
    after the `last` timestep of the one before, whose spikes still in flight are then dropped: the
    flip-flops are cleared, and a memory is read at a word that is never written while the
    inference has fewer timesteps behind it than the delay has.
    """

    def __init__(self, delays: Sequence[int], blocks: int = 0) -> None:
        self.delays = [int(delay) for delay in delays]
        self.blocks = delay_blocks(self.delays)[:blocks]
        n = len(self.delays)
        super().__init__({
            "i": In(stream.Signature(spikes_layout(n))),
            "o": Out(stream.Signature(spikes_layout(n))),
        })

    def elaborate(self, platform):
        m = Module()
        looked_up = Signal() if self.blocks else Const(1)
        taken = Signal()
        m.d.comb += [
            self.o.valid.eq(self.i.valid & looked_up), self.i.ready.eq(self.o.ready & looked_up),
            self.o.payload.first.eq(self.i.payload.first),
            self.o.payload.last.eq(self.i.payload.last),
            taken.eq(self.o.valid & self.o.ready),
        ]
        late = self._lines(m, taken)
        if self.blocks:
            m.d.sync += looked_up.eq(~taken)
            late |= self._memories(m, taken)
        m.d.comb += self.o.payload.spikes.eq(Cat(late[axon] for axon in range(len(self.delays))))
        return m

    def _lines(self, m: Module, taken) -> dict:
        """The axons that wait in flip-flops, by number: their spikes as they leave."""
        stored = {axon for _, axons in self.blocks for axon in axons}
        waiting = {axon: d for axon, d in enumerate(self.delays) if axon not in stored}
        late = {axon: self.i.payload.spikes[axon] for axon in waiting}
        for k in range(max(waiting.values(), default=0)):
            axons = [axon for axon, delay in waiting.items() if delay > k]
            line = Signal(len(axons), name=f"line{k}")
            with m.If(taken):
                m.d.sync += line.eq(Cat(late[axon] for axon in axons))
            with m.If(taken & self.i.payload.last):
                m.d.sync += line.eq(0)
            late |= dict(zip(axons, line, strict=True))
        return late

    def _memories(self, m: Module, taken) -> dict:
        """The axons that wait in memories, by number."""
        last = self.i.payload.last
        t = Signal(range(RING))
        later = Signal()
        with m.If(taken):
            m.d.sync += [t.eq(Mux(last, 0, t + 1)), later.eq(~last & (later | (t == RING - 1)))]
        addresses = {}
        for delay, _ in self.blocks:
            address = addresses.setdefault(delay, Signal(range(2 * RING), name=f"address{delay}"))
            early = ~later & (t < delay)
            m.d.comb += address.eq(Cat((t - delay)[:4], early))
        late = {}
        for index, (delay, axons) in enumerate(self.blocks):
            m.submodules[f"ring{index}"] = ring = Memory(
                shape=len(axons), depth=2 * RING, init=[], attrs=BLOCK_RAM)
            write, read = ring.write_port(), ring.read_port()
            m.d.comb += [
                write.addr.eq(t), write.en.eq(taken),
                write.data.eq(Cat(self.i.payload.spikes[axon] for axon in axons)),
                read.addr.eq(addresses[delay]), read.en.eq(1),
            ]
            late |= dict(zip(axons, read.data, strict=True))
        return late
