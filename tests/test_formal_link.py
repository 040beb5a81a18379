"""The link, proved against any bytes, at any time, from a host that may send nonsense."""

from unittest.mock import patch

import pytest
from amaranth.hdl import Array, Cat, Mux, Signal
from formal import Spec
from formal.mutants import mutant

from spikeloom.hdl.link import Link
from spikeloom.hdl.protocol import BASIC, Command, Features, Status
from spikeloom.hdl.reply import Phase, Replies
from spikeloom.hdl.request import Requests

N_INPUTS, N_CLASSES, STEPS, SHIFT = 3, 2, 5, 2
EVERYTHING = Features(duplex=True, steps=True, max_shift=SHIFT)
#: Encodings of states, in the order in which the sources name them.
HUNT, COMMAND, LENGTH, DRAIN, PAYLOAD, CHECKSUM, OFFER = range(7)
IDLE, SEND, SERVE, FINISH = range(4)


def link(features, requests=Requests, replies=Replies) -> Spec:
    """Three pixels, two classes; silence after four bit times; scores from a memory.

    Whatever arrives: an image has exactly its pixels, an inference starts after a whole one only,
    counters stay inside what they point into, what is set stays in its range, and a reply's bytes
    stay until they are taken, but for a checksum, which is that of the line's bits so far. That it
    is one is not part of this: simulation compares it with another implementation.
    """
    spec = Spec()
    m = spec.m
    with patch.multiple("spikeloom.hdl.link", Requests=requests, Replies=replies):
        m.submodules.link = dut = Link(N_INPUTS, N_CLASSES, STEPS, bytes(8), divisor=4,
                                       silence_bits=2, features=features)
    scores = Array(spec.constant(24, f"score{k}") for k in range(N_CLASSES))
    for name in ("i_bit", "i_strobe", "o_bit", "o_strobe", "tick", "done"):
        m.d.comb += getattr(dut, name).eq(spec.any(1, name))
    m.d.comb += [
        dut.i.valid.eq(spec.any(1, "valid")), dut.i.payload.eq(spec.any(8, "byte")),
        dut.pixels.ready.eq(spec.any(1, "takes")), dut.o.ready.eq(spec.any(1, "ready")),
        dut.cls.eq(spec.constant(8, "cls")),
    ]
    m.d.sync += dut.score.eq(scores[dut.select[0]].as_signed())
    state, served = spec.inside("link.requests.fsm_state", 3), spec.inside(
        "link.replies.fsm_state", 2)
    command, status, value = (spec.inside(f"link.requests.{name}", width) for name, width in (
        ("command", 3), ("status", 3), ("value", 8)))
    wanted = spec.inside("link.requests.index", 2)
    phase, index = spec.inside("link.replies.phase", 2), spec.inside("link.replies.index", 4)

    offered, before = Signal(), Signal(8)
    m.d.sync += [offered.eq(dut.o.valid & ~dut.o.ready), before.eq(dut.o.payload)]
    spec.always("a byte is offered until it is taken", ~offered | dut.o.valid)
    spec.always("it stays the same", ~offered | (phase == Phase.TRAILER)
                | (dut.o.payload == before))
    spec.always("select is a clock older than the byte", ~dut.o.valid | (phase != Phase.RESULT)
                | (dut.score == scores[dut.select[0]].as_signed()))
    pixels, lost = Signal(range(N_INPUTS + 2)), Signal()
    with m.If(dut.pixels.valid):
        m.d.sync += [pixels.eq(pixels + 1), lost.eq(lost | ~dut.pixels.ready)]
    with m.If(dut.restart):
        m.d.sync += [pixels.eq(0), lost.eq(0)]
    spec.always("no more pixels than an image has", ~dut.pixels.valid | (pixels < N_INPUTS))
    spec.always("an inference starts with a whole image", ~dut.start
                | ((pixels == N_INPUTS) & ~lost))
    spec.always("an image is complete before the next one begins", ~(dut.start & dut.restart))
    spec.always("it answers only when asked", dut.busy | ~dut.o.valid)
    spec.always("the divisor is one", dut.divisor >= 4)
    spec.always("timesteps stay in range", (dut.steps >= 1) & (dut.steps <= STEPS))
    spec.always("the shift stays in range", dut.shift <= features.max_shift)

    infer = command == Command.INFER
    spec.always("index stays inside the request", (state != PAYLOAD) | (
        wanted < Mux(infer, N_INPUTS, 2)))
    spec.always("index stays inside the reply", (served != SEND) | (
        index < Mux(phase == Phase.RESULT, N_CLASSES, 16)))
    early = (state == COMMAND) | (state == LENGTH)
    spec.always("a request begins cleared", ~early | ((wanted == 0) & (status == 0)))
    spec.always("a reply begins cleared", (served == IDLE) | (phase != Phase.HEADER)
                | (index == 0))
    spec.always("only a reply offers bytes", ~dut.o.valid | (served == SEND))
    spec.always("a reply begins with its header", (served != SERVE) | (phase == Phase.HEADER))
    spec.always("a request has a known command", ~Cat(state == k for k in (
        LENGTH, PAYLOAD, CHECKSUM)).any() | Cat(command == k for k in (
            features.commands())).any())
    spec.always("a payload belongs to a command that has one", (state != PAYLOAD)
                | (command != Command.INFO))
    spec.always("what is drained has failed", (state != DRAIN) | (status != Status.OK))
    spec.always("pixels are counted", ~((state == PAYLOAD) & infer) | (
        (pixels == wanted) & ~lost & (status == 0)))
    whole = (pixels == N_INPUTS) & ~lost & (status == 0)
    spec.always("a whole image is checked", ~((state == CHECKSUM) & infer) | whole)
    good = (state == OFFER) & (status == Status.OK)
    spec.always("a whole image is offered", ~(good & infer) | whole)
    fits = _fits(command, value, features)
    spec.always("a number that is taken fits", ~(good | (state == CHECKSUM)) | fits)
    if features.duplex:
        held = spec.inside("link.replies.request", 14)
        spec.always("a number that is served fits", (served == IDLE) | (held[3:6] != Status.OK)
                    | _fits(held[:3], held[6:], features))
    else:
        spec.always("a request stays until it is answered", (served == IDLE) | (state == OFFER))
        spec.always("one thing at a time", ~(dut.o.valid & dut.restart))
    return spec


def _fits(command, value, features):
    """Whether a value may be set by a command; no command that is not built may be served."""
    ranges = {Command.DIVISOR: value >= 4, Command.STEPS: (value >= 1) & (value <= STEPS),
              Command.SHIFT: value <= SHIFT}
    return Cat((command != k) | (rule if k in features.commands() else 0)
               for k, rule in ranges.items()).all()


@pytest.mark.parametrize("features", [BASIC, EVERYTHING], ids=["basic", "everything"])
def test_for_all_time(features):
    assert link(features).inductive(3) is None


MUTANTS = {
    "a pixel that was lost does not count": (Requests, "with m.If(~self.pixels.ready):",
                                             "with m.If(0):"),
    "one pixel too many": (Requests, "self.info.image_bytes - 1, 1)", "self.info.image_bytes, 1)"),
    "a timestep too many": (Requests, "_at_most(number, steps)", "_at_most(number, steps + 1)"),
    "a divisor of 3": (Requests, "number[2:bits].any()", "number[:bits].any()"),
    "what is offered is not kept": (Requests, "with m.If(self.o.ready):", "with m.If(got):"),
    "a score too many": (Replies, "(index != info.n_classes - 1)", "(index != info.n_classes)"),
    "no pause for the line": (Replies, "sent.eq(self.o.valid & self.o.ready)",
                              "sent.eq(self.o.valid)"),
    "no pause for the memory": (Replies, "self.o.valid.eq(sending & ~sent)",
                                "self.o.valid.eq(sending)"),
    "an error's number counts": (Replies, "with m.If(good):\n                    self._set",
                                 "with m.If(1):\n                    self._set"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_refuted(name):
    """By a run from the reset, no state of which was assumed."""
    kind, old, new = MUTANTS[name]
    role = {Requests: "requests", Replies: "replies"}[kind]
    features = Features(steps=True) if "timestep" in name else BASIC
    found = link(features, **{role: mutant(kind, old, new)}).bounded(60)
    assert found is not None, f"{name} must be refuted"
