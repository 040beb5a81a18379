"""The `folded` lowering: a run of layers on one set of lanes, whose weights live in memory.

Spikes are words in a memory. For each group of P neurons, P lanes add one weight each for every
spike that arrives, and nothing for the others; then the neurons are served one after the other by
`hdl.engine`, and their spikes become words again, for the next layer of the run. A first layer fed
by `stream` input adds the ones of its streams instead, once per inference, and its currents are
kept. In a run with weights that are loaded (`hdl.loaded`), a dense one visits only the pixels that
are not zero, one with tables takes a clock for each, and its neurons are served for the first time
while their currents are kept.

One timestep of a layer takes, group by group at each position, `START` clocks to read the first
word, ``max(1, ones)`` for each word, and one a neuron of the group; then `DRAIN` until the last
spikes are words. A layer with kept currents takes one a neuron, and `DRAIN`. Keeping them takes, at
the start of an inference, what a timestep takes with ``max(1, ones of its stream)`` for each pixel,
or, where it has a list of pixels, with ``max(1, ones of all of them)``; with tables a pixel's code
counts as a single one, if it is not zero. In a run that is loaded this is the layer's first
timestep, too. A pool takes one clock a word that it reads, and one more a position. Each timestep
begins with `WAIT` clocks, at least. `flow.passes.schedule` counts this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from .engine import LATENCY, NeuronEngine
from .lanes import FoldedLayer, Lanes
from .loaded import LoadedLanes
from .memories import BLOCK_RAM
from .products import Products, ProductScanner
from .serial_readout import Results
from .spatial import spikes_layout
from .spram import load_layout
from .streams import Streams, StreamScanner
from .walk import Walk, Walker, chosen
from .words import WORD, InputWords, SpikeWords, WordScanner, words_layout

START, DRAIN, WAIT = 2, LATENCY, 1


def steps_layout() -> data.StructLayout:
    """A timestep whose input is read elsewhere, with the marks of `spikes_layout`."""
    return data.StructLayout({"first": 1, "last": 1})


@dataclass(frozen=True)
class FoldedPool:
    """A max pool: at each position of `walk`, each `window` taps become one word, their OR."""

    walk: Walk
    window: int

    @property
    def stored(self) -> int:
        """Words of the map that it makes."""
        return self.walk.positions * len(self.walk.taps) // self.window


class FoldedRun(wiring.Component):
    """Steps on P `lanes`: layers, and pools between them; each reads maps of those before.

    `i` brings the `inputs` words of a timestep. With `streams`, which a first layer with codes
    needs, it brings one item a timestep; `fetch` then reads the code of pixel `address` of
    `inputs`, and `value` is it from the clock after on; if `listed`, it reads entry `address` of
    `entries`, that of pixel `index` (`PixelList`). `o` offers the last layer's spikes; order:
    which neuron of it each one served is, by default as they come. memory: see `Lanes`; for `spram`
    they are `LoadedLanes`, with their `load`, and layers have the memories that they say. pace:
    clocks in which a neuron is served; more than one leaves a witness time (`trace`).

    For observers: the engine shows a neuron of step `step`; `last` marks the last timestep.
    """

    def __init__(self, steps: Sequence[FoldedLayer | FoldedPool], lanes: int, *, inputs: int,
                 streams: Streams | None = None, memory: str = "ebr", listed: bool = False,
                 order: Sequence[int] | None = None, pace: int = 1) -> None:
        self.steps, self.streams, self.pace = list(steps), streams, pace
        self.layers = [step for step in steps if isinstance(step, FoldedLayer)]
        assert self.layers[-1] is steps[-1] and (self.layers[0] is steps[0] or not streams)
        assert [x.codes for x in self.layers] == [streams is not None] + [False] * (
            len(self.layers) - 1)
        self.sizes = [layer.served.size for layer in self.layers]
        self.order = [int(j) for j in (range(self.sizes[-1]) if order is None else order)]
        self.loaded = loaded = memory == "spram"
        self.lanes = LoadedLanes(self.layers, lanes) if loaded else Lanes(
            self.layers, lanes, memory)
        self.tabled = loaded and self.lanes.tables is not None
        self.listed = listed
        assert not streams or self.tabled or (
            int(streams.thresholds.max()) >> self.lanes.code_bits == 0)
        served = [replace(x.served, constants=x.served.constants - self.less(k))
                  for k, x in enumerate(self.layers)]
        self.engine = NeuronEngine(served, len(self.lanes.current) + 1)
        self.inputs = None if streams else InputWords(inputs)
        counts = [step.stored for step in steps[:-1]]
        self.inner = SpikeWords(counts, max(x.channels for x in self.layers)) if counts else None
        self.walker = Walker([step.walk for step in steps])
        self._first = Signal(name="first")
        ports = {
            "i": In(stream.Signature(steps_layout() if streams else words_layout())),
            "o": Out(stream.Signature(spikes_layout(self.sizes[-1]))),
            "step": Out(range(len(self.steps))), "last": Out(1),
        }
        if streams:
            ports |= {"address": Out(range(max(2, inputs))), "fetch": Out(1),
                      "value": In(range(len(streams.thresholds) + 1))}
        if self.listed:
            ports |= {"address": Out(range(inputs + 1)), "index": In(range(max(2, inputs))),
                      "entries": In(range(inputs + 1))}
        if loaded:
            ports["load"] = In(stream.Signature(load_layout()))
        super().__init__(ports)

    @property
    def words(self) -> int:
        """Words that `load` takes."""
        return self.lanes.contents.shape.words if self.loaded else 0

    def less(self, index: int) -> np.ndarray:
        """What the engine's `current` has too much for each neuron of layer `index`, as served."""
        layer = self.layers[index]
        return np.tile(self.lanes.contents.less(index), layer.walk.positions)

    def numbered(self, index: int) -> int:
        """The number of the step that is layer `index` of the run."""
        return [k for k, x in enumerate(self.steps) if isinstance(x, FoldedLayer)][index]

    @property
    def results(self) -> Results:
        """The neurons of the last layer as a read-out sees them."""
        valid = self.engine.o_valid & (self.step == len(self.steps) - 1)
        return Results(valid, self.engine.o_spike, self.engine.o_v, self._first, self.last)

    def _of(self, value) -> object:
        """What ``value(step)`` is of the step under way; pools have what the layer before has."""
        values = []
        for step in self.steps:
            missing = isinstance(step, FoldedPool)
            values.append(values[-1] if missing and values else 0 if missing else value(step))
        return chosen(self.step, values)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.lanes, m.submodules.engine = lanes, engine = self.lanes, self.engine
        m.submodules.walker = walker = self.walker
        self._preparing = Signal()
        names = ("start", "scan", "unload", "serve", "pool")
        self._in = {name: Signal(name=f"in_{name}") for name in names}
        take, spent, ended = Signal(), Signal(), Signal()
        tap = Signal.like(walker.tap)
        self._fetch = Signal()
        group = Signal(range(max(len(layer.groups) for layer in self.layers) + 1))
        m.d.comb += [
            walker.layer.eq(self.step), walker.tap.eq(tap),
            self._fetch.eq(self._in["start"] & ~self._blocked() | take),
            take.eq(self._in["scan"] & spent & ~ended | self._in["pool"]),
            engine.first.eq(self._first), engine.layer.eq(self._layer()),
            lanes.layer.eq(engine.layer),
            lanes.clear.eq(self._in["start"]), lanes.coded.eq(self._preparing),
        ]
        # `tap` is the next to be fetched; the one before it waits at the outputs of the memories
        taps = chosen(self.step, [len(step.walk.taps) for step in self.steps])
        last_tap = tap == (Mux(self._preparing, self.entries, taps) if self.listed else taps)
        with m.If(self._fetch):
            m.d.sync += [tap.eq(tap + 1), ended.eq(last_tap)]
        with m.If(spent & ended & self._in["scan"] | last_tap & self._in["pool"]):
            m.d.sync += tap.eq(0)
        if self.loaded:
            wiring.connect(m, wiring.flipped(self.load), lanes.load)
        arrived, consume, done, word = self._input(m)
        m.d.comb += spent.eq(self._scan(m, take, group, word))
        self._pool(m, word)
        self._sequence(m, arrived, consume, done, spent & ended, last_tap, group)
        self._offer(m)
        return m

    def _layer(self):
        """The layer under way, counted without the pools."""
        numbers = [sum(isinstance(x, FoldedLayer) for x in self.steps[:k])
                   for k in range(len(self.steps))]
        return self.step if numbers == list(range(len(numbers))) else chosen(
            self.step, [min(n, len(self.layers) - 1) for n in numbers])

    def _blocked(self):
        """Whether the last layer has to wait until its spikes of the timestep before are taken."""
        return self.o.valid & (self.step == len(self.steps) - 1) & ~self._preparing

    def _input(self, m: Module) -> tuple:
        """Whether a timestep is there, the strobes that begin and end it, and the word read."""
        arrived, consume, done = Signal(), Signal(), Signal()
        inputs, inner, engine, walker = self.inputs, self.inner, self.engine, self.walker
        word = None
        if inputs is None:
            begins, ends = self.i.payload.first, self.i.payload.last
            m.d.comb += [arrived.eq(self.i.valid), self.i.ready.eq(consume),
                         self.address.eq(walker.address), self.fetch.eq(self._fetch)]
        else:
            m.submodules.inputs = inputs
            wiring.connect(m, wiring.flipped(self.i), inputs.i)
            begins, ends, word = inputs.first, inputs.last, inputs.word
            m.d.comb += [arrived.eq(inputs.arrived), inputs.done.eq(done),
                         inputs.address.eq(walker.address), inputs.fetch.eq(self._fetch)]
        with m.If(consume):
            m.d.sync += [self._first.eq(begins), self.last.eq(ends)]
        if inner is not None:
            m.submodules.inner = inner
            final = self.step == len(self.steps) - 1
            m.d.comb += [
                inner.valid.eq(engine.o_valid & ~final), inner.spike.eq(engine.o_spike),
                inner.limit.eq(self._of(lambda layer: layer.channels - 1)),
                inner.rewind.eq(consume), inner.address.eq(walker.address),
                inner.fetch.eq(self._fetch),
            ]
            outer = Signal()
            with m.If(self._fetch):
                m.d.sync += outer.eq(walker.outer)
            word = inner.word if word is None else Mux(outer, word, inner.word)
        return arrived, consume, done, word

    def _scan(self, m: Module, take, group, word):
        """What names rows of the weights; returns whether the word or code is spent."""
        lanes, preparing = self.lanes, self._preparing
        inside = Const(1)
        if any(step.walk.checked for step in self.steps):
            inside = Signal(name="inside")
            with m.If(self._fetch):
                m.d.sync += inside.eq(self.walker.inside)
        row = Signal.like(lanes.row)
        increment = Mux(preparing, 1, WORD) if self.streams else Const(WORD)
        bases = iter(lanes.bases)
        with m.If(self._in["start"] & (group == 0)):
            m.d.sync += row.eq(self._of(lambda _: next(bases)) - increment)
        with m.Elif(take):
            m.d.sync += row.eq(row + increment)
            if self.listed:
                with m.If(preparing):
                    m.d.sync += row.eq(self._group_row(m, group) + self.index)
        m.d.comb += lanes.row.eq(row)
        spent = codes = None
        if self.streams:
            m.submodules.codes = codes = self._codes()
            m.d.comb += [codes.value.eq(Mux(inside, self.value, 0)),
                         codes.take.eq(take & preparing), codes.clear.eq(self._in["start"]),
                         lanes.products.eq(codes.o) if self.tabled
                         else lanes.threshold.eq(codes.threshold),
                         lanes.add.eq(self._in["scan"] & codes.any)]
            spent = codes.spent
        if word is not None:
            m.submodules.scanner = scanner = WordScanner()
            m.d.comb += [scanner.word.eq(Mux(inside, word, 0)),
                         scanner.take.eq(take & ~preparing & self._in["scan"])]
            with m.If(~preparing):
                m.d.comb += [lanes.row.eq(row | scanner.index),
                             lanes.add.eq(self._in["scan"] & scanner.any)]
            spent = Mux(preparing, spent, scanner.spent) if codes is not None else scanner.spent
        return spent

    def _codes(self) -> StreamScanner | ProductScanner:
        """What the codes of pixels become."""
        if self.tabled:
            return ProductScanner(Products(self.layers[0].table))
        return StreamScanner(self.streams)

    def _group_row(self, m: Module, group):
        """The first row of the first layer's group, of which there is one for each pixel."""
        pixels = len(self.layers[0].walk.taps)
        starts = [self.lanes.bases[0] + g * pixels for g in range(len(self.layers[0].groups))]
        return chosen(group, starts)

    def _pool(self, m: Module, word) -> None:
        """The OR of each window's words, appended to the map."""
        pools = [step for step in self.steps if isinstance(step, FoldedPool)]
        if not pools:
            return
        seen = Signal(range(max(pool.window for pool in pools)))
        so_far, found = Signal(WORD), Signal(WORD)
        windows = [x.window - 1 if isinstance(x, FoldedPool) else pools[0].window - 1
                   for x in self.steps]
        complete = seen == chosen(self.step, windows)
        m.d.comb += [found.eq(so_far | word), self.inner.appended.eq(found),
                     self.inner.append.eq(self._in["pool"] & complete)]
        with m.If(self._in["pool"]):
            m.d.sync += [so_far.eq(Mux(complete, 0, found)), seen.eq(Mux(complete, 0, seen + 1))]

    def _sequence(self, m: Module, arrived, consume, done, scanned, last_tap, group) -> None:
        engine, preparing, walker = self.engine, self._preparing, self.walker
        final = self.step == len(self.steps) - 1
        blocked = self._blocked()
        pooling = chosen(self.step, [int(isinstance(x, FoldedPool)) for x in self.steps])
        lane = Signal(range(max(max(layer.groups) for layer in self.layers)))
        serving = Signal(range(self.sizes[0]))
        drain = Signal(range(DRAIN))
        paced = self._paced(m)
        last_group = group == self._of(lambda layer: len(layer.groups) - 1)
        last_lane = lane == Mux(last_group, self._of(lambda layer: layer.groups[-1] - 1),
                                self._of(lambda layer: layer.groups[0] - 1))
        unloading = Signal()
        serve_again = Const(0) if self.loaded else preparing
        m.d.comb += [self.lanes.lane.eq(lane), unloading.eq(self._in["unload"] & paced)]

        def go_on() -> None:
            m.d.comb += walker.begin.eq(1)
            m.d.sync += self.step.eq(self.step + 1)
            m.next = "start"

        with m.FSM(name="sequence") as fsm:
            m.d.comb += [signal.eq(fsm.ongoing(name)) for name, signal in self._in.items()
                         if (name != "serve" or self.streams)
                         and (name != "pool" or not isinstance(pooling, int))]
            with m.State("wait"), m.If(arrived):
                m.d.comb += [consume.eq(1), walker.begin.eq(1)]
                m.next = "start"
                if self.streams:
                    m.d.sync += preparing.eq(self.i.payload.first)
                    with m.If(~self.i.payload.first):
                        m.next = "serve"
            with m.State("start"), m.If(~blocked):
                m.next = "scan"
                if not isinstance(pooling, int):
                    with m.If(pooling):
                        m.next = "pool"
            if not isinstance(pooling, int):
                with m.State("pool"), m.If(last_tap):
                    m.d.comb += walker.advance.eq(1)
                    m.next = "start"
                    with m.If(walker.final):
                        go_on()
            with m.State("scan"), m.If(scanned):
                m.d.sync += lane.eq(0)
                m.next = "unload"
            with m.State("unload"), m.If(paced):
                m.d.comb += engine.valid.eq(1 if self.loaded else ~preparing)
                m.d.sync += lane.eq(lane + 1)
                with m.If(last_lane):
                    m.d.sync += group.eq(group + 1)
                    m.next = "start"
                    with m.If(last_group):
                        m.d.sync += group.eq(0)
                        m.d.comb += walker.advance.eq(1)
                        with m.If(walker.final):
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
                    with m.If(serve_again):
                        m.next = "serve" if self.streams else "start"
                    with m.Elif(final):
                        m.d.comb += done.eq(1)
                        m.d.sync += self.step.eq(0)
                        m.next = "wait"
                    with m.Else():
                        go_on()
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
        with m.If((self._in["unload"] | self._in["serve"]) & ~ready):
            m.d.sync += beat.eq(beat + 1)
        return ready

    def _keep(self, m: Module, unloading, serving) -> None:
        """The first layer's currents: kept while preparing, read as its neurons are served."""
        m.submodules.kept = kept = Memory(shape=len(self.lanes.current), depth=self.sizes[0],
                                          init=[], attrs=BLOCK_RAM)
        write, read = kept.write_port(), kept.read_port()
        entering = Signal()
        to, at = Signal(range(self.sizes[0])), Signal(range(self.sizes[0]))
        m.d.sync += [entering.eq(unloading), write.en.eq(entering), at.eq(serving),
                     read.en.eq(self._in["serve"])]
        with m.If(write.en):
            m.d.sync += to.eq(to + 1)
            with m.If(to == self.sizes[0] - 1):
                m.d.sync += to.eq(0)
        m.d.comb += [write.addr.eq(to), write.data.eq(self.lanes.current),
                     read.addr.eq(at)]
        first = self.step == 0
        with m.If(first & ~self._preparing if self.loaded else first):
            m.d.comb += self.engine.current.eq(read.data)

    def _offer(self, m: Module) -> None:
        """The last layer's spikes, shifted in as they come."""
        engine, spikes = self.engine, Signal(self.sizes[-1], name="spikes")
        m.d.comb += [self.o.payload.spikes[j].eq(spikes[k]) for k, j in enumerate(self.order)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.results.valid):
            m.d.sync += [spikes.eq(Cat(spikes[1:], engine.o_spike)),
                         self.o.payload.first.eq(self._first),
                         self.o.payload.last.eq(self.last)]
            with m.If(engine.o_index == sum(self.sizes) - 1):
                m.d.sync += self.o.valid.eq(1)
