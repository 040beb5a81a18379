"""The worked examples of the arithmetic contract, bit for bit."""

from pathlib import Path

import pytest

from spikeloom.sim import contract, reference

FILE = Path(__file__).parent / "cases" / "contract.json"
CASES, REFUSED = contract.load_cases(FILE)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_reference_equals_the_worked_example(case):
    trace = reference.run(case.graph, case.inputs, trace=True)
    assert contract.first_difference(case.expect, contract.image_of(trace, 0)) is None


def test_lif_cases_are_supported_and_other_neurons_are_refused_by_name():
    assert {"public_rate_lif", "public_stream_lif_membrane"} <= {c.name for c in CASES}
    assert all("unknown neuron" in why for why in REFUSED.values())


def test_a_difference_is_located():
    case = CASES[0]
    got = contract.image_of(reference.run(case.graph, case.inputs, trace=True), 0)
    got["v"][1][2, 3] += 1
    first = contract.first_difference(case.expect, got)
    assert (first["layer"], first["timestep"], first["neuron"]) == (1, 2, 3)
    assert first["got"] == first["expected"] + 1
