"""The layers of a `folded` run as their observers see them."""

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .folded import FoldedRun
from .observe import OBSERVED, Drive, Shown


class FoldedLayerView(wiring.Component):
    """Layer `index` of a run, as `observe` wants it; the run's pace does what `hold` asks for.

    order: which neuron of the layer each one served is. kept: whether what is shown stays until the
    next neuron is, which takes registers.
    """

    def __init__(self, run: FoldedRun, index: int, order: Sequence[int], *,
                 kept: bool = False) -> None:
        self.run, self.step, self.kept = run, run.numbered(index), kept
        self.size, base, total = run.sizes[index], sum(run.sizes[:index]), sum(run.sizes)
        group = range(max(2, total))  # no signal without a bit
        super().__init__({"commit": Out(1), "hold": In(1), "group": Out(group),
                          "driven": Out(1), "driven_group": Out(group)})
        self.members = [[-1]] * base + [[int(j)] for j in order] + [[-1]] * (
            total - base - self.size)
        v = Signal(signed(run.engine.v_bits), name="v", attrs=OBSERVED)
        spike = Signal(name="spike", attrs=OBSERVED)
        self.shown = [Shown(v, spike)]
        current = Signal(signed(len(run.engine.current)), name="current", attrs=OBSERVED)
        less = np.zeros(self.size, np.int64)
        less[np.asarray(order)] = run.less(index)
        self.drive = Drive(self.driven, self.driven_group, self.members, [current], less)
        for signal in (self.commit, self.group, self.driven, self.driven_group):
            signal.attrs.update(OBSERVED)

    def elaborate(self, platform) -> Module:
        m = Module()
        run, engine, shown = self.run, self.run.engine, self.shown[0]
        now = engine.o_valid & (run.step == self.step)
        image = [shown.v.eq(engine.o_v), shown.spike.eq(engine.o_spike),
                 self.group.eq(engine.o_index)]
        if self.kept:
            m.d.sync += self.commit.eq(now)
            with m.If(now):
                m.d.sync += image
        else:
            m.d.comb += [self.commit.eq(now), *image]
        m.d.comb += [
            self.drive.values[0].eq(engine.current), self.driven_group.eq(engine.comparing),
            self.driven.eq(engine.driving & (run.step == self.step)),
        ]
        return m
