"""Published claims: every verdict changes when the number that decides it does."""

from dataclasses import replace

import msgspec
import pytest

from spikeloom.flow.cost import claims
from spikeloom.flow.cost.claims import OPEN, OTHER, OUT, WITHIN, Claim, Ours, terms, verdict
from spikeloom.flow.cost.prices import shipped
from spikeloom.flow.cost.split import Span

CLAIM = Claim(name="theirs", task="digits", source="a paper", device="UP5K", layers=(64, 32, 10),
              input_bits=512, accuracy=0.95, lut4=3000, nj=100.0)
OURS = Ours(accuracy=0.97, lut4=2500, lc=2800, nj=Span(40.0, 90.0), transfer=Span(5000.0, 6000.0),
            clocks=200, inputs=64, classes=10, synapses=2368)


@pytest.mark.parametrize("changes,word,reason", [
    ({}, WITHIN, None),
    ({"lut4": 3001}, OUT, "3,001 LUT4, not 3,000"),
    ({"accuracy": 0.949}, OUT, "94.9% right, not 95.0%"),
    ({"accuracy": None}, WITHIN, None),
    ({"nj": Span(101.0, 200.0)}, OUT, "101..200 nJ, not 100"),
    ({"nj": Span(99.0, 101.0)}, OPEN, "99.0..101 nJ, not surely 100"),
    ({"nj": Span(99.0, 101.0), "lut4": 3001}, OUT, "3,001 LUT4, not 3,000"),
    ({"nj": None}, WITHIN, None),
    ({"inputs": 784}, OTHER, None),
    ({"inputs": 784, "accuracy": 0.5}, OTHER, None),
    ({"inputs": 784, "lut4": 3001}, OUT, "3,001 LUT4"),
])
def test_a_verdict_follows_from_the_numbers(changes, word, reason):
    found = verdict(CLAIM, replace(OURS, **changes))
    assert found.word == word
    assert bool(found.reasons) == (reason is not None)
    assert reason is None or reason in found.reasons[0]


def test_logic_cells_are_compared_where_they_are_what_is_told():
    claim = msgspec.structs.replace(CLAIM, lut4=None, lc=2700)
    assert verdict(claim, OURS).reasons == ("2,800 LC, not 2,700",)
    assert verdict(msgspec.structs.replace(claim, lc=2800), OURS).word == WITHIN


def test_its_own_energy_is_held_against_the_clock_network():
    price = shipped().of("UP5K")
    found = terms(CLAIM, shipped(), 12e6)
    assert found.clocks == pytest.approx(100e-9 / (52e-12 + 90e-6 / 12e6))
    assert found.input_nj == pytest.approx(1e9 * 512 * price.floor(12e6))
    assert found.verdict.word == WITHIN
    more = terms(msgspec.structs.replace(CLAIM, input_bits=1700), shipped(), 12e6)
    assert more.verdict.word == OUT and "1,700 bits of an image" in more.verdict.text()
    assert terms(CLAIM, shipped(), 48e6).clocks > found.clocks, "less leakage in a clock"
    for gone in ({"nj": None}, {"device": None}, {"device": "HX1K"}):
        assert terms(msgspec.structs.replace(CLAIM, **gone), shipped(), 12e6) is None


def test_the_published_ones_are_there_and_the_promises_are_out_of_reach():
    known = {claim.name: claim for claim in claims.published()}
    promises = [claim for claim in known.values() if claim.nj in (98, 31)]
    assert [(claim.accuracy, claim.lut4) for claim in promises] == [(0.962, 2340), (0.921, 890)]
    for claim in promises:
        assert claim.layers[0] * 8 == claim.input_bits and claim.device == "UP5K"
        assert terms(claim, shipped(), 12e6).verdict.word == OUT
        # were the energy ten or a hundred times as much, its image could arrive
        assert terms(msgspec.structs.replace(claim, nj=100 * claim.nj), shipped(), 12e6
                     ).verdict.word == WITHIN
    assert all(claim.source and set(claim.measured) <= {"lc", "lut4", "clock_mhz"}
               for claim in known.values())


def test_lines_tell_why_from_numbers():
    out = claims.lines(OURS, shipped(), 12e6, 115_200, [CLAIM])
    assert len(out) == 2 and "1,681 clocks of a UP5K at 12 MHz" in out[0]
    assert "1.4 of its 2,368 synapses a clock, where this build does 11.8" in out[0]
    assert "image alone takes 5,000..6,000 nJ at 115,200 baud, 50 times the claim" in out[1]
    missed = claims.lines(replace(OURS, lut4=4000), shipped(), 12e6, 115_200, [CLAIM])
    assert missed[0] == "theirs: out of reach: 4,000 LUT4, not 3,000" and missed[1:] == out
    rich = msgspec.structs.replace(CLAIM, nj=1e6)
    assert claims.lines(OURS, shipped(), 12e6, 115_200, [rich]) == []
