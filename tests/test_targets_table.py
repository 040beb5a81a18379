"""`spikeloom report --targets`: one network side by side, what each number is, what fits not."""

import json
from importlib import resources
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from spikeloom.flow import ir
from spikeloom.flow.cim.array import Array
from spikeloom.flow.cim.cost.price import price
from spikeloom.flow.cim.mapper import map_network
from spikeloom.flow.cim.shapes import of_graph
from spikeloom.flow.cli import main
from spikeloom.flow.cost.energy import energy_nj
from spikeloom.flow.cost.estimate import estimate
from spikeloom.flow.passes.compile import compile_graph
from spikeloom.flow.passes.schedule import inference_cycles
from spikeloom.flow.report import Report, write_report
from spikeloom.flow.run import Run
from spikeloom.hdl.neurons.lif import Lif


def network(*widths, encoder="rate") -> ir.Graph:
    rng = np.random.default_rng(0)
    return ir.chain(
        shape=(widths[0],), encoder=encoder, readout="membrane", num_steps=4,
        input_sng="ramp" if encoder == "stream" else None, layers=[{
            "out_features": outputs, "weight_bits": 4, "bitstream_length": 8, "sng": "sobol1",
            "neuron": Lif(v_threshold=5), "bias": np.zeros(outputs, np.int32),
            "weight": rng.integers(-7, 8, (outputs, inputs)).astype(np.int16),
        } for inputs, outputs in pairwise(widths)])


@pytest.fixture
def shown(tmp_path, capsys):
    """Keep a network as a run, and the report's text or data of it."""
    def show(graph, *argv, code=0):
        run = Run.create(tmp_path / "run")
        graph.save(run.graph_file)
        assert main(["report", "--targets", "--run", str(run.path), *argv]) == code
        return capsys.readouterr().out
    return show


def targets(text: str) -> dict:
    return {item["name"]: item for item in json.loads(text)["targets"]}


def build(tmp_path, graph, board, device, **changes) -> Report:
    found = Report(**{
        "design": compile_graph(graph).digest(), "board": board, "device": device, "lc": 1234,
        "lut4": 1000, "ff": 500, "carry": 10, "ebr": 3, "spram": 0, "dsp": 0, "fmax_mhz": 21.5,
        "clock_mhz": 12.0, "meets_clock": True, "fits": True, "problem": "", "router": "router1",
        "tools": {}, "seed": 1, "seconds": {}, "cached": False, "plan": "", "bitstream": "",
        "bitstream_bytes": 0, "bitstream_sha256": ""} | changes)
    write_report(found, tmp_path / "run" / "build" / board / "report.json")
    return found


def test_without_a_build_models_say_it(shown):
    graph = network(16, 8, 4)
    found, whole = targets(shown(graph, "--json")), compile_graph(graph)
    for name in ("UP5K", "HX8K"):
        numbers, guess = found[name]["numbers"], estimate(whole, name)
        cycles = inference_cycles(whole)
        assert numbers["lc"] == {"value": guess.lc, "low": guess.lc_low, "high": guess.lc_high,
                                 "basis": "estimated", "most": False}
        assert (numbers["ebr"]["value"], numbers["ebr"]["basis"]) == (guess.ebr, "counted")
        assert numbers["fmax_mhz"]["value"] == guess.fmax_mhz
        assert (numbers["us"]["value"], numbers["us"]["basis"]) == (cycles / 12, "counted")
        energy = energy_nj(name, guess.lc, cycles, 12e6)
        assert numbers["uj"] == {"value": energy.total_nj / 1e3, "low": energy.low_nj / 1e3,
                                 "high": energy.total_nj / 1e3, "basis": "estimated",
                                 "most": False}
        assert found[name]["problem"] == "" and "tiles" not in numbers
    network_, numbers = of_graph(whole), found["CIM"]["numbers"]
    cost = price(network_, Array(), plan=map_network(network_, Array()))
    assert {key: (item["value"], item["basis"]) for key, item in numbers.items()} == {
        "tiles": (cost.tiles, "counted"), "mm2": (cost.area_mm2, "estimated"),
        "clock_mhz": (250.0, "given"), "us": (1e3 * cost.latency_ms, "estimated"),
        "uj": (cost.energy_uj, "estimated")}
    assert found["CIM"]["digital"] == []


def test_what_is_built_is_measured(shown, tmp_path):
    graph = network(16, 8, 4)
    build(tmp_path, graph, "icesugar", "UP5K", clock_mhz=24.0)
    build(tmp_path, graph, "ice40_hx8k_b_evn", "HX8K", design="of another network")
    build(tmp_path, graph, "icebreaker-proof", "UP5K", lc=99)
    (tmp_path / "run" / "run.json").write_text('{"format": 1}')
    found = targets(shown(graph, "--json"))
    assert found["UP5K"]["board"] == "icesugar" and found["UP5K"]["notes"] == []
    numbers = found["UP5K"]["numbers"]
    for name, value in (("lc", 1234), ("ebr", 3), ("fmax_mhz", 21.5)):
        assert (numbers[name]["value"], numbers[name]["basis"]) == (value, "measured")
    assert numbers["us"]["value"] == inference_cycles(compile_graph(graph)) / 24
    assert numbers["uj"]["basis"] == "estimated"
    assert found["HX8K"]["numbers"]["lc"]["basis"] == "estimated"
    text = shown(graph)
    assert "1,234 measured" in text and "21.5 measured" in text and "24.0 given" in text
    assert "HX8K: not built: as spatial; 'spikeloom synth --board ice40_hx8k_b_evn'" in text


def test_a_build_that_does_not_fit_or_misses_the_clock(shown, tmp_path):
    graph = network(16, 8, 4)
    build(tmp_path, graph, "icebreaker", "UP5K", fits=False, fmax_mhz=0.0, meets_clock=False,
          lc=9000, bound=True, problem="at least 9,000 LCs do not fit")
    build(tmp_path, graph, "ice40_hx8k_b_evn", "HX8K", fmax_mhz=11.0, meets_clock=False)
    (tmp_path / "run" / "run.json").write_text('{"format": 1}')
    found = targets(shown(graph, "--json"))
    assert found["UP5K"]["problem"] == "at least 9,000 LCs do not fit"
    assert "fmax_mhz" not in found["UP5K"]["numbers"]
    assert found["HX8K"]["problem"] == "Fmax 11.0 MHz misses the board's 12 MHz"
    text = shown(graph)
    assert "at least 9,000 counted" in text and "UP5K: at least 9,000 LCs do not fit" in text


def test_a_network_that_no_fpga_holds_is_on_crossbars(shown):
    text = shown(network(16, 300, 300, 4))
    assert "LCs do not fit the UP5K's 5,280" in text and "do not fit the HX8K's 7,680" in text
    fits = next(line for line in text.splitlines() if "fits" in line.split()[1:2])
    assert [word for word in fits.split() if word in ("yes", "no")] == ["no", "no", "yes"]


def test_a_layer_that_streams_feed_stays_digital(shown):
    with resources.as_file(resources.files("spikeloom.sim") / "demo" / "graph.safetensors") as file:
        graph = ir.load_graph(file)
    text = shown(graph)
    assert "but for fc1" in text
    assert "CIM: fc1 stays digital and is in none of the numbers: its input is streams" in text
    found = targets(shown(network(16, 4, encoder="stream"), "--json"))["CIM"]
    assert found["problem"] == "no layer is on crossbars" and found["numbers"] == {}
    assert found["digital"] == ["fc1"]
    assert "CIM: 1 bit a cell, ADCs of 4 bits" in text


def test_folded_layers_need_at_most_so_long(shown):
    graph = network(16, 8, 4)
    folded = graph.replace(**{layer.name: {"lowering": "folded", "lanes": 2}
                              for layer, _ in graph.layers})
    text = shown(folded)
    assert text.count("at most") == 2 and "UP5K: not built: as folded" in text


def test_the_array_is_the_users(shown, tmp_path):
    file = tmp_path / "array.toml"
    file.write_text("rows = 16\ncols = 16\n")
    data = json.loads(shown(network(16, 8, 4), "--array", str(file), "--set", "mux=4", "--json"))
    assert data["array"] == msgspec.to_builtins(Array(rows=16, cols=16, mux=4))
    assert targets(json.dumps(data))["CIM"]["board"] == "16 x 16"
    found = targets(shown(network(16, 8, 4), "--set", "cols=4", "--json"))["CIM"]
    assert found["problem"].startswith("fc1: a weight takes 6 columns") and not found["numbers"]


@pytest.mark.parametrize("option", [["--array", "x.toml"], ["--set", "rows=3"]])
def test_an_array_is_of_targets_alone(option, tmp_path, capsys):
    assert main(["report", "--run", str(tmp_path), *option]) == 2
    assert f"{option[0]} must be used with --targets" in capsys.readouterr().err
