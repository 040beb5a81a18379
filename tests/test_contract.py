"""The worked examples of the arithmetic contract, bit for bit."""

import json
from pathlib import Path

import pytest

from spikeloom.flow import cli
from spikeloom.sim import compare, contract, reference

FILE = Path(__file__).parent / "cases" / "contract.json"
CASES, REFUSED = contract.load_cases(FILE)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_reference_equals_the_worked_example(case):
    trace = reference.run(case.graph, case.inputs, trace=True)
    assert compare.first_difference(case.expect, compare.image_of(trace, 0)) is None


def test_every_case_is_supported():
    assert [c.name for c in CASES] == contract.names(FILE) and not REFUSED


def test_a_difference_is_located():
    case = CASES[0]
    got = compare.image_of(reference.run(case.graph, case.inputs, trace=True), 0)
    got["v"][1][2, 3] += 1
    first = compare.first_difference(case.expect, got)
    assert (first["layer"], first["timestep"], first["neuron"]) == (1, 2, 3)
    assert first["got"] == first["expected"] + 1


@pytest.mark.parametrize("level", ["amaranth", "rtl"])
def test_gateware_equals_the_worked_examples(level, capsys):
    """Currents, membranes, spikes, scores and class, on the rungs below the reference model."""
    code = cli.main(["sim", "--contract", str(FILE), "--level", level, "--json"])
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [case["name"] for case in cases] == contract.names(FILE)
    assert all(case["equal"] and case["first"] is None for case in cases) and code == 0


@pytest.mark.parametrize("text,words", [(None, "cannot be read"), ("{", "must be a contract file"),
                                        ("[]", "must be a contract file"),
                                        ('{"cases": [{"name": "x"}]}', "'x' is malformed")])
def test_a_bad_contract_file_is_one_line(tmp_path, capsys, text, words):
    path = tmp_path / "cases.json"
    if text is not None:
        path.write_text(text)
    assert cli.main(["sim", "--contract", str(path), "--level", "reference"]) == 2
    assert words in capsys.readouterr().err
