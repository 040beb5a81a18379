"""A run's tables and figures for a paper: what is in them, and what a run without it lacks."""

import csv
import json

import numpy as np
import pytest
from networks import random_graph, random_images
from test_cells_export import IMAGES, network

from spikeloom.flow.cli import main
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.report import Report, write_report
from spikeloom.flow.run import Run
from spikeloom.nas.cells.export import export
from spikeloom.sim import reference
from spikeloom.sim.metrics import metrics


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def written(capsys, run, folder):
    assert main(["report", "--run", str(run), "--out", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def chain(tmp_path):
    rng = np.random.default_rng(2)
    graph = random_graph(rng, sizes=(12, 8, 3), encoder="rate", num_steps=3)
    opened = Run.create(tmp_path / "run")
    graph.save(opened.graph_file)
    images = random_images(rng, graph, 20)
    opened.save_samples(images, reference.run(graph, images).classes)
    return opened, graph, images


def test_tables_of_a_network_and_its_builds(chain, tmp_path, capsys):
    opened, graph, images = chain
    design = compile_graph(graph).digest()
    for board, digest in (("icebreaker", design), ("icesugar", "of another network")):
        write_report(Report(
            design=digest, board=board, device="UP5K", lc=900, lut4=800, ff=300, carry=100, ebr=2,
            spram=0, dsp=0, fmax_mhz=24.5, clock_mhz=12.0, meets_clock=True, fits=True, problem="",
            router="router2", tools={}, seed=3, seconds={}, cached=False, plan="", bitstream="",
            bitstream_bytes=0, bitstream_sha256=""), opened.build_dir(board) / "report.json")
    found = written(capsys, opened.path, tmp_path / "paper")
    names = {"layers", "metrics", "lengths", "builds"}
    assert found["tables"].keys() == names
    assert {path.name for path in (tmp_path / "paper").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("csv", "tex")}
    build, = rows(tmp_path / "paper/builds.csv")
    assert (build["board"], build["LCs"], build["test accuracy"]) == ("icebreaker", "900", "1.0")
    assert float(build["nJ, low"]) < float(build["nJ, high"])
    one, = rows(tmp_path / "paper/metrics.csv")
    wanted = metrics(graph, images)
    assert float(one["effective ACs"]) == wanted.effective_acs
    assert [row["weights of shape"] for row in rows(tmp_path / "paper/layers.csv")] == [
        "8x12", "3x8"]
    latex = (tmp_path / "paper/builds.tex").read_text()
    assert r"\begin{tabular}{llrrrrrrrrrrrr}" in latex and "icebreaker & UP5K & 900" in latex
    assert r"100.00\%" in latex and "24.5" in latex


def test_a_front_is_a_table_and_a_vector_figure(world, tmp_path, capsys):
    assert world.search() == 0
    capsys.readouterr()
    written(capsys, tmp_path / "run", tmp_path / "paper")
    found = json.loads((tmp_path / "run/search.json").read_text())
    front = rows(tmp_path / "paper/front.csv")
    assert [row["id"] for row in front] == found["front"]
    known = {item["id"]: item["measured"] for item in found["routed"]}
    assert [float(row["LCs"]) for row in front] == [known[name]["lc"] for name in found["front"]]
    assert (tmp_path / "paper/front.pdf").read_bytes().startswith(b"%PDF")
    svg = (tmp_path / "paper/front.svg").read_text()
    for words in ("front", "LCs", "accuracy"):
        assert f"<!-- {words} -->" in svg
    (tmp_path / "run/search.json").write_text("{")
    assert main(["report", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "p")]) == 2
    assert "search.json: is damaged (JSONDecodeError)" in capsys.readouterr().err


def test_a_network_of_cells_has_layers_and_metrics(tmp_path, capsys):
    opened = Run.create(tmp_path / "run")
    graph = export(network("3|33|333")).graph
    graph.save(opened.graph_file)
    opened.save_samples(IMAGES, np.zeros(len(IMAGES), np.int64))
    found = written(capsys, opened.path, tmp_path / "paper")
    assert found["tables"].keys() == {"layers", "metrics"}
    assert len(found["tables"]["layers"]) == len(graph.synapses)


def test_the_report_has_metrics_and_what_made_the_run(chain, capsys):
    opened, graph, images = chain
    assert main(["report", "--run", str(opened.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["network"]["metrics"]["dense"] == metrics(graph, images).dense
    assert found["manifest"]["commands"] == []
    assert main(["report", "--run", str(opened.path)]) == 0
    text = capsys.readouterr().out
    assert "NeuroBench metrics over 20 test images" in text
    assert "no command has been recorded" in text


def test_tables_of_targets_are_no_tables_of_a_run(chain, capsys):
    assert main(["report", "--run", str(chain[0].path), "--out", "x", "--targets"]) == 2
    assert "--out must not be used with --targets" in capsys.readouterr().err
