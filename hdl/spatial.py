"""The `spatial` lowering of a dense layer: constants in LUTs, shared streams, a popcount a neuron.

The layer walks the clocks of a bitstream in rank order (see `packing`). A few shared streams, one
per distinct weight count and direction, meet the inputs in LUTs; each neuron counts its slots and
accumulates the counts in its membrane. Negative slots enter complemented.

One timestep, with ``step`` = 0 in the clock that finds an input waiting:

    0                     first timestep: clear the membranes; the streams start
    1 .. len(before)      the cell's phases before the bitstream (leak)
    1 .. L                clock t = step - 1 enters the popcount, two clocks later its count leaves
    lead .. lead + L - 1  counts accumulate; lead = max(3, 1 + len(before))
    ... len(after)        the cell's phases after it (fire, settle); then the spikes are offered

Where the neurons of a kind share an engine (`neurons.ENGINES`), the last phase lasts until it has
served them all. `timestep_cycles` is that length. A layer fed by spikes holds its input until
clock L and needs no copy of it; one fed by columns (`stream` input) takes one column a clock, from
step 1 to L.

At a run-time shift h, L is L >> h in all this: the clocks walk every 2**h-th rank (`ranks`), their
counts are shifted left by h before they are added, and `step` skips as many numbers as clocks.
"""

import numpy as np
from amaranth.hdl import Array, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .neurons import ENGINES, cell_of
from .observe import OBSERVED, Drive, Shown
from .packing import pack_neuron
from .popcount import popcount
from .ranks import Ranks

PIPELINE = 3


def spikes_layout(n: int) -> data.StructLayout:
    """Spikes of one timestep; `first` and `last` mark an inference's first and last timestep."""
    return data.StructLayout({"spikes": n, "first": 1, "last": 1})


def columns_layout(n: int) -> data.StructLayout:
    """One clock of n input streams, walked forwards (x) and backwards (y), with the same marks."""
    return data.StructLayout({"x": n, "y": n, "first": 1, "last": 1})


def lead(cell) -> int:
    """Clocks from the start of a timestep to the first accumulated count."""
    return max(PIPELINE, 1 + len(cell.before))


def timestep_cycles(length: int, neuron, fires: bool, size: int) -> int:
    """Clocks of one timestep of a `spatial` layer; length: of its bitstreams at run time."""
    cell, engine = cell_of(neuron), ENGINES.get(neuron.kind)
    last_phase = engine.cycles(neuron, size) if engine else 1
    return lead(cell) + length + len(cell.after(fires)) - 1 + last_phase


class SpatialLayer(wiring.Component):
    """A dense layer and its neurons.

    weights: int [out, in], the signed effective counts sign * w_eff in -length..length; bias and
    v_bits: int [out]; neuron: the parameters of a kind in `neurons.KINDS`; fires: false for the
    last layer under `membrane` read-out; columns: fed by `columns_layout` instead of
    `spikes_layout`. max_shift: the largest that `shift`, which is there only if it is not 0, may
    have in an inference; `v_bits` must hold what the rounded counts drive the neurons to.

    It is observed as `observe` says, all neurons at once: what `commit` shows stays until the next
    timestep begins, which `hold` puts off. `accumulating` is high in the clocks whose counts the
    membranes add.
    """

    def __init__(self, weights: np.ndarray, *, length: int, neuron, bias, v_bits, fires: bool,
                 columns: bool, max_shift: int = 0) -> None:
        self.weights = np.asarray(weights, np.int64)
        n_out, n_in = self.weights.shape
        self.length, self.fires, self.columns = length, fires, columns
        self.max_shift = max_shift
        self.slots = [pack_neuron(row, length, max_shift) for row in self.weights]
        cell = cell_of(neuron)
        self.cells = [
            cell(neuron, count_bits=max(1, (len(pos) + len(neg)).bit_length()) + max_shift,
                 v_bits=int(v_bits[j]), bias=int(bias[j]), excess=length * len(neg), fires=fires)
            for j, (pos, neg) in enumerate(self.slots)
        ]
        self.engine = None
        if neuron.kind in ENGINES:
            # rounded to the largest step, counts are largest
            lo = ((np.minimum(self.weights, 0) >> max_shift) << max_shift).sum(1) + bias
            hi = (-(np.minimum(-self.weights, 0) >> max_shift) << max_shift).sum(1) + bias
            drive = int(max(-lo.min(), hi.max()))
            self.engine = ENGINES[neuron.kind](neuron, self.cells, drive)
        begin = lead(cell)
        self.steps = begin + length + len(cell.after(fires))
        self.counted = range(begin, begin + length)
        self.size = n_out
        super().__init__({
            "i": In(stream.Signature(columns_layout(n_in) if columns else spikes_layout(n_in))),
            "o": Out(stream.Signature(spikes_layout(n_out))),
            "commit": Out(1), "accumulating": Out(1), "hold": In(1),
            **({"shift": In(range(max_shift + 1))} if max_shift else {}),
        })
        self.ranks = Ranks(length, max_shift) if max_shift else None
        self.members, self.group = [list(range(n_out))], None
        self.shown = [Shown(Signal.like(cell.v, name=f"v{j}", attrs=OBSERVED),
                            Signal(name=f"spike{j}", attrs=OBSERVED) if fires else Const(0))
                      for j, cell in enumerate(self.cells)]
        self.drive = Drive(self.accumulating, None, self.members,
                           [Signal.like(cell.count, name=f"counted{j}", attrs=OBSERVED)
                            for j, cell in enumerate(self.cells)],
                           [cell.excess for cell in self.cells])
        for signal in (self.commit, self.accumulating):
            signal.attrs.update(OBSERVED)

    def _streams(self, m: Module, rank, mirrored) -> tuple[dict, dict]:
        """Shared streams of each count, registered: valid one clock after the rank.

        mirrored: L - 1 less the rank that the columns walked backwards show.
        """
        ups, downs = {}, {}
        for pos, neg in self.slots:
            for slot in pos + neg:
                ups.setdefault(slot.up[1])
                if slot.down:
                    downs.setdefault(slot.down[1])
        for count in sorted(ups):
            ups[count] = Const(1)
            if count < self.length:
                ups[count] = Signal(name=f"up{count}")
                m.d.sync += ups[count].eq(rank < count)
        for count in sorted(downs):
            downs[count] = Signal(name=f"down{count}")
            m.d.sync += downs[count].eq(mirrored >= self.length - count)
        return ups, downs

    def elaborate(self, platform):
        m = Module()
        length, steps = self.length, self.steps
        x = self.i.payload.x if self.columns else self.i.payload.spikes
        y = self.i.payload.y if self.columns else self.i.payload.spikes
        step = Signal(range(steps))
        first = Signal()
        last = Signal()
        running = Signal()
        stalled = Signal()
        final = step == steps - 1
        # The last phase waits until the previous spikes are gone.
        blocked = final & self.o.valid & ~self.o.ready
        m.d.comb += [running.eq((step != 0) | (self.i.valid & ~self.hold)), stalled.eq(blocked)]
        if self.engine is not None:
            m.submodules.engine = self.engine
            m.d.comb += [
                self.engine.run.eq(final & ~(self.engine.done & blocked)),
                stalled.eq(blocked | (final & ~self.engine.done)),
            ]
        feeding, fed, following = (step >= 1) & (step <= length), step == length, step + 1
        if self.ranks is not None:
            m.submodules.ranks = ranks = self.ranks
            m.d.comb += [ranks.shift.eq(self.shift), ranks.begin.eq(running & (step == 0))]
            feeding, fed = ranks.feeding, ranks.last
            skipped = Array(length - (length >> h) for h in range(self.max_shift + 1))[self.shift]
            following = Mux(step == self.counted.start - 1, self.counted.start + skipped, step + 1)
        m.d.comb += self.i.ready.eq(feeding if self.columns else fed)
        with m.If(running & ~stalled):
            m.d.sync += step.eq(Mux(final, 0, following))
        with m.If(step == 0):
            m.d.sync += [first.eq(self.i.payload.first), last.eq(self.i.payload.last)]

        cell = type(self.cells[0])
        begin = self.counted.start
        phases = {1 + k: phase for k, phase in enumerate(cell.before)}
        phases |= {begin + length + k: phase for k, phase in enumerate(cell.after(self.fires))}
        accumulate = cell.Phase.ACCUMULATE
        # Registered one step ahead, so that the phase reaches many cells from a register.
        phase = Signal(cell.Phase, init=accumulate)
        enable = Signal()
        clear = Signal()
        upcoming = Signal(range(steps + 1))
        m.d.comb += upcoming.eq(Mux(running & ~stalled, following, step))
        with m.Switch(upcoming):
            for at, value in phases.items():
                with m.Case(at):
                    m.d.sync += phase.eq(value)
            with m.Default():
                m.d.sync += phase.eq(accumulate)
        m.d.comb += self.accumulating.eq(enable & (phase == accumulate))
        busy_with = (upcoming >= begin) & (upcoming < steps)
        for at in phases:
            if at < begin:
                busy_with = busy_with | (upcoming == at)
        m.d.sync += enable.eq(busy_with)
        m.d.comb += clear.eq((step == 0) & self.i.valid & ~self.hold & self.i.payload.first)

        if self.ranks is None:
            ups, downs = self._streams(m, step, step)
        else:
            ups, downs = self._streams(m, ranks.rank, ranks.mirrored)
        for j, ((pos, neg), neuron) in enumerate(zip(self.slots, self.cells)):
            m.submodules[f"neuron{j}"] = neuron
            assert neuron.v.init == 0, "see OBSERVED"
            m.d.comb += [self.shown[j].v.eq(neuron.v), self.drive.values[j].eq(neuron.count)]
            if self.fires:
                m.d.comb += self.shown[j].spike.eq(self.o.payload.spikes[j])
            bits = []
            signed_slots = [(slot, False) for slot in pos] + [(slot, True) for slot in neg]
            for slot, negative in sorted(signed_slots, key=lambda item: item[0].down is not None):
                active = x[slot.up[0]] & ups[slot.up[1]]
                if slot.down:
                    active = active | (y[slot.down[0]] & downs[slot.down[1]])
                bits.append(~active if negative else active)
            count = Signal(len(neuron.count) - self.max_shift, name=f"count{j}")
            m.d.sync += count.eq(popcount(m, bits, f"count{j}"))
            m.d.comb += [
                neuron.count.eq(count << self.shift if self.max_shift else count),
                neuron.phase.eq(phase), neuron.clear.eq(clear),
                neuron.enable.eq(enable & ~stalled),
            ]

        m.d.sync += self.commit.eq(final & ~stalled)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(final & ~stalled):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.first.eq(first),
                self.o.payload.last.eq(last),
            ]
            if self.fires:
                m.d.sync += [self.o.payload.spikes[j].eq(c.spike)
                             for j, c in enumerate(self.cells)]
        return m
