"""Studies: points that are kept, curves and pictures, and the crossbars' study of a run."""

import csv
import json

import numpy as np
import pytest
from networks import random_graph, random_images

from spikeloom.flow import cli
from spikeloom.flow.errors import RunError
from spikeloom.flow.run import Run
from spikeloom.nas import studies
from spikeloom.nas.pictures import Curve, Line, draw
from spikeloom.nas.studies import crossbar
from spikeloom.nas.study import Points, Sheet, keep, table
from spikeloom.sim import reference
from spikeloom.sim.commands import demo


def test_points_are_kept_one_by_one(tmp_path):
    path, asked = tmp_path / "points.json", []

    def measure(value):
        if value == 3:
            raise KeyboardInterrupt
        asked.append(value)
        return {"mean": value / 10}

    points = Points(path)
    with pytest.raises(KeyboardInterrupt):
        for value in (1, 2, 3):
            points.find({"b": 1, "value": value}, lambda v=value: measure(v))
    again = Points(path)
    assert again.find({"value": 2, "b": 1}, lambda: measure(2)) == {"mean": 0.2}
    assert again.find({"value": 4, "b": 1}, lambda: measure(4)) == {"mean": 0.4}
    assert asked == [1, 2, 4] and again.measured == 1
    for text in ("{", "[]", '{"format": 1}', '{"format": 1, "points": []}'):
        path.write_text(text)
        with pytest.raises(RunError, match=r"points.json: is damaged .*delete it and run the st"):
            Points(path)


def test_points_by_several_processes_are_those_by_one(tmp_path):
    keys = [{"value": value} for value in (1, 2, 3, 2)]
    counted = []
    one, many = Points(tmp_path / "one.json"), Points(tmp_path / "many.json")
    found = one.every(keys, dict, note=lambda done, todo: counted.append((done, todo)))
    assert found == keys and counted == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert many.every(keys, dict, jobs=2) == found and many.measured == 3
    assert Points(tmp_path / "many.json").every(keys, None, jobs=2) == found


def test_an_interrupt_keeps_the_points_before_it(tmp_path):
    def measure(key):
        if key["value"] == 2:
            raise KeyboardInterrupt
        return key

    points = Points(tmp_path / "points.json")
    with pytest.raises(KeyboardInterrupt, match="run the same command again to go on"):
        points.every([{"value": value} for value in range(4)], measure)
    again = Points(tmp_path / "points.json")
    assert again.every([{"value": value} for value in range(4)], dict)[3] == {"value": 3}
    assert again.measured == 2


def test_a_sheet_is_text_csv_and_latex():
    sheet = Sheet("some", "All of\nthem", (("name", ""), ("share_%", ".1%"), ("met", "")),
                  (("a_b & c", 0.125, True), ("d|e", None, False), ("f", float("nan"), None)))
    assert sheet.csv() == "name,share_%,met\na_b & c,0.125,True\nd|e,,False\nf,,\n"
    assert sheet.texts() == [["a_b & c", "12.5%", "yes"], ["d|e", "-", "NO"], ["f", "-", "-"]]
    assert sheet.latex() == r"""% All of them
\begin{tabular}{lrl}
\hline
name & share\_\% & met \\
\hline
a\_b \& c & 12.5\% & yes \\
d\textbar{}e & - & NO \\
f & - & - \\
\hline
\end{tabular}
"""
    assert sheet.plain()[1] == {"name": "d|e", "share_%": None, "met": False}


def test_sheets_and_pictures_are_kept_by_their_names(tmp_path):
    sheet = Sheet("some", "Some", (("name", ""),), (("a",),))
    panel = Curve("wires", "ohm", (0.0, 1.0), (Line("as it is", (0.9, 0.8)),))
    files = keep(tmp_path, "study", [sheet], [panel], "a title", "accuracy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "some.csv", "some.tex", "study.pdf", "study.png", "study.svg"]
    assert files == [str(tmp_path / name) for name in ("some.csv", "some.tex", "study.svg",
                                                       "study.pdf", "study.png")]
    assert keep(tmp_path / "b", "study", [sheet], [], "", "") == [
        str(tmp_path / "b" / name) for name in ("some.csv", "some.tex")]


def test_a_table_is_csv():
    assert table(("a", "b"), [(1, "x, y"), (2.5, "")]) == 'a,b\n1,"x, y"\n2.5,\n'


def test_pictures_have_lines_bands_and_words_and_repeat(tmp_path):
    line = Line("as it is", (0.9, 0.8, 0.5), (0.01, 0.05, 0.6))
    curves = [Curve("wires", "ohm", (0.0, 1.0, 5.0), (line,), level=("ideal", 0.95)),
              Curve("size", "rows", (16.0, 32.0, 64.0), (line, line), log=True,
                    ticks=(16.0, 32.0, 64.0)),
              Curve("more", "rows", (1.0, 2.0, 3.0), (line,))]
    files = draw(curves, "a title", "accuracy", tmp_path / "curves")
    assert [path.name for path in files] == ["curves.svg", "curves.pdf", "curves.png"]
    assert files[2].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and files[2].stat().st_size > 10_000
    svg = files[0].read_text()
    for words in ("a title", "wires", "ohm", "accuracy", "ideal", "as it is", "64"):
        assert f"<!-- {words} -->" in svg
    assert svg.count("FillBetweenPolyCollection") == 4, "a band per line"
    assert draw(curves, "a title", "accuracy", tmp_path / "b")[0].read_text() == svg


def test_studies_are_found_by_their_files():
    assert studies.names() == ["autosnn", "budget", "compare", "crossbar", "operations",
                               "precision", "scores"]
    for name in studies.names():
        module = studies.load(name)
        assert module.WHAT and callable(module.configure) and callable(module.run)


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(2)
    graph = random_graph(rng, sizes=(12, 8, 3), encoder="rate", num_steps=3)
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    images, fit = random_images(rng, graph, 20), random_images(rng, graph, 20)
    opened.save_samples(images, reference.run(graph, images).classes)
    opened.save_calibration(fit, reference.run(graph, fit).classes)
    return opened


def study(run, *argv):
    return cli.main(["study", "crossbar", "--run", str(run.path), "--draws", "2", *argv])


def test_the_crossbars_study_is_resumed_and_shares_its_middle_point(run, capsys, monkeypatch):
    assert study(run, "--sweep", "adc_bits", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["measured"] == 2 * 6 and list(first["sweeps"]) == ["adc_bits"]
    assert study(run, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    # 7 + 6 + 5 + 6 values of two lines, of which every sweep after the first has one in common
    assert data["measured"] == 2 * (7 + 5 + 6 - 3)
    assert data["sweeps"]["adc_bits"] == first["sweeps"]["adc_bits"]
    text = (run.path / "study/crossbar/curves.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 48 and list(rows[0]) == [name for name, _ in crossbar.COLUMNS]
    assert {row["sweep"] for row in rows} == set(crossbar.SWEEPS)
    middle = {(row["mean"], row["sd"]) for row in rows if row["repair"] == ""
              and (row["sweep"], float(row["value"])) in {("variation", 0.1), ("adc_bits", 4.0),
                                                          ("size", 64.0), ("wire", 5.0)}}
    assert len(middle) == 1
    assert {path.name for path in (run.path / "study/crossbar").iterdir()} == {
        "points.json", "curves.csv", "curves.tex", "curves.svg", "curves.pdf", "curves.png"}
    monkeypatch.setattr(crossbar.Work, "measure", None)
    assert study(run, "--sweep", "wire,size") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "wires: accuracy, mean and standard deviation" in text and "±" in text


def test_an_interrupted_study_says_where_it_goes_on(run, capsys, monkeypatch):
    real, calls = crossbar.Work.measure, []

    def measure(self, *args):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(args)
        return real(self, *args)

    monkeypatch.setattr(crossbar.Work, "measure", measure)
    assert study(run, "--sweep", "wire") == 130
    assert "finished points are in" in capsys.readouterr().err
    monkeypatch.setattr(crossbar.Work, "measure", real)
    assert study(run, "--sweep", "wire", "--json") == 0
    assert json.loads(capsys.readouterr().out)["measured"] == 12 - 3


def test_a_point_depends_on_all_that_it_is_measured_on(run):
    graph = run.graph()
    images, labels = run.samples()
    work = crossbar.Work(graph, images, labels, *run.calibration(), 2, 0)
    array, effects = crossbar.Array(), crossbar.Effects()
    keys = [work.key(array, effects, None),
            work.key(array, effects, crossbar.Repair(names=("gain",))),
            work.key(crossbar.Array(rows=32), effects, None),
            work.key(array, crossbar.Effects(variation=0.1), None)]
    for change in ({"draws": 3}, {"seed": 1}, {"images": images[:5]}, {"labels": labels[::-1]},
                   {"calibration": images}):
        keys.append(crossbar.Work(**{**vars(work), **change}).key(array, effects, None))
    assert len({json.dumps(key) for key in keys}) == len(keys)


def test_without_repair_there_is_one_line(run, capsys):
    assert study(run, "--sweep", "size", "--repair", "none", "--count", "5", "--set", "r_col=1",
                 "--variation", "0.2", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["measured"] == 5 and data["images"] == 5
    assert data["array"]["r_col"] == 1 and data["effects"]["variation"] == 0.2
    assert [point["value"] for point in data["sweeps"]["size"]] == [16, 32, 64, 128, 256]


@pytest.mark.parametrize("argv,words", [
    (["--sweep", "varation"], "did you mean 'variation'"),
    (["--sweep", "wire,wire"], "--sweep must be different ones"),
    (["--repair", "gian"], "did you mean 'gain'"), (["--draws", "0"], "draws must be in 1..10,000"),
    (["--seed", "-1"], "--seed must be in 0..4294967295"), (["--count", "21"], "--count must be"),
    (["--set", "rows=0"], "rows must be in 1..4096"),
    (["--variation", "-1"], "variation must be 0 or more"),
])
def test_bad_options(run, argv, words, capsys):
    assert study(run, *argv) == 2
    assert words in capsys.readouterr().err


def test_a_layer_that_streams_feed_is_said_to_be_digital(tmp_path, capsys):
    run = demo.install(tmp_path / "demo")
    argv = ["study", "crossbar", "--run", str(run.path), "--draws", "1", "--count", "2", "--sweep",
            "wire", "--repair", "none"]
    assert cli.main(argv) == 0
    assert "digital and exact: fc1; ideal" in " ".join(capsys.readouterr().out.split())
    assert cli.main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digital"] == ["fc1"]


def test_a_study_must_be_named(tmp_path, capsys):
    for argv in ([], ["crossbars"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(["study", *argv])
        assert caught.value.code == 2
    assert cli.main(["study", "--run", str(tmp_path), "crossbar"]) == 2
    assert f"{tmp_path}: is not a run directory" in capsys.readouterr().err
