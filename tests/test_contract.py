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


def test_the_first_difference_is_the_cause():
    """A wrong spike changes the currents behind it, and a wrong current its neuron for ever."""
    case = CASES[0]
    got = compare.image_of(reference.run(case.graph, case.inputs, trace=True), 0)
    found = []
    for key, layer, timestep in (("current", 1, 0), ("spikes", 0, 3), ("v", 0, 3),
                                 ("current", 0, 3), ("v", 0, 1)):
        got[key][layer][timestep, 1] += 1
        first = compare.first_difference(case.expect, got)
        found.append((first["what"], first["layer"], first["timestep"]))
    assert found == [("current", 1, 0), ("spikes", 0, 3), ("v", 0, 3), ("current", 0, 3),
                     ("v", 0, 1)]


@pytest.mark.parametrize("level", ["amaranth", "rtl"])
def test_gateware_equals_the_worked_examples(level, capsys):
    """Currents, membranes, spikes, scores and class, on the rungs below the reference model."""
    code = cli.main(["sim", "--contract", str(FILE), "--level", level, "--json"])
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert [case["name"] for case in cases] == contract.names(FILE)
    assert all(case["equal"] and case["first"] is None for case in cases) and code == 0


@pytest.mark.parametrize("text,words", [(None, "cannot be read"), ("{", "must be a contract file"),
                                        ("[]", "must be a contract file"),
                                        ('{"cases": []}', "at least one case"),
                                        ('{"cases": [{"name": null}]}', "each with a name"),
                                        ('{"cases": [{"name": "x"}, {"name": "x"}]}', "twice 'x'"),
                                        ('{"cases": [{"name": "x"}]}', "'x' is malformed")])
def test_a_bad_contract_file_is_one_line(tmp_path, capsys, text, words):
    path = tmp_path / "cases.json"
    if text is not None:
        path.write_text(text)
    assert cli.main(["sim", "--contract", str(path), "--level", "reference"]) == 2
    assert words in capsys.readouterr().err


def altered(tmp_path, keys, value):
    """A file of the first worked example with one value changed, or left out."""
    item = json.loads(FILE.read_text())["cases"][0]
    place = item
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [item]}))
    return path


@pytest.mark.parametrize("keys,value,words", [
    (("layers", 0, "codes", 0, 0), 1.5, "must be integers"),
    (("layers", 0, "codes", 0, 0), 1 << 20, "at most 16 bits"),
    (("layers", 0, "bias", 0), 1 << 40, "at most 32 bits"),
    (("input", "p8", 0), 1.5, "must be integers"),
    (("expect", "v"), None, "'v'"), (("expect", "v"), [], "expect.v must hold 2 layers, not 0"),
    (("expect", "spikes", 0, 0, 0), "x", "must be integers"),
    (("expect", "scores", 0), 0.5, "must be integers"), (("expect", "class"), None, "'class'")])
def test_a_malformed_case_is_named(tmp_path, capsys, keys, value, words):
    path = altered(tmp_path, keys, value)
    assert cli.main(["sim", "--contract", str(path), "--level", "reference"]) == 2
    error = capsys.readouterr().err
    assert f"{path}: case '{CASES[0].name}' is malformed" in error and words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("keys,place", [
    (("expect", "current", 1, 2, 3), (1, 2, 3)), (("expect", "v", 0, 1, 2), (0, 1, 2)),
    (("expect", "spikes", 1, 3, 0), (1, 3, 0)), (("expect", "scores", 1), (None, None, None)),
    (("expect", "class"), (None, None, None))])
@pytest.mark.parametrize("level", ["reference", "amaranth"])
def test_a_wrong_expectation_is_found(tmp_path, capsys, level, keys, place):
    path = altered(tmp_path, keys, 99)
    assert cli.main(["sim", "--contract", str(path), "--level", level, "--json"]) == 1
    (case,) = json.loads(capsys.readouterr().out)["cases"]
    first = case["first"]
    assert not case["equal"] and first["what"] == keys[1]
    assert (first["layer"], first["timestep"], first["neuron"]) == place
    assert first["expected"] != first["got"]


@pytest.mark.parametrize("options", [["--count", "3"], ["--waves"]])
def test_options_of_a_run_are_refused(capsys, options):
    assert cli.main(["sim", "--contract", str(FILE), "--level", "amaranth", *options]) == 2
    assert f"{options[0]} must not be used with --contract" in capsys.readouterr().err
