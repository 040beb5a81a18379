"""The streams between encoder, delay and layers, proved for any data, pauses and back-pressure.

The layers' handshake is the design's arbiter: it decides whose spikes an output register holds.
What is small: one or two neurons, two timesteps an inference, L = 8.
"""

from itertools import pairwise

import numpy as np
import pytest
from amaranth.hdl import Array, Cat, Mux, Signal, Value, signed
from formal import Spec
from formal.mutants import mutant

from spikeloom.hdl.delay import SpikeDelay
from spikeloom.hdl.encoders import RateEncoder, SpikesEncoder, StreamEncoder
from spikeloom.hdl.encoders.memory import PixelMemory
from spikeloom.hdl.encoders.scan import ScanEncoder
from spikeloom.hdl.neurons import Lif
from spikeloom.hdl.neurons.lif import Phase
from spikeloom.hdl.spatial import SpatialLayer

LENGTH, STEPS = 8, 3
NEURON = Lif(v_threshold=LENGTH, reset="zero")


def copying_layer(layer=SpatialLayer):
    """A layer whose spikes are its input's: weight L, threshold L, reset to zero, no leak."""
    return layer(np.array([[LENGTH]]), length=LENGTH, columns=False, fires=True, bias=[0],
                 v_bits=[6], neuron=NEURON)


def stable(spec: Spec, name: str, stream) -> None:
    """What is offered stays, unchanged, until it is taken."""
    offered, before = Signal(), Signal(stream.payload.shape())
    spec.m.d.sync += [offered.eq(stream.valid & ~stream.ready), before.eq(stream.payload)]
    spec.always(f"{name} stays until it is taken", ~offered | (stream.valid & (
        Value.cast(stream.payload) == Value.cast(before))))


class Source:
    """Offers timesteps with any spikes, after any pauses, the marks in order."""

    def __init__(self, spec: Spec, stream, n: int = 1) -> None:
        m = spec.m
        waiting, held = Signal(), Signal(n)
        self.count = Signal(range(STEPS))
        valid, spikes = spec.any(1, "offer"), spec.any(n, "spikes")
        m.d.comb += [
            stream.valid.eq(waiting | valid), stream.payload.spikes.eq(Mux(waiting, held, spikes)),
            stream.payload.first.eq(self.count == 0),
            stream.payload.last.eq(self.count == STEPS - 1),
        ]
        m.d.sync += [waiting.eq(stream.valid & ~stream.ready), held.eq(stream.payload.spikes)]
        with m.If(stream.valid & stream.ready):
            m.d.sync += self.count.eq(Mux(self.count == STEPS - 1, 0, self.count + 1))


def fifo(spec: Spec, i, o, capacity: int) -> tuple[Signal, list[Signal]]:
    """From stream `i` to stream `o` is a FIFO; returns its fill and contents, the newest first."""
    m = spec.m
    taken, given = i.valid & i.ready, o.valid & o.ready
    inside = [Signal(len(Value.cast(i.payload)), name=f"entry{k}") for k in range(capacity)]
    fill = Signal(range(capacity + 2))
    m.d.sync += fill.eq(fill + taken - given)
    with m.If(taken):
        m.d.sync += inside[0].eq(Value.cast(i.payload))
        m.d.sync += [new.eq(old) for old, new in pairwise(inside)]
    oldest = Array(inside)[(fill - 1)[:len(fill)]]
    spec.always("nothing leaves that did not enter", ~o.valid | (fill != 0))
    spec.always("what leaves is the oldest", ~o.valid | (Value.cast(o.payload) == oldest))
    spec.always("no more are inside than fit", fill <= capacity)
    return fill, inside


def one_layer(layer) -> Spec:
    """A layer is a FIFO of two timesteps, the one it computes and the one it offers.

    The invariants after that say which registers hold them.
    """
    spec = Spec()
    m = spec.m
    m.submodules.layer = stage = copying_layer(layer)
    Source(spec, stage.i)
    m.d.comb += [stage.hold.eq(spec.any(1, "hold")), stage.o.ready.eq(spec.any(1, "ready"))]
    stable(spec, "what it offers", stage.o)
    fill, inside = fifo(spec, stage.i, stage.o, 2)
    step = spec.inside("layer.step", 4)
    v = spec.inside("layer.neuron0.v", signed(6))
    marks = Cat(spec.inside("layer.first", 1), spec.inside("layer.last", 1))
    phase = spec.inside("layer.phase", 2)
    enable = spec.inside("layer.enable", 1)
    spec.always("it walks its steps", step < stage.steps)
    spec.always("one is computed from L on, one offered", fill == (step > LENGTH) + stage.o.valid)
    spec.always("it begins at rest", (step != 0) | (v == 0))
    spec.always("it ends with the newest", (step != stage.steps - 1) | (
        (marks == inside[0][1:]) & (v == Mux(inside[0][0], 0, -LENGTH))
        & (phase == Phase.SETTLE) & enable))
    return spec


def two_layers(layer) -> Spec:
    """Two layers in a row are a FIFO of four timesteps."""
    spec = Spec()
    m = spec.m
    m.submodules.one = one = copying_layer(layer)
    m.submodules.two = two = copying_layer(layer)
    Source(spec, one.i)
    m.d.comb += [two.i.valid.eq(one.o.valid), two.i.payload.eq(one.o.payload),
                 one.o.ready.eq(two.i.ready), two.o.ready.eq(spec.any(1, "ready"))]
    stable(spec, "what the first offers", one.o)
    stable(spec, "what the second offers", two.o)
    fifo(spec, one.i, two.o, 4)
    return spec


def scan(encoder, n: int = 2) -> Spec:
    """An encoder offers T timesteps an inference, marked in order, each until it is taken."""
    spec = Spec()
    m = spec.m
    m.submodules.encoder = encoder
    offered = encoder.o
    m.d.comb += [
        encoder.start.eq(spec.any(1, "start")), encoder.pixels.valid.eq(spec.any(1, "valid")),
        encoder.pixels.payload.eq(spec.any(8, "pixel")), offered.ready.eq(spec.any(1, "ready"))]
    stable(spec, "what it offers", offered)
    count = Signal(range(STEPS))
    with m.If(offered.valid & offered.ready):
        m.d.sync += count.eq(Mux(count == STEPS - 1, 0, count + 1))
    spec.always("marks are in order", ~offered.valid | (
        (offered.payload.first == (count == 0)) & (offered.payload.last == (count == STEPS - 1))))
    spec.always("it is idle only between inferences", encoder.busy | (count == 0))
    spec.always("it offers nothing when idle", encoder.busy | ~offered.valid)
    state, remaining = spec.inside("encoder.fsm_state", 2), spec.inside("encoder.remaining", 2)
    spec.always("it offers in the state of that name", (state == 2) == offered.valid)
    spec.always("as many remain as have not been taken",
                ~encoder.busy | (remaining == STEPS - 1 - count))
    return spec


def delay(cls) -> Spec:
    """Axon 0 is a timestep late, axon 1 two, and nothing is left of the inference before."""
    spec = Spec()
    m = spec.m
    m.submodules.delay = component = cls([1, 2])
    Source(spec, component.i, n=2)
    m.d.comb += component.o.ready.eq(spec.any(1, "ready"))
    stable(spec, "what it offers", component.o)
    given, offered = component.i.payload, component.o.payload
    one, two = Signal(2, name="one"), Signal(2, name="two")  # what came one and two timesteps ago
    with m.If(component.o.valid & component.o.ready):
        m.d.sync += [one.eq(Mux(given.last, 0, given.spikes)), two.eq(Mux(given.last, 0, one))]
    spec.always("spikes are late", ~component.o.valid | (offered.spikes == Cat(one[0], two[1])))
    spec.always("a timestep passes at once", (component.o.valid == component.i.valid)
                & (component.i.ready == component.o.ready))
    spec.always("marks pass at once", (offered.first == given.first)
                & (offered.last == given.last))
    spec.always("its line is what came", (spec.inside("delay.line0", 2) == one)
                & (spec.inside("delay.line1", 1) == two[1]))
    return spec


def pixels(cls) -> Spec:
    """The FIFO of pixels takes n of them in order, never more, and each can be read ever after."""
    spec = Spec()
    m = spec.m
    m.submodules.image = memory = cls(2)
    n = memory.n
    m.d.comb += [
        memory.accept.eq(spec.any(1, "accept")), memory.pixels.valid.eq(spec.any(1, "valid")),
        memory.pixels.payload.eq(spec.any(8, "pixel")), memory.address.eq(spec.any(4, "address"))]
    taken = memory.pixels.valid & memory.pixels.ready
    which = spec.constant(1, "which")
    pixel, asked = Signal(8), Signal()
    with m.If(taken & (memory.written == which)):
        m.d.sync += pixel.eq(memory.pixels.payload)
    m.d.sync += asked.eq((memory.written > which) & (memory.address == which))
    spec.always("written never passes n", memory.written <= n)
    spec.always("a full image takes no more", (memory.written != n) | ~memory.pixels.ready)
    spec.always("it takes pixels when it may", ~memory.accept | (memory.written == n)
                | memory.pixels.ready)
    spec.always("a pixel is read as it came", ~asked | (memory.value == pixel))
    words = Array(spec.inside(f"image.memory[{k}]", 8) for k in range(n))
    spec.always("a pixel is kept", (memory.written <= which) | (words[which] == pixel))
    return spec


def columns(cls) -> Spec:
    """`stream` input: a column stays until it is taken, L columns a timestep, the marks in order.

    The first column's `y` is the exception: the last word may still be on its way to the memory.
    No layer uses it, as no weight that is read backwards has a count of L.
    """
    spec = Spec()
    m = spec.m
    m.submodules.encoder = encoder = cls(1, 3, range(LENGTH), STEPS)
    o = encoder.o
    m.d.comb += [
        encoder.start.eq(spec.any(1, "start")), encoder.pixels.valid.eq(spec.any(1, "valid")),
        encoder.pixels.payload.eq(spec.any(8, "pixel")), o.ready.eq(spec.any(1, "ready"))]
    column, count = Signal(3), Signal(range(STEPS))
    with m.If(o.valid & o.ready):
        m.d.sync += column.eq(column + 1)
        with m.If(column == LENGTH - 1):
            m.d.sync += count.eq(Mux(count == STEPS - 1, 0, count + 1))
    here = Cat(o.payload.x, o.payload.first, o.payload.last, Mux(column == 0, 0, o.payload.y))
    offered, before = Signal(), Signal(len(here))
    m.d.sync += [offered.eq(o.valid & ~o.ready), before.eq(here)]
    spec.always("a column stays until it is taken", ~offered | (o.valid & (here == before)))
    spec.always("marks are in order", ~o.valid | (
        (o.payload.first == (count == 0)) & (o.payload.last == (count == STEPS - 1))))
    spec.always("it plays while it is busy", encoder.busy == o.valid)
    spec.always("it ends with a timestep", encoder.busy | ((column == 0) & (count == 0)))
    spec.always("columns are walked", spec.inside("encoder.t", 3) == column)
    remaining = spec.inside("encoder.remaining", 2)
    spec.always("as many remain", ~encoder.busy | (remaining == STEPS - 1 - count))
    group, walking = spec.inside("encoder.group", 1), spec.inside("encoder.walking", 1)
    spec.always("it plays when all is written", ~encoder.busy | (group == 1))
    spec.always("all is written once", ~(group & walking))
    return spec


#: What is proved for all time: the property, and how many clocks the induction looks back.
PROOFS = {
    "a layer is a FIFO": (lambda: one_layer(SpatialLayer), 14),
    "delay": (lambda: delay(SpikeDelay), 2),
    "rate": (lambda: scan(RateEncoder(2, STEPS)), 4),
    "spikes": (lambda: scan(SpikesEncoder(2, STEPS)), 4),
    "stream": (lambda: columns(StreamEncoder), 4),
    "pixels are a FIFO": (lambda: pixels(PixelMemory), 2),
}


@pytest.mark.parametrize("name", PROOFS)
def test_for_all_time(name):
    spec, clocks = PROOFS[name]
    assert spec().inductive(clocks) is None


def test_two_layers_are_a_fifo_for_45_clocks():
    """FIFOs in a row are one; this looks at the wires between, three timesteps long."""
    assert two_layers(SpatialLayer).bounded(45) is None


def scanning(broken: type) -> Spec:
    """The `spikes` encoder on another `ScanEncoder`."""
    kind = type("Broken", (broken,), {"rewind": False, "bits_per_clock": 8,
                                      "shift_in": SpikesEncoder.shift_in})
    return scan(kind(2, STEPS))


MUTANTS = {
    "a layer overwrites what was not taken": (
        SpatialLayer, one_layer, "final & self.o.valid & ~self.o.ready", "Const(0)"),
    "two layers, the first overwrites": (
        SpatialLayer, two_layers, "final & self.o.valid & ~self.o.ready", "Const(0)"),
    "a layer offers a timestep twice": (
        SpatialLayer, one_layer, "with m.If(self.o.ready):\n            m.d.sync += self.o.valid",
        "with m.If(self.o.ready & first):\n            m.d.sync += self.o.valid"),
    "a layer lets go too early": (
        SpatialLayer, one_layer, "(step <= length), step == length, step + 1",
        "(step <= length), step == length - 2, step + 1"),
    "a layer mistakes the mark": (
        SpatialLayer, one_layer, "self.o.payload.last.eq(last)",
        "self.o.payload.last.eq(last | first)"),
    "a delay moves without a transfer": (
        SpikeDelay, delay, "taken.eq(self.o.valid & self.o.ready)",
        "taken.eq(self.o.valid)"),
    "a delay keeps the inference before": (
        SpikeDelay, delay, "with m.If(taken & self.i.payload.last):", "with m.If(0):"),
    "an encoder takes its offer back": (
        ScanEncoder, scanning, 'with m.State("offer"), m.If(self.o.ready):',
        'with m.State("offer"):'),
    "columns run away": (
        StreamEncoder, columns,
        'with m.State("run"):\n                m.d.comb += fetch.eq(self.o.ready)',
        'with m.State("run"):\n                m.d.comb += fetch.eq(1)'),
    "pixels pass the end": (
        PixelMemory, pixels, "self.pixels.ready.eq(self.accept & (self.written != self.n))",
        "self.pixels.ready.eq(self.accept)"),
    "pixels are written in another order": (
        PixelMemory, pixels, "write.addr.eq(self.written)", "write.addr.eq(~self.written[0])"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_refuted(name):
    """By a run from the reset; but columns come too late for that, so there the induction fails."""
    cls, spec, old, new = MUTANTS[name]
    broken = spec(mutant(cls, old, new))
    found = broken.inductive(4) if spec is columns else broken.bounded(60)
    assert found is not None, f"{name} must be refuted"
