"""Metrics of networks of cells in floating point: by the definition, and after export."""

import os

import numpy as np
import pytest
import torch
from test_cells_export import FLAT, IMAGES, MACRO, network
from torch.nn import functional

from spikeloom.flow.cli import main
from spikeloom.flow.run import Run
from spikeloom.nas.cells.checkpoints import save_network
from spikeloom.nas.cells.export import export
from spikeloom.nas.cells.metrics import metrics
from spikeloom.sim import metrics as of_graphs


def counted(net):
    """Effective and dense operations of all images by layer, each layer called by its binary twin;
    and spikes of every LIF.
    """
    found, spikes = {}, {}

    def reads(name):
        def hook(layer, given):
            x, weight = given
            for place, (a, b) in enumerate((((x != 0), (weight != 0)),
                                            (torch.ones_like(x), torch.ones_like(weight)))):
                a, b = a.double(), b.double()
                y = (functional.linear(a, b) if weight.ndim == 2 else
                     functional.conv2d(a, b, padding=weight.shape[-1] // 2))
                found.setdefault(name, [0, 0])[place] += int(y.sum())
        return hook

    for name, layer in net.layers.items():
        layer.register_forward_pre_hook(reads(name))
    net.watch(lambda name, t, s: spikes.__setitem__(name, spikes.get(name, 0) + int(s.sum())))
    with torch.no_grad():
        net(torch.from_numpy(IMAGES).float() / 255)
    net.watch(None)
    return found, spikes


@pytest.mark.parametrize("text", ["3|12|243", "3|13|~31~1"])
def test_operations_are_those_of_the_definition(text):
    net = network(text)
    wanted, spikes = counted(network(text))
    found = metrics(net, IMAGES, batch_size=4)
    assert {item.name: [round(6 * item.effective), round(6 * item.dense)]
            for item in found.layers} == wanted
    assert {item.name: round(6 * item.spikes) for item in found.populations} == spikes
    assert [item.name for item in found.layers if item.kind == "MAC"] == ["stem", "fc1"]
    assert found.effective_macs + found.effective_acs < found.dense
    assert found.footprint.weights == 6 * MACRO.weights(net.cells, classifier=True)


def test_integers_after_export_count_nearly_the_same():
    net = network("3|33|333", exact=True)
    before, after = metrics(net, IMAGES), of_graphs.metrics(export(net).graph, FLAT)
    assert after.spikes_per_image == before.spikes_per_image > 0, "this cell loses nothing"
    found, wanted = ({item.name: item for item in one.layers if not item.name.startswith("fc2")}
                     for one in (after, before))
    assert found == wanted, "all but the last layer, whose weights have the voter in them"


def test_neurobench_has_the_same_footprint(yardsticks):
    if not os.environ.get("CI"):
        for name in ("snntorch", "neurobench"):
            pytest.importorskip(name, reason=f"{name} is missing", exc_type=ImportError)
    from neurobench.metrics.static import Footprint
    from neurobench.models import TorchModel

    net = network("3|12|243", weight_bits=None)
    found = metrics(net, IMAGES).footprint
    assert Footprint()(TorchModel(net)) == (found.weights + found.biases) / 8


def test_the_command_takes_the_network_before_export(tmp_path, capsys):
    net = network("3|33|333")
    opened = Run.create(tmp_path)
    save_network(net, tmp_path)
    opened.save_samples(IMAGES, np.zeros(len(IMAGES), np.int64))
    assert main(["metrics", "--run", str(tmp_path), "--float", "--count", "4"]) == 0
    text = capsys.readouterr().out
    assert "over 4 test images" in text and "stem" in text and "cell1_0" in text
