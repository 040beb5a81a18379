"""`spikeloom export`: the core as Verilog, its description, and a bench that can fail."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from networks import random_graph, random_images
from teeth import bitten, changed

from spikeloom.flow import cli, tools
from spikeloom.flow import export as core_export
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.run import Run
from spikeloom.sim import export as bench_export
from spikeloom.sim import reference
from spikeloom.sim.seen import cycles


def make_run(path, graph, images):
    opened = Run.create(path)
    graph.save(opened.graph_file)
    opened.save_samples(images, np.zeros(len(images)))
    return opened


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", *bitten())


def export(opened, *argv):
    return cli.main(["export", "--verilog", "--run", str(opened.path), *argv])


@pytest.mark.parametrize("settings", [
    {"encoder": "stream", "input_sng": "sobol2", "sizes": (20, 5, 3)},
    {"encoder": "rate", "readout": "spike_count", "delays": [1, 2]},
    {"encoder": "spikes", "kind": "homeostatic", "lengths": [16, 8]},
    {"encoder": "stream", "sizes": (3, 1), "num_steps": 1},
], ids=lambda settings: f"{settings['encoder']}-{len(settings)}")
def test_the_bench_passes(settings, tmp_path, capsys):
    rng = np.random.default_rng(11)
    graph = random_graph(rng, **settings)
    opened = make_run(tmp_path / "digits-1", graph, random_images(rng, graph, 4))
    out = tmp_path / "deep" / "export"
    assert export(opened, "--out", str(out), "--images", "3", "--check", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    scores = 3 * graph.readout.size
    assert data["passed"] and data["module"] == "spikeloom_digits_1"
    assert re.fullmatch(rf"PASS: 3 images, {scores} scores equal, {data['latency']} to \d+ clocks "
                        "each", data["bench"][-1])
    assert sorted(path.name for path in out.iterdir()) == data["files"]


@pytest.mark.parametrize("settings,lanes", [
    ({"encoder": "stream", "input_sng": "sobol2", "sizes": (20, 5, 3)}, (4, 3)),
    ({"encoder": "stream", "sizes": (12, 6, 3)}, (None, 2)),
    ({"encoder": "rate", "readout": "spike_count"}, (3, None)),
    ({"encoder": "spikes", "delays": [1, 2]}, (1, 4)),
], ids=["folded-stream", "mixed-stream", "mixed-rate", "folded-spikes"])
def test_the_bench_expects_the_clocks_that_spikes_cost(settings, lanes, tmp_path, capsys):
    """Layers with lanes here are folded."""
    rng = np.random.default_rng(13)
    graph = random_graph(rng, **settings)
    graph = graph.replace(**{dense.name: {"lowering": "folded", "lanes": count}
                             for (dense, _), count in zip(graph.layers, lanes, strict=True)
                             if count})
    images = random_images(rng, graph, 3)
    opened = make_run(tmp_path / "run", graph, images)
    assert export(opened, "--check", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    graph = compile_graph(graph)
    counts = [core_export.latency(graph, count) for count in cycles(graph, images)]
    assert data["passed"] and min(counts) < max(counts) < data["latency"]
    folder = opened.path / "export"
    assert (folder / "clocks.hex").read_text().split() == [f"{count:08x}" for count in counts]
    assert json.loads((folder / "core.json").read_text())["event_driven"]
    assert "or from an earlier one" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["a weight's lowest bit", "generator of the weights", "delay"])
def test_the_bench_sees_a_change(name, tmp_path, capsys, monkeypatch):
    """It sees scores only, so small changes show on some images only."""
    graph, _ = bitten()
    images = random_images(np.random.default_rng(6), graph, 20)
    wanted, got = (reference.run(g, images) for g in (graph, changed(name)))
    opened = make_run(tmp_path / "run", graph, images)
    real = core_export.lower_core
    monkeypatch.setattr(core_export, "lower_core", lambda graph: real(changed(name)))
    assert export(opened, "--images", "20", "--check") == 1
    said = capsys.readouterr().out
    assert re.search(r"^FAIL: \d+ differences in 20 images$", said, re.M)
    image, score = np.argwhere(wanted.scores != got.scores)[0]
    assert (f"image {image}, class {score}: score {got.scores[image, score]}, expected "
            f"{wanted.scores[image, score]}\n") in said


@pytest.mark.parametrize("difference,said", [
    ({"bytes_per_image": 1}, "FAIL: image 0: pixels_ready stays low at byte 12"),
    ({"bytes_per_image": -1}, "FAIL: image 0: done stays low"),
])
def test_the_bench_sees_an_image_of_another_size(difference, said, tmp_path):
    network, images = bitten()
    verilog, description = core_export.export(network, "core")
    (key, by), = difference.items()
    other = replace(description, **{key: getattr(description, key) + by})
    (tmp_path / "core.v").write_text(verilog)
    for name, text in bench_export.bench(network, images, other).items():
        (tmp_path / name).write_text(text)
    passed, lines = bench_export.check(tmp_path)
    assert not passed and said in lines


def test_the_bench_counts_clocks(tmp_path):
    network, images = bitten()
    verilog, description = core_export.export(network, "core")
    files = bench_export.bench(network, images, description) | {"core.v": verilog}
    took = description.latency
    files["clocks.hex"] = f"{took + 1:08x}\n" * len(images)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    passed, lines = bench_export.check(tmp_path)
    assert not passed and f"image 0: took {took} clocks, expected {took + 1}" in lines


def test_the_description_is_that_of_the_module(run, capsys):
    assert export(run, "--module", "my_core") == 0
    folder = run.path / "export"
    assert capsys.readouterr().out == f"{folder / 'core.v'}\n"
    document = json.loads((folder / "core.json").read_text())
    verilog = (folder / "core.v").read_text()
    graph = compile_graph(run.graph())
    assert document["graph"] == graph.text() and document["design"] == graph.digest()[:16]
    assert (document["bytes_per_image"], document["classes"], document["num_steps"]) == (12, 3, 4)
    header = re.search(r"^module my_core\((.*)\);$", verilog, re.M)[1]
    assert sorted(header.split(", ")) == sorted(port["name"] for port in document["ports"])
    readme = (folder / "README.md").read_text()
    for port in document["ports"]:
        sign = "signed " if port["signed"] else ""
        width = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        body = verilog.split(header)[1]
        assert f"  {port['direction']} {sign}{width}{port['name']};\n" in body.split("endmodule")[0]
        assert f"| `{port['name']}` | {port['direction']} |" in readme
    assert f"the {document['latency']}th rising edge" in readme


def test_block_memories_stay_block_memories():
    """Columns of 8 clocks are so small that a synthesiser must be told to use block memory."""
    graph = compile_graph(random_graph(np.random.default_rng(3)))
    verilog, _ = core_export.export(graph, "core")
    assert set(re.findall(r"\(\* (\w+)", verilog)) <= set(core_export.ATTRIBUTES)
    script = ("read_verilog core.v\nhierarchy -top core\nflatten\nproc\nopt\nmemory -nomap\n"
              "memory_libmap -lib +/ice40/brams.txt\ntee -q -o top.json stat -json\n")
    statistics = json.loads(tools.yosys("core.v", verilog, script, "top.json", what="map memories"))
    cells = statistics["design"]["num_cells_by_type"]
    # The pixels, and the columns twice, for two ports to read.
    assert sum(count for cell, count in cells.items() if "ICE40_RAM" in cell) == 3, cells
    assert core_export.export(graph, "core")[0] == verilog


def test_only_an_earlier_export_is_overwritten(run, tmp_path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    assert export(run, "--out", str(mine)) == 0  # empty
    (mine / "core.v").write_text("old")
    assert export(run, "--out", str(mine)) == 0
    assert (mine / "core.v").read_text().startswith("// spikeloom_run: ")
    (mine / "core.json").unlink()
    (mine / "README.md").write_text("of another project")
    assert export(run, "--out", str(mine)) == 2
    assert "which has other files; choose another --out" in capsys.readouterr().err
    assert (mine / "README.md").read_text() == "of another project"


@pytest.mark.parametrize("argv,words", [
    (["--images", "0"], "--images must be in 1..3, the test images of this run, not 0"),
    (["--images", "4"], "--images must be in 1..3"),
    (["--module", "2x"], "--module must be a Verilog identifier"),
    (["--module", "a b"], "not 'a b'"),
    (["--module", "begin"], "--module must be no reserved word of Verilog, as 'begin' is"),
    (["--out", "FILE"], "is a file); choose another --out"),
    (["--out", "FILE/below"], "--out must be a directory"),
    (["--run", "none"], "none: is not a run directory"),
    (["--vhdl"], "unrecognized arguments: --vhdl"),
])
def test_bad_input(run, argv, words, tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    argv = [word.replace("FILE", str(tmp_path / "taken")) for word in argv]
    try:
        code = export(run, *argv)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2 and words in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "mine" and not (run.path / "export").exists()


def test_a_format_must_be_named(run, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["export", "--run", str(run.path)])
    assert stopped.value.code == 2 and "--verilog is required" in capsys.readouterr().err


def test_without_icarus_the_export_stands(run, capsys, monkeypatch):
    real = tools.shutil.which
    monkeypatch.setattr(tools.shutil, "which", lambda name, **options: (
        None if name == "iverilog" else real(name, **options)))
    assert export(run, "--check") == 1
    assert "iverilog is missing" in capsys.readouterr().err
    assert (run.path / "export" / "bench.v").exists()
