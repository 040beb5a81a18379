"""The `spatial` lowering with fewer lanes than neurons: a popcount serves several, pass by pass.

In pass g lane p counts for neuron ``g * P + p``; its weights are still constants in LUTs (`slots`).
After each pass the P counts enter a serial neuron engine (`engine`), one a clock. A layer fed by
columns (`stream` input), whose currents do not change over an inference, makes its passes once, and
keeps them in a memory, from which the engine is fed in every timestep.

With P lanes, N neurons in G = ceil(N / P) passes and K clocks a pass (`slots`), a timestep takes

    1                 in which it finds an input waiting, and the spikes of the one before taken
    K G + N           the passes, each with a clock for each of its neurons behind it
    SERVED            until the engine has served the last neuron

of a layer fed by spikes, which releases its input after the last pass (`release_clock`), and
``N + LATENCY`` of one fed by columns, after `load_cycles` at the start of an inference.
"""

import numpy as np
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .engine import CURRENT_LAG, LATENCY, NeuronEngine, Served
from .memories import BLOCK_RAM
from .observe import OBSERVED, Drive, Shown
from .popcount import popcount
from .serial_readout import Results
from .slots import PlaneSlots, StreamSlots
from .spatial import spikes_layout

#: Clocks from the one that unloads a neuron to the one in which the engine shows it.
SERVED = LATENCY + 1


def rounds_layout(n: int) -> data.StructLayout:
    """One clock of n input streams while `load` is high, then an empty item for each timestep."""
    return data.StructLayout({"x": n, "load": 1, "first": 1, "last": 1})


def passes(size: int, lanes: int) -> int:
    """Passes of a timestep, or of an inference for a layer fed by columns."""
    return -(-size // lanes)


def by_lane(weights: np.ndarray, lanes: int) -> np.ndarray:
    """Weights int [out, in] as `slots` takes them, int [passes, lanes, in]; no neuron: zeros."""
    size, inputs = weights.shape
    padded = np.zeros((passes(size, lanes) * lanes, inputs), np.int64)
    padded[:size] = weights
    return padded.reshape(-1, lanes, inputs)


def slots_of(weights: np.ndarray, lanes: int, length: int, columns: bool, banked: int = 0):
    """The slots of a layer with signed counts [out, in]; banked: see `StreamSlots`."""
    weights = by_lane(np.asarray(weights, np.int64), lanes)
    return StreamSlots(weights, length, banked) if columns else PlaneSlots(weights, length)


def release_clock(slots) -> int:
    """Clock of a timestep, from 0, in which a layer fed by spikes takes its input."""
    count, lanes, _ = slots.weights.shape
    return (count - 1) * (slots.clocks + lanes) + slots.clocks


def adding_clock(slots, number: int) -> int:
    """Clock from the start of the passes in which the counts of pass `number` begin to be added."""
    return 1 + number * (slots.clocks + slots.weights.shape[1]) + slots.depth + 1


def timestep_cycles(slots, size: int, columns: bool) -> int:
    """Clocks of a timestep."""
    if columns:
        return size + LATENCY
    return 1 + len(slots.weights) * slots.clocks + size + SERVED


def load_cycles(slots, size: int) -> int:
    """Clocks at the start of an inference in which a layer fed by columns makes its passes."""
    return 1 + len(slots.weights) * slots.clocks + size + slots.depth + 2


class SharedLayer(wiring.Component):
    """A dense layer with shared lanes and its neurons; arguments as for `spatial.SpatialLayer`.

    banked: how many signals of a layer fed by columns are read from a memory (`slots`).
    columns: fed by `rounds_layout` instead of `spikes_layout`, `passes` rounds of columns and then
    the timesteps. v_bits: the widest membrane. proof: what is shown stays, and neurons are served
    at the pace of whoever reads it, who holds the layer. `first` and `last` mark the timestep of
    the neurons that the engine shows.
    """

    def __init__(self, weights: np.ndarray, *, lanes: int, length: int, neuron, bias, v_bits: int,
                 fires: bool, columns: bool, banked: int = 0, proof: bool = False) -> None:
        self.size, inputs = weights.shape
        self.lanes, self.columns, self.fires, self.proof = lanes, columns, fires, proof
        self.slots = slots_of(weights, lanes, length, columns, banked)
        self.passes = passes(self.size, lanes)
        less = self.slots.less.reshape(-1)[:self.size]
        self.engine = NeuronEngine(
            [Served(neuron, self.size, int(v_bits), np.asarray(bias, np.int64) - less, fires)],
            self.slots.bits + (not self.slots.signed) + self.slots.scale)
        layout = rounds_layout(inputs) if columns else spikes_layout(inputs)
        index = range(self.size)
        super().__init__({
            "i": In(stream.Signature(layout)), "o": Out(stream.Signature(spikes_layout(self.size))),
            "commit": Out(1), "group": Out(index), "driven": Out(1), "drive_group": Out(index),
            "accumulating": Out(1), "hold": In(1), "first": Out(1), "last": Out(1),
        })
        self.entering = Signal()  # a neuron is on its way to the engine
        self.members = [[j] for j in index]
        v = Signal.like(self.engine.o_v, name="v", attrs=OBSERVED)
        current = Signal.like(self.engine.current, name="current", attrs=OBSERVED)
        self.shown = [Shown(v, Signal(name="spike", attrs=OBSERVED) if fires else Const(0))]
        self.drive = Drive(self.driven, self.drive_group, self.members, [current], less)
        for signal in (self.commit, self.group, self.driven, self.drive_group):
            signal.attrs.update(OBSERVED)

    @property
    def results(self) -> Results:
        """What a serial read-out reads."""
        engine = self.engine
        return Results(engine.o_valid, engine.o_spike, engine.o_v, self.first, self.last)

    def elaborate(self, platform) -> Module:
        m = Module()
        engine = self.engine
        m.submodules.engine = engine
        self._observe(m)
        start, loading = Signal(), Signal()
        idle = Signal(init=1)
        ready = self._paced(m)
        m.d.comb += [
            start.eq(idle & self.i.valid & (~self.o.valid | self.o.ready) & ~self.hold),
            # A layer fed by columns serves its first neuron in the clock that finds the timestep.
            engine.first.eq(Mux(start, self.i.payload.first, self.first)),
        ]
        if self.columns:
            m.d.comb += loading.eq(self.i.payload.load)
        with m.If(start):
            m.d.sync += [idle.eq(0), self.first.eq(self.i.payload.first),
                         self.last.eq(self.i.payload.last)]
        accs, unloading, ended = self._passes(m, start & (loading if self.columns else 1), ready)
        lane = Signal(range(self.lanes))
        with m.If(unloading):
            m.d.sync += lane.eq(Mux(lane == self.lanes - 1, 0, lane + 1))
        with m.If(ended):
            m.d.sync += lane.eq(0)
        unloaded = Signal(len(accs[0]), reset_less=True)
        m.d.sync += unloaded.eq(Array(accs)[lane])
        final = engine.o_valid & (engine.o_index == self.size - 1)
        if self.columns:
            self._keep(m, start, start & ~loading, unloading, ended, unloaded, ready, idle)
        else:
            m.d.comb += engine.current.eq(
                (unloaded.as_signed() if self.slots.signed else unloaded) << self.slots.scale)
        with m.If(final):
            m.d.sync += idle.eq(1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(final):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.first.eq(self.first),
                         self.o.payload.last.eq(self.last)]
        with m.If(engine.o_valid):
            m.d.sync += self.o.payload.spikes.eq(Cat(self.o.payload.spikes[1:], engine.o_spike))
        return m

    def _passes(self, m: Module, begin, ready) -> tuple:
        """Sequence, slots, popcounts and accumulators.

        Returns the accumulators, a strobe for each neuron that they hold, in order, and one that
        comes with the last of them.
        """
        slots, rest = self.slots, self.size - (self.passes - 1) * self.lanes
        k, g = Signal(range(slots.clocks + self.lanes)), Signal(range(self.passes))
        running, active, unload = Signal(), Signal(), Signal()
        last_pass, pass_ends = Signal(), Signal()
        m.d.comb += [
            last_pass.eq(g == self.passes - 1),
            active.eq(running & (k < slots.clocks)),
            unload.eq(running & (k >= slots.clocks) & (1 if self.columns else ready)),
            pass_ends.eq(unload & (k == slots.clocks - 1 + Mux(last_pass, rest, self.lanes))),
        ]
        with m.If(begin):
            m.d.sync += running.eq(1)
        with m.Elif(active | unload):
            m.d.sync += k.eq(k + 1)
            with m.If(pass_ends):
                m.d.sync += [k.eq(0), g.eq(Mux(last_pass, 0, g + 1)), running.eq(~last_pass)]

        x = self.i.payload.x if self.columns else self.i.payload.spikes
        clocks = slots.depth + 1
        adding = self._later(m, active, clocks, "adding")
        opening = self._later(m, active & (k == 0), clocks, "opening")[-1]
        unloading = self._later(m, unload, clocks, "unloading")
        ending = self._later(m, pass_ends, clocks, "ending")[-1]
        ended = self._later(m, pass_ends & last_pass, clocks, "ended")[-1]
        if self.columns:
            m.d.comb += self.i.ready.eq(adding[slots.lag])
        else:
            m.d.comb += [self.i.ready.eq(last_pass & active & (k == slots.clocks - 1)),
                         self.engine.valid.eq(unloading[clocks + 1 - CURRENT_LAG])]
            m.d.comb += self.entering.eq(unload)
        m.d.comb += self.accumulating.eq(adding[-1])
        accs = []
        for p, lane in enumerate(slots.slots(m, k, g, x)):
            bits = popcount(m, lane, f"count{p}", cut=False)
            count = Signal(len(bits), name=f"count{p}", reset_less=True)
            acc = Signal(slots.bits, name=f"acc{p}", reset_less=True)
            m.d.sync += count.eq(bits)
            with m.If(ending | begin):
                m.d.sync += acc.eq(0)
            with m.Elif(adding[-1]):
                m.d.sync += acc.eq(sum(slots.addends(acc, count, opening)))
            accs.append(acc)
        return accs, unloading[-1], ended

    @staticmethod
    def _later(m: Module, signal, clocks: int, name: str) -> list:
        """The signal, and what it was one clock ago, two, and so on."""
        found = [signal]
        for k in range(clocks):
            found.append(Signal(name=f"{name}{k + 1}"))
            m.d.sync += found[-1].eq(found[-2])
        return found

    def _keep(self, m: Module, start, begin, unloading, ended, unloaded, ready, idle) -> None:
        """The currents: kept after each pass, read as the neurons are served.

        A neuron's word is at its number and one: it is counted before it is written, or read.
        """
        engine = self.engine
        m.submodules.kept = kept = Memory(shape=len(unloaded), depth=self.size + 1, init=[],
                                          attrs=BLOCK_RAM)
        write, read = kept.write_port(), kept.read_port()
        number = Signal(range(self.size + 1))
        serving = Signal()
        serve = Signal()
        m.d.comb += [
            serve.eq((begin | serving) & ready), engine.valid.eq(serve), self.entering.eq(serve),
            write.addr.eq(number), write.data.eq(unloaded),
            read.addr.eq(number), read.en.eq(1),
            engine.current.eq(read.data.as_signed() if self.slots.signed else read.data),
        ]
        m.d.sync += write.en.eq(unloading)
        upcoming = Signal.like(number)
        m.d.comb += upcoming.eq(Mux(start, 0, number) + (unloading | serve))
        m.d.sync += number.eq(upcoming)
        with m.If(begin):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += serving.eq(1)
        with m.If(serve & (upcoming == self.size)):
            m.d.sync += serving.eq(0)
        finished = Signal()
        m.d.sync += finished.eq(ended)
        with m.If(finished):
            m.d.sync += idle.eq(1)

    def _paced(self, m: Module):
        """Whether a neuron may be served in this clock."""
        if not self.proof:
            return Const(1)
        under_way = Signal()
        with m.If(self.engine.o_valid):
            m.d.sync += under_way.eq(0)
        with m.If(self.entering):
            m.d.sync += under_way.eq(1)
        return ~under_way & ~self.hold

    def _observe(self, m: Module) -> None:
        engine, shown = self.engine, self.shown[0]
        image = [shown.v.eq(engine.o_v), self.group.eq(engine.o_index)]
        if self.fires:
            image.append(shown.spike.eq(engine.o_spike))
        if self.proof:
            m.d.sync += self.commit.eq(engine.o_valid)
            with m.If(engine.o_valid):
                m.d.sync += image
        else:
            m.d.comb += [self.commit.eq(engine.o_valid), *image]
        m.d.comb += [self.driven.eq(engine.driving), self.drive_group.eq(engine.comparing),
                     self.drive.values[0].eq(engine.current)]
