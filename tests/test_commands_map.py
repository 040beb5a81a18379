"""`spikeloom map`: what it prints, what it keeps, and how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from networks import residual_graph

from spikeloom.flow import ir
from spikeloom.flow.cim.plan import load_plan
from spikeloom.flow.cli import main
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons import Lif

EXAMPLES = Path(__file__).parents[1] / "examples"
VGG9, SNASNET = str(EXAMPLES / "vgg9.csv"), str(EXAMPLES / "snasnet.toml")


def shown(capsys, *argv, code=0):
    assert main(["map", *argv]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys, *argv):
    assert main(["map", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def made(path, graph):
    opened = Run.create(path)
    graph.save(opened.graph_file)
    return str(path)


def test_a_published_network_is_mapped_without_a_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = shown(capsys, "--layers", VGG9)
    assert "conv7  256 -> 256, 3 x 3" in text and "fc8" in text and "fewer than the" in text
    assert "--out DIR keeps this as plan.json, plan.svg, actions.json and cost.json" in text
    assert not list(tmp_path.iterdir())
    data = json.loads(shown(capsys, "--layers", VGG9, "--json", "--set", "cell_bits=4",
                            "--set", "encoding=offset", "--num-steps", "3"))
    assert [layer["pes"] for layer in data["layers"]][:7] == [1, 1, 2, 4, 8, 16, 16]
    assert data["num_steps"] == 3 and data["files"] == {} and data["digital"] == []
    assert data["bit_hops"]["placed"] < data["bit_hops"]["row_major"]
    assert data["cells_used"] == 5938880, "its weights, one cell each"


def test_what_is_kept_is_the_plan_that_was_printed(capsys, tmp_path):
    argv = ("--layers", SNASNET, "--set", "encoding=offset", "--out", str(tmp_path / "new" / "x"))
    data = json.loads(shown(capsys, *argv, "--json"))
    plan = load_plan(tmp_path / "new" / "x" / "plan.json")
    assert data["files"]["plan"] == str(tmp_path / "new" / "x" / "plan.json")
    assert (data["crossbars"], data["tiles"]) == (plan.crossbars, len(plan.tiles)) == (10560, 150)
    assert data["layers"][5]["tiles"] == plan.layers[5].tiles == 32
    assert "<svg" in Path(data["files"]["picture"]).read_text()
    first = Path(data["files"]["plan"]).read_bytes()
    shown(capsys, *argv)
    assert Path(data["files"]["plan"]).read_bytes() == first, "the same seed, the same plan"


def test_a_run_is_mapped_from_its_own_weights_into_its_own_folder(capsys, tmp_path):
    path = made(tmp_path / "run", residual_graph(np.random.default_rng(2), encoder="rate"))
    data = json.loads(shown(capsys, "--run", path, "--json"))
    assert data["network"] == "run" and data["digital"] == []
    assert [layer["name"] for layer in data["layers"]] == ["conv1", "conv2", "conv3", "fc4"]
    plan = load_plan(tmp_path / "run" / "cim" / "plan.json")
    assert plan.layers[3].layer.input_bits == 3, "window sums of 2 x 2 spikes"
    assert (tmp_path / "run" / "cim" / "plan.svg").exists()


def test_a_layer_that_streams_feed_stays_digital(capsys, tmp_path):
    layers = [{"out_features": size, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
               "neuron": Lif(v_threshold=8)} for size in (20, 10)]
    graph = ir.chain(shape=(64,), encoder="stream", input_sng="ramp", layers=layers,
                     readout="membrane", num_steps=4)
    text = shown(capsys, "--run", made(tmp_path / "run", graph))
    assert "fc1 stays digital (1,280 synapses, 20 neurons): its input is streams of bits" in text
    assert "use the rate encoder to map it" in text
    one = ir.chain(shape=(64,), encoder="stream", input_sng="ramp", layers=layers[1:],
                   readout="membrane", num_steps=4)
    text = shown(capsys, "--run", made(tmp_path / "one", one))
    assert "nothing is on crossbars" in text and "fc1 stays digital" in text


def test_the_array_comes_from_a_file_and_from_options(capsys, tmp_path):
    path = tmp_path / "array.toml"
    path.write_text("rows = 128\ncols = 128\nshare_tiles = true\n")
    data = json.loads(shown(capsys, "--layers", VGG9, "--array", str(path), "--set", "cols=64",
                            "--json"))
    assert data["layers"][1]["outputs_per_crossbar"] == 10 and data["layers"][6]["row_blocks"] == 2
    assert "may share a tile" in shown(capsys, "--layers", VGG9, "--array", str(path))


@pytest.mark.parametrize(("options", "message"), [
    (("--run", "nowhere"), "is not a run directory"),
    (("--layers", "no.csv"), "no.csv: cannot be read"),
    (("--layers", VGG9, "--array", "no.toml"), "no.toml: cannot be read"),
    (("--layers", VGG9, "--set", "rwos=3"), "did you mean 'rows'?"),
    (("--layers", VGG9, "--set", "r_on=3e5"), "r_on must be less than r_off"),
    (("--layers", VGG9, "--set", "cols=4"), "conv1: a weight takes 6 columns"),
    (("--layers", VGG9, "--max-tiles", "0"), "--max-tiles must be in 1..65536, not 0"),
    (("--layers", VGG9, "--max-tiles", "100"), "vgg9: takes 134 tiles, 34 more than the chip has"),
    (("--layers", VGG9, "--seed", "-1"), "--seed must be in 0..2147483647, not -1"),
    (("--layers", VGG9, "--num-steps", "0"), "--num-steps must be in 1..65536, not 0"),
    (("--num-steps", "3"), "--num-steps must be used with --layers alone"),
    (("--layers", VGG9, "--out", VGG9), "cannot be written"),
])
def test_it_refuses_in_one_line(capsys, options, message):
    argv = list(options)
    if "--out" in argv:
        assert main(["map", *argv]) == 1
        assert message in capsys.readouterr().err
        return
    assert message in refused(capsys, *argv)
