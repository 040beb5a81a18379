"""Read-outs: scores per class after the last timestep, and the argmax, ties to the lowest class."""

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .spatial import spikes_layout

SCORE_BITS = 24


class Readout(wiring.Component):
    """Counts spikes per class (`membranes` None), or reads the given membrane signals.

    `done` rises one clock per class after the last timestep's transfer and stays until the reset.
    Then `score` is the score of class `select`, combinationally.
    """

    def __init__(self, n: int, num_steps: int, membranes: list | None) -> None:
        self.n, self.num_steps, self.membranes = n, num_steps, membranes
        super().__init__({
            "i": In(stream.Signature(spikes_layout(n))), "done": Out(1), "cls": Out(8),
            "select": In(8), "score": Out(signed(SCORE_BITS)),
        })

    @property
    def cycles(self) -> int:
        """Clocks from the transfer of the last timestep to `done`."""
        return self.n + 1

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(1)
        scores = self.membranes
        if scores is None:
            scores = [Signal(range(self.num_steps + 1), name=f"count{j}") for j in range(self.n)]
            with m.If(self.i.valid):
                for j, count in enumerate(scores):
                    spike = self.i.payload.spikes[j]
                    m.d.sync += count.eq(Mux(self.i.payload.first, spike, count + spike))
        width = max(len(s) for s in scores) + 1
        index = Signal(range(self.n))
        busy = Signal()
        score = Signal(signed(width))
        best = Signal(signed(width))
        m.d.comb += [
            score.eq(Array(scores)[Mux(busy, index, self.select[:len(index)])]),
            self.score.eq(score),
        ]
        with m.If(busy):
            m.d.sync += index.eq(index + 1)
            with m.If((index == 0) | (score > best)):
                m.d.sync += [best.eq(score), self.cls.eq(index)]
            with m.If(index == self.n - 1):
                m.d.sync += [busy.eq(0), self.done.eq(1)]
        with m.If(self.i.valid & self.i.payload.last):
            m.d.sync += [busy.eq(1), index.eq(0)]
        return m
