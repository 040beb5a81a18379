"""Nonsense through the link, by hundreds here and by thousands in `make bench`."""

from unittest.mock import patch

import numpy as np
import pytest
from formal.mutants import mutant

from spikeloom.hdl.protocol import SYNC_REPLY, SYNC_REQUEST, Command, Status, frame
from spikeloom.hdl.request import Requests
from spikeloom.nas.figures import link as figures
from spikeloom.sim import fuzz


def test_frames_are_short_many_kinds_and_change_no_rate():
    rng = np.random.default_rng(3)
    frames = fuzz.random_frames(rng, 3000, list(Command), 6)
    assert {len(data) for data in frames} == set(range(1, 17))
    assert sum(data[0] == SYNC_REQUEST for data in frames) > 1000
    good = {frame(SYNC_REQUEST, command) for command in (Command.INFO, Command.STATS)}
    assert good & set(frames)
    for number in (4, 300):
        change = frame(SYNC_REQUEST, Command.DIVISOR, number.to_bytes(2, "little"))
        assert fuzz._lasts(b"\0" + change) and not fuzz._lasts(change[:-1])
        assert not any(change in data for data in frames)


def test_logs_are_judged():
    ok, noise = frame(SYNC_REPLY, Status.OK, b"answer"), b"\x5a\x00"
    log = "".join(f"{before.hex()} {after.hex()}\n" for before, after in [
        (b"", ok), (frame(SYNC_REPLY, Status.LENGTH) + ok, ok), (noise, ok), (b"", noise),
        (b"", ok + ok)])
    found = fuzz.outcome(log, 6, ok)
    assert (found.wedged, found.broken) == ((3, 4, 5), (2,))
    assert (found.answers[Status.LENGTH], found.answers[Status.OK]) == (1, 1)


@pytest.mark.parametrize("name", figures.BUILDS)
def test_hundreds_of_frames_wedge_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    found = figures.measure(name, 300)
    assert (found.frames, found.wedged, found.broken) == (300, (), ())
    assert sum(found.answers.values()) > 100 and found.answers[Status.CHECKSUM]


def test_a_link_that_wedges_is_found_out(tmp_path, monkeypatch):
    """One that never gives a half request up takes the next one for its end."""
    monkeypatch.chdir(tmp_path)
    broken = mutant(Requests, "with m.If(quiet):\n                m.next", "with m.If(0):\n"
                    "                m.next")
    with patch("spikeloom.hdl.link.Requests", broken):
        found = figures.measure("basic", 40)
    assert found.wedged
