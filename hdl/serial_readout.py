"""The read-out of neurons that are served one after the other: scores in memory, and the argmax."""

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .memories import BLOCK_RAM
from .readout import SCORE_BITS
from .spatial import spikes_layout


@dataclass(frozen=True)
class Results:
    """Signals of the last layer's neurons: `valid` strobes with each one's spike and membrane.

    In order, timestep after timestep; `first` and `last` mark those of an inference.
    """

    valid: Signal
    spike: Signal
    v: Signal
    first: Signal
    last: Signal


class SerialReadout(wiring.Component):
    """Counts spikes per class, or keeps the membranes, of n classes that come as `results`.

    `done` rises in the clock after the last class and stays until the reset. Then `cls` is the
    class, and `score` that of class `select`, a clock later. `i` is taken, and not looked at.
    """

    def __init__(self, n: int, num_steps: int, results: Results, *, counts: bool) -> None:
        self.n, self.counts, self.results = n, counts, results
        self.score_bits = num_steps.bit_length() + 1 if counts else len(results.v)
        super().__init__({
            "i": In(stream.Signature(spikes_layout(n))), "done": Out(1), "cls": Out(8),
            "select": In(8), "score": Out(signed(SCORE_BITS)),
        })

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.scores = memory = Memory(shape=signed(self.score_bits), depth=self.n, init=[],
                                              attrs=BLOCK_RAM)
        read, write = memory.read_port(), memory.write_port()
        now = self.results
        index, upcoming = Signal(range(self.n)), self.select
        if self.counts:  # the count of the next class must be there when it comes
            upcoming = Signal(range(self.n))
            m.d.comb += upcoming.eq(Mux(
                self.done, self.select,
                Mux(now.valid, Mux(index == self.n - 1, 0, index + 1), index)))
        score, best = (Signal(signed(self.score_bits), name=name) for name in ("new", "best"))
        so_far = Mux(now.first, 0, read.data)
        m.d.comb += [
            self.i.ready.eq(1),
            read.addr.eq(upcoming), read.en.eq(1 if self.counts else self.done),
            score.eq(so_far + now.spike if self.counts else now.v),
            write.addr.eq(index), write.data.eq(score), write.en.eq(now.valid),
            self.score.eq(read.data),
        ]
        with m.If(now.valid):
            m.d.sync += index.eq(index + 1)
            with m.If(index == self.n - 1):
                m.d.sync += index.eq(0)
            with m.If((index == 0) | (score > best)):
                m.d.sync += [best.eq(score), self.cls.eq(index)]
            m.d.sync += self.done.eq(now.last & (index == self.n - 1))
        return m
