"""`spikeloom show store`, `store export` and `import`: tables, filters, and refusals."""

import io
import json
import sys

import msgspec
import pytest
from measurements import NOTHING, TOOLS, fill, graph, measured

from spikeloom.flow.cli import main
from spikeloom.flow.commands import show_store
from spikeloom.flow.cost.measured import Measurement
from spikeloom.flow.cost.salvage import open_store


@pytest.fixture(autouse=True)
def data(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKELOOM_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(show_store, "identities", lambda: TOOLS)
    return tmp_path / "data/measurements.sqlite"


@pytest.fixture
def some(data):
    """A store of four measurements, one of them a failure, one of them by other tools."""
    items = [measured("a", design=graph().digest(), finished=1.0),
             measured("b", board="up5k:sg48", lowering="spatial+folded", finished=2.0),
             measured("c", status="over-full", device="HX1K", lc=2000, finished=3.0,
                      tools=TOOLS | {"yosys": "yosys 0.99"}),
             measured("d", status="timed-out", lowering="folded", seconds={}, finished=4.0)]
    with open_store() as store:
        for item in items:
            store.add(item, graph() if item.plan == "a" else None)
    return items


def shown(capsys, *argv, code=0):
    assert main(list(argv)) == code
    return capsys.readouterr().out


def as_json(capsys, *argv):
    return json.loads(shown(capsys, *argv, "--json"))


def refused(capsys, *argv):
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_no_store_is_one_line_and_no_file(capsys, data, tmp_path):
    for options in ((), ("--store", str(tmp_path / "none.sqlite")), ("--status", "failed")):
        text = shown(capsys, "show", "store", *options)
        assert text.count("\n") == 1
        assert "no measurements yet; 'spikeloom synth', 'search' and 'bench characterise'" in text
    found = as_json(capsys, "show", "store")
    assert found["measurements"] == [] and found["stored"] == 0 and found["store"] == str(data)
    assert "no measurements yet" in refused(capsys, "store", "export", str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_what_was_measured(capsys, some):
    lines = shown(capsys, "show", "store").splitlines()
    row, = (line.split() for line in lines if "up5k:sg48" in line)
    assert row[2:] == ["n" * 8, "up5k:sg48", "spatial+folded", "routed", "1,234", "2", "3", "5",
                       "0.3", "37.4", "616", "20,480", "3"]
    late, = (line.split() for line in lines if "timed-out" in line and "folded" in line)
    assert late[2:] == ["n" * 8, "icebreaker", "folded", "timed-out", "616"]
    assert "4 measurements: 2 routed, 1 over-full, 1 timed-out" in lines
    assert "3 by the tools here: icepack 1, nextpnr 0.11, yosys 0.70" in lines
    assert "1 by other tools than here: icepack 1, nextpnr 0.11, yosys 0.99" in lines


def test_json_has_every_field(capsys, some):
    found = as_json(capsys, "show", "store")
    assert [msgspec.convert(item, Measurement) for item in found["measurements"]] == some
    assert found["status"] == {"routed": 2, "over-full": 1, "timed-out": 1}
    assert [(item["count"], item["here"]) for item in found["tools"]] == [(3, True), (1, False)]


@pytest.mark.parametrize(("options", "plans"), [
    (("--board", "icebreaker"), "acd"), (("--board", "up5k:sg48"), "b"),
    (("--device", "hx1k"), "c"),
    (("--lowering", "spatial+folded"), "b"), (("--lowering", "shared"), ""),
    (("--status", "routed", "--board", "icebreaker"), "a"), (("--limit", "2"), "cd")])
def test_filters(capsys, some, options, plans):
    found = as_json(capsys, "show", "store", *options)
    assert "".join(item["plan"] for item in found["measurements"]) == plans
    text = shown(capsys, "show", "store", *options)
    if not plans:
        assert "none of 4 measurements is of lowering shared" in text
    if "--limit" in options:
        assert "4 measurements: " in text and "the last 2 of them are shown" in text


@pytest.mark.parametrize(("options", "message"), [
    (("--board", "icebraker"), "--board: unknown board 'icebraker'; did you mean 'icebreaker'?"),
    (("--device", "up5"), "--device: unknown device 'UP5'; did you mean 'UP5K'?"),
    (("--lowering", "foldd"), "--lowering: unknown lowering 'foldd'; did you mean 'folded'?"),
    (("--status", "over-ful"), "--status: unknown status 'over-ful'; did you mean 'over-full'?"),
    (("--limit", "0"), "--limit must be at least 1, not 0")])
def test_unknown_values_are_refused(capsys, some, options, message):
    assert message in refused(capsys, "show", "store", *options)


def test_people_see_the_last_twenty(capsys, data):
    fill(data, 25)
    text = shown(capsys, "show", "store")
    assert sum("icebreaker" in line for line in text.splitlines()) == 20
    assert "25 measurements: 25 routed; the last 20 of them are shown" in text
    assert len(as_json(capsys, "show", "store")["measurements"]) == 25


def test_a_damaged_store_is_no_business_of_a_query(capsys, data):
    fill(data, 25)
    data.write_bytes(b"x" * 100 + data.read_bytes()[100:])
    before = data.read_bytes()
    assert "is damaged (" in refused(capsys, "show", "store")
    assert data.read_bytes() == before and not data.with_name(f"{data.name}.1").exists()


def test_what_is_exported_is_imported(capsys, some, tmp_path):
    file, other = tmp_path / "out/all.jsonl", tmp_path / "other.sqlite"
    text = shown(capsys, "store", "export", str(file))
    assert text == f"4 measurements with 1 network\n{file}\n"
    text = shown(capsys, "store", "import", str(file), "--store", str(other))
    assert text.startswith("4 added, 0 known already, 0 differ; 4 are stored now\n")
    assert as_json(capsys, "store", "import", str(file))["known"] == 4
    with open_store(other) as store:
        assert store.select() == some and store.graph(some[0].design) is not None
    some_of = as_json(capsys, "store", "export", str(file), "--status", "routed")
    assert (some_of["measurements"], some_of["networks"]) == (2, 1)
    assert len(file.read_text().splitlines()) == 3


def test_through_a_pipe(capsys, monkeypatch, some, tmp_path):
    assert main(["store", "export", "-"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5 and err == "4 measurements with 1 network\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out.encode())))
    found = as_json(capsys, "store", "import", "-", "--store", str(tmp_path / "other.sqlite"))
    assert (found["added"], found["stored"]) == (4, 4)


def test_what_differs_is_named_and_the_own_is_kept(capsys, some, tmp_path):
    file = tmp_path / "f.jsonl"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(some[0], lc=1235)) + b"\n"
                     + msgspec.json.encode(measured("d", status="routed", lowering="folded")))
    assert main(["store", "import", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("1 added, 0 known already, 1 differ; 4 are stored now\n")
    assert err == ("network nnnnnnnn on icebreaker, seed 1, plan a: routed with 1,235 LCs at 0.33 "
                   "MHz came, routed with 1,234 LCs at 0.33 MHz is kept; the same tools should "
                   "agree\n")
    assert [item["lc"] for item in as_json(capsys, "show", "store", "--board", "icebreaker")
            ["measurements"] if item["plan"] == "a"] == [1234]


def test_nothing_is_half_imported(capsys, some, tmp_path):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(msgspec.json.encode(measured("new")))
    bad.write_bytes(msgspec.json.encode(measured("newer")) + b"\n\n{\"lc\": 1}\n")
    assert f"{bad}: line 3 must be a measurement" in refused(
        capsys, "store", "import", str(good), str(bad))
    with open_store() as store:
        assert store.count() == 4
    assert "cannot be read" in refused(capsys, "store", "import", str(good), str(tmp_path / "no"))


def test_an_export_leaves_no_half_file(capsys, some, tmp_path):
    (tmp_path / "there").mkdir()
    assert main(["store", "export", str(tmp_path / "there")]) == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not list(tmp_path.glob(".there*"))


@pytest.mark.parametrize(("argv", "message"), [
    (("exprt", "f"), "unknown thing to do with a store 'exprt'; did you mean 'export'?"),
    (("export", "f", "g"), "export must be given one FILE, not 2"),
    (("export", "-", "--json"), "--json must be left out where FILE is '-'"),
    (("export", "f", "--status", "fine"), "--status: unknown status 'fine'"),
    (("import", "f", "--board", "icebreaker"), "--board must be left out of import")])
def test_bad_requests_are_refused(capsys, some, argv, message):
    assert message in refused(capsys, "store", *argv)


def test_a_failure_has_no_numbers_in_an_export(capsys, some):
    assert main(["store", "export", "-", "--status", "timed-out"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert all(line[name] is None for name in NOTHING)
