"""The `folded` lowering: a run of layers on one set of lanes, whose weights live in memory.

Spikes are words in a memory. For each group of P neurons, P lanes add one weight each for every
spike that arrives, and nothing for the others; then the neurons are served one after the other by
`hdl.engine`, and their spikes become words again, for the next layer of the run. A first layer fed
by `stream` input adds the ones of its streams instead, once per inference, and its currents are
kept.

One timestep of a layer takes, group by group, `START` clocks to read the first word,
``max(1, ones)`` for each word, and one a neuron of the group; then `DRAIN` until the last spikes
are words. A layer with kept currents takes one a neuron, and `DRAIN`. Keeping them takes, at the
start of an inference, what a timestep takes with ``max(1, ones of its stream)`` for each pixel.
Each timestep begins with `WAIT` clocks, at least. `flow.passes.schedule` counts this.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .encoders.memory import BLOCK_RAM
from .engine import LATENCY, NeuronEngine
from .lanes import FoldedLayer, Lanes, chosen
from .observe import OBSERVED, Drive, Shown
from .serial_readout import Results
from .spatial import spikes_layout
from .streams import Streams, StreamScanner
from .words import WORD, InputWords, SpikeWords, WordScanner, words, words_layout

START, DRAIN, WAIT = 2, LATENCY, 1


def steps_layout() -> data.StructLayout:
    """A timestep whose input is read elsewhere, with the marks of `spikes_layout`."""
    return data.StructLayout({"first": 1, "last": 1})


class FoldedRun(wiring.Component):
    """Dense layers, each fed by the one before, on P `lanes`.

    `i` brings the words of a timestep, the bits above the last axon zero. With `streams`, which a
    first layer with codes needs, it brings one item a timestep, and `address` and `value` read the
    pixels' codes, a clock later. `o` offers the last layer's spikes. `pace`: clocks in which a
    neuron is served; more than one leaves a witness time (`trace`).

    For observers: the engine shows each neuron of layer `layer`; `last` marks the last timestep.
    """

    def __init__(self, layers: Sequence[FoldedLayer], lanes: int, *, streams: Streams | None = None,
                 pace: int = 1) -> None:
        self.layers, self.streams, self.pace = list(layers), streams, pace
        first = self.layers[0]
        assert first.codes == (streams is not None)
        assert not any(layer.codes for layer in self.layers[1:])
        self.sizes = [layer.served.size for layer in self.layers]
        self.lanes = Lanes(layers, lanes)
        self.engine = NeuronEngine([x.served for x in layers], len(self.lanes.current))
        self.inputs = None if streams else InputWords(first.taps)
        counts = [words(size) for size in self.sizes[:-1]]
        self.inner = SpikeWords(counts) if counts else None
        self._first = Signal(name="first")
        ports = {
            "i": In(stream.Signature(steps_layout() if streams else words_layout())),
            "o": Out(stream.Signature(spikes_layout(self.sizes[-1]))),
            "layer": Out(range(len(self.layers))), "last": Out(1),
        }
        if streams:
            ports |= {"address": Out(range(first.taps)),
                      "value": In(range(len(streams.thresholds) + 1))}
        super().__init__(ports)

    @property
    def results(self) -> Results:
        """The neurons of the last layer as a read-out sees them."""
        valid = self.engine.o_valid & (self.layer == len(self.layers) - 1)
        return Results(valid, self.engine.o_spike, self.engine.o_v, self._first, self.last)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.lanes, m.submodules.engine = lanes, engine = self.lanes, self.engine
        first = self._first
        self._preparing = Signal()
        self._state = {name: Signal(name=name) for name in ("start", "scan", "unload", "serve")}
        take, spent, ended = Signal(), Signal(), Signal()
        tap = Signal(range(max(layer.taps for layer in self.layers) + 1))
        upcoming = Signal.like(tap)
        group = Signal(range(max(len(layer.groups) for layer in self.layers) + 1))
        m.d.comb += [
            upcoming.eq(Mux(self._state["start"], 0, tap + take)),
            take.eq(self._state["scan"] & spent & ~ended),
            engine.first.eq(first), engine.layer.eq(self.layer), lanes.layer.eq(self.layer),
            lanes.clear.eq(self._state["start"]), lanes.coded.eq(self._preparing),
        ]
        m.d.sync += tap.eq(upcoming)
        with m.If(take):
            m.d.sync += ended.eq(tap == self._of([x.taps - 1 for x in self.layers]))
        with m.If(self._state["start"]):
            m.d.sync += ended.eq(0)
        arrived, consume, done, word = self._input(m, upcoming)
        m.d.comb += spent.eq(self._scan(m, take, group, word))
        self._sequence(m, arrived, consume, done, spent & ended, group)
        self._offer(m)
        return m

    def _of(self, values: list):
        """What holds for the layer under way."""
        return chosen(self.layer, values)

    def _input(self, m: Module, upcoming) -> tuple:
        """Whether a timestep is there, the strobes that begin and end it, and the word read."""
        arrived, consume, done = Signal(), Signal(), Signal()
        inputs, inner, engine = self.inputs, self.inner, self.engine
        word = None
        if inputs is None:
            begins, ends = self.i.payload.first, self.i.payload.last
            m.d.comb += [arrived.eq(self.i.valid), self.i.ready.eq(consume),
                         self.address.eq(upcoming)]
        else:
            m.submodules.inputs = inputs
            wiring.connect(m, wiring.flipped(self.i), inputs.i)
            begins, ends, word = inputs.first, inputs.last, inputs.word
            m.d.comb += [arrived.eq(inputs.arrived), inputs.done.eq(done),
                         inputs.address.eq(upcoming)]
        with m.If(consume):
            m.d.sync += [self._first.eq(begins), self.last.eq(ends)]
        if inner is not None:
            m.submodules.inner = inner
            m.d.comb += [
                inner.valid.eq(engine.o_valid & (self.layer != len(self.layers) - 1)),
                inner.spike.eq(engine.o_spike), inner.final.eq(self._final()),
                inner.rewind.eq(consume),
                inner.address.eq(self._of([0, *inner.bases]) + upcoming),
            ]
            word = inner.word if word is None else Mux(self.layer == 0, word, inner.word)
        return arrived, consume, done, word

    def _final(self):
        """Whether the engine shows the last neuron of its layer."""
        ends = [sum(self.sizes[:k + 1]) - 1 for k in range(len(self.sizes))]
        return self.engine.o_index == self._of(ends)

    def _scan(self, m: Module, take, group, word):
        """What names rows of the weights; returns whether the word or code is spent."""
        lanes = self.lanes
        row = Signal.like(lanes.row)
        increment = Mux(self._preparing, 1, WORD) if self.streams else Const(WORD)
        with m.If(self._state["start"] & (group == 0)):
            m.d.sync += row.eq(self._of(lanes.bases) - increment)
        with m.Elif(take):
            m.d.sync += row.eq(row + increment)
        m.d.comb += lanes.row.eq(row)
        spent = codes = None
        if self.streams:
            m.submodules.codes = codes = StreamScanner(self.streams)
            m.d.comb += [codes.value.eq(self.value), codes.take.eq(take & self._preparing),
                         codes.clear.eq(self._state["start"]), lanes.threshold.eq(codes.threshold),
                         lanes.add.eq(self._state["scan"] & codes.any)]
            spent = codes.spent
        if word is not None:
            m.submodules.scanner = scanner = WordScanner()
            m.d.comb += [scanner.word.eq(word),
                         scanner.take.eq(take & ~self._preparing)]
            with m.If(~self._preparing):
                m.d.comb += [lanes.row.eq(row | scanner.index),
                             lanes.add.eq(self._state["scan"] & scanner.any)]
            spent = Mux(self._preparing, spent, scanner.spent) if codes is not None \
                else scanner.spent
        return spent

    def _sequence(self, m: Module, arrived, consume, done, scanned, group) -> None:
        engine, preparing = self.engine, self._preparing
        final = self.layer == len(self.layers) - 1
        blocked = self.o.valid & final & ~preparing
        lane = Signal(range(max(max(layer.groups) for layer in self.layers)))
        serving = Signal(range(self.sizes[0]))
        drain = Signal(range(DRAIN))
        paced = self._paced(m)
        last_group = group == self._of([len(layer.groups) - 1 for layer in self.layers])
        last_lane = lane == Mux(last_group, self._of([x.groups[-1] - 1 for x in self.layers]),
                                self._of([x.groups[0] - 1 for x in self.layers]))
        unloading = Signal()
        m.d.comb += [self.lanes.lane.eq(lane), unloading.eq(self._state["unload"] & paced)]
        with m.FSM(name="sequence") as fsm:
            m.d.comb += [signal.eq(fsm.ongoing(name)) for name, signal in self._state.items()
                         if name != "serve" or self.streams]
            with m.State("wait"), m.If(arrived):
                m.d.comb += consume.eq(1)
                m.next = "start"
                if self.streams:
                    m.d.sync += preparing.eq(self.i.payload.first)
                    with m.If(~self.i.payload.first):
                        m.next = "serve"
            with m.State("start"), m.If(~blocked):
                m.next = "scan"
            with m.State("scan"), m.If(scanned):
                m.d.sync += lane.eq(0)
                m.next = "unload"
            with m.State("unload"), m.If(paced):
                m.d.comb += engine.valid.eq(~preparing)
                m.d.sync += lane.eq(lane + 1)
                with m.If(last_lane):
                    m.d.sync += group.eq(Mux(last_group, 0, group + 1))
                    m.next = "start"
                    with m.If(last_group):
                        m.next = "drain"
            if self.streams:
                with m.State("serve"), m.If(paced & ~blocked):
                    m.d.comb += engine.valid.eq(1)
                    m.d.sync += serving.eq(serving + 1)
                    with m.If(serving == self.sizes[0] - 1):
                        m.d.sync += serving.eq(0)
                        m.next = "drain"
            with m.State("drain"):
                m.d.sync += drain.eq(drain + 1)
                with m.If(drain == DRAIN - 1):
                    m.d.sync += [drain.eq(0), preparing.eq(0)]
                    with m.If(preparing):
                        m.next = "serve" if self.streams else "start"
                    with m.Elif(final):
                        m.d.comb += done.eq(1)
                        m.d.sync += self.layer.eq(0)
                        m.next = "wait"
                    with m.Else():
                        m.d.sync += self.layer.eq(self.layer + 1)
                        m.next = "start"
        m.d.comb += engine.current.eq(self.lanes.current)
        if self.streams:
            self._keep(m, unloading & preparing, serving)

    def _paced(self, m: Module):
        """Whether a neuron may be served in this clock."""
        if self.pace == 1:
            return Const(1)
        beat = Signal(range(self.pace))
        ready = beat == self.pace - 1
        m.d.sync += beat.eq(0)
        with m.If((self._state["unload"] | self._state["serve"]) & ~ready):
            m.d.sync += beat.eq(beat + 1)
        return ready

    def _keep(self, m: Module, unloading, serving) -> None:
        """The first layer's currents: kept while preparing, read as its neurons are served."""
        m.submodules.kept = kept = Memory(shape=len(self.lanes.current), depth=self.sizes[0],
                                          init=[], attrs=BLOCK_RAM)
        write, read = kept.write_port(), kept.read_port()
        entering = Signal()
        to, at = Signal(range(self.sizes[0])), Signal(range(self.sizes[0]))
        m.d.sync += [entering.eq(unloading), write.en.eq(entering), at.eq(serving)]
        with m.If(write.en):
            m.d.sync += to.eq(Mux(to == self.sizes[0] - 1, 0, to + 1))
        m.d.comb += [write.addr.eq(to), write.data.eq(self.lanes.current),
                     read.addr.eq(at), read.en.eq(1)]
        with m.If(self.layer == 0):
            m.d.comb += self.engine.current.eq(read.data.as_signed())

    def _offer(self, m: Module) -> None:
        """The last layer's spikes, shifted in as they come."""
        engine, spikes = self.engine, self.o.payload.spikes
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(engine.o_valid & (self.layer == len(self.layers) - 1)):
            m.d.sync += [spikes.eq(Cat(spikes[1:], engine.o_spike)),
                         self.o.payload.first.eq(self._first),
                         self.o.payload.last.eq(self.last)]
            with m.If(self._final()):
                m.d.sync += self.o.valid.eq(1)


class FoldedLayerView(wiring.Component):
    """Layer `index` of a run, as `observe` wants it; `hold`s the run by its pace, not by the port.

    kept: whether what is shown stays until the next neuron is, which takes registers.
    """

    def __init__(self, run: FoldedRun, index: int, *, kept: bool = False) -> None:
        self.run, self.index, self.kept = run, index, kept
        served = run.layers[index].served
        self.size, base, total = served.size, sum(run.sizes[:index]), sum(run.sizes)
        super().__init__({"commit": Out(1), "hold": In(1), "group": Out(range(total)),
                          "driven": Out(1), "drive_group": Out(range(total))})
        self.members = [[j - base if 0 <= j - base < self.size else -1] for j in range(total)]
        v = Signal(signed(run.engine.v_bits), name="v", attrs=OBSERVED)
        spike = Signal(name="spike", attrs=OBSERVED)
        self.shown = [Shown(v, spike)]
        current = Signal(signed(len(run.engine.current)), name="current", attrs=OBSERVED)
        self.drive = Drive(self.driven, self.drive_group, self.members, [current],
                           [0] * self.size)
        for signal in (self.commit, self.group, self.driven, self.drive_group):
            signal.attrs.update(OBSERVED)

    def elaborate(self, platform) -> Module:
        m = Module()
        run, engine, shown = self.run, self.run.engine, self.shown[0]
        now = engine.o_valid & (run.layer == self.index)
        image = [shown.v.eq(engine.o_v), shown.spike.eq(engine.o_spike),
                 self.group.eq(engine.o_index)]
        if self.kept:
            m.d.sync += self.commit.eq(now)
            with m.If(now):
                m.d.sync += image
        else:
            m.d.comb += [self.commit.eq(now), *image]
        m.d.comb += [
            self.drive.values[0].eq(engine.current), self.drive_group.eq(engine.comparing),
            self.driven.eq(engine.driving & (run.layer == self.index)),
        ]
        return m
