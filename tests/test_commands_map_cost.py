"""What `spikeloom map` says of costs: modes, steps between them, figures and spikes of a user's."""

import json
from pathlib import Path

import pytest

from spikeloom.flow.cim.cost.actions import load_actions
from spikeloom.flow.cim.cost.price import priced
from spikeloom.flow.cim.cost.table import shipped
from spikeloom.flow.cim.tables import load_network
from spikeloom.flow.cli import main

EXAMPLES = Path(__file__).parents[1] / "examples"
VGG9, SNASNET = str(EXAMPLES / "vgg9.csv"), str(EXAMPLES / "snasnet.toml")


def shown(capsys, *argv, code=0):
    assert main(["map", *argv]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def cost(capsys, *argv):
    return json.loads(shown(capsys, *argv, "--json"))["cost"]


def test_snasnet_is_priced_as_neuronas_printed(capsys):
    found = cost(capsys, "--layers", SNASNET, "--mode", "neuronas")
    assert found["area_mm2"] == pytest.approx(634.6301946616801)
    assert found["latency_ms"] == pytest.approx(468.5824)
    assert found["energy_uj"] == pytest.approx(1425.261288751104)
    text = shown(capsys, "--layers", SNASNET, "--mode", "neuronas")
    assert "634.6 mm2, 468.6 ms and 1,425 uJ an inference" in text
    assert "divisor of 4" in text and "H-tree" in text


def test_files_can_be_priced_again(capsys, tmp_path):
    found = cost(capsys, "--layers", VGG9, "--out", str(tmp_path))
    assert found == json.loads((tmp_path / "cost.json").read_text())
    again = priced(load_actions(tmp_path / "actions.json"), shipped())
    assert again.energy_uj == found["energy_uj"] and again.area_mm2 == found["area_mm2"]


def test_steps_between_modes(capsys):
    data = json.loads(shown(capsys, "--layers", VGG9, "--explain", "released", "--json"))
    steps = data["explain"]
    assert steps[0]["energy_uj"] == pytest.approx(25.451094441984)
    assert steps[-1]["energy_uj"] == data["cost"]["energy_uj"]
    assert {"mapping", "conversions", "latency", "buffers", "leakage"} <= {
        step["switch"] for step in steps}
    text = shown(capsys, "--layers", VGG9, "--explain", "released")
    assert "from mode released to physical, switch by switch" in text


def test_spikes_and_prices_of_a_user(capsys, tmp_path):
    network = load_network(Path(VGG9))
    spikes, prices = tmp_path / "spikes.csv", tmp_path / "prices.toml"
    spikes.write_text("layer,spikes\n" + "".join(
        f"{layer.name},{0.1 * layer.inputs}\n" for layer in network.layers))
    prices.write_text("format = 1\n[energy.driver]\nvalue = 0.0\nnode = 65\n")
    full = cost(capsys, "--layers", VGG9)
    sparse = cost(capsys, "--layers", VGG9, "--spikes", str(spikes))
    assert sparse["mode"] == "event" and sparse["energy_uj"] < full["energy_uj"]
    assert sparse["latency_ms"] == full["latency_ms"]
    cheap = cost(capsys, "--layers", VGG9, "--prices", str(prices))
    assert next(row for row in cheap["rows"] if row["component"] == "driver")["energy_pj"] == 0
    assert "energy.driver" in full["borrowed"] and "energy.driver" not in cheap["borrowed"]


@pytest.mark.parametrize("argv, message", [
    (("--mode", "phys"), "--mode: unknown mode 'phys'; did you mean 'physical'"),
    (("--explain", "x"), "--explain: unknown mode 'x'"),
    (("--mode", "event"), "--mode event must have --spikes FILE"),
    (("--explain", "event"), "--explain event must have --spikes FILE"),
    (("--spikes", "none.csv"), "none.csv: cannot be read"),
    (("--prices", "none.toml"), "none.toml: cannot be read"),
    (("--set", "technology=tsmc28"), "technology")])
def test_refusals(capsys, argv, message):
    assert message in shown(capsys, "--layers", VGG9, *argv, code=2)
