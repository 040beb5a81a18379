"""The network without board and link: encoder, layers and read-out in a row of streams."""

from amaranth.hdl import Const, Module, ResetInserter, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import Counters
from .pixels import Unpacker
from .readout import SCORE_BITS
from .spram import load_layout


class Core(wiring.Component):
    """An inference engine for one image at a time.

    `pixels` takes exactly `n_inputs` bytes per image in index order, one in any clock outside an
    inference. `restart` forgets the pixels received so far, and any inference under way;
    `start` says that the image is complete. `done` is then high, with `cls` and the scores,
    until the next `restart`. `score` is that of class `select`, at the latest in the clock after
    `select` has changed. An inference has `steps` timesteps, 1..num_steps. `shift` is the h of
    bitstreams L >> h. `row` has what spikes pass from the encoder to the read-out, by name, each
    with a stream `i` and `o`; what reads the image itself has `address` and `value`. `layers` shows
    the neurons of each layer (`observe`). Pixels of fewer than 8 bits are packed (`pixels`).
    With weights that are loaded (`hdl.spram`), `load` takes them, those of each part of the row
    behind those of the part before; no image is started before all of them are there.
    `counters` are those of `layers`; `counter` is byte `select` of them. `traces` (see `trace`)
    makes it a proof build: `word` is then byte `select` of the `4 * n_traces` of its checksums.
    """

    def __init__(self, encoder, row: dict, layers: list, readout, *, num_steps: int,
                 traces=None, pixel_bits: int = 8, counters: Counters | None = None) -> None:
        self.encoder, self.row, self.layers, self.readout = encoder, row, layers, readout
        self.traces = traces
        self.n_traces = len(layers) if traces is not None else 0
        self.unpacker = Unpacker(encoder.payload_bytes, pixel_bits) if pixel_bits < 8 else None
        self.n_inputs = self.unpacker.image_bytes if self.unpacker else encoder.payload_bytes
        self.n_classes, self.num_steps, self.counters = readout.n, num_steps, counters
        self.n_counters = counters.count if counters is not None else 0
        self.loaded = [part for part in row.values() if hasattr(part, "load")]
        super().__init__({
            **({"load": In(stream.Signature(load_layout()))} if self.loaded else {}),
            "pixels": In(stream.Signature(8)), "restart": In(1), "start": In(1),
            "done": Out(1), "cls": Out(8), "select": In(8), "score": Out(signed(SCORE_BITS)),
            "word": Out(8), "counter": Out(8),
            "steps": In(range(num_steps + 1), init=num_steps), "shift": In(4), "failed": In(1),
        })

    @property
    def sprams(self) -> int:
        """SPRAMs of its weights."""
        return sum(part.lanes.contents.shape.count for part in self.loaded)

    def elaborate(self, platform):
        m = Module()
        fresh = ResetInserter(self.restart)
        m.submodules.encoder = fresh(self.encoder)
        source = self.encoder.o
        for name, stage in self.row.items():
            m.submodules[name] = fresh(stage)
            wiring.connect(m, source, stage.i)
            source = stage.o
            if hasattr(stage, "address"):
                m.d.comb += [self.encoder.address.eq(stage.address),
                             self.encoder.fetch.eq(stage.fetch),
                             stage.value.eq(self.encoder.value)]
            if hasattr(stage, "entries"):
                m.d.comb += [stage.index.eq(self.encoder.index),
                             stage.entries.eq(self.encoder.entries)]
        for index, layer in enumerate(self.layers, 1):
            if not any(layer is stage for stage in self.row.values()):
                m.submodules[f"layer{index}"] = fresh(layer)
        m.submodules.readout = fresh(self.readout)
        wiring.connect(m, source, self.readout.i)
        start = self.start
        if self.unpacker is None:
            wiring.connect(m, wiring.flipped(self.pixels), self.encoder.pixels)
        else:
            m.submodules.unpacker = fresh(self.unpacker)
            wiring.connect(m, wiring.flipped(self.pixels), self.unpacker.i)
            m.d.comb += [
                self.encoder.pixels.payload.eq(self.unpacker.o.payload),
                self.encoder.pixels.valid.eq(self.unpacker.o.valid),
                self.unpacker.o.ready.eq(1),  # what is beyond the image, an encoder does not take
                self.unpacker.start.eq(self.start),
            ]
            start = self.unpacker.o_start
        m.d.comb += [
            self.encoder.start.eq(start), self.encoder.steps.eq(self.steps),
            self.readout.select.eq(self.select),
            self.done.eq(self.readout.done), self.cls.eq(self.readout.cls),
            self.score.eq(self.readout.score),
        ]
        for part in (self.encoder, *self.row.values()):
            if hasattr(part, "shift"):
                m.d.comb += part.shift.eq(self.shift)
        if self.loaded:
            self._load(m)
        if self.counters is not None:
            m.submodules.counters = counters = self.counters
            m.d.comb += [
                counters.restart.eq(self.restart), counters.busy.eq(self.encoder.busy),
                counters.done.eq(self.done), counters.failed.eq(self.failed),
                counters.select.eq(self.select), self.counter.eq(counters.byte),
            ]
        if self.traces is not None:
            m.submodules.traces = fresh(self.traces)
            m.d.comb += [
                self.traces.select.eq(self.select), self.word.eq(self.traces.byte),
                self.done.eq(self.readout.done & ~self.traces.busy),
            ]
        return m

    def _load(self, m: Module) -> None:
        """Passes each word on to the part that it is for."""
        base, item = 0, self.load.payload
        m.d.comb += self.load.ready.eq(1)
        for part in self.loaded:
            here = Const(1)
            if len(self.loaded) > 1:
                here = (item.address >= base) & (item.address < base + part.words)
            m.d.comb += [part.load.valid.eq(self.load.valid & here),
                         part.load.payload.address.eq(item.address - base),
                         part.load.payload.data.eq(item.data)]
            base += part.words
