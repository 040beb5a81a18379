"""The link, proved against any bytes, at any time, from a host that may send nonsense."""

import pytest
from amaranth.hdl import Array, Mux, Signal
from formal import Spec
from formal.mutants import mutant

from spikeloom.hdl.link import Link, Phase

N_INPUTS, N_CLASSES = 3, 2
#: Encodings of the link's states, in the order in which its source names them.
HUNT, COMMAND, LENGTH, SERVE, PAYLOAD, CHECKSUM, REPLY = range(7)


def link(cls=Link) -> Spec:
    """Three pixels, two classes; silence after four bit times.

    Whatever arrives: an image has exactly its pixels, an inference starts after a whole one only,
    counters stay inside what they point into, and a reply's bytes stay until they are taken. That
    the checksum is one is not part of this: simulation compares it with another implementation.
    """
    spec = Spec()
    m = spec.m
    m.submodules.link = dut = cls(N_INPUTS, N_CLASSES, 1, bytes(8), divisor=4, silence_bits=2)
    scores = Array(spec.constant(24, f"score{k}") for k in range(N_CLASSES))
    m.d.comb += [
        dut.i.valid.eq(spec.any(1, "valid")), dut.i.payload.eq(spec.any(8, "byte")),
        dut.tick.eq(spec.any(1, "tick")), dut.done.eq(spec.any(1, "done")),
        dut.pixels.ready.eq(spec.any(1, "takes")), dut.o.ready.eq(spec.any(1, "ready")),
        dut.cls.eq(spec.constant(8, "cls")), dut.score.eq(scores[dut.select[0]].as_signed()),
    ]
    offered, before = Signal(), Signal(8)
    m.d.sync += [offered.eq(dut.o.valid & ~dut.o.ready), before.eq(dut.o.payload)]
    spec.always("a byte stays until it is taken", ~offered | (dut.o.valid
                                                              & (dut.o.payload == before)))
    pixels, lost = Signal(range(N_INPUTS + 2)), Signal()
    with m.If(dut.pixels.valid):
        m.d.sync += [pixels.eq(pixels + 1), lost.eq(lost | ~dut.pixels.ready)]
    with m.If(dut.restart):
        m.d.sync += [pixels.eq(0), lost.eq(0)]
    spec.always("no more pixels than an image has", ~dut.pixels.valid | (pixels < N_INPUTS))
    spec.always("an inference starts with a whole image", ~dut.start
                | ((pixels == N_INPUTS) & ~lost))
    spec.always("one thing at a time", ~(dut.start & dut.restart) & ~(dut.o.valid & dut.restart))
    spec.always("it answers only when asked", dut.busy | ~dut.o.valid)
    size = len(dut.info)
    state, phase = spec.inside("link.fsm_state", 3), spec.inside("link.phase", 2)
    index = spec.inside("link.index", 4)
    command, status = spec.inside("link.command", 2), spec.inside("link.status", 3)
    spec.always("index stays inside the request", (state != PAYLOAD) | (
        index < Mux(command == 2, N_INPUTS, 2)))
    spec.always("index stays inside the reply", (state != REPLY) | (
        index < Mux(phase == Phase.RESULT, N_CLASSES, size)))
    early = (state == COMMAND) | (state == LENGTH)
    spec.always("a request begins cleared", ~early | ((index == 0) & (status == 0)))
    spec.always("a reply begins cleared", (state != REPLY) | (phase != Phase.HEADER) | (index == 0))
    spec.always("a request has a known command", (state != LENGTH) & (state != PAYLOAD)
                | (command != 0))
    spec.always("pixels are counted", ~((state == PAYLOAD) & (command == 2)) | (
        (pixels == index) & ~lost & (status == 0)))
    spec.always("a whole image is checked", ~((state == CHECKSUM) & (command == 2)) | (
        (pixels == N_INPUTS) & ~lost & (status == 0)))
    return spec


def test_for_all_time():
    assert link().inductive(3) is None


MUTANTS = {
    "a pixel that was lost does not count": ("with m.If(~self.pixels.ready):", "with m.If(0):"),
    "one pixel too many": ("index == self.n_inputs - 1", "index == self.n_inputs"),
    "a score too many": ("(index != self.n_classes - 1)", "(index != self.n_classes)"),
    "no pause for the line": ("sent.eq(replying & self.o.ready)", "sent.eq(replying)"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_refuted(name):
    """By a run from the reset, no state of which was assumed."""
    found = link(mutant(Link, *MUTANTS[name])).bounded(60)
    assert found is not None, f"{name} must be refuted"
